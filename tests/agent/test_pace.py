"""When kicks are acted on: the first at once, a burst once, a storm now and then."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.agent.pace import Pace

SETTLE, QUIET, LONGEST = 0.002, 0.05, 0.5


@pytest.fixture
def pace() -> Pace:
    return Pace(settle=SETTLE, quiet=QUIET, longest=LONGEST)


def run(pace: Pace, kicks: list[float]) -> list[float]:
    """Kick at these moments and act whenever it is due; gives when that was."""
    acts = []
    for now in [*kicks, float("inf")]:
        while (due := pace.due()) is not None and due <= now:
            pace.act(due)
            acts.append(due)
            assert len(acts) <= len(kicks), "it acts without a kick"
        if now < float("inf"):
            pace.kick(now)
    return acts


def test_nothing_is_due_before_anybody_kicks(pace):
    assert pace.due() is None
    assert not pace.pending


def test_the_first_kick_is_acted_on_almost_at_once(pace):
    pace.kick(10.0)

    assert pace.pending
    assert pace.due() == pytest.approx(10.0 + SETTLE)


def test_what_was_acted_on_is_not_due_any_more(pace):
    pace.kick(10.0)
    pace.act(10.1)

    assert pace.due() is None
    assert not pace.pending


def test_kicks_that_come_together_are_acted_on_once(pace):
    assert len(run(pace, [10.0, 10.0005, 10.001])) == 1


def test_after_an_act_quiet_is_waited_for(pace):
    run(pace, [10.0])
    pace.kick(10.1)
    pace.kick(10.12)

    assert pace.due() == pytest.approx(10.12 + QUIET)


def test_a_burst_costs_two_acts(pace):
    """One for its beginning, and one when it is over."""
    burst = [10.0 + number * 0.01 for number in range(30)]

    acts = run(pace, burst)

    assert acts == pytest.approx([10.0 + SETTLE, burst[-1] + QUIET])


def test_a_storm_is_acted_on_at_least_every_so_often(pace):
    storm = [10.0 + number * 0.01 for number in range(1000)]

    acts = run(pace, storm)

    gaps = [after - before for before, after in pairwise(acts)]
    assert max(gaps) <= LONGEST + 0.011  # the next kick has to come first
    assert len(acts) <= 10 / LONGEST + 2


def test_after_a_quiet_time_the_first_kick_is_fast_again(pace):
    first, second = run(pace, [10.0, 20.0])

    assert (first, second) == pytest.approx((10.0 + SETTLE, 20.0 + SETTLE))


def test_as_many_acts_in_a_row_as_the_budget_has_are_fast():
    pace = Pace(settle=SETTLE, quiet=QUIET, longest=LONGEST, budget=3)
    kicks = [10.0, 10.01, 10.02, 10.03]

    acts = run(pace, kicks)

    waits = [act - kick for act, kick in zip(acts, kicks, strict=True)]
    assert waits == pytest.approx([SETTLE, SETTLE, SETTLE, QUIET])


def test_the_budget_is_there_again_once_the_acts_are_long_ago():
    pace = Pace(settle=SETTLE, quiet=QUIET, longest=LONGEST, budget=2)
    run(pace, [10.0, 10.01, 10.02])

    acts = run(pace, [20.0, 20.01])

    assert acts == pytest.approx([20.0 + SETTLE, 20.01 + SETTLE])


@given(
    st.lists(st.floats(0, 2), min_size=1, max_size=60),
    st.integers(1, 5),
)
def test_every_kick_is_acted_on_soon_and_none_twice(gaps: list[float], budget: int):
    pace = Pace(settle=SETTLE, quiet=QUIET, longest=LONGEST, budget=budget)
    kicks, now = [], 10.0
    for gap in gaps:
        now += gap
        kicks.append(now)

    acts = run(pace, kicks)

    for kick in kicks:
        assert any(kick <= act <= kick + LONGEST + 1e-9 for act in acts)
    assert len(acts) <= len(kicks)
    assert acts == sorted(set(acts))


@given(st.lists(st.floats(0, 0.02), min_size=50, max_size=200), st.integers(1, 5))
def test_however_dense_the_kicks_the_acts_are_no_denser_than_the_budget(gaps, budget):
    pace = Pace(settle=SETTLE, quiet=QUIET, longest=LONGEST, budget=budget)
    kicks, now = [], 10.0
    for gap in gaps:
        now += gap
        kicks.append(now)

    acts = run(pace, kicks)

    for start in acts:
        together = [act for act in acts if start <= act < start + LONGEST]
        assert len(together) <= budget + LONGEST / QUIET + 1
