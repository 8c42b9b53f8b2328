"""Neighbour and namespace-number messages: who is behind which MAC, and which namespace is which.

Sources: rtnetlink(7), linux/neighbour.h, linux/net_namespace.h.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import NamedTuple

from reconciler.formats.netlink import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    NLM_F_DUMP,
    FormatErrors,
    NetlinkFormatError,
    Request,
    parse_attributes,
    parse_ip,
    render_s32,
    render_u32,
    s32,
    u8,
)

RTM_GETNEIGH = 30
RTM_NEWNSID, RTM_GETNSID = 88, 90
NDA_DST, NDA_LLADDR, NDA_IFINDEX, NDA_PROTOCOL = 1, 2, 8, 12
NETNSA_NSID, NETNSA_FD = 1, 3
NSID_NOT_ASSIGNED = -1

_NEIGHBOUR = Struct("=BxHiHBB")  # struct ndmsg: family, index, state, flags, type
_ATTRIBUTES = frozenset({NDA_DST, NDA_LLADDR, NDA_PROTOCOL})
_RTGEN = b"\0\0\0\0"  # struct rtgenmsg, padded: a family, which is nobody's


class NeighbourMessage(NamedTuple):
    """One entry of the neighbour table (ARP, NDP)."""

    ifindex: int
    address: IPv4Address | IPv6Address
    mac: str
    """Empty while it is not known."""
    state: int
    """NUD_…: 2 reachable, 4 stale, 32 failed, 128 permanent."""
    flags: int
    protocol: int


def parse_neighbour(data: bytes, start: int, end: int) -> NeighbourMessage | None:
    """Read the body of an RTM_NEWNEIGH; None if it is neither IPv4 nor IPv6.

    Raises:
        NetlinkFormatError: It is not one.
    """
    try:
        family, _, ifindex, state, flags, _ = _NEIGHBOUR.unpack_from(data, start)
        if family not in {AF_INET, AF_INET6}:
            return None
        found = parse_attributes(data, start + _NEIGHBOUR.size, end, _ATTRIBUTES)
        address, mac = parse_ip(found.get(NDA_DST, b"")), found.get(NDA_LLADDR, b"")
        protocol = u8(found.get(NDA_PROTOCOL, b"\0"))[0]
    except FormatErrors as error:
        raise NetlinkFormatError(f"neighbour message: {error}") from None
    return NeighbourMessage(ifindex, address, mac.hex(":"), state, flags, protocol)


def dump_neighbours(*, family: int = AF_UNSPEC, ifindex: int = 0) -> Request:
    """All neighbours, or those of one family, or of one device; the kernel filters."""
    attributes = render_u32(NDA_IFINDEX, ifindex) if ifindex else b""
    return Request(RTM_GETNEIGH, NLM_F_DUMP, _NEIGHBOUR.pack(family, 0, 0, 0, 0, 0) + attributes)


def get_nsid(netns_fd: int) -> Request:
    """Ask for the number that another namespace has in this one."""
    return Request(RTM_GETNSID, 0, _RTGEN + render_u32(NETNSA_FD, netns_fd))


def assign_nsid(netns_fd: int) -> Request:
    """Give another namespace a number in this one, the next free; EEXIST if it has one."""
    attributes = render_s32(NETNSA_NSID, NSID_NOT_ASSIGNED) + render_u32(NETNSA_FD, netns_fd)
    return Request(RTM_NEWNSID, 0, _RTGEN + attributes)


def parse_nsid(data: bytes, start: int, end: int) -> int | None:
    """Read the answer to get_nsid; None where the namespace has no number here.

    Raises:
        NetlinkFormatError: It has another shape.
    """
    try:
        found = parse_attributes(data, start + len(_RTGEN), end, (NETNSA_NSID,))
        nsid: int = s32(found.get(NETNSA_NSID, b"\xff\xff\xff\xff"))[0]
    except FormatErrors as error:
        raise NetlinkFormatError(f"namespace number: {error}") from None
    return None if nsid == NSID_NOT_ASSIGNED else nsid
