"""Holds: what has to wait because something that it is about is blocked.

What is not there cannot be built on, and what is to go cannot go while its successor is missing: a
pass that cannot do all of a change leaves the rest of that change as it was.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace

from reconciler.core.diff import Action, Change
from reconciler.core.object import KernelObject, Key, Stage, stage_of
from reconciler.core.state import State


def hold(
    kept: dict[Key, Change],
    withheld: Iterable[Change],
    desired: State,
    observed: State,
    waiting: Container[Key] = (),
) -> None:
    """Turn changes that have to wait into blocked ones, each with its reason.

    Args:
        kept: The changes to make, by key; changed in place.
        withheld: What the policy leaves undone.
        desired: What is wanted.
        observed: What is there.
        waiting: What is tried again later; the rest of what is withheld is suspended.
    """
    _hold_dependents(kept, withheld, desired, waiting)
    _hold_contents(kept, observed)
    _hold_predecessors(kept)
    _hold_rules(kept, desired)
    _hold_needed(kept, observed)


def _hold_dependents(
    kept: dict[Key, Change],
    withheld: Iterable[Change],
    desired: State,
    later: Container[Key],
) -> None:
    """Block what needs something that will not be there."""
    held = {c.key: "which is blocked" for c in kept.values() if c.action is Action.BLOCKED}
    for change in withheld:
        if change.action is Action.CREATE:
            why = "is tried again later" if change.key in later else f"{change.owner} is suspended"
            held[change.key] = f"and {why}"
    if not held:
        return
    waiting = [c for c in kept.values() if c.after is not None and c.action is not Action.BLOCKED]
    while waiting:
        blocked = [(c, n) for c in waiting if (n := _first_held(c.after, desired, held))]
        if not blocked:
            return
        for change, need in blocked:
            reason = f"needs {need}, {held[need]}"
            kept[change.key] = replace(change, action=Action.BLOCKED, reason=reason)
        held |= {change.key: "which is blocked" for change, _ in blocked}
        waiting = [c for c in waiting if c.key not in held]


def _hold_contents(kept: dict[Key, Change], observed: State) -> None:
    """Leave what is on a device whose new name has to wait: nobody has it by that name yet."""
    unnamed = {
        key
        for key, change in kept.items()
        if change.action is Action.BLOCKED
        and any(d.field in {"name", "peer_name"} for d in change.differences)
    }
    for key, change in list(kept.items()) if unnamed else ():
        if change.action is Action.DELETE and change.before is not None:
            device = next((p for p in map(observed.resolve, change.before.parents) if p), None)
            if device in unnamed:
                reason = f"needs {device}, which is blocked"
                kept[key] = replace(change, action=Action.BLOCKED, reason=reason)


def _hold_predecessors(kept: dict[Key, Change]) -> None:
    """Leave a device whose successor has to wait, and all that belongs to it: it still serves."""
    devices = [change for key, change in kept.items() if key.type == "device"]
    leaving = {(c.owner[:2], type(c.before)) for c in devices if _leaves(c)}
    successors = {
        c.owner[:2]: c.key
        for c in devices
        if c.action is Action.BLOCKED and (c.owner[:2], type(c.after)) in leaving
    }
    taken = {k for c in kept.values() if c.action is not Action.BLOCKED for k in c.displaces}
    for key, change in list(kept.items()) if successors else ():
        successor = successors.get(change.owner[:2])
        if successor is not None and _leaves(change) and key not in taken:
            reason = f"is left until {successor} can be, which is blocked"
            kept[key] = replace(change, action=Action.BLOCKED, reason=reason)


def _leaves(change: Change) -> bool:
    return change.action is Action.DELETE


def _hold_rules(kept: dict[Key, Change], desired: State) -> None:
    """Leave the rules about a device that is not ours: they would be walls in a strange network.

    Of a resource with several devices, of which some are ours, only the ways in have to wait.
    """
    blocked = {k for k, c in kept.items() if c.action is Action.BLOCKED and k.type == "device"}
    devices: dict[tuple[str, str], list[Key]] = {}
    for key, item in desired.objects.items() if blocked else ():
        if key.type == "device" and not item.external:
            devices.setdefault(desired.owners[key][:2], []).append(key)
    places = {owner: blocked.intersection(keys) for owner, keys in devices.items()}
    for key, change in list(kept.items()) if blocked else ():
        owner = change.owner[:2]
        found = places.get(owner)
        if key.type != "rule" or not found or change.action is Action.BLOCKED:
            continue
        rule = change.after or change.before
        whole = len(found) == len(devices[owner])
        if whole or (rule is not None and stage_of(rule) is Stage.OPENS):
            reason = f"is about {min(found)}, which is blocked"
            kept[key] = replace(change, action=Action.BLOCKED, reason=reason)


def _hold_needed(kept: dict[Key, Change], observed: State) -> None:
    """Leave what is needed by something whose delete has to wait: the chain of a rule."""
    staying = [c for c in kept.values() if c.action is Action.BLOCKED and c.after is None]
    while staying:
        change = staying.pop()
        for key in observed.needs(observed.objects[change.key]):
            if key in kept and _leaves(kept[key]):
                reason = f"is needed by {change.key}, which is blocked"
                kept[key] = replace(kept[key], action=Action.BLOCKED, reason=reason)
                staying.append(kept[key])


def _first_held(item: KernelObject | None, desired: State, held: Container[Key]) -> Key | None:
    if item is None:
        return None
    return next((need for need in desired.needs(item) if need in held), None)
