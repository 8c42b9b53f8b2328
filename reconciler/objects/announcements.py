"""Announcements: which addresses have another MAC than their neighbours may know, after a plan.

A neighbour believes what it has heard for half a minute and longer, and sends into the void
meanwhile. So what has moved is told: an address that came to a device that was there before, one
that was somewhere else before, and all of a device that got another MAC or another bridge. What is
new is not: nobody knows it yet, and a thousand containers must not flood their bridges when they
are built.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface
from typing import NamedTuple

from reconciler.core.object import HOST, Key
from reconciler.core.plan import Operation, Plan, Verb
from reconciler.core.state import State
from reconciler.objects import Address, BridgeDevice, Veth
from reconciler.objects.keys import device_key


class Announcement(NamedTuple):
    """An address to be told on its device."""

    netns: str
    device: str
    interface: IPv4Interface | IPv6Interface
    fresh: bool = False
    """The device was made by this very plan."""


class _Place(NamedTuple):
    """An end of which every address is to be told, by the name it had and the one it has."""

    netns: str
    before: str
    now: str


def announcements(plan: Plan, observed: State) -> list[Announcement]:
    """Say what to announce after *plan*.

    Args:
        plan: What was done; what failed has no place in it.
        observed: What was there before, in the names that the kernel had for it.
    """
    found = [*_added(plan, observed), *_at_other_places(plan, observed)]
    return [one for one in dict.fromkeys(found) if not one.interface.is_loopback]


def _added(plan: Plan, observed: State) -> Iterator[Announcement]:
    added = [
        operation.object
        for operation in plan.operations
        if operation.verb is Verb.ADD and isinstance(operation.object, Address)
    ]
    if not added:
        return
    made = _made_devices(plan)
    known = {item.interface.ip for item in _addresses(observed)}
    for address in added:
        fresh = device_key(address.netns, address.device) in made
        if not fresh or address.interface.ip in known:
            yield Announcement(address.netns, address.device, address.interface, fresh)


def _made_devices(plan: Plan) -> set[Key]:
    made = [o.object for o in plan.operations if o.verb is Verb.ADD and o.key.type == "device"]
    return {key for item in made for key in (item.key, *item.claims)}


def _at_other_places(plan: Plan, observed: State) -> Iterator[Announcement]:
    places = [place for operation in plan.operations for place in _changed(operation)]
    if not places:
        return
    deleted = {o.key for o in plan.operations if o.verb is Verb.DELETE}
    held: dict[tuple[str, str], list[Address]] = {}
    for item in _addresses(observed):
        held.setdefault((item.netns, item.device), []).append(item)
    for place in places:
        for address in held.get((place.netns, place.before), ()):
            now = Address(place.netns, place.now, address.interface)
            if now.key not in deleted:
                yield Announcement(now.netns, now.device, now.interface)


def _addresses(observed: State) -> Iterator[Address]:
    for key, item in observed.objects.items():
        if key.type == "address" and isinstance(item, Address):
            yield item


def _changed(operation: Operation) -> Iterator[_Place]:
    """Find the ends that got another MAC, or whose far end was plugged in elsewhere."""
    if operation.verb is not Verb.SET:
        return
    fields = {difference.field for difference in operation.differences}
    match operation.object, operation.before:
        case BridgeDevice() as bridge, BridgeDevice() as before:
            if "mac" in fields:
                yield _Place(bridge.netns, before.name, bridge.name)
        case Veth() as veth, Veth() as before:
            if fields & {"mac", "peer_master"}:
                yield _Place(veth.netns, before.name, veth.name)
            if fields & {"peer_mac", "master"}:
                peer = veth.peer_name or before.peer_name or ""
                yield _Place(veth.peer_netns or HOST, before.peer_name or "", peer)
        case _:
            return
