"""Changes as JSON: the versioned object that `diff -o json` and `apply -o json` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reconciler.agent.reconcile import Preview
from reconciler.core.diff import Action, Change, Difference
from reconciler.core.object import KernelObject

VERSION = 1

SourceOf = Callable[[str], str]
"""From ``Kind/name`` to ``file:line``; empty where nothing declares it any more."""


def render_json(
    preview: Preview,
    source_of: SourceOf,
    warnings: Sequence[str] = (),
    errors: Sequence[object] = (),
) -> dict[str, Any]:
    """Say what *preview* found, in the form that product promises."""
    return {
        "version": VERSION,
        "inSync": preview.in_sync,
        "summary": summarize(preview.changes, preview.unchanged),
        "changes": [_change(change, source_of) for change in preview.changes],
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


def _change(change: Change, source_of: SourceOf) -> dict[str, Any]:
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
        return change.differences
    if change.action is Action.DELETE and change.before is not None:
        return tuple(Difference(n, v, None) for n, v in _fields(change.before))
    if change.before is None and change.after is not None:
        return tuple(Difference(n, None, v) for n, v in _fields(change.after))
    return ()


def _fields(item: KernelObject) -> Iterable[tuple[str, object]]:
    values = ((name, getattr(item, name)) for name in item.compared)
    return [(name, value) for name, value in values if value not in {None, ""}]


def plain(value: object) -> object:
    """A value that JSON has: numbers, truth and text as they are, addresses as text."""
    return value if value is None or isinstance(value, bool | int | str) else str(value)
