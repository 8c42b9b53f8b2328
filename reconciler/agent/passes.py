"""Passes: look at what may have changed, tell drift from what was asked for, put right, look again.

A pass gets what the kernel told, what is to be looked at, and a new revision if there is one. It
leaves a status on the board. Nothing is written before a first complete load and a first complete
look; what is wrong with one object holds up only what depends on it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from reconciler import __version__
from reconciler.agent.applied import AppliedRecord
from reconciler.agent.board import Board
from reconciler.agent.drifts import DriftBook, Moment, differing
from reconciler.agent.engine import Engine
from reconciler.agent.port_problems import explain_ports
from reconciler.agent.reconcile import ROUNDS_MAX, Preview
from reconciler.agent.reporter import Reporter
from reconciler.agent.resources import ResourceBook, judge
from reconciler.agent.scopes import SILENT, culprit_of, family_of, scope_heard, scope_of, told
from reconciler.agent.source import Loaded
from reconciler.agent.status import ManifestsStatus, PassSummary, Status
from reconciler.core.diff import Action, Change
from reconciler.core.drift import Culprit, FoundBy, Mode
from reconciler.core.execute import Outcome
from reconciler.core.guard import Limit, check_deletes, count_owned
from reconciler.core.object import Key
from reconciler.core.policy import SHARED, Policy
from reconciler.core.retry import Retries
from reconciler.errors import ReconcilerError
from reconciler.host.base import NOWHERE, Scope
from reconciler.host.monitor import Heard, Monitor
from reconciler.kinds.inert import inert_fields
from reconciler.manifest.problem import Problem


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run behaves."""

    set_name: str = "default"
    mode: Mode = Mode.HEAL
    prune: bool | None = None
    adopt: bool = False
    max_deletes: Limit | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why a pass is made, and what it has to look at."""

    cause: str
    scope: Scope = NOWHERE
    heard: Heard = field(default_factory=Heard)
    loaded: Loaded | None = None
    since: float = 0.0
    """When the first of it was told, by the monotonic clock."""


class Passes:
    """One pass after the other, and what each has to know of those before."""

    def __init__(
        self,
        engine: Engine,
        monitor: Monitor,
        settings: Settings,
        board: Board,
        reporter: Reporter,
        applied: AppliedRecord,
    ) -> None:
        """Make none yet."""
        self.engine, self._monitor, self._settings = engine, monitor, settings
        self._board, self._reporter, self._applied = board, reporter, applied
        self._retries = Retries()
        self._drifts = DriftBook(self._retries, self._mode_of, reporter.drift_settled)
        self._resources = ResourceBook()
        self._failures: dict[Key, str] = {}
        self._preview: Preview | None = None
        self._number = 0
        self._phases: dict[str, float] = {}
        self._started = time.time()
        self._last_pass: PassSummary | None = None
        self._last_success: float | None = None
        self._too_many = ""
        self._inert: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        """What status is to say of how the loop hears."""
        self.manifests = ManifestsStatus()
        self.refused: Loaded | None = None
        """A revision that is valid and cannot be wanted on this host as it is: tried again."""
        self._refusal: tuple[Problem, ...] = ()
        self._refused_since: float | None = None

    def run(self, trigger: Trigger) -> bool:
        """Make one pass, and say whether the host is as declared after it.

        Raises:
            HostError: The kernel cannot even be looked at.
        """
        self._number += 1
        self._phases = {}
        started, clock = time.time(), time.perf_counter()
        engine = self.engine
        with self._timed("observe"):
            engine.look(trigger.scope)
            if trigger.cause == "look":
                # An event that was told while we looked is not one that was missed.
                heard = self._monitor.read()
                engine.look(scope_heard(heard))
                trigger = replace(trigger, heard=heard)
        self._retries.tidy(time.monotonic())
        if self._is_quiet(trigger):
            self._reporter.pass_done(self._summary(trigger, started, clock), self._phases)
            return self.in_sync
        before = self._before(trigger)
        if trigger.loaded is not None and not self._accept(trigger.loaded):
            trigger = replace(trigger, loaded=None)
        preview = self._decide(trigger, before)
        outcomes, after = self._converge(trigger, preview)
        moment = _now()
        self._drifts.settle(after, moment)
        if trigger.loaded is not None:
            self._drifts.owed |= set(differing(after)) - {d.change.key for d in self._drifts.drifts}
            self._remember(after)
        self._preview = after
        summary = self._summary(trigger, started, clock, outcomes)
        if outcomes or trigger.cause not in {"look", "drift"}:
            self._last_pass = summary
        self._reporter.pass_done(summary, self._phases | {"total": summary.seconds})
        self.publish()
        return self.in_sync

    def _is_quiet(self, trigger: Trigger) -> bool:
        """Nothing is other than it was when it was compared last, and nothing is due."""
        if self._preview is None or trigger.loaded is not None or self.engine.changed:
            return False
        return trigger.cause in {"look", "poll", "drift"}

    def _summary(
        self, trigger: Trigger, started: float, clock: float, outcomes: Sequence[Outcome] = ()
    ) -> PassSummary:
        return PassSummary(
            *(self._number, trigger.cause, started, time.perf_counter() - clock),
            operations=sum(not outcome.skipped for outcome in outcomes),
            failures=sum(outcome.error is not None for outcome in outcomes),
            revision=self.manifests.revision,
        )

    @property
    def in_sync(self) -> bool:
        """The host is as the manifests say, and they are as they are in the directory."""
        if self._preview is None or self.manifests.problems or self._refusal or self._too_many:
            return False
        return not differing(self._preview) and not self._drifts.drifts

    def next_retry(self) -> float | None:
        """When something that waits is to be tried again, by the monotonic clock."""
        if self._preview is None:
            return None
        held = {change.key for change in self._preview.decision.withheld}
        held &= self._preview.policy.waiting - self._drifts.left_alone()
        return self._retries.next_due(held)

    def forgive(self) -> None:
        """Try at once whatever waits: somebody asks for it."""
        self._retries.forgive(tuple(differing(self._preview)) if self._preview else ())

    def publish(self) -> None:
        """Put a new status on the board."""
        loaded, preview = self.engine.loaded, self._preview
        now = time.time()
        if loaded is not None and preview is not None:
            found = judge(preview, self._drifts.drifts, self._failures)
            self._resources.update(loaded.catalog, found, now)
        in_sync = self.in_sync
        if in_sync:
            self._last_success = now
        ready = loaded is not None and preview is not None
        self._board.publish(replace(self._status(), in_sync=in_sync, ready=ready))

    def _status(self) -> Status:
        problems = (*self.manifests.problems, *self._refusal)
        since = self.manifests.problems_since or self._refused_since
        return Status(
            version=__version__,
            pid=os.getpid(),
            set_name=self._settings.set_name,
            mode=self._settings.mode,
            started=self._started,
            manifests=replace(
                self.manifests, problems=problems, problems_since=since if problems else None
            ),
            resources=self._resources.all,
            drift=self._drifts.drifts,
            last_pass=self._last_pass,
            last_success=self._last_success,
            observed=self.engine.observed,
            warnings=tuple(
                filter(
                    None, (*self.notes, *self.engine.host.warnings, self._too_many, *self._inert)
                )
            ),
            source_of=self._source_of,
        )

    def _before(self, trigger: Trigger) -> Preview | None:
        """Compare with what was wanted so far: whatever differs now, nobody asked for."""
        if self.engine.loaded is None:
            return None
        with self._timed("compare"):
            found = self.engine.compare(self._policy())
            new = self._drifts.see(found, _now(), self._told(trigger), trigger.since)
            for drift in new:
                self._reporter.drift_seen(drift)
            if new and trigger.loaded is None:
                # What has just been found may be one to leave, or one that is fought over.
                found = self.engine.compare(self._policy())
        return found

    def _accept(self, loaded: Loaded) -> bool:
        try:
            with self._timed("expand"):
                self.engine.accept(loaded)
        except ReconcilerError as error:
            self._refusal = tuple(explain_ports(loaded.catalog, error)) or (
                Problem(", ".join(loaded.paths), 0, 0, "", "", str(error)),
            )
            self.refused, self._refused_since = loaded, self._refused_since or time.time()
            self._reporter.trouble("manifests are refused", str(error))
            return False
        self.refused, self._refused_since, self._refusal, self._too_many = None, None, (), ""
        self._inert = tuple(one.render().splitlines()[0] for one in inert_fields(loaded.catalog))
        self._retries.forgive_all()
        self._reporter.source_of = self._source_of
        return True

    def _decide(self, trigger: Trigger, before: Preview | None) -> Preview:
        """Say what this pass is going to do."""
        if trigger.loaded is None and before is not None:
            return before
        with self._timed("compare"):
            if trigger.loaded is None:
                return self.engine.compare(self._policy())
            found = self.engine.compare(self._policy(asked=True))
            there = count_owned(found.observed, self._settings.set_name) > 0
            if trigger.cause == "start" and there and self._applied.is_applied(trigger.loaded):
                # The same manifests were in force here before: what differs now is drift. Where
                # nothing is there at all, the host was started anew, or torn down.
                for drift in self._drifts.see(found, _now(), self._told(trigger), trigger.since):
                    self._reporter.drift_seen(drift)
                found = self.engine.compare(self._policy())
            return self._guarded(found)

    def _guarded(self, found: Preview) -> Preview:
        """Delete nothing where suspiciously much would go: a wrong or half a directory."""
        loaded = self.engine.loaded
        if loaded is None or not loaded.catalog.resources:
            return found  # that nothing is declared was said to be meant
        undeclared = [
            change
            for change in found.changes
            if change.owner.resource not in loaded.catalog.resources
            and not change.owner.resource.startswith(SHARED)
        ]
        deletes = any(change.action is Action.DELETE for change in undeclared)
        owned = count_owned(found.observed, self._settings.set_name) if deletes else 0
        reason = check_deletes(undeclared, owned, self._settings.max_deletes)
        self._too_many = reason or ""
        if reason is None:
            return found
        self._reporter.trouble("nothing is deleted", reason)
        return self.engine.compare(self._policy(asked=True))

    def _converge(self, trigger: Trigger, preview: Preview) -> tuple[list[Outcome], Preview]:
        """Do it, look at what that has touched, and go on as long as there is more to do."""
        outcomes: list[Outcome] = []
        asked = trigger.loaded is not None
        for _ in range(ROUNDS_MAX):
            done = self._execute(trigger, preview)
            if not done:
                break
            outcomes += done
            with self._timed("observe"):
                heard = self._monitor.read()
                self.engine.look(scope_of(o.operation for o in done) | scope_heard(heard))
            with self._timed("compare"):
                again = Trigger(trigger.cause, heard=heard, since=time.monotonic())
                preview = self.engine.compare(self._policy(asked=asked))
                if not asked:
                    for drift in self._drifts.see(preview, _now(), self._told(again), again.since):
                        self._reporter.drift_seen(drift)
            if not any(change.action is not Action.BLOCKED for change in preview.changes):
                break
        return outcomes, preview

    def _execute(self, trigger: Trigger, preview: Preview) -> list[Outcome]:
        changes = {change.key: change for change in preview.changes}
        working = [k for k, change in changes.items() if change.action is not Action.BLOCKED]
        if not working:
            return []
        self._show_progress(preview, working)
        now = time.time()
        for key in working:
            self._reporter.change_told(changes[key], trigger.cause, now)
        done = []
        with self._timed("execute"):
            for outcome in self.engine.execute(preview):
                done.append(outcome)
                key = outcome.operation.key
                self._reporter.operation_done(outcome, changes.get(key), trigger.cause)
                self._failures.pop(key, None)
                if outcome.error is not None:
                    self._failures[key] = outcome.error
        self._drifts.touch(working)
        self._drifts.worked_on(done, _now())
        return done

    def _show_progress(self, preview: Preview, working: list[Key]) -> None:
        """Before a pass that takes its time, say of what."""
        loaded = self.engine.loaded
        if loaded is None or len(working) < 10:
            return
        found = judge(preview, self._drifts.drifts, {}, frozenset(working))
        self._resources.update(loaded.catalog, found, time.time())
        ready = self._board.status.ready
        self._board.publish(replace(self._status(), in_sync=False, ready=ready))

    def _policy(self, *, asked: bool = False) -> Policy:
        """Say how far this pass may go.

        Args:
            asked: The manifests have changed: what was left because of its mode is put right, too.
        """
        waiting = self._retries.waiting(time.monotonic())
        left = self._drifts.suspended() if asked else self._drifts.left_alone()
        found = self.engine.policy(waiting | left, prune=not self._too_many)
        return replace(found, adopt=self._settings.adopt)

    def _mode_of(self, resource: str) -> Mode:
        loaded = self.engine.loaded
        found = loaded.catalog.resources.get(resource) if loaded else None
        return self._settings.mode if found is None or found.drift is None else Mode(found.drift)

    def _told(self, trigger: Trigger) -> Callable[[Change], tuple[FoundBy, Culprit | None]]:
        """Tell of a change how it came to be known, and who made it necessary."""
        look = self.engine.host.look.observed

        def answer(change: Change) -> tuple[FoundBy, Culprit | None]:
            items = [item for item in (change.before, change.after) if item is not None]
            culprits = (culprit_of(item, trigger.heard, look.index) for item in items)
            culprit = next((found for found in culprits if found is not None), None)
            if trigger.cause == "start":
                return FoundBy.START, culprit
            if any(told(item, trigger.heard) for item in items):
                return FoundBy.EVENT, culprit
            if change.key.type in SILENT or self._unwatched(change.key):
                return FoundBy.TIMER, culprit
            return FoundBy.LOOK if trigger.cause == "look" else FoundBy.EVENT, culprit

        return answer

    def _unwatched(self, key: Key) -> bool:
        if key.type not in {"chain", "rule"}:
            return False
        return not self.engine.host.watched(6 if family_of(key) == 6 else 4)

    def _remember(self, after: Preview) -> None:
        """Write down that this revision was applied, once all of it is."""
        if self.engine.loaded is not None and not differing(after) and not self._too_many:
            self._applied.remember(self.engine.loaded)

    def _source_of(self, resource: str) -> str:
        loaded = self.engine.loaded
        found = loaded.catalog.resources.get(resource) if loaded else None
        return "" if found is None else str(found.source)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._phases[phase] = self._phases.get(phase, 0.0) + time.perf_counter() - begin


def _now() -> Moment:
    return Moment(time.time(), time.monotonic(), random.random())  # noqa: S311 - spreads retries
