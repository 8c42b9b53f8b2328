"""Changes as text: grouped by resource, with Terraform's signs, the fields and the counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import ndiff
from itertools import groupby

import rich_click as click

from reconciler.agent.changes_json import (
    CENTISECONDS,
    SourceOf,
    differences,
    in_order,
    plain,
    summarize,
)
from reconciler.agent.reconcile import Preview
from reconciler.core.diff import Action, Change, Difference
from reconciler.core.object import KernelObject
from reconciler.formats.iptables_mark import without_mark
from reconciler.manifest.problem import printable
from reconciler.objects import FirewallJump, FirewallRule, Namespace, Veth
from reconciler.objects.keys import table_label
from reconciler.objects.marks import UNKNOWN

COLOURS = {
    Action.CREATE: "green",
    Action.UPDATE: "yellow",
    Action.REPLACE: "magenta",
    Action.DELETE: "red",
    Action.BLOCKED: "bright_red",
}
_OBVIOUS = ("not on the host", "no longer declared", "not as declared")
"""Ends of reasons that the sign and the fields have said already."""

_CHAINS_SHOWN = 3
_TITLES = {UNKNOWN: "Unfinished, by a run that was killed", "nobody": "Not ours"}
"""Instead of a resource where there is none."""
_SHARED = ("Host/",)
"""What several resources have a part in; it is declared by all of them and by none alone."""
_UNITS = {"rate": "bit/s", "burst": "bytes", "limit": "bytes"}


def render_text(
    changes: Iterable[Change], source_of: SourceOf, undeclared: str = "no longer declared"
) -> Iterator[str]:
    """Yield the lines of a diff: a heading for each resource, a line or more for each change.

    Args:
        changes: In any order.
        source_of: Where a resource is declared, for its heading.
        undeclared: What the heading says of one that is declared nowhere.
    """
    for resource, group in groupby(in_order(changes), key=lambda c: c.owner.resource):
        heading = click.style(_TITLES.get(resource, resource), bold=True)
        shared = resource.startswith(_SHARED)
        place = source_of(resource) or ("" if shared else undeclared)
        yield f"{heading}  {place}" if place else heading
        for folded, alike in groupby(group, key=_fold):
            if folded:
                yield _folded(list(alike))
                continue
            for change in alike:
                yield from render_change(change)
        yield ""


def _fold(change: Change) -> Action | None:
    """Chains come and go by the dozen, and say nothing that their rules do not."""
    simple = change.action in {Action.CREATE, Action.DELETE}
    return change.action if change.key.type == "chain" and simple else None


def _folded(changes: list[Change]) -> str:
    sign = click.style(changes[0].action.sign, fg=COLOURS[changes[0].action])
    names = [change.key.name for change in changes]
    shown = ", ".join(names[:_CHAINS_SHOWN])
    more = f" and {len(names) - _CHAINS_SHOWN} more" if len(names) > _CHAINS_SHOWN else ""
    return f"  {sign} {'chain' if len(names) == 1 else 'chains'} {shown}{more}"


def closing_line(preview: Preview) -> str:
    """Count what there is to do."""
    if preview.in_sync:
        return in_sync_line(preview)
    counts = summarize(preview.changes, preview.unchanged)
    unchanged = counts.pop("unchanged")
    blocked = counts.pop("blocked")
    parts = [f"{number} to {action}" for action, number in counts.items() if number]
    parts += [f"{blocked} blocked"] if blocked else []
    return f"Plan: {', '.join(parts)}; {unchanged} unchanged."


def in_sync_line(preview: Preview) -> str:
    """Say that there is nothing to do."""
    objects = "object is" if preview.unchanged == 1 else "objects are"
    return f"In sync: {preview.unchanged} {objects} as declared."


def render_withheld(preview: Preview) -> Iterator[str]:
    """Say what differs and is left alone, because pruning or a resource is switched off."""
    kept = [c for c in preview.decision.withheld if c.action is Action.DELETE]
    if kept:
        what = "1 object" if len(kept) == 1 else f"{len(kept)} objects"
        why = "see --prune, and the annotation reconciler/prune"
        yield f"Left alone: {what} of this set that nothing here declares ({why})."
    others = {c.owner.resource for c in preview.decision.withheld if c.action is not Action.DELETE}
    if others:
        yield f"Left alone: {', '.join(sorted(others))}, suspended by an annotation."


def render_change(change: Change) -> Iterator[str]:
    """Yield the lines of one change; a single field stands on the first."""
    sign = click.style(change.action.sign, fg=COLOURS[change.action])
    head = f"  {sign} {_name(change)}{_other_end(change.after or change.before)}"
    fields = [line for d in differences(change) for line in _difference(d)]
    if change.action is Action.BLOCKED:
        head += f": {printable(change.reason.removeprefix(f'{change.key} '))}"
    elif change.reason and not change.reason.endswith(_OBVIOUS):
        head += f"  ({printable(change.reason)})"
    elif change.action is Action.CREATE:
        head += _facts(change)
    elif change.differences and len(fields) == 1 and " → " in fields[0]:
        head += f"  {fields.pop()}"
    yield head
    if change.differences:
        yield from (f"      {line}" for line in fields)


def _name(change: Change) -> str:
    """Name an object by its key; a rule by its chain and what it says, not by its hash."""
    item = change.after or change.before
    if not isinstance(item, FirewallRule | FirewallJump):
        return str(change.key)
    place = f"rule/{table_label(item.family, item.table)}/{item.chain}"
    return printable(f"{place}  {without_mark(item.text)}")


def _other_end(item: KernelObject | None) -> str:
    """Say what the key alone does not: where the other end of a pair is."""
    match item:
        case Veth() if item.peer_netns is not None:
            place = f"{item.peer_netns}:" if item.peer_netns else ""
            return f" ↔ {place}{item.peer_name}"
        case _:
            return ""


def _facts(change: Change) -> str:
    """The fields of a new object; what both ends of a pair have is said once."""
    if isinstance(change.after, Namespace | FirewallRule | FirewallJump):
        return ""
    values = {d.field: d.after for d in differences(change) if d.after is not False}
    hidden = {"peer_netns", "peer_name"}
    hidden |= {f"peer_{name}" for name in values if values.get(f"peer_{name}") == values[name]}
    facts = [_fact(name, value) for name, value in values.items() if name not in hidden]
    return f"  {', '.join(facts)}" if facts else ""


def _fact(field: str, value: object) -> str:
    return _words(field) if value is True else f"{_words(field)} {_value(field, value)}".lstrip()


def _difference(difference: Difference) -> Iterator[str]:
    """Yield a line, and of a text of several lines those that differ."""
    field, before, after = difference.field, difference.before, difference.after
    texts = [value for value in (before, after) if isinstance(value, str)]
    if any("\n" in text.rstrip("\n") for text in texts):
        lines = ndiff(str(before or "").splitlines(), str(after or "").splitlines())
        yield from (printable(line) for line in lines if line.startswith(("+ ", "- ")))
        return
    yield f"{_words(field)} {_value(field, before)} → {_value(field, after)}".lstrip()


def _words(field: str) -> str:
    """Name a field; those that are all there is to an object need no name."""
    return "" if field in {"value", "content"} else field.replace("_", " ")


def _value(field: str, value: object) -> str:
    match value:
        case None:
            return "(unset)"
        case True:
            return "yes"
        case False:
            return "no"
        case "":
            return "(none)"
        case str() if "\n" in value.rstrip("\n"):
            return f"{len(value.splitlines())} lines"
        case _:
            text = printable(str(plain(value)).rstrip("\n"))
            unit = "s" if field in CENTISECONDS else _UNITS.get(field, "")
            return f"{text} {unit}".rstrip()
