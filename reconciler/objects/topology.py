"""Topology: a state as people draw it, bridges with their ports, namespaces with interfaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from reconciler.core.object import HOST, Owner
from reconciler.core.state import State
from reconciler.objects import (
    Address,
    BridgeDevice,
    FirewallRule,
    Namespace,
    Route,
    Veth,
)

Place = tuple[str, str]
"""Namespace and device name."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One end of a pair, as its namespace has it."""

    netns: str
    name: str
    owner: str
    addresses: tuple[str, ...]
    mac: str | None
    mtu: int | None
    up: bool | None
    bridge: str
    """The bridge that the other end is a port of, or ""."""
    peer: Place | None
    master: str
    """The bridge that this end is a port of, or ""."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge and what is plugged into it."""

    name: str
    owner: str
    addresses: tuple[str, ...]
    mtu: int | None
    up: bool | None
    ports: tuple[Interface, ...]
    """The far ends: what a port leads to."""


@dataclass(frozen=True, slots=True)
class Space:
    """A network namespace and what is in it."""

    name: str
    owner: str
    interfaces: tuple[Interface, ...]
    routes: tuple[str, ...]
    ports: tuple[str, ...] = ()
    """Published ones, as ``8080->80/tcp``."""


@dataclass(frozen=True, slots=True)
class Topology:
    """All of it, in the order of names."""

    bridges: tuple[Bridge, ...] = ()
    spaces: tuple[Space, ...] = ()
    cables: tuple[tuple[Interface, Interface], ...] = ()
    """Pairs that no bridge is part of."""


@dataclass(slots=True)
class _Index:
    state: State
    addresses: dict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[Place, Interface] = field(default_factory=dict)


def draw(state: State) -> Topology:
    """Make a topology of what is ours, of every set, and of the bridges that it is plugged into."""
    index = _Index(state)
    for item in state.objects.values():
        if isinstance(item, Address) and not item.interface.is_link_local:
            index.addresses[item.netns, item.device].append(str(item.interface))
    pairs = [
        item
        for key, item in sorted(state.objects.items())
        if isinstance(item, Veth) and key in state.owners
    ]
    for pair in pairs:
        for end in _ends(pair, index):
            index.ends[end.netns, end.name] = end
    return Topology(_bridges(index), _spaces(index), tuple(_cables(pairs, index)))


def _ends(pair: Veth, index: _Index) -> Iterable[Interface]:
    owner = _owner(index.state.owners.get(pair.key))
    here: Place = (pair.netns, pair.name)
    there = None if pair.peer_netns is None else (pair.peer_netns, pair.peer_name or "")
    yield Interface(
        *here,
        owner,
        tuple(sorted(index.addresses[here])),
        pair.mac,
        pair.mtu,
        pair.up,
        pair.peer_master or "",
        there,
        pair.master or "",
    )
    if there is not None:
        yield Interface(
            *there,
            owner,
            tuple(sorted(index.addresses[there])),
            pair.peer_mac,
            pair.peer_mtu,
            pair.peer_up,
            pair.master or "",
            here,
            pair.peer_master or "",
        )


def _bridges(index: _Index) -> tuple[Bridge, ...]:
    state = index.state
    ports: dict[str, list[Interface]] = defaultdict(list)
    for end in index.ends.values():
        if end.master and end.netns == HOST and end.peer in index.ends:
            ports[end.master].append(index.ends[end.peer])
    found = []
    for key, item in sorted(state.objects.items()):
        if not isinstance(item, BridgeDevice) or item.netns != HOST:
            continue
        if key in state.owners or item.name in ports:
            plugged = sorted(ports[item.name], key=lambda end: (end.netns, end.name))
            addresses = tuple(sorted(index.addresses[HOST, item.name]))
            owner = _owner(state.owners.get(key))
            found.append(Bridge(item.name, owner, addresses, item.mtu, item.up, tuple(plugged)))
    return tuple(found)


def _spaces(index: _Index) -> tuple[Space, ...]:
    state = index.state
    names = {end.netns for end in index.ends.values() if end.netns != HOST}
    names |= {key.name for key in state.owners if key.type == "netns"}
    routes: dict[str, list[str]] = defaultdict(list)
    for item in state.objects.values():
        if isinstance(item, Route) and item.via is not None:
            routes[item.netns].append(
                f"{item.key.name.replace('default6', 'default')} via {item.via}"
            )
    return tuple(
        Space(
            name,
            _owner(state.owners.get(Namespace(name).key)),
            tuple(
                sorted(
                    (end for end in index.ends.values() if end.netns == name),
                    key=lambda end: end.name,
                )
            ),
            tuple(sorted(routes[name])),
            _ports(_owner(state.owners.get(Namespace(name).key)), state),
        )
        for name in sorted(names)
    )


def _ports(owner: str, state: State) -> tuple[str, ...]:
    """What the rules of its published ports say; those of IPv4 and IPv6 say the same."""
    found = {
        item.what
        for key, item in state.objects.items()
        if isinstance(item, FirewallRule) and "->" in item.what
        if owner and state.owners[key].resource == owner
    }
    return tuple(sorted(found))


def _cables(pairs: Iterable[Veth], index: _Index) -> Iterable[tuple[Interface, Interface]]:
    for pair in pairs:
        if pair.master or pair.peer_master or pair.peer_netns is None:
            continue
        here = index.ends[pair.netns, pair.name]
        yield here, index.ends[pair.peer_netns, pair.peer_name or ""]


def _owner(owner: Owner | None) -> str:
    return "" if owner is None else owner.resource
