"""Changes as text: grouped by resource, with Terraform's signs, the fields and the counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import click

from reconciler.agent.reconcile import Preview
from reconciler.cli.changes_json import SourceOf, differences, plain, summarize
from reconciler.core.diff import Action, Change
from reconciler.core.object import KernelObject
from reconciler.objects import Namespace, Veth

COLOURS = {
    Action.CREATE: "green",
    Action.UPDATE: "yellow",
    Action.REPLACE: "magenta",
    Action.DELETE: "red",
    Action.BLOCKED: "bright_red",
}
_SHOWN_ALONE = 6
"""Fields of a new object that stand on its line; they are facts, not differences."""


def render_text(preview: Preview, source_of: SourceOf) -> Iterator[str]:
    """Yield the lines of a diff; the last one counts."""
    ordered = sorted(preview.changes, key=lambda c: (c.owner, c.key))
    for resource, changes in groupby(ordered, key=lambda c: c.owner.resource):
        source = source_of(resource)
        yield click.style(resource, bold=True) + (f"  {source}" if source else "")
        for change in changes:
            yield from _lines(change)
        yield ""
    yield closing_line(preview)


def closing_line(preview: Preview) -> str:
    """Count what there is to do."""
    if preview.in_sync:
        return f"In sync: {preview.unchanged} objects are as declared."
    counts = summarize(preview.changes, preview.unchanged)
    unchanged = counts.pop("unchanged")
    blocked = counts.pop("blocked")
    parts = [f"{number} to {action}" for action, number in counts.items() if number]
    parts += [f"{blocked} blocked"] if blocked else []
    return f"Plan: {', '.join(parts)}; {unchanged} unchanged."


def _lines(change: Change) -> Iterator[str]:
    colour = COLOURS[change.action]
    sign = click.style(change.action.sign, fg=colour)
    match change.action:
        case Action.CREATE | Action.DELETE:
            facts = _facts(change)
            yield f"  {sign} {change.key}{where(change.after or change.before)}{facts}"
            return
        case Action.BLOCKED:
            yield f"  {sign} {change.key}{where(change.after)}: {change.reason}"
        case _:
            yield f"  {sign} {change.key}{where(change.after)}  ({change.reason})"
    for difference in change.differences:
        before, after = _value(difference.before), _value(difference.after)
        yield f"      {difference.field}: {before} → {after}"


def where(item: KernelObject | None) -> str:
    """Say what the key alone does not: where the other end of a pair is."""
    match item:
        case Veth() if item.peer_netns is not None:
            place = f"{item.peer_netns}:" if item.peer_netns else ""
            return f" ↔ {place}{item.peer_name}"
        case _:
            return ""


def _facts(change: Change) -> str:
    item = change.after or change.before
    if change.action is Action.DELETE or isinstance(item, Namespace):
        return ""
    hidden = {"peer_netns", "peer_name"}
    facts = [
        _fact(d.field, d.after)
        for d in differences(change)
        if d.field not in hidden and d.after is not False
    ]
    return f"  {', '.join(facts[:_SHOWN_ALONE])}" if facts else ""


def _fact(field: str, value: object) -> str:
    words = field.replace("_", " ")
    return words if value is True else f"{words} {plain(value)}"


def _value(value: object) -> str:
    match value:
        case None:
            return "(unset)"
        case True:
            return "yes"
        case False:
            return "no"
        case "":
            return "(none)"
        case _:
            return str(value)


def render_failures(lines: Iterable[str]) -> str:
    """Mark what failed, for standard error."""
    return "\n".join(click.style("failed: ", fg="red") + line for line in lines)
