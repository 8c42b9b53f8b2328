"""Assembly: one observed state out of many parts, of which each can be replaced by itself.

A look at everything gives every part once; afterwards the parts that may have changed are replaced,
and only the keys in them cost anything. Which part came first never matters: of several objects that
share a key, ours wins, or else always the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from reconciler.core.object import KernelObject, Key, Owner
from reconciler.core.state import State

Entry = tuple[KernelObject, Owner | None]
Part = Hashable


class Assembly:
    """Objects by part and by key."""

    def __init__(self, choose: Callable[[Sequence[Entry]], Entry] | None = None) -> None:
        """Hold nothing yet.

        Args:
            choose: Chooses among several that share a key; as the module says, unless given.
        """
        self._choose = choose or _ours_first
        self._parts: dict[Part, dict[Key, Entry]] = {}
        self._holders: dict[Key, tuple[Part, ...]] = {}
        self._claimants: dict[Key, tuple[Key, ...]] = {}
        self._state = State()
        self._touched: set[Key] = set()
        self._changed: set[Key] = set()

    def put(self, part: Part, entries: Iterable[Entry] = ()) -> None:
        """Put these objects in the place of what the part held; none: the part is gone."""
        new: dict[Key, Entry] = {}
        for entry in entries:
            key = entry[0].key
            new[key] = entry if key not in new else self._choose((new[key], entry))
        old = self._parts.pop(part, {})
        if new:
            self._parts[part] = new
        for key in old.keys() - new.keys():
            self._holders[key] = tuple(p for p in self._holders[key] if p != part)
            self._touched.add(key)
        for key, entry in new.items():
            if key not in old:
                self._holders[key] = (*self._holders.get(key, ()), part)
                self._touched.add(key)
            elif not _same(old[key], entry):
                self._touched.add(key)

    @property
    def state(self) -> State:
        """All of it. A new value whenever something in it has changed, and never another one."""
        if self._touched:
            self._settle()
        return self._state

    def take_changed(self) -> frozenset[Key]:
        """Name what has changed since this was asked last: objects, owners, and what they claim."""
        if self._touched:
            self._settle()
        changed, self._changed = frozenset(self._changed), set()
        return changed

    def _settle(self) -> None:
        # Before anything is changed: a choice that cannot be made leaves all as it was.
        chosen = {key: self._chosen(key) for key in self._touched}
        objects = dict(self._state.objects)
        owners = dict(self._state.owners)
        claims: set[Key] = set()
        for key, after in chosen.items():
            before = objects.get(key), owners.pop(key, None)
            item, owner = after
            if item is None:
                objects.pop(key, None)
                del self._holders[key]
            else:
                objects[key] = item
            if owner is not None:
                owners[key] = owner
            if not _same(before, after):
                self._changed.add(key)
                claims |= self._move_claims(key, before[0], item)
        self._changed |= claims
        self._state = State(objects, owners, self._claims(claims))
        self._touched.clear()

    def _chosen(self, key: Key) -> tuple[KernelObject | None, Owner | None]:
        found = [self._parts[part][key] for part in self._holders[key]]
        if not found:
            return None, None
        return self._choose(found) if len(found) > 1 else found[0]

    def _move_claims(
        self, key: Key, before: KernelObject | None, after: KernelObject | None
    ) -> set[Key]:
        old = set(before.claims) if before is not None else set()
        new = set(after.claims) if after is not None else set()
        for claim in old - new:
            self._claimants[claim] = tuple(k for k in self._claimants[claim] if k != key)
        for claim in new - old:
            self._claimants[claim] = (*self._claimants.get(claim, ()), key)
        return old ^ new

    def _claims(self, changed: set[Key]) -> dict[Key, Key]:
        claims = dict(self._state.claims)
        for claim in changed:
            claimants = self._claimants.get(claim)
            if claimants:
                claims[claim] = max(claimants)
            else:
                self._claimants.pop(claim, None)
                claims.pop(claim, None)
        return claims


def _same(
    a: tuple[KernelObject | None, Owner | None], b: tuple[KernelObject | None, Owner | None]
) -> bool:
    """Equal, and equal in what their equality leaves out: a rule's place, what must come before."""
    return (a[0] is b[0] and a[1] == b[1]) or (a == b and _rest(a[0]) == _rest(b[0]))


def _rest(item: KernelObject | None) -> tuple[object, ...]:
    return tuple(getattr(item, name, None) for name in ("order", "text", "after", "device"))


def _ours_first(entries: Sequence[Entry]) -> Entry:
    """Of several observed things with one key take ours, or else always the same one.

    The kernel may hold one route twice, once for each of two devices with the same subnet.
    """
    return min(entries, key=lambda entry: (entry[1] is None, repr(entry)))


def choose_one(entries: Sequence[Entry]) -> Entry:
    """Of several wishes for one thing, which have to be the same, take the first owner's.

    Raises:
        StateConflictError: They are not.
    """
    return State.agree(entries)
