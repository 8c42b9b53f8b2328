"""Events: what the kernel tells those who listen, read as far as needed to know where to look.

An event never says what is so now, only where something was changed and by which socket: whoever
hears it looks. Sources: rtnetlink(7), linux/rtnetlink.h, linux/net_namespace.h; for nf_tables
linux/netfilter/nf_tables.h: the messages of one transaction end with NFT_MSG_NEWGEN.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from reconciler.formats.link import IFLA_IFNAME, RTM_DELLINK, RTM_NEWLINK
from reconciler.formats.neighbour import NETNSA_NSID, RTM_NEWNSID
from reconciler.formats.netlink import (
    FormatErrors,
    Message,
    NetlinkFormatError,
    parse_attributes,
    parse_messages,
    parse_text,
    s32,
    u32,
)
from reconciler.formats.nfnetlink import NFT_MSG_NEWGEN, parse_generation
from reconciler.formats.route import RT_TABLE_MAIN, RTA_OIF, RTA_TABLE

# enum rtnetlink_groups
RTNLGRP_LINK, RTNLGRP_TC, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE = 1, 4, 5, 7
RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_NSID = 9, 11, 28
GROUPS = (
    *(RTNLGRP_LINK, RTNLGRP_TC, RTNLGRP_NSID),
    *(RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE),
)
"""What is listened to. Not to neighbours: none are managed, and traffic makes them talk."""
NFNLGRP_NFTABLES = 7

_ADDRESSES = (20, 21)  # RTM_NEWADDR, RTM_DELADDR
_ROUTES = (24, 25)
_QDISCS = (36, 37)
RTM_DELNSID = 89

_INDEX_AT_4 = Struct("=4xi")  # struct ifinfomsg, ifaddrmsg, tcmsg: the index is the second word
_RTMSG, _IFINFO = 12, 16
_RTM_TABLE = 4
_NFGENMSG = 4
_INET, _IPV4, _IPV6 = 1, 2, 10  # enum nf_inet_hooks' NFPROTO_INET, and the families' own numbers
_FAMILIES = {_INET: (4, 6), _IPV4: (4,), _IPV6: (6,)}


class DeviceEvent(NamedTuple):
    """Something about a device, or on it, was changed."""

    ifindex: int
    port: int
    """The socket that asked for it, 0 for the kernel itself. Mostly its process' number."""
    name: str = ""
    """Of a link event: the device's name."""
    link: bool = False
    """The device itself, not what is on it."""


class NamespaceEvent(NamedTuple):
    """A namespace got, or lost, its number in ours."""

    nsid: int
    gone: bool


class RulesEvent(NamedTuple):
    """A transaction of nf_tables ended."""

    families: frozenset[int]
    """4, 6: whose rules it touched; none where only others' tables were."""
    generation: int
    pid: int
    """The thread that wrote, in the first pid namespace."""
    program: str


def parse_events(data: bytes) -> Iterator[DeviceEvent | NamespaceEvent]:
    """Read what rtnetlink multicast in one datagram; what says nothing that matters is left out.

    Raises:
        NetlinkFormatError: It is no such datagram.
    """
    for message in parse_messages(data):
        try:
            event = _parse_event(data, message)
        except FormatErrors as error:
            raise NetlinkFormatError(f"event of type {message.type}: {error}") from None
        if event is not None:
            yield event


def _parse_event(data: bytes, message: Message) -> DeviceEvent | NamespaceEvent | None:
    kind, _, _, port, start, end = message
    if kind in (RTM_NEWLINK, RTM_DELLINK):
        found = parse_attributes(data, start + _IFINFO, end, (IFLA_IFNAME,))
        index: int = _INDEX_AT_4.unpack_from(data, start)[0]
        return DeviceEvent(index, port, parse_text(found.get(IFLA_IFNAME, b"")), link=True)
    if kind in _ADDRESSES or kind in _QDISCS:
        return DeviceEvent(_INDEX_AT_4.unpack_from(data, start)[0], port)
    if kind in _ROUTES:
        return _parse_route_event(data, message)
    if kind in (RTM_NEWNSID, RTM_DELNSID):
        numbers = parse_attributes(data, start + 4, end, (NETNSA_NSID,))
        if NETNSA_NSID in numbers:
            return NamespaceEvent(s32(numbers[NETNSA_NSID])[0], gone=kind == RTM_DELNSID)
    return None


def _parse_route_event(data: bytes, message: Message) -> DeviceEvent | None:
    found = parse_attributes(data, message.start + _RTMSG, message.end, (RTA_OIF, RTA_TABLE))
    table = u32(found[RTA_TABLE])[0] if RTA_TABLE in found else data[message.start + _RTM_TABLE]
    if table != RT_TABLE_MAIN or RTA_OIF not in found:
        return None
    return DeviceEvent(u32(found[RTA_OIF])[0], message.port)


class RulesReader:
    """Collects the messages of a transaction of nf_tables until the one that ends it."""

    def __init__(self) -> None:
        self._families: set[int] = set()

    def read(self, data: bytes) -> Iterator[RulesEvent]:
        """Read one datagram; give the transactions that end in it.

        Raises:
            NetlinkFormatError: It is no such datagram.
        """
        for message in parse_messages(data):
            if message.end - message.start < _NFGENMSG:
                raise NetlinkFormatError(f"nf_tables event of type {message.type} without a body")
            if message.type != NFT_MSG_NEWGEN:
                self._families.update(_FAMILIES.get(data[message.start], ()))
                continue
            found = parse_generation(data, message.start, message.end)
            families, self._families = frozenset(self._families), set()
            yield RulesEvent(families, found.number, found.pid, found.program)
