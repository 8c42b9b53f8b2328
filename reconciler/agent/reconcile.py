"""One pass: observe, expand, diff, decide, plan, execute, and look again.

A dry run is the same code, stopped before `execute`: nothing below the command line knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from reconciler.core.diff import Action, Change, diff
from reconciler.core.execute import Outcome
from reconciler.core.object import Key
from reconciler.core.plan import Plan, make_plan
from reconciler.core.policy import Decision, Policy, decide
from reconciler.core.state import State
from reconciler.host.base import Host, Interest
from reconciler.objects.firewall_observed import find_misplaced
from reconciler.objects.renames import follow_renames

ROUNDS_MAX = 3
"""Looks that lead to more work in one pass: what a dying stranger had blocked is done by the second
round; a third that is needed means that somebody works against us."""

Expand = Callable[[State], State]
"""From what is observed to what is desired: automatic addresses depend on both."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a pass would do."""

    desired: State
    observed: State
    decision: Decision
    policy: Policy = Policy()
    retold: bool = False
    """Something of `observed` is told by another name than the kernel's."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes, blocked ones included."""
        return self.decision.changes

    @property
    def in_sync(self) -> bool:
        """Nothing differs."""
        return not self.decision.changes

    @property
    def unchanged(self) -> int:
        """How many desired objects are as they should be."""
        return len(self.desired.objects.keys() - {change.key for change in self.changes})

    def plan(self) -> Plan:
        """The operations, in order."""
        return make_plan(self.decision.changes, self.desired, self.observed)


@dataclass(frozen=True, slots=True)
class Report:
    """What a pass did, and what it found when it looked again."""

    preview: Preview
    outcomes: tuple[Outcome, ...]
    after: Preview

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """Operations that did not work, or were not tried."""
        return tuple(outcome for outcome in self.outcomes if outcome.error is not None)

    @property
    def converged(self) -> bool:
        """Converged means an empty diff, not the absence of errors."""
        return self.after.in_sync


def preview(host: Host, expand: Expand, policy: Policy, set_name: str) -> Preview:
    """Look, and say what would be done."""
    interest = Interest.of(expand(State()))
    observed = host.observe(interest)
    return compare_states(expand(observed), observed, policy, set_name)


def compare_states(
    desired: State,
    observed: State,
    policy: Policy,
    set_name: str,
    keys: Collection[Key] | None = None,
) -> Preview:
    """Say what a pass would do, given what is wanted and what is there.

    Args:
        desired: What is wanted.
        observed: What is there.
        policy: How far the pass may go.
        set_name: Whose things are ours.
        keys: Only what may differ at these, see `reconciler.agent.affected`; None for everything.
    """
    told = follow_renames(desired, observed, set_name, keys)
    retold = told is not observed
    if retold:
        keys = None  # its keys are those of the wanted names
    if keys is None or any(key.type == "rule" for key in keys):
        told = find_misplaced(desired, told)
    changes = diff(desired, told, set_name, keys)
    return Preview(desired, told, decide(changes, desired, told, policy), policy, retold)


def reconcile(
    host: Host,
    expand: Expand,
    policy: Policy,
    set_name: str,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
    approve: Callable[[Preview], None] = lambda _: None,
) -> Report:
    """Converge *host*, and look again.

    Args:
        host: Where.
        expand: What is wanted, given what is there.
        policy: How far this pass may go.
        set_name: Whose things are ours.
        on_outcome: Told of every operation, as it is done.
        approve: Asked before anything is done; raises if it is not to be.
    """
    first = before = preview(host, expand, policy, set_name)
    approve(first)
    outcomes: list[Outcome] = []
    for _ in range(ROUNDS_MAX):
        done = _execute(host, before, on_outcome)
        outcomes += done
        if not done:
            return Report(first, tuple(outcomes), before)
        after = preview(host, expand, policy, set_name)
        if any(outcome.error for outcome in done) or not _work(after):
            return Report(first, tuple(outcomes), after)
        before = after
    return Report(first, tuple(outcomes), before)


def _work(after: Preview) -> bool:
    return any(change.action is not Action.BLOCKED for change in after.changes)


def _execute(host: Host, before: Preview, on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
    outcomes = []
    for outcome in host.execute(before.plan()):
        on_outcome(outcome)
        outcomes.append(outcome)
    return outcomes
