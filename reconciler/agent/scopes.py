"""Scopes: from operations and from what the kernel told to what has to be looked at again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from reconciler.core.drift import Culprit
from reconciler.core.object import HOST, KernelObject, Key
from reconciler.core.plan import Operation
from reconciler.host.base import Scope
from reconciler.host.monitor import Heard
from reconciler.objects import Veth

SILENT = frozenset({"sysctl", "directory", "file"})
"""Types of objects of which no netlink event tells."""


def scope_of(operations: Iterable[Operation]) -> Scope:
    """Say where the operations of a plan have changed something."""
    items = (item for one in operations for item in (one.object, one.before) if item is not None)
    return Scope.union(map(scope_of_object, items))


def scope_of_object(item: KernelObject) -> Scope:
    """Say where an object is to be found."""
    key = item.key
    match key.type:
        case "netns":
            return Scope(spaces=True, namespaces=frozenset({key.name}))
        case "sysctl":
            # The switch of IPv6 takes addresses and routes with it.
            return Scope(sysctls=frozenset({key.netns})) | _somewhere(key.netns, "")
        case "directory":
            return Scope(folders=frozenset({key.name}))
        case "file":
            return Scope(folders=frozenset({key.name.rpartition("/")[0]}))
        case "chain" | "rule":
            return Scope(families=frozenset({family_of(key)}))
        case _:
            places = list(devices_of(item))
            # A device brings its own parameters, and takes them with it.
            parameters = {netns for netns, _ in places} if key.type == "device" else ()
            here = (_somewhere(netns, name) for netns, name in places)
            return Scope.union((Scope(sysctls=frozenset(parameters)), *here))


def _somewhere(netns: str, device: str) -> Scope:
    if netns != HOST:
        return Scope(namespaces=frozenset({netns}))
    return Scope(names=frozenset({device})) if device else Scope()


def family_of(key: Key) -> int:
    """Tell the family of a chain or rule by its table's label."""
    return 6 if key.name.partition("/")[0].endswith("6") else 4


def devices_of(item: KernelObject) -> Iterator[tuple[str, str]]:
    """Name the devices that an object is, or is on: namespace and name."""
    key = item.key
    if key.type == "device":
        yield key.netns, key.name
        if isinstance(item, Veth) and item.peer_netns is not None:
            yield item.peer_netns, item.peer_name or ""
        yield from ((key.netns, name) for name in (getattr(item, "master", None),) if name)
        return
    for name in (getattr(item, "device", None), getattr(item, "master", None)):
        if name:
            yield key.netns, name


def scope_heard(heard: Heard) -> Scope:
    """Say where somebody has changed something, as the kernel told."""
    if heard.overrun:
        return Scope(everything=True)
    return Scope(
        spaces=heard.spaces,
        devices=frozenset(index for netns, index in heard.places if netns == HOST),
        namespaces=frozenset(netns for netns, _ in heard.places if netns != HOST),
        families=frozenset(heard.families),
        sysctls=frozenset(heard.devices_changed),
    )


def told(item: KernelObject, heard: Heard) -> bool:
    """Tell whether what was heard announces that an object may have changed."""
    key = item.key
    if key.type in {"chain", "rule"}:
        return family_of(key) in heard.families
    if key.type == "netns":
        return heard.spaces or (key.name, 0) in heard.places
    here = any(netns == HOST for netns, _ in heard.places)
    return any(
        (netns, 0) in heard.places or (netns == HOST and here) for netns, _ in devices_of(item)
    ) or (heard.spaces and key.type not in SILENT)


def culprit_of(item: KernelObject, heard: Heard, index_of: Callable[[str], int]) -> Culprit | None:
    """Say who changed an object, as far as what was heard tells.

    Args:
        item: The object.
        heard: What the kernel told.
        index_of: Gives the index of a device of the host by its name; 0 if it is not there.
    """
    if item.key.type in {"chain", "rule"}:
        return heard.families.get(family_of(item.key))
    for netns, name in devices_of(item):
        if netns == HOST:
            found = heard.names.get(name) or heard.places.get((HOST, index_of(name)))
        else:
            found = heard.places.get((netns, 0))
        if found is not None:
            return found
    return None
