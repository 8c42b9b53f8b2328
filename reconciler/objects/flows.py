"""Stale flows: what the kernel remembers of ways that are no longer there.

A flow keeps the translation that its first packet got, whatever the rules say afterwards. So when a
published port, its target or a container's address goes, its flows are forgotten too; and when a UDP
port is published, those that went to the host itself by that port. No other flow is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from reconciler.core.plan import Operation, Verb
from reconciler.formats.conntrack import Flow
from reconciler.formats.resolver import IPAddress
from reconciler.objects.address import Address
from reconciler.objects.rule import FirewallRule

_TARGET = re.compile(r"--to-destination \[?([0-9a-fA-F.:]+?)\]?:(\d+)(?: |$)")
_PORT = re.compile(r"--dport (\d+)(?: |$)")
_PROTOCOL = re.compile(r"-p (tcp|udp|sctp)(?: |$)")
_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}


@dataclass(frozen=True, slots=True)
class Translation:
    """What a rule of a published port does."""

    protocol: int
    host_port: int
    target: IPAddress
    port: int


@dataclass(frozen=True, slots=True)
class StaleFlows:
    """Which flows are to be forgotten."""

    gone: frozenset[Translation] = frozenset()
    addresses: frozenset[IPAddress] = frozenset()
    """Of containers, that nobody has any more."""
    new: frozenset[Translation] = frozenset()
    """UDP ports that are published from now on."""

    def __bool__(self) -> bool:
        return bool(self.gone or self.addresses or self.new)

    def has(self, flow: Flow) -> bool:
        """Tell whether a flow is one of them."""
        original, reply = flow.original, flow.reply
        if reply.source in self.addresses or original.source in self.addresses:
            return True
        way = Translation(
            original.protocol, original.destination_port, reply.source, reply.source_port
        )
        if way in self.gone:
            return True
        return any(
            (new.protocol, new.host_port) == (way.protocol, way.host_port)
            and reply.source == original.destination
            for new in self.new
        )


def find_stale_flows(done: Iterable[Operation]) -> StaleFlows:
    """Find out of what was done which flows have lost their way."""
    gone: set[Translation] = set()
    new: set[Translation] = set()
    removed: set[IPAddress] = set()
    added: set[IPAddress] = set()
    for operation in done:
        item = operation.object
        if isinstance(item, FirewallRule) and item.table == "nat":
            found = parse_translation(item.text)
            if found is not None:
                (gone if operation.verb is Verb.DELETE else new).add(found)
        elif isinstance(item, Address) and item.netns:
            (removed if operation.verb is Verb.DELETE else added).add(item.interface.ip)
    udp = {way for way in new if way.protocol == _NUMBERS["udp"]}
    return StaleFlows(frozenset(gone - new), frozenset(removed - added), frozenset(udp - gone))


def parse_translation(text: str) -> Translation | None:
    """Read what a DNAT rule does, as written or as saved; None if it is none."""
    target, port, protocol = _TARGET.search(text), _PORT.search(text), _PROTOCOL.search(text)
    if not (target and port and protocol):
        return None
    try:
        address = ip_address(target[1])
    except ValueError:
        return None
    return Translation(_NUMBERS[protocol[1]], int(port[1]), address, int(target[2]))
