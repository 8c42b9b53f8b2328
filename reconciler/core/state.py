"""State: all objects that are wanted, or all that are there, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.core.object import KernelObject, Key, Mark, Owner
from reconciler.errors import ReconcilerError


class StateConflictError(ReconcilerError):
    """Two owners want one object, and want it different."""


@dataclass(frozen=True, slots=True)
class State:
    """Objects by key. An object without an owner is foreign (observed side only)."""

    objects: Mapping[Key, KernelObject] = field(default_factory=dict)
    owners: Mapping[Key, Owner] = field(default_factory=dict)
    claims: Mapping[Key, Key] = field(default_factory=dict)
    """From a claimed key to the key of the object that claims it."""
    renamed: Mapping[Key, KernelObject] = field(default_factory=dict)
    """Observed side: what the kernel still knows by another name, under the name that is wanted."""

    @classmethod
    def of(cls, entries: Iterable[tuple[KernelObject, Owner | None]]) -> State:
        """Collect objects. The order of collection does not matter.

        Raises:
            StateConflictError: One key comes twice with different content or different owners.
                Unmarked objects (a sysctl that two bridges want) may have several equal wishes;
                the first owner in the alphabet speaks for them.
        """
        objects: dict[Key, KernelObject] = {}
        owners: dict[Key, Owner] = {}
        claims: dict[Key, Key] = {}
        for item, owner in entries:
            key = item.key
            if key in objects:
                _check_same(objects[key], item, owners.get(key), owner)
                if owner is not None:
                    owners[key] = min(owner, owners.get(key, owner))
                continue
            objects[key] = item
            if owner is not None:
                owners[key] = owner
            for claim in item.claims:
                claims[claim] = key
        return cls(objects, owners, claims)

    @staticmethod
    def agree(
        entries: Iterable[tuple[KernelObject, Owner | None]],
    ) -> tuple[KernelObject, Owner | None]:
        """Make one of several entries with one key, as `of` does.

        Raises:
            StateConflictError: They differ.
        """
        (item, owner), *others = entries
        for other, theirs in others:
            _check_same(item, other, owner, theirs)
            if theirs is not None:
                owner = min(theirs, owner or theirs)
        return item, owner

    def resolve(self, key: Key) -> Key | None:
        """Find which object stands at *key*, by its own key or by a claim."""
        return key if key in self.objects else self.claims.get(key)

    def needs(self, item: KernelObject) -> list[Key]:
        """List the objects of this state that *item* requires or lives in."""
        found = (self.resolve(key) for key in (*item.parents, *item.requires))
        return [key for key in dict.fromkeys(found) if key is not None and key != item.key]


def _check_same(a: KernelObject, b: KernelObject, mine: Owner | None, yours: Owner | None) -> None:
    if a != b:
        raise StateConflictError(f"{a.key} is wanted in two ways: by {mine} and by {yours}")
    if mine != yours and a.mark not in {Mark.NONE, Mark.SHARED}:
        raise StateConflictError(f"{a.key} is wanted by {mine} and by {yours}")
