"""Link requests: make, change and delete bridges and veth pairs.

Sources: rtnetlink(7), linux/if_link.h, linux/veth.h, ip-link(8). What the kernel does with them,
seen on Linux 6.18:

- Name, MTU, MAC, group, master, index and "up" take effect in the creating request. The alias does
  not: it is ignored there without a word, so it follows in a request of its own.
- The peer of a veth is made where `LinkSettings.netns_fd` of the peer says; to move it there
  afterwards costs 20 ms. It cannot be set up in the same request (ENOTCONN).
- With NLM_F_ECHO the answer to a creation is the link message of the new device: `ifindex` is its
  own, `link` its peer's (Linux 6.2; kernels before it answer with the acknowledgement only). It is
  written before the device joins its master.
- `addr_gen_mode` in the creating request is refused (EAFNOSUPPORT), and in one request with "up" it
  comes too late: the link-local address is there already. So: create, mode, up.
- Port attributes in the request that joins the bridge are refused (EOPNOTSUPP); they follow it.
- A device in another namespace cannot be changed from here: IFLA_TARGET_NETNSID does not count for
  that, and the index would be looked up here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.formats.link import (
    IFF_UP,
    IFINFO,
    IFLA_ADDRESS,
    IFLA_AF_SPEC,
    IFLA_ALT_IFNAME,
    IFLA_GROUP,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INET6_ADDR_GEN_MODE,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    IFLA_PROP_LIST,
    IFLA_TXQLEN,
    RTM_DELLINK,
    RTM_NEWLINK,
    BridgeAttributes,
    PortAttributes,
    render_bridge,
    render_info,
    render_port,
)
from reconciler.formats.netlink import (
    AF_INET6,
    AF_UNSPEC,
    NLM_F_CREATE,
    NLM_F_ECHO,
    NLM_F_EXCL,
    Request,
    render_attribute,
    render_nested,
    render_text,
    render_u8,
    render_u32,
)

VETH_INFO_PEER = 1
RTM_NEWLINKPROP, RTM_DELLINKPROP = 108, 109
ADDR_GEN_MODE_NONE = 1  # IN6_ADDR_GEN_MODE_NONE: no link-local address when the device comes up
_CREATE = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What a request sets on a device; None leaves it to the kernel, or as it is."""

    name: str | None = None
    """The name of a new device; a new name for an old one (it may be up, Linux 6.2)."""
    up: bool | None = None
    mtu: int | None = None
    mac: str | None = None
    master: int | None = None
    """Index of the bridge to join; 0 leaves the bridge."""
    group: int | None = None
    alias: str | None = None
    """At most 255 bytes; empty takes it away. Ignored when a device is made."""
    txqlen: int | None = None
    netns_fd: int | None = None
    """Where a new device is made, or where an old one moves to."""
    addr_gen_mode: int | None = None
    """How the device gets its link-local address. Not for a device that is being made."""
    ifindex: int = 0
    """The index a new device shall have; 0 for the next free one."""


_NOTHING = LinkSettings()


def create_bridge(settings: LinkSettings, bridge: BridgeAttributes | None = None) -> Request:
    """Make a bridge, complete but for its alias; the answer is its link message."""
    info = render_bridge(bridge or BridgeAttributes())
    return Request(RTM_NEWLINK, _CREATE, _render_body(settings.ifindex, settings, info))


def create_veth(settings: LinkSettings, peer: LinkSettings) -> Request:
    """Make a pair of devices, the peer in its own namespace; the answer is the first one's message.

    Args:
        settings: The end that is made where the request is sent.
        peer: The other end. `up` and `master` are refused there.
    """
    info = render_info("veth", render_nested(VETH_INFO_PEER, [_render_body(peer.ifindex, peer)]))
    return Request(RTM_NEWLINK, _CREATE, _render_body(settings.ifindex, settings, info))


def set_link(
    link: int | str,
    settings: LinkSettings = _NOTHING,
    *,
    bridge: BridgeAttributes | None = None,
    port: PortAttributes | None = None,
) -> Request:
    """Change a device.

    Args:
        link: Its index, or its name.
        settings: What to change.
        bridge: Attributes of a bridge.
        port: Attributes of a port; it must be one before this request. Not together with `bridge`.

    Raises:
        ValueError: A new name for a device that is given by name: of two names the kernel would
            take the second for the one to look up, and change another device.
    """
    if isinstance(link, str) and settings.name is not None:
        raise ValueError(f"{link} has to be renamed by its index")
    info = render_bridge(bridge) if bridge else render_port(port) if port else b""
    if isinstance(link, int):
        return Request(RTM_NEWLINK, 0, _render_body(link, settings, info))
    return Request(RTM_NEWLINK, 0, _render_body(0, settings, info, name=link))


def add_altname(ifindex: int, name: str) -> Request:
    """Give a device another name; EEXIST if any device here has it."""
    return _altname(RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL, ifindex, name)


def delete_altname(ifindex: int, name: str) -> Request:
    """Take an alternative name away; EINVAL if the device does not have it."""
    return _altname(RTM_DELLINKPROP, 0, ifindex, name)


def _altname(kind: int, flags: int, ifindex: int, name: str) -> Request:
    names = render_nested(IFLA_PROP_LIST, [render_text(IFLA_ALT_IFNAME, name)])
    return Request(kind, flags, IFINFO.pack(AF_UNSPEC, 0, ifindex, 0, 0) + names)


def delete_link(ifindex: int) -> Request:
    """Delete a device, and with a veth its peer. 16 ms each: delete many by group."""
    return Request(RTM_DELLINK, 0, IFINFO.pack(AF_UNSPEC, 0, ifindex, 0, 0))


def delete_group(group: int) -> Request:
    """Delete all devices of a group at once, or none if one of them cannot be deleted."""
    body = IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + render_u32(IFLA_GROUP, group)
    return Request(RTM_DELLINK, 0, body)


def _render_body(
    ifindex: int, settings: LinkSettings, info: bytes = b"", *, name: str = ""
) -> bytes:
    flags = IFF_UP if settings.up else 0
    change = 0 if settings.up is None else IFF_UP
    named = render_text(IFLA_IFNAME, name) if name else b""
    attributes = b"".join(_render_settings(settings))
    return IFINFO.pack(AF_UNSPEC, 0, ifindex, flags, change) + named + attributes + info


def _render_settings(settings: LinkSettings) -> Iterator[bytes]:
    if settings.name is not None:
        yield render_text(IFLA_IFNAME, settings.name)
    if settings.mac is not None:
        yield render_attribute(IFLA_ADDRESS, bytes.fromhex(settings.mac.replace(":", "")))
    numbers = (
        (IFLA_MTU, settings.mtu),
        (IFLA_MASTER, settings.master),
        (IFLA_GROUP, settings.group),
        (IFLA_TXQLEN, settings.txqlen),
        (IFLA_NET_NS_FD, settings.netns_fd),
    )
    for kind, value in numbers:
        if value is not None:
            yield render_u32(kind, value)
    if settings.alias is not None:
        # Without a final NUL: the kernel measures it, and no bytes at all delete it.
        yield render_attribute(IFLA_IFALIAS, settings.alias.encode())
    if settings.addr_gen_mode is not None:
        mode = render_u8(IFLA_INET6_ADDR_GEN_MODE, settings.addr_gen_mode)
        yield render_nested(IFLA_AF_SPEC, [render_nested(AF_INET6, [mode])])
