"""Status as text: the state in one line, then what is wrong, then what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import rich_click as click

from reconciler.cli.drift_text import age, duration, render_drift, when
from reconciler.manifest.problem import printable

FEW = 20
"""So many resources that are ready are listed; more are counted."""

READY = "Ready"
COLOURS = {READY: "green", "Progressing": "cyan", "Suspended": "cyan"}
"""Every other state is red."""

_REVISION = 12  # letters of a hash that name it well enough

Data = Mapping[str, Any]


def render_status(status: Data, now: float, *, everything: bool = False) -> Iterator[str]:
    """Yield the lines.

    Args:
        status: What the loop says under ``/status``.
        now: In seconds since the epoch.
        everything: List what is ready although it is a lot.
    """
    yield _head(status, now)
    yield from _problems(status, now)
    yield from (f"warning: {printable(text)}" for text in status["warnings"])
    yield from _resources(status["resources"], now, everything)
    if status["drift"]:
        yield ""
        yield f"Drift: {_number(len(status['drift']), 'object')}"
        for record in status["drift"]:
            yield from (f"  {line}" for line in render_drift(record, now))
    if status["lastPass"]:
        yield ""
        yield _last_pass(status["lastPass"], now)


def _head(status: Data, now: float) -> str:
    if not status["ready"]:
        word = click.style("Not ready", fg="yellow", bold=True)
    elif status["inSync"]:
        word = click.style("In sync", fg="green", bold=True)
    else:
        word = click.style("Not in sync", fg="red", bold=True)
    facts = [
        f"revision {printable(status['revision'])[:_REVISION] or 'none'}",
        f"set {printable(status['set'])}",
        f"mode {printable(status['mode'])}",
        f"process {status['pid']} since {when(status['started'])} ({age(now - status['started'])})",
    ]
    return f"{word}: {', '.join(facts)}"


def _problems(status: Data, now: float) -> Iterator[str]:
    manifests = status["manifests"]
    if not manifests["problems"]:
        return
    since = manifests["problemsSince"]
    ago = "" if since is None else f" since {when(since)} ({age(now - since)})"
    number = _number(len(manifests["problems"]), "problem")
    stays = "the revision above stays in force" if status["revision"] else "nothing is in force"
    yield click.style(f"{number} in the manifests{ago}; {stays}:", fg="red")
    for problem in manifests["problems"]:
        yield f"  {_problem(problem)}"


def _problem(problem: Data) -> str:
    line = f":{problem['line']}:{problem['column']}" if problem["line"] else ""
    what = "; ".join(filter(None, (problem["message"], problem["hint"])))
    parts = (f"{problem['path']}{line}", problem["resource"], problem["field"], what)
    return printable(": ".join(filter(None, parts)))


def _resources(resources: Sequence[Data], now: float, everything: bool) -> Iterator[str]:
    ready = [one for one in resources if one["state"] == READY]
    listed = [one for one in resources if one["state"] != READY]
    counted = len(ready) > FEW and not everything
    listed += [] if counted else ready
    if listed:
        yield ""
        rows = [("STATE", "RESOURCE", "AGE", "MESSAGE"), *(_row(one, now) for one in listed)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            yield _line(row, widths)
    if counted:
        kinds = Counter(printable(one["kind"]) for one in ready)
        yield ""
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
        yield f"{click.style(READY, fg='green')}: {counts}  (--all lists them)"


def _row(one: Data, now: float) -> tuple[str, ...]:
    since = age(now - one["since"]) if one["since"] else ""
    words = (one["state"], f"{one['kind']}/{one['name']}", since, one["message"])
    return tuple(map(printable, words))


def _line(row: tuple[str, ...], widths: Sequence[int]) -> str:
    state, *rest = map(str.ljust, row, widths)
    if row[0] != "STATE":
        state = click.style(state, fg=COLOURS.get(row[0], "red"))
    return "  ".join((state, *rest)).rstrip()


def _last_pass(last: Data, now: float) -> str:
    failures = f", {last['failures']} failed" if last["failures"] else ""
    ago = age(now - last["started"] - last["seconds"])
    return (
        f"Last pass: number {last['number']}, for {printable(last['cause'])},"
        f" {_number(last['operations'], 'operation')}{failures},"
        f" {duration(last['seconds'])}, {ago} ago"
    )


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
