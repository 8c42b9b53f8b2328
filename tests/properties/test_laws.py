"""Laws of diff, policy and plan, over random pairs of what is wanted and what is there."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.diff import Action, Change, diff
from reconciler.core.object import Mark
from reconciler.core.plan import Verb, make_plan
from reconciler.core.policy import Decision, Policy, decide
from reconciler.core.state import State
from reconciler.host.base import Interest
from reconciler.host.fake import FakeHost
from reconciler.objects.renames import follow_renames
from tests.properties.worlds import SET, desired_states, kernels

ADOPT = Policy(adopt=True)


def decision(desired: State, host: FakeHost, policy: Policy = Policy()) -> Decision:
    observed = look(desired, host)
    return decide(diff(desired, observed, SET), desired, observed, policy)


def look(desired: State, host: FakeHost) -> State:
    return follow_renames(desired, host.observe(Interest.of(desired)), SET)


def one_pass(desired: State, host: FakeHost, policy: Policy = Policy()) -> list[str]:
    """Run a pass; return what the kernel refused."""
    observed = look(desired, host)
    changes = decide(diff(desired, observed, SET), desired, observed, policy).changes
    plan = make_plan(changes, desired, observed)
    return [f"{o.operation}: {o.error}" for o in host.execute(plan) if o.error is not None]


def converge(desired: State, host: FakeHost) -> None:
    """One pass does everything, but for what a foreign object blocked that goes in this very pass
    (a stranger's route dies with our device): that is done by the next."""
    blocked = {c.key for c in decision(desired, host).changes if c.action is Action.BLOCKED}
    assert one_pass(desired, host) == []
    assert {c.key for c in work(decision(desired, host).changes)} <= blocked
    assert one_pass(desired, host) == []
    assert work(decision(desired, host).changes) == []


def work(changes: tuple[Change, ...]) -> list[Change]:
    return [c for c in changes if c.action is not Action.BLOCKED]


@given(desired_states())
def test_a_state_does_not_differ_from_itself(state: State) -> None:
    assert diff(state, state, SET) == ()


@given(desired_states(), kernels())
def test_one_pass_does_all_that_is_not_blocked_and_the_kernel_refuses_nothing(
    desired: State, host: FakeHost
) -> None:
    converge(desired, host)


@given(desired_states(), kernels())
def test_one_pass_that_may_adopt_converges(desired: State, host: FakeHost) -> None:
    refused = one_pass(desired, host, ADOPT)

    assert refused == []
    assert decision(desired, host, ADOPT).changes == ()


@given(desired_states(), kernels())
def test_a_second_pass_plans_nothing(desired: State, host: FakeHost) -> None:
    converge(desired, host)
    host.trace.clear()

    one_pass(desired, host)

    assert host.trace == []


@given(desired_states(), kernels())
def test_foreign_objects_are_untouched_without_consent(desired: State, host: FakeHost) -> None:
    interest = Interest.of(desired)
    before = host.observe(interest)
    foreign = {
        key: item
        for key, item in before.objects.items()
        if item.mark is not Mark.NONE
        and (key not in before.owners or before.owners[key].set != SET)
        and not _lives_in_ours(before, key)
    }

    one_pass(desired, host)

    after = host.observe(interest)
    for key, item in foreign.items():
        assert after.objects.get(key) == item
        assert after.owners.get(key) == before.owners.get(key)


def _lives_in_ours(state: State, key: object) -> bool:
    """Does the object hang on one of ours, so that it goes when that goes."""
    item = state.objects[key]  # type: ignore[index]
    for need in state.needs(item):
        owner = state.owners.get(need)
        if owner is not None and owner.set == SET:
            return True
        if _lives_in_ours(state, need):
            return True
    return False


@given(desired_states(), kernels())
def test_without_pruning_nothing_is_deleted_but_what_is_made_again(
    desired: State, host: FakeHost
) -> None:
    observed = look(desired, host)
    policy = Policy(prune=False)
    changes = decide(diff(desired, observed, SET), desired, observed, policy).changes

    deleted = [c for c in changes if c.action is Action.DELETE]

    displaced = {key for c in changes for key in c.displaces}
    assert all(c.key in displaced for c in deleted)


@given(desired_states(), kernels(), st.randoms(use_true_random=False))
def test_the_order_of_collection_does_not_matter(
    desired: State, host: FakeHost, rng: random.Random
) -> None:
    seen = host.observe(Interest.of(desired))
    observed = follow_renames(desired, seen, SET)
    wanted = _shuffled(desired, rng)
    shuffled = [wanted, follow_renames(wanted, _shuffled(seen, rng), SET)]
    changes = decide(diff(desired, observed, SET), desired, observed).changes

    again = decide(diff(*shuffled, SET), *shuffled).changes

    assert again == changes
    assert make_plan(again, *shuffled) == make_plan(changes, desired, observed)


def _shuffled(state: State, rng: random.Random) -> State:
    found = [(item, state.owners.get(key)) for key, item in state.objects.items()]
    rng.shuffle(found)
    return State.of(found)


@given(desired_states(), kernels(), st.data())
def test_a_refusal_stops_only_what_depends_on_it_and_the_next_pass_heals(
    desired: State, host: FakeHost, data: st.DataObject
) -> None:
    observed = look(desired, host)
    changes = decide(diff(desired, observed, SET), desired, observed).changes
    plan = make_plan(changes, desired, observed)
    if not plan.operations:
        return
    victim = data.draw(st.sampled_from(plan.operations))
    host.refuse = lambda op: "ENOMEM: Cannot allocate memory" if op == victim else None

    outcomes = list(host.execute(plan))

    failed = {o.operation.key for o in outcomes if o.error is not None}
    assert victim.key in failed
    for outcome in outcomes:
        if outcome.skipped:
            assert failed & {outcome.operation.key, *outcome.operation.needs}
    host.refuse = lambda _: None
    converge(desired, host)


@given(desired_states(), kernels(), st.data())
def test_killed_after_any_operation_the_next_pass_converges(
    desired: State, host: FakeHost, data: st.DataObject
) -> None:
    observed = look(desired, host)
    changes = decide(diff(desired, observed, SET), desired, observed).changes
    plan = make_plan(changes, desired, observed)
    stop = data.draw(st.integers(0, len(plan.operations)))

    for _, _outcome in zip(range(stop), host.execute(plan), strict=False):
        pass

    converge(desired, host)


@settings(max_examples=50)
@given(desired_states(), kernels())
def test_an_empty_wish_removes_all_of_ours_and_nothing_else(desired: State, host: FakeHost) -> None:
    converge(desired, host)

    one_pass(State(), host)

    after = host.observe()
    assert [k for k, owner in after.owners.items() if owner.set == SET] == []


@given(desired_states(), kernels())
def test_an_operation_is_shown_as_a_change_first(desired: State, host: FakeHost) -> None:
    observed = look(desired, host)
    changes = decide(diff(desired, observed, SET), desired, observed).changes

    plan = make_plan(changes, desired, observed)

    shown = {c.key: c.action for c in work(changes)}
    for operation in plan.operations:
        action = shown[operation.key]
        allowed = {
            Verb.ADD: {Action.CREATE, Action.REPLACE},
            Verb.SET: {Action.UPDATE},
            Verb.DELETE: {Action.DELETE, Action.REPLACE},
        }
        assert action in allowed[operation.verb]
