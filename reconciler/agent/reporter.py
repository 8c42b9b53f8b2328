"""Reporter: says what happens, once, to everybody who wants to know: log, journal, metrics, events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from structlog.typing import FilteringBoundLogger

from reconciler.agent.board import Board
from reconciler.agent.changes_json import SourceOf, differences, render_change
from reconciler.agent.journal import Journal
from reconciler.agent.metrics import Metrics
from reconciler.agent.status import ManifestsStatus, PassSummary, Status, drift_to_dict
from reconciler.core.diff import Change
from reconciler.core.drift import Drift, Fate, FoundBy
from reconciler.core.execute import Outcome

_TEXT_MAX = 200
"""Characters of a value in a log line: a file's text is many lines."""


class Reporter:
    """Where the loop says what happens. A pass in which nothing does says nothing."""

    def __init__(
        self, log: FilteringBoundLogger, board: Board, metrics: Metrics, journal: Journal
    ) -> None:
        self._log, self._board, self._metrics, self._journal = log, board, metrics, journal
        self.source_of: SourceOf = lambda _: ""

    def drift_seen(self, drift: Drift) -> None:
        """An object is other than declared, and nobody asked for it."""
        key = drift.change.key
        self._metrics.drift_seen(key.type, drift.found_by.value)
        if drift.found_by is FoundBy.LOOK:
            self._metrics.missed_event(key.type)
        said = {"mode": drift.mode.value, "found_by": drift.found_by.value}
        if drift.culprit is not None:
            said["by"] = str(drift.culprit)
        self._log.warning("drift", **_about(drift.change), **said)
        self._tell("drift", drift.seen, drift_to_dict(drift, self.source_of))

    def drift_settled(self, drift: Drift, seconds: float) -> None:
        """A drift has ended, or something else has become of it."""
        record = drift_to_dict(drift, self.source_of) | {"seconds": round(seconds, 6)}
        problem = self._journal.append(record)
        if problem:
            self._log.warning("the journal is not kept", problem=problem)
        self._tell("drift", drift.settled or drift.seen, record)
        change = drift.change
        about = {"resource": change.owner.resource, "object": str(change.key)}
        match drift.fate:
            case Fate.HEALED:
                self._metrics.healed(seconds)
                self._log.info("healed", **about, seconds=round(seconds, 3))
            case Fate.GONE:
                self._log.info("as declared again, without us", **about)
            case Fate.FIGHT:
                self._log.error("fight", **about, message=drift.message)
            case Fate.FAILED | Fate.BLOCKED:
                self._log.error("not healed", **about, fate=drift.fate.value, why=drift.message)
            case _:
                pass

    def operation_done(self, outcome: Outcome, change: Change | None, cause: str) -> None:
        """One step of a pass was taken."""
        operation = outcome.operation
        result = "skipped" if outcome.skipped else "failed" if outcome.error else "done"
        self._metrics.operation_done(operation.key.type, operation.verb.value, result)
        said = _about(change) if change is not None else {}
        said |= {"resource": operation.owner.resource, "object": str(operation.key)}
        said |= {"verb": operation.verb.value, "cause": cause}
        if outcome.error is None:
            self._log.info("changed", **said)
        else:
            self._log.error("failed", **said, error=outcome.error)

    def change_told(self, change: Change, cause: str, now: float) -> None:
        """A change is about to be made."""
        record = render_change(change, self.source_of) | {"cause": cause}
        self._tell("change", now, record)

    def pass_done(self, summary: PassSummary, phases: Mapping[str, float]) -> None:
        """A pass has ended; one that did nothing is counted and not mentioned."""
        self._metrics.pass_done(summary.cause, phases)
        if summary.operations or summary.cause in {"start", "manifests", "signal"}:
            self._log.info("pass", **summary.to_dict())
            self._tell("pass", summary.started, summary.to_dict())

    def manifests_changed(self, found: ManifestsStatus, now: float) -> None:
        """Another revision is in force, or something is wrong with it, or no longer."""
        if found.problems:
            for problem in found.problems:
                self._log.error("manifests are not valid", problem=problem.render().splitlines()[0])
        else:
            self._log.info("manifests", revision=found.revision, paths=list(found.paths))
        problems = [problem.to_dict() for problem in found.problems]
        self._tell("manifests", now, {"revision": found.revision, "problems": problems})

    def overrun(self) -> None:
        """The kernel had more to tell than its buffer holds."""
        self._metrics.overrun()
        self._log.warning("events were lost, looking at everything")

    def dump(self, status: Status) -> None:
        """Somebody asks for all that is known (SIGUSR1)."""
        self._log.info("state", **status.to_dict())

    def trouble(self, what: str, why: str) -> None:
        """Something is wrong with the loop itself, or with the host as a whole."""
        self._log.error(what, why=why)

    def _tell(self, kind: str, when: float, record: Mapping[str, Any]) -> None:
        self._board.tell({"type": kind, "time": when, **record})


def _about(change: Change) -> dict[str, Any]:
    """What every line about a change says."""
    said: dict[str, Any] = {"resource": change.owner.resource, "object": str(change.key)}
    said["action"] = change.action.value
    found = differences(change)
    said["before"] = {d.field: _short(d.before) for d in found if d.before is not None}
    said["after"] = {d.field: _short(d.after) for d in found if d.after is not None}
    return said


def _short(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"
