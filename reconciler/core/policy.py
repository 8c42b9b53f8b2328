"""Policy: how far a pass may go. Turns the changes that a diff found into the changes to make.

What is foreign and in the way is blocked unless it may be adopted; what nobody declares any more
stays unless it may be pruned; what needs something blocked is blocked with it. Nothing is dropped
silently: what is not done is a `BLOCKED` change or withheld.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.core.diff import Action, Change, Difference
from reconciler.core.holds import hold
from reconciler.core.object import Key, Owner
from reconciler.core.state import State

SHARED = "Host/"
"""Owners that several resources have a part in."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a pass may do beyond creating and updating what is ours."""

    prune: bool = True
    """Delete what the set owns and the manifests no longer declare."""
    adopt: bool = False
    """Take over what is in the way and not ours."""
    keep: bool = True
    """Leave what its mark says is to stay; a teardown does not."""
    suspended: frozenset[str] = frozenset()
    """Resources (``Kind/name``) that are left exactly as they are."""
    waiting: frozenset[Key] = frozenset()
    """Objects that are not to be tried yet, see `reconciler.core.retry`."""
    declared: frozenset[str] = frozenset()
    """Resources that are there to say what they want, so that no mark has to speak for them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The changes to make, in key order, and those that the policy withholds."""

    changes: tuple[Change, ...]
    withheld: tuple[Change, ...] = ()


def decide(
    changes: Iterable[Change], desired: State, observed: State, policy: Policy = Policy()
) -> Decision:
    """Apply *policy* to the changes of a diff."""
    withheld = []
    kept: dict[Key, Change] = {}
    changes = tuple(changes)
    deletes = any(change.action is Action.DELETE for change in changes)
    staying = _staying(observed, policy) if policy.keep and deletes else set()
    for change in changes:
        if _withheld(change, policy) or _stays(change, staying):
            withheld.append(change)
        else:
            kept[change.key] = _permitted(change, observed, policy)
    withheld += _needed_by(withheld, kept, observed)
    kept |= {c.key: c for c in _displaced(kept, observed)}
    hold(kept, withheld, desired, observed, policy.waiting)
    _add_consequences(kept, desired, observed)
    return Decision(tuple(kept[key] for key in sorted(kept)), tuple(withheld))


def _withheld(change: Change, policy: Policy) -> bool:
    if change.owner.resource in policy.suspended or change.key in policy.waiting:
        return True
    return change.action is Action.DELETE and not policy.prune


def _staying(observed: State, policy: Policy) -> set[tuple[str, str]]:
    """Find the undeclared resources of which some mark says that they are not to be pruned."""
    kept = {(owner.set, owner.resource) for owner in observed.owners.values() if owner.keep}
    return {place for place in kept if place[1] not in policy.declared}


def _stays(change: Change, staying: set[tuple[str, str]]) -> bool:
    return change.action is Action.DELETE and change.owner[:2] in staying


def _needed_by(
    withheld: Iterable[Change], kept: dict[Key, Change], observed: State
) -> list[Change]:
    """Withhold the deletes of what something needs that stays: its bridge, its chain, the way."""
    found: list[Change] = []
    staying = [c.key for c in withheld if c.action is Action.DELETE]
    while staying:
        item = observed.objects[staying.pop()]
        needs = set(observed.needs(item))
        if item.key.type == "chain":
            needs |= {k for k in kept if k.type == "rule" and _leads_to(observed, k, item.key)}
        for key in sorted(needs):
            for other in _whole(key, kept):
                found.append(kept.pop(other))
                staying.append(other)
    return found


def _whole(key: Key, kept: Mapping[Key, Change]) -> list[Key]:
    """A bridge without its walls is not what its containers need: all of the resource stays."""
    if key not in kept or kept[key].action is not Action.DELETE:
        return []
    owner = kept[key].owner
    if owner.resource.startswith(SHARED):
        return [key]
    return [k for k, c in kept.items() if c.action is Action.DELETE and c.owner == owner]


