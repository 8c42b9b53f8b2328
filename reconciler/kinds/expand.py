"""Expand: all resources of a catalog as the kernel objects they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from reconciler.core.object import KernelObject, Owner
from reconciler.core.state import State
from reconciler.kinds.assignment import Assignment, assign_addresses
from reconciler.kinds.expand_bridge import expand_bridge
from reconciler.kinds.expand_container import expand_container
from reconciler.kinds.expand_link import expand_link
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
    return State.of(
        (item, Owner(set_name, resource.id))
        for resource in catalog
        for item in _expand(resource, assignment)
    )


def _expand(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    expansion = EXPANSIONS.get(resource.kind)
    return iter(()) if expansion is None else expansion(resource, assignment)
