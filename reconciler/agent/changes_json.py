"""Changes as JSON: the versioned object that `diff -o json` and `apply -o json` print."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reconciler.agent.reconcile import Preview
from reconciler.core.diff import Action, Change, Difference
from reconciler.core.object import KernelObject
from reconciler.formats.iptables_mark import without_mark
from reconciler.objects import FirewallJump, FirewallRule

VERSION = 1

SourceOf = Callable[[str], str]
"""From ``Kind/name`` to ``file:line``; empty where nothing declares it any more."""

_ORDER = (
    *("netns", "device", "port", "qdisc", "address", "route"),
    *("sysctl", "directory", "file", "chain", "rule"),
)
"""Types of objects as people think of them: what lives in a thing comes after it."""

CENTISECONDS = frozenset({"forward_delay", "ageing_time"})
"""Fields that the kernel counts in hundredths of a second, and people in seconds."""


def render_json(
    preview: Preview,
    source_of: SourceOf,
    warnings: Sequence[object] = (),
    errors: Sequence[object] = (),
) -> dict[str, Any]:
    """Say what *preview* found, in the form that product promises."""
    return {
        "version": VERSION,
        "inSync": preview.in_sync,
        "summary": summarize(preview.changes, preview.unchanged),
        "changes": [render_change(change, source_of) for change in in_order(preview.changes)],
        "warnings": list(warnings),
        "errors": list(errors),
    }


def render_errors(errors: Sequence[object]) -> dict[str, Any]:
    """The same object where it came to no comparison."""
    return {
        "version": VERSION,
        "inSync": False,
        "summary": summarize((), 0),
        "changes": [],
        "warnings": [],
        "errors": list(errors),
    }


def summarize(changes: Iterable[Change], unchanged: int) -> dict[str, int]:
    """Count the changes by action."""
    count = Counter(change.action for change in changes)
    return {action.value: count[action] for action in Action} | {"unchanged": unchanged}


def in_order(changes: Iterable[Change]) -> list[Change]:
    """Sort by resource, and within one by what lives in what; web2 comes before web10."""
    return sorted(changes, key=_position)


def _position(change: Change) -> tuple[object, ...]:
    key = change.key
    rank = _ORDER.index(key.type) if key.type in _ORDER else len(_ORDER)
    owner = _natural(change.owner.resource)
    return (owner, rank, key.type, _natural(key.netns), *_place(change))


def _place(change: Change) -> tuple[object, ...]:
    """Sort by name; rules by their place in the chain, for they are named by a hash."""
    item = change.after or change.before
    if isinstance(item, FirewallRule | FirewallJump):
        chain = _natural(f"{item.table} {item.family} {item.chain}")
        return chain, [(isinstance(part, str), part) for part in item.order], item.identity
    return (_natural(change.key.name),)


def _natural(text: str) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", text)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def render_change(change: Change, source_of: SourceOf) -> dict[str, Any]:
    """One change: what happens to which object, whose it is, where it is declared, and why."""
    return {
        "action": change.action.value,
        "object": str(change.key),
        "owner": change.owner.resource,
        "source": source_of(change.owner.resource),
        "differences": [
            {"field": d.field, "before": plain(d.before), "after": plain(d.after)}
            for d in differences(change)
        ],
        "reason": change.reason,
    }


def differences(change: Change) -> tuple[Difference, ...]:
    """The fields of a change; of a new object all that are set, of a deleted one all it had."""
    if change.differences:
        found: Iterable[Difference] = change.differences
    elif change.action is Action.DELETE and change.before is not None:
        found = (Difference(n, v, None) for n, v in _fields(change.before))
    elif isinstance(change.after, FirewallRule | FirewallJump):
        found = (Difference("rule", None, without_mark(change.after.text)),)
    elif change.before is None and change.after is not None:
        found = (Difference(n, None, v) for n, v in _fields(change.after))
    else:
        found = ()
    return tuple(_in_seconds(d) if d.field in CENTISECONDS else d for d in found)


def _fields(item: KernelObject) -> Iterable[tuple[str, object]]:
    values = ((name, getattr(item, name)) for name in item.compared)
    return [(name, value) for name, value in values if value not in {None, ""}]


def _in_seconds(difference: Difference) -> Difference:
    before, after = (
        value / 100 if isinstance(value, int) else value
        for value in (difference.before, difference.after)
    )
    return Difference(difference.field, before, after)


def plain(value: object) -> object:
    """A value that JSON has: numbers, truth and text as they are, addresses as text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
