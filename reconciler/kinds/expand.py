"""Expand: all resources of a catalog as the kernel objects they are made of."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial as given

from reconciler.core.object import KernelObject, Key, Owner
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
from reconciler.kinds.reads import Read, Reads
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.resource import Resource
from reconciler.objects.assembly import Assembly, Entry, choose_one

Expansion = Callable[[Resource, Assignment], Iterator[KernelObject]]

EXPANSIONS: Mapping[str, Expansion] = {
    "Bridge": expand_bridge,
    "Container": expand_container,
    "Link": expand_link,
}
"""The kinds that are made of something; a Check is only an expectation."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What a resource was made into, and from what."""

    resource: Resource
    reads: tuple[Read, ...]
    entries: tuple[Entry, ...]


class Expander:
    """Expands one revision after the other; what nothing has changed for is not made again."""

    def __init__(self, set_name: str) -> None:
        """Know nothing yet.

        Args:
            set_name: The set, of which names and MACs are made.
        """
        self._set_name = set_name
        self._made: dict[str, _Made] = {}
        self._walls: dict[str, _Made] = {}
        self._assembly = Assembly(choose_one)
        self._parts: dict[object, tuple[Entry, ...]] = {}
        self._known = False
        """Whether what was wanted before was put together here, so that changes can be named."""

    def expand(self, catalog: Catalog, observed: State, *, partial: bool = False) -> State:
        """Say what is desired.

        Args:
            catalog: All resources of one revision.
            observed: What is there: automatic addresses that are in use stay.
            partial: The catalog is not all of the set: a file, not a directory.

        Raises:
            PoolExhaustedError: A bridge has fewer free addresses than containers.
            StateConflictError: Two resources want one object, and want it different.
        """
        assignment = assign_addresses(catalog, observed, self._set_name, partial=partial)
        bridges = catalog.of_kind("Bridge")
        walls = self._make_all(bridges, self._walls, Reads(assignment), _expand_walls)
        keys = {
            bridge.name: tuple(item.key for item, _ in walls[bridge.id].entries)
            for bridge in bridges
        }
        assignment = replace(assignment, walls=keys)
        made = self._make_all(catalog, self._made, Reads(assignment), _expand)
        parts: dict[object, tuple[Entry, ...]] = {name: one.entries for name, one in made.items()}
        parts |= {("walls", name): one.entries for name, one in walls.items()}
        shared = ((PORTS, expand_branches), (ACCESS, expand_access_branches))
        for owner, expansion in shared:
            mine = Owner(self._set_name, owner)
            parts[owner] = tuple((item, mine) for item in expansion(assignment))
        self._made, self._walls = made, walls
        suspended = {resource.id for resource in catalog if resource.suspended}
        if suspended:
            self._assembly, self._parts = Assembly(choose_one), {}
            everything = [entry for entries in parts.values() for entry in entries]
            return State.of(_awake(everything, suspended))
        return self._assemble(parts)

    def take_changed(self) -> frozenset[Key] | None:
        """Name what is wanted otherwise than when this was asked last; None: that is not known."""
        changed = self._assembly.take_changed()
        known, self._known = self._known, bool(self._parts)
        return changed if known and self._parts else None

    def _make_all(
        self,
        resources: Iterable[Resource],
        before: Mapping[str, _Made],
        reads: Reads,
        expansion: Expansion,
    ) -> dict[str, _Made]:
        found = {}
        for resource in resources:
            known = before.get(resource.id)
            if known is None or known.resource is not resource or not reads.still(known.reads):
                items, read = reads.note(given(_make, expansion, resource))
                owned = tuple((item, _owner(resource, item, self._set_name)) for item in items)
                known = _Made(resource, read, owned)
            found[resource.id] = known
        return found

    def _assemble(self, parts: Mapping[object, tuple[Entry, ...]]) -> State:
        # A conflict leaves half of the new parts put: then the next time all are put again.
        known, self._parts = self._parts, {}
        if not known:
            self._assembly, self._known = Assembly(choose_one), False
        for part in known.keys() - parts.keys():
            self._assembly.put(part)
        for part, entries in parts.items():
            if known.get(part) is not entries:
                self._assembly.put(part, entries)
        state = self._assembly.state
        self._parts = dict(parts)
        return state


def expand_catalog(
    catalog: Catalog, observed: State, set_name: str, *, partial: bool = False
) -> State:
    """Say once what is desired, see `Expander.expand`."""
    return Expander(set_name).expand(catalog, observed, partial=partial)


def _awake(entries: Sequence[Entry], suspended: Container[str]) -> Iterator[Entry]:
    """Of what several resources want, one that is suspended has no say."""
    wanted = {item.key for item, owner in entries if owner and owner.resource not in suspended}
    for item, owner in entries:
        if (owner and owner.resource not in suspended) or item.key not in wanted:
            yield item, owner


def _owner(resource: Resource, item: KernelObject, set_name: str) -> Owner:
    """A rule's comment does not say that its resource stays; its device or namespace does."""
    return Owner(set_name, resource.id, keep=not resource.prune and item.key.type != "rule")


def _make(
    expansion: Expansion, resource: Resource, assignment: Assignment
) -> tuple[KernelObject, ...]:
    return tuple(expansion(resource, assignment))


def _expand_walls(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    return expand_firewall(resource, assignment)


def _expand(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    expansion = EXPANSIONS.get(resource.kind)
    return iter(()) if expansion is None else expansion(resource, assignment)
