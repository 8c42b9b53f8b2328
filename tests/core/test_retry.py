"""When something is tried again: pauses grow, fights are recognised, and nothing waits for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.object import Key
from reconciler.core.retry import (
    FIGHT_FIRST,
    FIGHT_LONGEST,
    FIGHT_TIMES,
    FIGHT_WINDOW,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Retries,
    pause,
)

BR0, C1 = Key("device", "", "br0"), Key("netns", "", "c1")
CHANCE = 0.5
chances = st.floats(0, 1, exclude_max=True)


@pytest.fixture
def retries() -> Retries:
    return Retries()


def drift_until_fought_over(retries: Retries, key: Key, now: float = 0.0) -> float:
    """Drift as often as it takes, a second apart; gives the moment of the last."""
    for number in range(FIGHT_TIMES):
        retries.drifted(key, now + number, CHANCE)
    return now + FIGHT_TIMES - 1


def wait_of(retries: Retries, key: Key, now: float) -> float:
    """For how long a key is left alone from now on."""
    due = retries.next_due([key])
    assert due is not None
    return due - now


# --------------------------------------------------------------------------- pauses


def test_pauses_double():
    most = 1 - 1e-9
    waits = [pause(attempt, 1.0, 1000.0, most) for attempt in range(1, 6)]
    assert waits == pytest.approx([1, 2, 4, 8, 16])


def test_the_second_attempt_is_not_left_to_chance():
    assert {pause(1, FIRST_PAUSE, LONGEST_PAUSE, chance) for chance in (0, 0.5, 0.9)} == {
        FIRST_PAUSE
    }


def test_later_attempts_are_spread_over_a_third():
    assert pause(5, 1.0, 1000.0, 0.0) == pytest.approx(16 * 2 / 3)
    assert pause(5, 1.0, 1000.0, 0.5) == pytest.approx(16 * 5 / 6)


@given(st.integers(1, 10**6), chances)
def test_no_pause_is_longer_than_the_longest_or_shorter_than_the_first(attempt, chance):
    assert FIRST_PAUSE <= pause(attempt, FIRST_PAUSE, LONGEST_PAUSE, chance) <= LONGEST_PAUSE


@given(st.integers(1, 30), chances, chances)
def test_a_later_pause_is_never_shorter_but_by_chance(attempt, one, other):
    shorter = pause(attempt, FIRST_PAUSE, LONGEST_PAUSE, one)
    longer = pause(attempt + 1, FIRST_PAUSE, LONGEST_PAUSE, other)
    assert longer >= shorter * 2 / 3


# --------------------------------------------------------------------------- failures


def test_what_failed_waits_and_is_due_afterwards(retries):
    wait = retries.failed(BR0, 100.0, CHANCE)

    assert wait == FIRST_PAUSE
    assert retries.waiting(100.0) == {BR0}
    assert retries.next_due([BR0]) == 100.0 + wait
    assert retries.waiting(100.0 + wait) == frozenset()


def test_what_keeps_failing_waits_longer_each_time(retries):
    waits = [retries.failed(BR0, 100.0, CHANCE) for _ in range(20)]

    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(LONGEST_PAUSE * (2 + CHANCE) / 3)


def test_what_worked_begins_anew(retries):
    for _ in range(10):
        retries.failed(BR0, 0.0, CHANCE)
    retries.worked(BR0)

    assert retries.next_due([BR0]) is None
    assert retries.failed(BR0, 1000.0, CHANCE) == FIRST_PAUSE


def test_what_drifted_and_worked_begins_anew_too(retries):
    retries.drifted(BR0, 0.0, CHANCE)
    for _ in range(10):
        retries.failed(BR0, 0.0, CHANCE)
    retries.worked(BR0)

    assert retries.failed(BR0, 500.0, CHANCE) == FIRST_PAUSE


def test_what_worked_may_still_be_fought_over(retries):
    now = drift_until_fought_over(retries, BR0)
    retries.worked(BR0)

    assert retries.fought_over(BR0)
    assert retries.waiting(now) == {BR0}


def test_that_something_worked_which_never_failed_is_no_news(retries):
    retries.worked(BR0)

    assert retries.waiting(0.0) == frozenset()


def test_what_is_forgiven_is_tried_at_once(retries):
    retries.failed(BR0, 0.0, CHANCE)
    now = drift_until_fought_over(retries, C1)

    retries.forgive([BR0, C1, Key("netns", "", "never heard of")])

    assert retries.waiting(now) == frozenset()
    assert not retries.fought_over(C1)


def test_the_first_of_several_is_due_first(retries):
    retries.failed(BR0, 7.0, CHANCE)
    retries.failed(C1, 5.0, CHANCE)

    assert retries.next_due([BR0, C1]) == 5.0 + FIRST_PAUSE
    assert retries.next_due([BR0]) == 7.0 + FIRST_PAUSE


def test_nothing_is_due_where_nothing_waits(retries):
    retries.failed(BR0, 0.0, CHANCE)

    assert retries.next_due([]) is None
    assert retries.next_due([C1]) is None


# --------------------------------------------------------------------------- fights


def test_a_drift_is_put_right_at_once(retries):
    assert [retries.drifted(BR0, float(now), CHANCE) for now in range(4)] == [1, 2, 3, 4]
    assert retries.waiting(4.0) == frozenset()
    assert not retries.fought_over(BR0)


def test_the_fifth_drift_in_ten_minutes_is_a_fight(retries):
    times = [retries.drifted(BR0, now * FIGHT_WINDOW / 4, CHANCE) for now in range(5)]

    assert times[-1] == FIGHT_TIMES == 5
    assert retries.fought_over(BR0)
    assert wait_of(retries, BR0, FIGHT_WINDOW) == FIGHT_FIRST


def test_drifts_that_are_further_apart_are_no_fight(retries):
    for number in range(20):
        assert retries.drifted(BR0, number * (FIGHT_WINDOW / 4 + 1), CHANCE) < FIGHT_TIMES
    assert not retries.fought_over(BR0)


def fight_on(
    retries: Retries, key: Key, now: float, rounds: int, later: float = 1.0
) -> list[float]:
    """Undo it some seconds after it was put right, each time; gives how long it is left alone."""
    waits = []
    for _ in range(rounds):
        waits.append(wait_of(retries, key, now))
        now += waits[-1]
        assert retries.waiting(now) == frozenset(), "it is put right now"
        retries.worked(key)
        now += later
        retries.drifted(key, now, CHANCE)
    return waits


def test_who_fights_on_is_left_alone_ever_longer(retries):
    now = drift_until_fought_over(retries, BR0)
    waits = fight_on(retries, BR0, now, 30)

    assert waits == pytest.approx(sorted(waits))
    assert waits[:3] == pytest.approx([FIGHT_FIRST, *(n * FIGHT_FIRST * 2.5 / 3 for n in (2, 4))])
    assert waits[-1] == pytest.approx(FIGHT_LONGEST * 2.5 / 3)


def test_a_fight_is_not_over_because_we_leave_it_alone_for_long(retries):
    now = drift_until_fought_over(retries, BR0)
    fight_on(retries, BR0, now, 30, later=FIGHT_WINDOW / 3)

    assert retries.fought_over(BR0)


def test_a_fight_is_forgotten_after_a_quiet_window(retries):
    now = drift_until_fought_over(retries, BR0)
    over = now + wait_of(retries, BR0, now) + FIGHT_WINDOW + 1

    assert retries.drifted(BR0, over, CHANCE) == 1
    assert not retries.fought_over(BR0)
    assert retries.waiting(over) == frozenset()


def test_a_fight_that_begins_anew_begins_with_a_short_pause(retries):
    now = drift_until_fought_over(retries, BR0)
    fight_on(retries, BR0, now, 10)
    later = drift_until_fought_over(retries, BR0, now + 100 * FIGHT_WINDOW)

    assert wait_of(retries, BR0, later) == FIGHT_FIRST


def test_what_was_quiet_for_a_window_is_forgotten(retries):
    retries.drifted(BR0, 0.0, CHANCE)

    retries.tidy(FIGHT_WINDOW)
    assert retries.next_due([BR0]) is not None
    retries.tidy(FIGHT_WINDOW + 1)
    assert retries.next_due([BR0]) is None


def test_what_fails_or_is_left_alone_is_not_forgotten(retries):
    retries.failed(BR0, 0.0, CHANCE)
    now = drift_until_fought_over(retries, C1)
    due = retries.next_due([C1])

    retries.tidy(10 * FIGHT_WINDOW)
    assert retries.failed(BR0, 10 * FIGHT_WINDOW, 0.0) > FIRST_PAUSE

    drift_until_fought_over(retries, C1, now + 100 * FIGHT_WINDOW)
    retries.tidy(now + 100 * FIGHT_WINDOW + FIGHT_FIRST)
    assert retries.fought_over(C1)
    assert due is not None


# --------------------------------------------------------------------------- laws

deeds = st.lists(
    st.tuples(
        st.sampled_from(["failed", "drifted", "worked", "forgive", "tidy"]),
        st.sampled_from([BR0, C1]),
        st.floats(0, 900),
        chances,
    ),
    max_size=60,
)


def do(retries: Retries, deed: str, key: Key, now: float, chance: float) -> None:
    match deed:
        case "failed" | "drifted":
            getattr(retries, deed)(key, now, chance)
        case "worked":
            retries.worked(key)
        case "forgive":
            retries.forgive([key])
        case _:
            retries.tidy(now)


@given(deeds)
def test_nothing_ever_waits_longer_than_the_longest_pause(done):
    retries, now = Retries(), 0.0
    for deed, key, later, chance in done:
        now += later
        do(retries, deed, key, now, chance)
        due = retries.next_due([BR0, C1])
        assert due is None or due - now <= max(LONGEST_PAUSE, FIGHT_LONGEST)
        assert retries.waiting(now + max(LONGEST_PAUSE, FIGHT_LONGEST)) == frozenset()


@given(deeds)
def test_what_happens_to_one_object_is_nothing_to_another(done):
    both, alone, now = Retries(), Retries(), 0.0
    for deed, key, later, chance in done:
        now += later
        do(both, deed, key, now, chance)
        if key == BR0 or deed == "tidy":
            do(alone, deed, key, now, chance)
        assert both.next_due([BR0]) == alone.next_due([BR0])
        assert both.fought_over(BR0) == alone.fought_over(BR0)


@given(deeds)
def test_what_waits_is_due_and_what_is_due_waits(done):
    retries, now = Retries(), 0.0
    for deed, key, later, chance in done:
        now += later
        do(retries, deed, key, now, chance)
        for one in (BR0, C1):
            due = retries.next_due([one])
            assert (one in retries.waiting(now)) == (due is not None and due > now)
