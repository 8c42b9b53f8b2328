"""Report of a pass, as apply and teardown print it: what was done, and what could not be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import rich_click as click

from reconciler.agent.changes_json import SourceOf, in_order, render_json
from reconciler.agent.reconcile import Report
from reconciler.cli.changes_text import in_sync_line, render_text, render_withheld
from reconciler.core.diff import Action, Change
from reconciler.core.execute import Outcome

_DONE = {
    Action.CREATE: "created",
    Action.UPDATE: "updated",
    Action.REPLACE: "replaced",
    Action.DELETE: "deleted",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is not as declared after the pass."""

    state: str
    """``failed``, ``not tried``, ``blocked``, or ``still differs``."""
    operation: str
    """What was to be done: ``set device/web``; of a blocked thing only its key."""
    object: str
    owner: str
    source: str
    message: str

    @property
    def waits(self) -> bool:
        """Is it only the consequence of another trouble."""
        return self.state == "not tried" or self.message.endswith("which is blocked")

    def __str__(self) -> str:
        place = f" ({self.source})" if self.source else ""
        return f"{self.operation} of {self.owner}{place}: {self.message}"


def find_troubles(report: Report, source_of: SourceOf) -> list[Trouble]:
    """List what failed, what was not tried therefore, what is blocked, what still differs."""
    found = [_failed(outcome, source_of) for outcome in report.failures]
    named = {trouble.object for trouble in found}
    left = (c for c in in_order(report.after.changes) if str(c.key) not in named)
    return found + [_left(change, source_of) for change in left]


def _failed(outcome: Outcome, source_of: SourceOf) -> Trouble:
    operation, owner = outcome.operation, outcome.operation.owner.resource
    state = "not tried" if outcome.skipped else "failed"
    message = (outcome.error or "").removeprefix("not tried: ")
    return Trouble(state, str(operation), str(operation.key), owner, source_of(owner), message)


def _left(change: Change, source_of: SourceOf) -> Trouble:
    key, owner = str(change.key), change.owner.resource
    blocked = change.action is Action.BLOCKED
    state = "blocked" if blocked else "still differs"
    message = change.reason.removeprefix(f"{key} ")
    return Trouble(state, key, key, owner, source_of(owner), message)


def render_report(
    report: Report, source_of: SourceOf, warnings: Sequence[object] = ()
) -> dict[str, Any]:
    """Give the JSON object: `changes` as a diff showed them, `errors` what came of them."""
    troubles = find_troubles(report, source_of)
    errors = [
        {name: value for name, value in asdict(trouble).items() if value}
        for trouble in troubles
        if trouble.state != "blocked"  # these are among the changes, with their reason
    ]
    return render_json(report.preview, source_of, warnings, errors) | {"inSync": report.converged}


def print_report(
    report: Report, source_of: SourceOf, undeclared: str = "no longer declared"
) -> None:
    """Print what was done to standard output, and to standard error what could not be."""
    done = _done(report)
    for line in render_text(done, source_of, undeclared):
        click.echo(line)
    for line in (*_closing_lines(report, done), *render_withheld(report.after)):
        click.echo(line)
    _print_troubles(find_troubles(report, source_of), report.after.unchanged)


def _print_troubles(troubles: Sequence[Trouble], unchanged: int) -> None:
    """Print what is to be put right; what only waits for that is counted."""
    if not troubles:
        return
    for trouble in troubles:
        if not trouble.waits:
            click.echo(f"{click.style(f'{trouble.state}:', fg='red')} {trouble}", err=True)
    counts = Counter(trouble.state for trouble in troubles)
    said = ", ".join(f"{number} {state}" for state, number in counts.items())
    waiting = sum(trouble.waits for trouble in troubles)
    because = f" ({waiting} of them because of others)" if waiting else ""
    click.echo(f"Not converged: {said}{because}; {unchanged} as declared.", err=True)


def _done(report: Report) -> list[Change]:
    """The changes that are there: not refused, and not found wanting by the look afterwards."""
    missing = {outcome.operation.key for outcome in report.failures}
    missing |= {change.key for change in report.after.changes}
    return [
        change
        for change in report.preview.changes
        if change.action is not Action.BLOCKED and change.key not in missing
    ]


def _closing_lines(report: Report, done: Sequence[Change]) -> Iterator[str]:
    if done and not report.preview.desired.objects:
        yield f"Removed: {len(done)} object{'' if len(done) == 1 else 's'}."
    elif done:
        counts = Counter(change.action for change in done)
        said = ", ".join(f"{counts[a]} {word}" for a, word in _DONE.items() if counts[a])
        yield f"Applied: {said}; {report.preview.unchanged} unchanged."
    elif report.converged:
        yield in_sync_line(report.after)
