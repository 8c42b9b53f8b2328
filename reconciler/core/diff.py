"""Compare two states: what must change so that *observed* becomes *desired*.

Pure, total and deterministic: ``diff(s, s)`` is empty for every state that one set owns, and the
answer does not depend on the order in which either side was collected. Whether a change may be
made is not decided here but by `reconciler.core.policy`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.object import KernelObject, Key, Mark, Owner
from reconciler.core.state import State


class Action(StrEnum):
    """What happens to one object; the value is the word in the JSON output."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    BLOCKED = "blocked"

    @property
    def sign(self) -> str:
        """The sign that a text diff prints, as Terraform does."""
        return {"create": "+", "update": "~", "replace": "±", "delete": "-", "blocked": "!"}[self]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not what it should be."""

    field: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Change:
    """One object that is not what it should be."""

    action: Action
    key: Key
    before: KernelObject | None
    after: KernelObject | None
    owner: Owner
    differences: tuple[Difference, ...] = ()
    reason: str = ""
    in_the_way: tuple[Key, ...] = ()
    """Observed objects that are not ours and occupy what this one needs, itself included."""
    displaces: tuple[Key, ...] = ()
    """Observed objects of ours under another key that must go before this one can be made."""


def diff(
    desired: State,
    observed: State,
    set_name: str = "default",
    keys: Collection[Key] | None = None,
) -> tuple[Change, ...]:
    """List the changes in key order. What is neither wanted nor ours is left alone.

    Args:
        desired: What is wanted.
        observed: What is there.
        set_name: Whose things are ours.
        keys: Only what may differ at these; None for everything.
    """
    ours = _Ours(observed, set_name)
    compare = _Comparison(desired, observed, ours)
    at: Iterable[Key]
    if keys is None:
        at = desired.objects.keys() | set(ours)
    else:
        at = (key for key in keys if key in desired.objects or key in ours)
    changes = (compare.at(key) for key in sorted(at))
    return tuple(change for change in changes if change is not None)


@dataclass(frozen=True, slots=True)
class _Ours:
    """The keys of a set's objects, looked up one by one: a few are asked for, of ten thousand."""

    observed: State
    set_name: str

    def __contains__(self, key: object) -> bool:
        owner = self.observed.owners.get(key)  # type: ignore[call-overload]
        return owner is not None and owner.set == self.set_name

    def __iter__(self) -> Iterator[Key]:
        return (k for k, owner in self.observed.owners.items() if owner.set == self.set_name)


@dataclass(frozen=True, slots=True)
class _Comparison:
    desired: State
    observed: State
    ours: _Ours

    def at(self, key: Key) -> Change | None:
        before = self.observed.objects.get(key)
        after = self.desired.objects.get(key)
        if after is None:
            return self._surplus(key, before)
        owner = self.desired.owners[key]
        if after.external:
            return self._external(key, before, after, owner)
        if before is None:
            return self._missing(key, after, owner)
        return self._present(key, before, after, owner)

    def _surplus(self, key: Key, before: KernelObject | None) -> Change | None:
        if before is None or before.mark is Mark.NONE:
            return None
        owner = self.observed.owners[key]
        return Change(Action.DELETE, key, before, None, owner, reason="no longer declared")

    def _external(
        self, key: Key, before: KernelObject | None, after: KernelObject, owner: Owner
    ) -> Change | None:
        if before is None and (place := self.observed.resolve(key)) is not None:
            before = self.observed.objects[place]
        any_kind = getattr(after, "any_kind", False)
        if before is not None and (any_kind or type(before) is type(after)):
            return None
        there = "is not there" if before is None else "is of another kind"
        reason = f"{key} {there}; it belongs to somebody else, who has to make it"
        return Change(Action.BLOCKED, key, before, after, owner, reason=reason)

    def _missing(self, key: Key, after: KernelObject, owner: Owner) -> Change:
        foreign, displaced = self._occupants(after)
        return Change(
            Action.CREATE,
            key,
            None,
            after,
            owner,
            reason="not on the host",
            in_the_way=foreign,
            displaces=displaced,
        )

    def _present(
        self, key: Key, before: KernelObject, after: KernelObject, owner: Owner
    ) -> Change | None:
        differences = (*self._other_name(key), *compare(before, after))
        if after.mark in {Mark.NONE, Mark.SHARED}:
            foreign: tuple[Key, ...] = ()
        else:
            foreign = () if key in self.ours else (key,)
        if not foreign and after.mark is Mark.WORDS:
            differences = (*differences, *self._renamed(key, owner))
        if not differences and (not foreign or self._lives_in_ours(after)):
            return None
        others, displaced = self._occupants(after)
        replaced = _replaced(before, after, differences) or bool(displaced)
        return Change(
            Action.REPLACE if replaced else Action.UPDATE,
            key,
            before,
            after,
            owner,
            differences,
            reason=_why(differences, after) if differences else "not marked as ours",
            in_the_way=(*foreign, *others),
            displaces=displaced,
        )

    def _other_name(self, key: Key) -> tuple[Difference, ...]:
        known = self.observed.renamed.get(key)
        return () if known is None else (Difference("name", known.key.name, key.name),)

    def _lives_in_ours(self, after: KernelObject) -> bool:
        """Does it inherit its owner, from something that is ours.

        An address without our number on our device, exactly as declared (somebody put it back by
        hand), is what we want. It needs no change, so it is nobody's business that it has no mark.
        """
        parents = map(self.observed.resolve, after.parents)
        return after.mark is Mark.INHERITED and any(parent in self.ours for parent in parents)

    def _renamed(self, key: Key, owner: Owner) -> tuple[Difference, ...]:
        said = self.observed.owners[key]
        differences = []
        if said.resource != owner.resource:
            differences.append(Difference("owner", said.resource, owner.resource))
        if said.keep != owner.keep:
            differences.append(Difference("keep", said.keep, owner.keep))
        return tuple(differences)

    def _occupants(self, after: KernelObject) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
        """Find who else stands where *after* is to be: foreign objects, and our own."""
        found = {self.observed.resolve(key) for key in (after.key, *after.claims)}
        others = sorted(key for key in found if key is not None and key != after.key)
        foreign = tuple(key for key in others if key not in self.ours)
        return foreign, tuple(key for key in others if key in self.ours)


def compare(before: KernelObject, after: KernelObject) -> tuple[Difference, ...]:
    """List the managed fields in which *before* is not what *after* wants."""
    if type(before) is not type(after):
        return (Difference("kind", type(before).__name__.lower(), type(after).__name__.lower()),)
    found = []
    for name in after.compared:
        want = getattr(after, name)
        if want is not None and (have := getattr(before, name)) != want:
            found.append(Difference(name, have, want))
    return tuple(found)


def _replaced(
    before: KernelObject, after: KernelObject, differences: tuple[Difference, ...]
) -> bool:
    return type(before) is not type(after) or any(d.field in after.fixed for d in differences)


def _why(differences: tuple[Difference, ...], after: KernelObject) -> str:
    fixed = [d.field for d in differences if d.field in after.fixed or d.field == "kind"]
    if fixed:
        return f"{', '.join(fixed)} cannot change in place"
    return f"{', '.join(d.field for d in differences)} not as declared"
