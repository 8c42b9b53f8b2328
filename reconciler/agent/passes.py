"""Passes: look at what may have changed, tell drift from what was asked for, put right, look again.

A pass gets what the kernel told, what is to be looked at, and a new revision if there is one. It
leaves a status on the board. Nothing is written before a first complete load and a first complete
look; what is wrong with one object holds up only what depends on it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from reconciler.agent.applied import AppliedRecord
from reconciler.agent.attribution import attribute
from reconciler.agent.board import Board
from reconciler.agent.drifts import DriftBook, Moment, differing
from reconciler.agent.engine import Engine
from reconciler.agent.port_problems import explain_ports
from reconciler.agent.publisher import Publisher
from reconciler.agent.reconcile import ROUNDS_MAX, Preview
from reconciler.agent.reporter import Reporter
from reconciler.agent.scopes import scope_heard, scope_of
from reconciler.agent.source import Loaded
from reconciler.agent.status import PassSummary
from reconciler.agent.trigger import Settings, Trigger
from reconciler.core.diff import Action
from reconciler.core.drift import Mode
from reconciler.core.execute import Outcome
from reconciler.core.guard import check_deletes, count_owned
from reconciler.core.object import Key
from reconciler.core.policy import SHARED, Policy
from reconciler.core.retry import Retries
from reconciler.errors import ReconcilerError
from reconciler.host.monitor import Monitor
from reconciler.manifest.problem import Problem


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
        self._reporter, self._applied = reporter, applied
        self.publisher = Publisher(engine, board, settings.set_name, settings.mode)
        self._retries = Retries()
        self._drifts = DriftBook(self._retries, self._mode_of, reporter.drift_settled)
        self._failures: dict[Key, str] = {}
        self._preview: Preview | None = None
        self._number = 0
        self._phases: dict[str, float] = {}
        self.alive: Callable[[], None] = lambda: None
        """Called at every step: a pass over thousands of objects takes longer than a watchdog waits."""
        self._asked = False
        """A change of the manifests is being made, or was when the last pass came to nothing."""
        self.refused: Loaded | None = None
        """A revision that is valid and cannot be wanted on this host as it is: tried again."""

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
        if self._asked:
            self._drifts.owed |= set(differing(after)) - {d.change.key for d in self._drifts.drifts}
            self._remember(after)
        self._asked, self._preview, self.publisher.trouble = False, after, ""
        standing = differing(after)
        self._failures = {key: why for key, why in self._failures.items() if key in standing}
        summary = self._summary(trigger, started, clock, outcomes)
        if outcomes or trigger.cause not in {"look", "drift"}:
            self.publisher.last_pass = summary
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
            revision=self.publisher.manifests.revision,
        )

    @property
    def in_sync(self) -> bool:
        """The host is as the manifests say, and they are as they are in the directory."""
        return self.publisher.in_sync(self._preview, self._drifts.drifts)

    def failed(self, why: str) -> None:
        """A pass came to nothing: the kernel refused even to be looked at."""
        self.publisher.trouble = f"the last pass failed: {why}"
        self.publish()

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
        self.publisher.publish(self._preview, self._drifts.drifts, self._failures)

    def _before(self, trigger: Trigger) -> Preview | None:
        """Compare with what was wanted so far: whatever differs now, nobody asked for."""
        if self.engine.loaded is None or self._asked:
            return None
        with self._timed("compare"):
            found = self.engine.compare(self._policy())
            new = self._see(found, trigger)
            if new and trigger.loaded is None:
                # What has just been found may be one to leave, or one that is fought over.
                found = self.engine.compare(self._policy())
        return found

    def _see(self, found: Preview, trigger: Trigger) -> bool:
        """Take what differs and nobody asked for; tells whether any of it is new."""
        who = attribute(self.engine.host, trigger)
        new = self._drifts.see(found, _now(), who, trigger.since)
        for drift in new:
            self._reporter.drift_seen(drift)
        return bool(new)

    def _accept(self, loaded: Loaded) -> bool:
        try:
            with self._timed("expand"):
                self.engine.accept(loaded)
        except ReconcilerError as error:
            self.publisher.refusal = tuple(explain_ports(loaded.catalog, error)) or (
                Problem(", ".join(loaded.paths), 0, 0, "", "", str(error)),
            )
            self.publisher.refused_since = self.publisher.refused_since or time.time()
            self.refused = loaded
            self._reporter.trouble("manifests are refused", str(error))
            return False
        self.refused, self._asked = None, True
        self.publisher.accepted()
        self._retries.forgive_all()
        self._reporter.source_of = self.publisher.source_of
        return True

    def _decide(self, trigger: Trigger, before: Preview | None) -> Preview:
        """Say what this pass is going to do."""
        if trigger.loaded is None and before is not None:
            return before
        with self._timed("compare"):
            if not self._asked:
                return self.engine.compare(self._policy())
            found = self.engine.compare(self._policy(asked=True))
            if trigger.cause == "start" and self._was_applied(trigger.loaded, found):
                # The same manifests were in force here before: what differs now is drift. Where
                # nothing is there at all, the host was started anew, or torn down.
                self._see(found, trigger)
                found = self.engine.compare(self._policy())
            return self._guarded(found)

    def _was_applied(self, loaded: Loaded | None, found: Preview) -> bool:
        if loaded is None or not self._applied.is_applied(loaded):
            return False
        return count_owned(found.observed, self._settings.set_name) > 0

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
        self.publisher.too_many = reason or ""
        if reason is None:
            return found
        self._reporter.trouble("nothing is deleted", reason)
        return self.engine.compare(self._policy(asked=True))

    def _converge(self, trigger: Trigger, preview: Preview) -> tuple[list[Outcome], Preview]:
        """Do it, look at what that has touched, and go on as long as there is more to do."""
        outcomes: list[Outcome] = []
        asked = self._asked
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
                    self._see(preview, again)
            if not any(change.action is not Action.BLOCKED for change in preview.changes):
                break
        return outcomes, preview

    def _execute(self, trigger: Trigger, preview: Preview) -> list[Outcome]:
        changes = {change.key: change for change in preview.changes}
        working = [k for k, change in changes.items() if change.action is not Action.BLOCKED]
        if not working:
            return []
        self.publisher.progress(preview, self._drifts.drifts, frozenset(working))
        now = time.time()
        for key in working:
            self._reporter.change_told(changes[key], trigger.cause, now)
        done = []
        with self._timed("execute"):
            for outcome in self.engine.execute(preview):
                done.append(outcome)
                self.alive()
                key = outcome.operation.key
                self._reporter.operation_done(outcome, changes.get(key), trigger.cause)
                self._failures.pop(key, None)
                if outcome.error is not None:
                    self._failures[key] = outcome.error
        self._drifts.touch(working)
        self._drifts.worked_on(done, _now())
        return done

    def _policy(self, *, asked: bool = False) -> Policy:
        """Say how far this pass may go.

        Args:
            asked: The manifests have changed: what was left because of its mode is put right, too.
        """
        waiting = self._retries.waiting(time.monotonic())
        left = self._drifts.suspended() if asked else self._drifts.left_alone()
        found = self.engine.policy(waiting | left, prune=not self.publisher.too_many)
        return replace(found, adopt=self._settings.adopt)

    def _mode_of(self, resource: str) -> Mode:
        loaded = self.engine.loaded
        found = loaded.catalog.resources.get(resource) if loaded else None
        return self._settings.mode if found is None or found.drift is None else Mode(found.drift)

    def _remember(self, after: Preview) -> None:
        """Write down that this revision was applied, once all of it is."""
        if self.engine.loaded is not None and not differing(after) and not self.publisher.too_many:
            self._applied.remember(self.engine.loaded)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._phases[phase] = self._phases.get(phase, 0.0) + time.perf_counter() - begin


def _now() -> Moment:
    return Moment(time.time(), time.monotonic(), random.random())  # noqa: S311 - spreads retries
