"""Expand: all resources of a catalog as the kernel objects they are made of."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace

from reconciler.core.object import KernelObject, Owner
from reconciler.core.state import State
from reconciler.kinds.assignment import Assignment, assign_addresses
from reconciler.kinds.expand_bridge import expand_bridge
from reconciler.kinds.expand_container import expand_container
from reconciler.kinds.expand_link import expand_link
from reconciler.kinds.firewall import expand_firewall
from reconciler.kinds.firewall_access import OWNER as ACCESS
from reconciler.kinds.firewall_access import expand_access_branches
from reconciler.kinds.firewall_ports import OWNER as PORTS
from reconciler.kinds.firewall_ports import expand_branches
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.resource import Resource

Expansion = Callable[[Resource, Assignment], Iterator[KernelObject]]

EXPANSIONS: Mapping[str, Expansion] = {
    "Bridge": expand_bridge,
    "Container": expand_container,
    "Link": expand_link,
}
"""The kinds that are made of something; a Check is only an expectation."""


def expand_catalog(
    catalog: Catalog, observed: State, set_name: str, *, partial: bool = False
) -> State:
    """Say what is desired.

    Args:
        catalog: All resources of one revision.
        observed: What is there: automatic addresses that are in use stay.
        set_name: The set, of which names and MACs are made.
        partial: The catalog is not all of the set: a file, not a directory.

    Raises:
        PoolExhaustedError: A bridge has fewer free addresses than containers.
    """
    assignment = assign_addresses(catalog, observed, set_name, partial=partial)
    walls = {bridge.name: _firewall(bridge, assignment) for bridge in catalog.of_kind("Bridge")}
    assignment = replace(
        assignment,
        walls={name: tuple(item.key for item in items) for name, items in walls.items()},
    )
    entries = [
        (item, _owner(resource, item, set_name))
        for resource in catalog
        for item in _expand(resource, assignment)
    ]
    for bridge in catalog.of_kind("Bridge"):
        entries += [(item, Owner(set_name, bridge.id)) for item in walls[bridge.name]]
    entries += [(item, Owner(set_name, PORTS)) for item in expand_branches(assignment)]
    entries += [(item, Owner(set_name, ACCESS)) for item in expand_access_branches(assignment)]
    return State.of(_awake(entries, {r.id for r in catalog if r.suspended}))


def _awake(
    entries: Sequence[tuple[KernelObject, Owner]], suspended: Container[str]
) -> Iterator[tuple[KernelObject, Owner]]:
    """Of what several resources want, one that is suspended has no say."""
    wanted = {item.key for item, owner in entries if owner.resource not in suspended}
    for item, owner in entries:
        if owner.resource not in suspended or item.key not in wanted:
            yield item, owner


def _owner(resource: Resource, item: KernelObject, set_name: str) -> Owner:
    """A rule's comment does not say that its resource stays; its device or namespace does."""
    return Owner(set_name, resource.id, keep=not resource.prune and item.key.type != "rule")


def _firewall(resource: Resource, assignment: Assignment) -> tuple[KernelObject, ...]:
    return tuple(expand_firewall(resource, assignment))


def _expand(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    expansion = EXPANSIONS.get(resource.kind)
    return iter(()) if expansion is None else expansion(resource, assignment)
