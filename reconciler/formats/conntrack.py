"""Connection tracking: the flows that the kernel remembers, listed and forgotten one by one.

Sources: linux/netfilter/nfnetlink_conntrack.h, conntrack(8). Ports are in network byte order.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from reconciler.formats.netlink import (
    NLM_F_DUMP,
    FormatErrors,
    NetlinkFormatError,
    Request,
    parse_attributes,
    parse_ip,
    render_attribute,
    u8,
)
from reconciler.formats.resolver import IPAddress

NFNL_SUBSYS_CTNETLINK = 1
CT_GET, CT_DELETE = NFNL_SUBSYS_CTNETLINK << 8 | 1, NFNL_SUBSYS_CTNETLINK << 8 | 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY = 1, 2
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST = 1, 2, 3, 4
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
NLA_F_NESTED = 0x8000

_HEADER = Struct("!BBH")  # struct nfgenmsg: family, version, resource
_U16 = Struct("!H")


class Tuple(NamedTuple):
    """One direction of a flow."""

    source: IPAddress
    destination: IPAddress
    protocol: int
    source_port: int
    destination_port: int


class Flow(NamedTuple):
    """A flow as its first packet went, and as its answers come."""

    family: int
    original: Tuple
    reply: Tuple
    key: bytes
    """The kernel's own words for the first direction, to name the flow by."""


def dump_flows(family: int) -> Request:
    """All flows of a family (AF_INET or AF_INET6)."""
    return Request(CT_GET, NLM_F_DUMP, _HEADER.pack(family, 0, 0))


def delete_flow(flow: Flow) -> Request:
    """Forget a flow; ENOENT if it is forgotten already."""
    body = _HEADER.pack(flow.family, 0, 0)
    return Request(CT_DELETE, 0, body + render_attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.key))


def parse_flow(data: bytes, start: int, end: int) -> Flow | None:
    """Read the body of an answer; None where a direction is missing.

    Raises:
        NetlinkFormatError: It is not one.
    """
    try:
        family, _, _ = _HEADER.unpack_from(data, start)
        wanted = (CTA_TUPLE_ORIG, CTA_TUPLE_REPLY)
        found = parse_attributes(data, start + _HEADER.size, end, wanted)
        if len(found) < len(wanted):
            return None
        original, reply = (_tuple(found[kind]) for kind in wanted)
    except FormatErrors as error:
        raise NetlinkFormatError(f"flow message: {error}") from None
    except KeyError:
        return None  # a protocol of another kind
    return Flow(family, original, reply, found[CTA_TUPLE_ORIG])


def _tuple(data: bytes) -> Tuple:
    parts = parse_attributes(data, 0, len(data), (CTA_TUPLE_IP, CTA_TUPLE_PROTO))
    ip = parts[CTA_TUPLE_IP]
    addresses = parse_attributes(ip, 0, len(ip), range(1, 5))
    protocol = parts[CTA_TUPLE_PROTO]
    ports = parse_attributes(protocol, 0, len(protocol), range(1, 4))
    version = (1, 2) if CTA_IP_V4_SRC in addresses else (3, 4)
    source, destination = (parse_ip(addresses[kind]) for kind in version)
    return Tuple(
        source,
        destination,
        u8(ports[CTA_PROTO_NUM])[0],
        _port(ports.get(CTA_PROTO_SRC_PORT)),
        _port(ports.get(CTA_PROTO_DST_PORT)),
    )


def _port(payload: bytes | None) -> int:
    return 0 if payload is None else int(_U16.unpack(payload)[0])
