"""Drifts: which objects are other than declared and nobody asked for it, and what became of each.

Every comparison is shown to the book. What is new in it and was not brought by a change of the
manifests is drift; what is not in it any more has ended. Fights are recognised here, too: who drifts
again and again is left alone for ever longer, and whoever undoes our work is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.agent.reconcile import Preview
from reconciler.core.diff import Action, Change
from reconciler.core.drift import Culprit, Drift, Fate, FoundBy, Mode
from reconciler.core.execute import Outcome
from reconciler.core.object import Key
from reconciler.core.retry import Retries


@dataclass(frozen=True, slots=True)
class Moment:
    """When a comparison was made, by both clocks, in seconds; and the chance of this time."""

    wall: float
    """Since the epoch."""
    monotonic: float
    chance: float
    """In [0, 1)."""


Settle = Callable[[Drift, float], None]
"""Told of a drift that ended, or whose fate has changed, and how many seconds it has lasted."""


@dataclass(slots=True)
class _Open:
    drift: Drift
    since: float
    """When the kernel told, or when it was found, by the monotonic clock."""
    touched: bool = False
    """Whether we have worked on it."""


class DriftBook:
    """The drifts that are open."""

    def __init__(self, retries: Retries, mode_of: Callable[[str], Mode], settle: Settle) -> None:
        """Begin with none.

        Args:
            retries: What waits, and who drifts how often.
            mode_of: Gives the mode of a resource (``Kind/name``).
            settle: Told of every drift that ended or changed its fate.
        """
        self._retries, self._mode_of, self._settle = retries, mode_of, settle
        self._open: dict[Key, _Open] = {}
        self.owed: set[Key] = set()
        """What a change of the manifests asked for and could not be done yet: no drift."""

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """All that is open, oldest first."""
        return tuple(one.drift for one in self._open.values())

    def get(self, key: Key) -> Drift | None:
        """The open drift of an object."""
        found = self._open.get(key)
        return None if found is None else found.drift

    def left_alone(self) -> frozenset[Key]:
        """Name what is not put right because of its mode."""
        return frozenset(k for k, one in self._open.items() if one.drift.mode is not Mode.HEAL)

    def suspended(self) -> frozenset[Key]:
        """Name what is left as it is whatever the manifests say."""
        return frozenset(k for k, one in self._open.items() if one.drift.mode is Mode.SUSPEND)

    def see(
        self,
        preview: Preview,
        moment: Moment,
        told: Callable[[Change], tuple[FoundBy, Culprit | None]],
        since: float,
    ) -> list[Drift]:
        """Take what a comparison with what was wanted before has found; gives what is new.

        Args:
            preview: The comparison.
            moment: When it was made.
            told: Says how an object's drift came to be known, and who caused it.
            since: When the kernel told, by the monotonic clock.
        """
        found = differing(preview)
        self.owed &= found.keys()
        self._retries.tidy(moment.monotonic)
        new = []
        for key, change in found.items():
            known = self._open.get(key)
            if known is not None:
                known.drift = replace(known.drift, change=self._whole(known.drift.change, change))
            elif key not in self.owed:
                new.append(self._begin(change, moment, *told(change), since))
        return new

    @staticmethod
    def _whole(before: Change, after: Change) -> Change:
        """What is held back is called blocked; what it was before says more."""
        return before if after.action is Action.BLOCKED else after

    def _begin(
        self,
        change: Change,
        moment: Moment,
        found_by: FoundBy,
        culprit: Culprit | None,
        since: float,
    ) -> Drift:
        mode = self._mode_of(change.owner.resource)
        times, fate, message = 1, Fate.OPEN, ""
        if mode is Mode.HEAL:
            times = self._retries.drifted(change.key, moment.monotonic, moment.chance)
        if mode is Mode.HEAL and self._retries.fought_over(change.key):
            fate = Fate.FIGHT
            who = culprit or "somebody"
            message = f"{who} undid it {times} times in ten minutes; it is tried ever more rarely"
        elif mode is not Mode.HEAL:
            fate = Fate.REPORTED
            message = f"left as it is: its mode is {mode.value}"
        drift = Drift(
            change, moment.wall, found_by, mode, culprit, fate, message=message, times=times
        )
        self._open[change.key] = _Open(drift, since)
        if fate is not Fate.OPEN:
            self._settle(drift, 0.0)
        return drift

    def worked_on(self, outcomes: Iterable[Outcome], moment: Moment) -> None:
        """Take what became of operations: what failed is tried again later."""
        for outcome in outcomes:
            key = outcome.operation.key
            one = self._open.get(key)
            if one is not None:
                one.touched = True
            if outcome.error is None:
                self._retries.worked(key)
                continue
            self._retries.failed(key, moment.monotonic, moment.chance)
            if one is not None:
                self._change_fate(one, Fate.FAILED, outcome.error, moment)

    def settle(self, after: Preview, moment: Moment) -> None:
        """Take a comparison after the work: what is not in it has ended."""
        found = differing(after)
        self.owed &= found.keys()
        for key, one in list(self._open.items()):
            change = found.get(key)
            if change is None:
                fate = Fate.HEALED if one.touched else Fate.GONE
                ended = replace(one.drift, fate=fate, settled=moment.wall, message="")
                del self._open[key]
                self._retries.worked(key)
                self._settle(ended, moment.monotonic - one.since)
            elif change.action is Action.BLOCKED and (
                one.drift.fate is Fate.OPEN
                # What failed and now only waits for something else has still failed.
                or (one.drift.fate is Fate.FAILED and change.in_the_way)
            ):
                self._change_fate(one, Fate.BLOCKED, change.reason, moment)

    def _change_fate(self, one: _Open, fate: Fate, message: str, moment: Moment) -> None:
        before = one.drift
        one.drift = replace(before, fate=fate, message=message)
        if (before.fate, before.message) != (fate, message):
            self._settle(one.drift, moment.monotonic - one.since)

    def touch(self, keys: Iterable[Key]) -> None:
        """Note that we have worked on these, if only by working on what they live in."""
        for key in keys:
            if key in self._open:
                self._open[key].touched = True


def differing(preview: Preview) -> Mapping[Key, Change]:
    """All that is not as declared: what a pass would do, and what it holds back for later.

    What is withheld for another reason (its resource is suspended, nothing is pruned) is as it may be.
    """
    waiting = preview.policy.waiting
    held = {c.key: c for c in preview.decision.withheld if c.key in waiting}
    return held | {c.key: c for c in preview.changes}
