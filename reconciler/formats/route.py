"""Route messages: one route of one table, and the requests that add, delete and list them.

Sources: rtnetlink(7), linux/rtnetlink.h, ip-route(8). The protocol number carries our mark.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from struct import Struct
from typing import NamedTuple

from reconciler.formats.netlink import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    FormatErrors,
    NetlinkFormatError,
    Request,
    address_family,
    parse_attributes,
    parse_ip,
    render_attribute,
    render_u32,
    u32,
)

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 4, 5, 6, 7
RTA_MULTIPATH, RTA_TABLE, RTA_VIA, RTA_NH_ID = 9, 15, 18, 30

RT_TABLE_MAIN, RT_TABLE_LOCAL = 254, 255
RTPROT_KERNEL, RTPROT_BOOT, RTPROT_STATIC, RTPROT_RA = 2, 3, 4, 9
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE = 0, 253, 255
RTN_UNICAST = 1
RTNH_F_ONLINK = 4
RTNH_F_DEAD, RTNH_F_LINKDOWN = 1, 16

# struct rtmsg: family, destination and source length, tos, table, protocol, scope, type, flags
_ROUTE = Struct("=BBBBBBBBI")
_ATTRIBUTES = frozenset(
    {RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC}
    | {RTA_MULTIPATH, RTA_TABLE, RTA_VIA, RTA_NH_ID}
)
_SIZES = {AF_INET: 4, AF_INET6: 16}
_ANYWHERE = {AF_INET: b"\0" * 4, AF_INET6: b"\0" * 16}
_ZERO = b"\0\0\0\0"


class RouteMessage(NamedTuple):
    """One route. A named tuple, because ten thousand of them are made in a pass."""

    family: int
    packed: bytes
    """The destination; all zeros for a default route."""
    prefix_length: int
    packed_gateway: bytes
    """Empty for a route to the link itself. May be of the other family (RTA_VIA)."""
    oif: int
    """Index of the device, 0 for none (multipath, blackhole)."""
    table: int
    protocol: int
    scope: int
    type: int
    priority: int
    """The metric; 1024 is what IPv6 takes when none is given."""
    packed_source: bytes
    tos: int
    flags: int
    """RTNH_F_…: onlink, dead (the device is down), linkdown."""
    multipath: bool
    """It has several next hops or a next-hop object, which are not read."""

    @property
    def destination(self) -> IPv4Network | IPv6Network:
        """Where the route leads."""
        return _network(self.packed, self.prefix_length)

    @property
    def gateway(self) -> IPv4Address | IPv6Address | None:
        """Through whom."""
        return parse_ip(self.packed_gateway) if self.packed_gateway else None

    @property
    def source(self) -> IPv4Address | IPv6Address | None:
        """The preferred source address."""
        return parse_ip(self.packed_source) if self.packed_source else None


@lru_cache(maxsize=1 << 15)  # ipaddress takes longer than the whole parser, and passes repeat
def _network(packed: bytes, prefix_length: int) -> IPv4Network | IPv6Network:
    make = IPv4Network if len(packed) == 4 else IPv6Network
    return make((packed, prefix_length), strict=False)


def parse_route(data: bytes, start: int, end: int) -> RouteMessage | None:
    """Read the body of an RTM_NEWROUTE; None if it is neither IPv4 nor IPv6.

    Raises:
        NetlinkFormatError: It is not one.
    """
    try:
        header = _ROUTE.unpack_from(data, start)
        family, length, _, tos, table, protocol, scope, kind, flags = header
        if family not in _SIZES:
            return None  # a dump of all families has MPLS and multicast routing in it
        found = parse_attributes(data, start + 12, end, _ATTRIBUTES)
        get = found.get
        packed = get(RTA_DST) or _ANYWHERE[family]
        gateway = get(RTA_GATEWAY) or get(RTA_VIA, b"")[2:]  # struct rtvia: family, address
        source = get(RTA_PREFSRC, b"")
        if len(packed) != _SIZES[family] or length > 8 * len(packed):
            raise NetlinkFormatError(f"destination of {len(packed)} bytes in family {family}")
        if not {len(gateway), len(source)} <= {0, 4, 16}:
            raise NetlinkFormatError(f"gateway of {len(gateway)}, source of {len(source)} bytes")
        return RouteMessage(
            family,
            packed,
            length,
            gateway,
            u32(get(RTA_OIF, _ZERO))[0],
            u32(found[RTA_TABLE])[0] if RTA_TABLE in found else table,
            protocol,
            scope,
            kind,
            u32(get(RTA_PRIORITY, _ZERO))[0],
            source,
            tos,
            flags,
            RTA_MULTIPATH in found or RTA_NH_ID in found,
        )
    except FormatErrors as error:
        raise NetlinkFormatError(f"route message: {error}") from None


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """What a request says of a route."""

    destination: IPv4Network | IPv6Network
    gateway: IPv4Address | IPv6Address | None = None
    oif: int = 0
    """Index of the device; 0 lets the kernel find it by the gateway."""
    metric: int = 0
    """0 for none; IPv6 then takes 1024."""
    protocol: int = RTPROT_STATIC
    table: int = RT_TABLE_MAIN
    source: IPv4Address | IPv6Address | None = None
    onlink: bool = False
    """The gateway is on the link, whatever the addresses there say."""
    type: int = RTN_UNICAST


def dump_routes(
    *, family: int = AF_UNSPEC, table: int = 0, protocol: int = 0, oif: int = 0
) -> Request:
    """All routes, or of one family, table, protocol or device (by index); the kernel filters.

    With a table but without a family, a kernel answers ENOENT where one family lacks that table.
    """
    attributes = render_u32(RTA_TABLE, table) if table else b""
    attributes += render_u32(RTA_OIF, oif) if oif else b""
    body = _ROUTE.pack(family, 0, 0, 0, 0, protocol, 0, 0, 0) + attributes
    return Request(RTM_GETROUTE, NLM_F_DUMP, body)


def add_route(route: RouteSpec) -> Request:
    """Add a route; EEXIST if there is one with this destination, metric and table."""
    return Request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, _render_route(route, _scope(route)))


def replace_route(route: RouteSpec) -> Request:
    """Add a route, or put it in the place of the one with this destination, metric and table."""
    return Request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _render_route(route, _scope(route)))


def delete_route(route: RouteSpec) -> Request:
    """Delete the first route that has all that the spec says; ESRCH if there is none."""
    return Request(RTM_DELROUTE, 0, _render_route(route, RT_SCOPE_NOWHERE))


def _scope(route: RouteSpec) -> int:
    # IPv4 only (IPv6 ignores it): without a gateway the destination is on the link itself.
    on_link = route.gateway is None and route.type == RTN_UNICAST
    return RT_SCOPE_LINK if on_link and route.destination.version == 4 else RT_SCOPE_UNIVERSE


def _render_route(route: RouteSpec, scope: int) -> bytes:
    destination, family = route.destination, address_family(route.destination.network_address)
    flags = RTNH_F_ONLINK if route.onlink else 0
    header = (family, destination.prefixlen, 0, 0, 0, route.protocol, scope, route.type, flags)
    # The header has eight bits for the table, so it says 0 and the attribute all 32.
    body = _ROUTE.pack(*header) + render_u32(RTA_TABLE, route.table)
    if destination.prefixlen:
        body += render_attribute(RTA_DST, destination.network_address.packed)
    if route.gateway:
        body += _render_gateway(family, route.gateway)
    if route.source:
        body += render_attribute(RTA_PREFSRC, route.source.packed)
    for kind, value in ((RTA_OIF, route.oif), (RTA_PRIORITY, route.metric)):
        body += render_u32(kind, value) if value else b""
    return body


def _render_gateway(family: int, gateway: IPv4Address | IPv6Address) -> bytes:
    if address_family(gateway) == family:
        return render_attribute(RTA_GATEWAY, gateway.packed)
    # RFC 5549: an IPv4 destination through an IPv6 neighbour.
    via = Struct("=H").pack(address_family(gateway)) + gateway.packed
    return render_attribute(RTA_VIA, via)
