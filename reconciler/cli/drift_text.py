"""Drift as text: what is wanted, what was found, who did it and what became of it.

It is written from JSON: what a running loop or its journal says, perhaps one of another version.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import rich_click as click

from reconciler.core.diff import Action
from reconciler.manifest.problem import printable

FATES = {"healed": "green", "gone": "green", "reported": "yellow", "open": "yellow"}
"""Colours; every other fate is red."""

_DIFFERENCES_SHOWN = 6

Record = Mapping[str, Any]


def render_drift(record: Record, now: float) -> Iterator[str]:
    """Yield the lines of one drift that lasts."""
    owner = click.style(_text(record, "owner"), bold=True)
    yield "  ".join(filter(None, (owner, _text(record, "source"))))
    yield f"  {_sign(record)} {_text(record, 'object')}{_short(record)}"
    yield from (f"      {line}" for line in _long(record))
    facts = [_who(record), f"seen {age(now - float(record.get('seen') or now))} ago"]
    if (times := record.get("times", 1)) > 1:
        facts.append(f"{times} times lately")
    yield f"      {', '.join(filter(None, facts))}: {_fate(record)}"


def render_past(record: Record) -> Iterator[str]:
    """Yield the lines of one drift of the past: the first tells when, what and whose."""
    facts = [when(float(record.get("seen") or 0)), _sign(record), _text(record, "object")]
    yield f"{' '.join(facts)}  {_text(record, 'owner')}{_short(record)}"
    yield from (f"      {line}" for line in _long(record))
    who = _who(record)
    yield f"      {f'{who}: ' if who else ''}{_fate(record)}"


def _sign(record: Record) -> str:
    action = record.get("action")
    return Action(action).sign if action in set(Action) else "?"


def _short(record: Record) -> str:
    """What stands behind the object: a word for all of it, or its only field."""
    if record.get("action") == "create":
        return "  missing"
    if record.get("action") == "delete":
        return "  not declared"
    fields = _fields(record)
    return f"  {fields[0]}" if len(fields) == 1 else ""


def _long(record: Record) -> list[str]:
    if record.get("action") in {"create", "delete"} or len(fields := _fields(record)) == 1:
        return []
    more = len(fields) - _DIFFERENCES_SHOWN
    return fields[:_DIFFERENCES_SHOWN] + ([f"and {more} more"] if more > 0 else [])


def _fields(record: Record) -> list[str]:
    return [
        f"{printable(str(d.get('field')))}: wanted {_value(d.get('after'))},"
        f" found {_value(d.get('before'))}"
        for d in record.get("differences") or ()
    ]


def _value(value: object) -> str:
    match value:
        case None | "":
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case str() if "\n" in value.rstrip("\n"):
            return f"{len(value.splitlines())} lines"
        case _:
            return printable(str(value).rstrip("\n"))


def _who(record: Record) -> str:
    by = record.get("by")
    if not by:
        return ""
    name = printable(by.get("program") or "") or "a process that has ended"
    return f"by {name} (pid {by.get('pid')})"


def _fate(record: Record) -> str:
    fate = _text(record, "fate")
    words = click.style(fate, fg=FATES.get(fate, "red"))
    seen, settled = record.get("seen"), record.get("settled")
    if seen is not None and settled is not None:
        words += f" after {duration(float(settled) - float(seen))}"
    message = _text(record, "message")
    return f"{words}, {message}" if message else words


def _text(record: Record, name: str) -> str:
    return printable(str(record.get(name) or ""))


def when(seconds: float) -> str:
    """A moment, in seconds since the epoch, as local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def age(seconds: float) -> str:
    """How long ago, in one unit, as kubectl says it: 5s, 3m, 7h, 12d."""
    seconds = max(0, round(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def duration(seconds: float) -> str:
    """How long something took: 12 ms, 3.4 s, 5m."""
    if seconds < 1:
        return f"{max(0.0, seconds) * 1_000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else age(seconds)