def _leads_to(observed: State, rule: Key, chain: Key) -> bool:
    item = observed.objects.get(rule)
    return item is not None and chain in item.requires


def _permitted(change: Change, observed: State, policy: Policy) -> Change:
    if not change.in_the_way:
        return change
    if not policy.adopt:
        reason = _in_the_way(change.in_the_way[0], observed)
        return replace(change, action=Action.BLOCKED, reason=reason)
    others = tuple(key for key in change.in_the_way if key != change.key)
    if others and change.action is Action.UPDATE:
        change = replace(change, action=Action.REPLACE)
    adopted: tuple[Difference, ...] = ()
    if change.key in change.in_the_way and change.action is Action.UPDATE:
        adopted = (Difference("owner", _said(change.key, observed), str(change.owner)),)
    return replace(
        change,
        differences=(*change.differences, *adopted),
        displaces=(*change.displaces, *others),
        reason="adopted" if change.key in change.in_the_way else change.reason,
    )


def _said(key: Key, observed: State) -> str | None:
    owner = observed.owners.get(key)
    return None if owner is None else f"{owner.resource} of set {owner.set}"


def _in_the_way(key: Key, observed: State) -> str:
    owner = observed.owners.get(key)
    if owner is None:
        return f"{key} is there and does not carry our mark; --adopt takes it over"
    return f"{key} belongs to set {owner.set} ({owner.resource}); --adopt takes it over"


def _displaced(kept: Mapping[Key, Change], observed: State) -> Iterator[Change]:
    """What must go first because something else is to stand there: rebuilt, or deleted."""
    for change in list(kept.values()):
        if change.action is Action.BLOCKED:
            continue
        for key in change.displaces:
            other = kept.get(key)
            if other is None:
                before = observed.objects[key]
                reason = f"in the way of {change.key}"
                owner = observed.owners.get(key, Owner("", "nobody"))
                yield Change(Action.DELETE, key, before, None, owner, reason=reason)
            elif other.action is Action.UPDATE:
                yield replace(other, action=Action.REPLACE)


def _add_consequences(kept: dict[Key, Change], desired: State, observed: State) -> None:
    """Say what a replacement takes with it: children are made again, users are set again."""
    rebuilt = {c.key for c in kept.values() if c.action is Action.REPLACE}
    if not rebuilt:
        return
    grew = True
    while grew:
        grew = False
        for key, item in desired.objects.items():
            if key in rebuilt or _action(kept, key) in {Action.CREATE, Action.BLOCKED}:
                continue
            gone = next((p for p in map(desired.resolve, item.parents) if p in rebuilt), None)
            if gone is not None:
                kept[key] = _goes_with(gone, key, kept.get(key), desired, observed)
                rebuilt.add(key)
                grew = True
    for key, item in desired.objects.items():
        if key not in kept and (gone := next((k for k in item.requires if k in rebuilt), None)):
            change = _set_again(gone, key, desired, observed)
            if change is not None:
                kept[key] = change


def _action(kept: Mapping[Key, Change], key: Key) -> Action | None:
    return kept[key].action if key in kept else None


def _goes_with(
    gone: Key, key: Key, change: Change | None, desired: State, observed: State
) -> Change:
    before, after = observed.objects.get(key), desired.objects[key]
    found = change.differences if change else ()
    reason = f"goes with {gone}"
    owner = desired.owners[key]
    return Change(Action.REPLACE, key, before, after, owner, found, reason=reason)


def _set_again(gone: Key, key: Key, desired: State, observed: State) -> Change | None:
    after = desired.objects[key]
    named = [f for f in after.compared if getattr(after, f) == gone.name]
    if not named or key not in observed.objects:
        return None
    differences = tuple(Difference(f, None, gone.name) for f in named)
    reason = f"{gone} is made again"
    owner = desired.owners[key]
    return Change(
        Action.UPDATE, key, observed.objects[key], after, owner, differences, reason=reason
    )
