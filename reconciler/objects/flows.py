"""Stale flows: what the kernel remembers of ways that are no longer there.

A flow keeps the translation that its first packet got, whatever the rules say afterwards. So when a
published port, its target or a container's address goes, its flows are forgotten too; and when a UDP
port is published, those that went to the host itself by that port. No other flow is touched.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from reconciler.core.object import HOST, Key
from reconciler.core.plan import Operation, Verb
from reconciler.core.state import State
from reconciler.formats.conntrack import Flow
from reconciler.formats.resolver import IPAddress
from reconciler.objects.address import Address
from reconciler.objects.keys import netns_needs
from reconciler.objects.rule import FirewallRule

_TARGET = re.compile(r"--to-destination \[?([0-9a-fA-F.:]+?)\]?:(\d+)(?: |$)")
_HOST = re.compile(r"(?:^| )-d ([0-9a-fA-F.:]+)(?:/32|/128)?(?: |$)")
_PORT = re.compile(r"--dport (\d+)(?: |$)")
_PROTOCOL = re.compile(r"-p (tcp|udp|sctp)(?: |$)")
_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}

Place = tuple[str, IPAddress]
"""Namespace and address."""


class Translation(NamedTuple):
    """What a rule of a published port does."""

    protocol: int
    host_port: int
    target: IPAddress
    port: int
    host_ip: IPAddress | None = None
    """None: every address of the host."""

    @property
    def entrance(self) -> tuple[int, int, int, IPAddress | None]:
        """Protocol, family, and the host's port and address."""
        return (self.protocol, self.target.version, self.host_port, self.host_ip)


@dataclass(frozen=True, slots=True)
class StaleFlows:
    """Which flows are to be forgotten."""

    gone: frozenset[Translation] = frozenset()
    new: frozenset[Translation] = frozenset()
    """What is published from now on."""
    addresses: frozenset[IPAddress] = frozenset()
    """Of containers, that they have no more."""
    local: frozenset[IPAddress] = frozenset()
    """The host's own."""
    taken: frozenset[tuple[int, int, int, IPAddress | None]] = frozenset()
    """The entrances of UDP ports that led to the host itself before."""

    def __bool__(self) -> bool:
        return bool(self.gone or self.addresses or self.taken)

    def has(self, flow: Flow) -> bool:
        """Tell whether a flow is one of them."""
        original, reply = flow.original, flow.reply
        if reply.source in self.addresses or original.source in self.addresses:
            return True
        way = (original.protocol, original.destination_port, reply.source, reply.source_port)
        ways = {Translation(*way, host_ip) for host_ip in (None, original.destination)}
        if ways & self.gone:
            return not ways & self.new
        if reply.source != original.destination or not self._is_local(original.destination):
            return False
        return any(way.entrance in self.taken for way in ways)

    def _is_local(self, address: IPAddress) -> bool:
        return address in self.local or address.is_loopback


def find_stale_flows(done: Iterable[Operation], observed: State = State()) -> StaleFlows:
    """Find out of what was done which flows have lost their way.

    Args:
        done: Operations that worked.
        observed: What there was before.
    """
    gone: set[Translation] = set()
    new: set[Translation] = set()
    removed: set[Place] = set()
    added: set[Place] = set()
    dead: set[Key] = set()
    for operation in done:
        item = operation.object
        deleted = operation.verb is Verb.DELETE
        if isinstance(item, FirewallRule) and item.table == "nat":
            found = parse_translation(item.text)
            if found is not None:
                (gone if deleted else new).add(found)
        elif isinstance(item, Address):
            (removed if deleted else added).add((item.netns, item.interface.ip))
        elif deleted:
            dead.add(operation.key)
    removed.update(_dying(dead, observed))
    ends = {address for netns, address in removed - added if netns != HOST}
    fresh = {way.entrance for way in new if way.protocol == _NUMBERS["udp"]}
    taken = frozenset(fresh - {way.entrance for way in gone})
    return StaleFlows(
        frozenset(gone - new),
        frozenset(new),
        frozenset(ends),
        frozenset(_local(observed) if taken else ()),
        taken,
    )


def _dying(dead: Collection[Key], observed: State) -> Iterator[Place]:
    """Give the addresses that go with their device or namespace."""
    for item in _addresses(observed) if dead else ():
        homes = {*netns_needs(item.netns), *map(observed.resolve, item.parents)}
        if not homes.isdisjoint(dead):
            yield item.netns, item.interface.ip


def _local(observed: State) -> Iterator[IPAddress]:
    for item in _addresses(observed):
        if item.netns == HOST:
            yield item.interface.ip


def _addresses(observed: State) -> Iterator[Address]:
    """All addresses, found by their keys: of ten thousand objects most are something else."""
    for key, item in observed.objects.items():
        if key.type == "address" and isinstance(item, Address):
            yield item


def parse_translation(text: str) -> Translation | None:
    """Read what a DNAT rule does, as written or as saved; None if it is none."""
    target, port, protocol = _TARGET.search(text), _PORT.search(text), _PROTOCOL.search(text)
    if not (target and port and protocol):
        return None
    host = _HOST.search(text)
    try:
        address = ip_address(target[1])
        host_ip = ip_address(host[1]) if host else None
    except ValueError:
        return None
    return Translation(_NUMBERS[protocol[1]], int(port[1]), address, int(target[2]), host_ip)
