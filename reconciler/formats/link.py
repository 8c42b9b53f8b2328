"""Link messages: what RTM_NEWLINK says about one network device, and the requests that ask.

Sources: rtnetlink(7), linux/if_link.h; bridge attributes as in ip-link(8), times in USER_HZ, which
is a hundredth of a second on every architecture that Linux runs on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, NamedTuple

from reconciler.formats.netlink import (
    AF_INET6,
    AF_UNSPEC,
    NLM_F_DUMP,
    FormatErrors,
    NetlinkFormatError,
    Request,
    parse_attributes,
    parse_list,
    parse_text,
    render_attribute,
    render_nested,
    render_text,
    render_u32,
    s32,
    u8,
    u32,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_QDISC = 1, 3, 4, 5, 6
IFLA_MASTER, IFLA_TXQLEN, IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_IFALIAS = 10, 13, 16, 18, 20
IFLA_AF_SPEC, IFLA_GROUP, IFLA_NET_NS_FD, IFLA_EXT_MASK, IFLA_LINK_NETNSID = 26, 27, 28, 29, 37
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_INET6_ADDR_GEN_MODE = 8
IFLA_PROP_LIST, IFLA_ALT_IFNAME = 52, 53

IFNAMSIZ = 16  # linux/if.h, with the final NUL
IFF_UP = 0x1
IF_OPER_UP = 6
RTEXT_FILTER_SKIP_STATS = 8  # those of IPv6, a third of a dump's bytes, which nobody here reads
_COUNTERS = frozenset({7, 23})  # IFLA_STATS, IFLA_STATS64: always there (Linux 6.18)

IFINFO = Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ATTRIBUTES = frozenset(
    {IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_TXQLEN, IFLA_OPERSTATE}
    | {IFLA_LINKINFO, IFLA_IFALIAS, IFLA_AF_SPEC, IFLA_GROUP, IFLA_LINK_NETNSID}
    | {IFLA_PROP_LIST, IFLA_QDISC}
)
_INFO = frozenset({IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA})
_ZERO = b"\0\0\0\0"
_ATTRIBUTE = Struct("=HH")


@dataclass(frozen=True, slots=True)
class BridgeAttributes:
    """What a bridge device has of its own. None: left as it is (requests), not said (answers)."""

    forward_delay: int | None = None
    """Hundredths of a second in each of the listening and learning states; needs 200 with STP."""
    hello_time: int | None = None
    """Hundredths of a second."""
    max_age: int | None = None
    """Hundredths of a second."""
    ageing_time: int | None = None
    """Hundredths of a second until a learnt address is forgotten."""
    stp_state: int | None = None
    """0 off, 1 the kernel's spanning tree, 2 a user-space daemon's."""
    priority: int | None = None
    nf_call_iptables: int | None = None
    """1: bridged IPv4 passes iptables, whatever the sysctl of the namespace says."""
    nf_call_ip6tables: int | None = None


@dataclass(frozen=True, slots=True)
class PortAttributes:
    """What a device has as the port of a bridge. None as in BridgeAttributes."""

    hairpin: bool | None = None
    """A frame may leave through the port it came in by."""
    isolated: bool | None = None
    """Isolated ports do not reach each other, only ports that are not isolated."""
    learning: bool | None = None
    unicast_flood: bool | None = None


class LinkMessage(NamedTuple):
    """One network device. A named tuple, because ten thousand of them are made in a pass."""

    ifindex: int
    flags: int
    name: str
    mtu: int
    mac: str
    """Lower case with colons; empty for a device without a link-layer address."""
    master: int
    """Index of the bridge it is a port of, or 0."""
    link: int
    """Index of the veth peer (in the peer's namespace), or 0."""
    link_netnsid: int | None
    """The namespace of `link`, as numbered here; None: this one. -1: not known here."""
    kind: str
    """`veth`, `bridge`, …; empty for hardware and the loopback device."""
    alias: str
    group: int
    operstate: int
    txqlen: int
    af_spec: bytes
    """Per address family, unparsed: see addr_gen_mode."""
    info_data: bytes
    """Of this kind of device, unparsed: see bridge."""
    port_data: bytes
    """Of a port of a bridge, unparsed: see port."""
    prop_list: bytes = b""
    """Unparsed: see altnames."""
    qdisc: str = ""
    """The kind at its root, as tc(8) names it; `noqueue` for a device that keeps nothing back."""

    @property
    def up(self) -> bool:
        """Whether it was set up (not: whether there is carrier)."""
        return bool(self.flags & IFF_UP)

    @property
    def bridge(self) -> BridgeAttributes | None:
        """What a bridge has of its own; None for another device.

        Raises:
            NetlinkFormatError: The kernel's answer has another shape.
        """
        if self.kind != "bridge":
            return None
        return BridgeAttributes(**_parse_fields(self.info_data, _BRIDGE))

    @property
    def port(self) -> PortAttributes | None:
        """What it has as the port of a bridge; None if it is not one.

        Raises:
            NetlinkFormatError: The kernel's answer has another shape.
        """
        return PortAttributes(**_parse_fields(self.port_data, _PORT)) if self.port_data else None

    @property
    def altnames(self) -> tuple[str, ...]:
        """Its alternative names (ip-link(8), `property add altname`).

        Raises:
            NetlinkFormatError: The kernel's answer has another shape.
        """
        return tuple(parse_text(name) for name in parse_list(self.prop_list, IFLA_ALT_IFNAME))

    @property
    def addr_gen_mode(self) -> int | None:
        """How it gets its link-local address; None where IPv6 is off.

        0 from the MAC (eui64), 1 not at all, 2 stable-privacy, 3 random (linux/if_link.h).

        Raises:
            NetlinkFormatError: The kernel's answer has another shape.
        """
        return _parse_addr_gen_mode(self.af_spec)


_U8, _U16, _U32, _BOOL = Struct("=B"), Struct("=H"), Struct("=I"), Struct("=?")
_BRIDGE: Mapping[int, tuple[str, Struct]] = {
    1: ("forward_delay", _U32),
    2: ("hello_time", _U32),
    3: ("max_age", _U32),
    4: ("ageing_time", _U32),
    5: ("stp_state", _U32),
    6: ("priority", _U16),
    36: ("nf_call_iptables", _U8),
    37: ("nf_call_ip6tables", _U8),
}
_PORT: Mapping[int, tuple[str, Struct]] = {
    4: ("hairpin", _BOOL),
    8: ("learning", _BOOL),
    9: ("unicast_flood", _BOOL),
    33: ("isolated", _BOOL),
}


def parse_link(data: bytes, start: int, end: int) -> LinkMessage:
    """Read the body of an RTM_NEWLINK.

    Raises:
        NetlinkFormatError: It is not one.
    """
    try:
        _, _, ifindex, flags, _ = IFINFO.unpack_from(data, start)
        found = parse_attributes(data, start + IFINFO.size, end, _ATTRIBUTES)
        get = found.get
        info = get(IFLA_LINKINFO)
        kind, info_data, port_data = _parse_info(info) if info else ("", b"", b"")
        return LinkMessage(
            ifindex,
            flags,
            parse_text(found[IFLA_IFNAME]),
            u32(get(IFLA_MTU, _ZERO))[0],
            get(IFLA_ADDRESS, b"").hex(":"),
            u32(get(IFLA_MASTER, _ZERO))[0],
            u32(get(IFLA_LINK, _ZERO))[0],
            s32(found[IFLA_LINK_NETNSID])[0] if IFLA_LINK_NETNSID in found else None,
            kind,
            parse_text(found[IFLA_IFALIAS]) if IFLA_IFALIAS in found else "",
            u32(get(IFLA_GROUP, _ZERO))[0],
            u8(get(IFLA_OPERSTATE, b"\0"))[0],
            u32(get(IFLA_TXQLEN, _ZERO))[0],
            get(IFLA_AF_SPEC, b""),
            info_data,
            port_data,
            get(IFLA_PROP_LIST, b""),
            parse_text(get(IFLA_QDISC, b"")),
        )
    except KeyError:
        raise NetlinkFormatError("link message without a name") from None
    except FormatErrors as error:
        raise NetlinkFormatError(f"link message: {error}") from None


def without_counters(body: bytes) -> bytes:
    """The body of an RTM_NEWLINK without what every packet changes, to compare it with an older one.

    Raises:
        NetlinkFormatError: It is not one.
    """
    kept, start, end = [], IFINFO.size, len(body)
    begin = 0
    unpack = _ATTRIBUTE.unpack_from
    while start <= end - 4:
        length, kind = unpack(body, start)
        if length < 4:
            raise NetlinkFormatError(f"attribute of {length} bytes at {start} of {end}")
        after = start + ((length + 3) & ~3)
        if kind in _COUNTERS:
            kept.append(body[begin:start])
            begin = after
        start = after
    kept.append(body[begin:])
    return b"".join(kept)


def _parse_info(info: bytes) -> tuple[str, bytes, bytes]:
    found = parse_attributes(info, 0, len(info), _INFO)
    port = found.get(IFLA_INFO_SLAVE_KIND) == b"bridge\0"
    return (
        parse_text(found.get(IFLA_INFO_KIND, b"")),
        found.get(IFLA_INFO_DATA, b""),
        found.get(IFLA_INFO_SLAVE_DATA, b"") if port else b"",
    )


def _parse_fields(payload: bytes, table: Mapping[int, tuple[str, Struct]]) -> dict[str, Any]:
    found = parse_attributes(payload, 0, len(payload), table)
    try:
        return {table[kind][0]: table[kind][1].unpack(value)[0] for kind, value in found.items()}
    except FormatErrors as error:
        raise NetlinkFormatError(f"link attributes: {error}") from None


def _parse_addr_gen_mode(payload: bytes) -> int | None:
    inet6 = parse_attributes(payload, 0, len(payload), (AF_INET6,)).get(AF_INET6, b"")
    mode = parse_attributes(inet6, 0, len(inet6), (IFLA_INET6_ADDR_GEN_MODE,))
    return mode[IFLA_INET6_ADDR_GEN_MODE][0] if mode else None


def _render_fields(values: object, table: Mapping[int, tuple[str, Struct]]) -> Iterator[bytes]:
    for kind, (name, form) in table.items():
        value = getattr(values, name)
        if value is not None:
            yield render_attribute(kind, form.pack(value))


def render_bridge(attributes: BridgeAttributes) -> bytes:
    """IFLA_LINKINFO of a bridge, to make one or to change one."""
    return render_info("bridge", b"".join(_render_fields(attributes, _BRIDGE)))


def render_port(attributes: PortAttributes) -> bytes:
    """IFLA_LINKINFO of a device that is a port of a bridge already; on any other it is refused."""
    data = render_nested(IFLA_INFO_SLAVE_DATA, _render_fields(attributes, _PORT))
    return render_nested(IFLA_LINKINFO, [render_text(IFLA_INFO_SLAVE_KIND, "bridge"), data])


def render_info(kind: str, data: bytes = b"") -> bytes:
    """IFLA_LINKINFO: the kind of the device and what only this kind has."""
    nested = [render_nested(IFLA_INFO_DATA, [data])] if data else []
    return render_nested(IFLA_LINKINFO, [render_text(IFLA_INFO_KIND, kind), *nested])


def dump_links(*, kind: str = "", master: int = 0) -> Request:
    """All devices, or those of one kind, or the ports of one bridge; the kernel filters."""
    attributes = [render_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)]
    if kind:
        attributes.append(render_info(kind))
    if master:
        attributes.append(render_u32(IFLA_MASTER, master))
    body = IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + b"".join(attributes)
    return Request(RTM_GETLINK, NLM_F_DUMP, body)


def get_link_at(ifindex: int) -> Request:
    """One device by its index; the answer is one link message, or ENODEV."""
    mask = render_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return Request(RTM_GETLINK, 0, IFINFO.pack(AF_UNSPEC, 0, ifindex, 0, 0) + mask)


def get_link(name: str) -> Request:
    """One device by its name or alternative name; the answer is one link message, or ENODEV."""
    # An alternative name may be longer than the 15 bytes that the first attribute takes.
    kind = IFLA_IFNAME if len(name.encode()) < IFNAMSIZ else IFLA_ALT_IFNAME
    attributes = render_text(kind, name) + render_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return Request(RTM_GETLINK, 0, IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + attributes)
