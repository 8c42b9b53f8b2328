"""The full look in slices: each namespace once in a round, a round in about its period."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.agent.slices import PERIOD, PORTION, SPREAD, Slices
from reconciler.core.object import HOST
from reconciler.host.base import Scope

chances = st.floats(0, 1, exclude_max=True)
EVEN = 0.5
"""The chance with which a round takes exactly its period."""


def spaces(count: int) -> frozenset[str]:
    return frozenset({HOST, *(f"c{number}" for number in range(count))})


def round_of(slices: Slices, namespaces: frozenset[str], chance: float = EVEN) -> list[Scope]:
    """All slices of one round, each taken when it is due."""
    found = [slices.next(namespaces, slices.due, chance)]
    while slices._left:
        found.append(slices.next(namespaces, slices.due, chance))
    return found


def looked_into(scopes: list[Scope]) -> list[str]:
    return sorted(name for scope in scopes for name in scope.namespaces)


def test_the_first_slice_is_due_a_period_after_everything_was_looked_at():
    assert Slices(100.0).due == 100.0 + PERIOD
    assert Slices(100.0, 7.0).due == 107.0


def test_a_round_begins_with_what_all_share():
    first = Slices(0.0).next(spaces(3), 60.0, EVEN)

    assert first == Scope(
        host=True,
        spaces=True,
        families=frozenset({4, 6}),
        all_folders=True,
        sysctls=frozenset({HOST}),
    )


def test_folders_of_which_inotify_tells_are_looked_at_in_every_fifth_round():
    slices = Slices(0.0)

    firsts = [round_of(slices, spaces(1))[0].all_folders for _ in range(11)]

    assert firsts == [n % 5 == 0 for n in range(11)]


def test_a_host_without_containers_is_one_slice():
    slices = Slices(0.0)

    assert len(round_of(slices, spaces(0))) == 1
    assert slices.due == pytest.approx(2 * PERIOD)


def test_a_namespace_is_looked_into_with_its_parameters():
    _, second = round_of(Slices(0.0), spaces(2))

    assert second == Scope(
        namespaces=frozenset({"c0", "c1"}),
        sysctls=frozenset({"c0", "c1"}),
    )


@pytest.mark.parametrize(
    ("count", "slices"), [(1, 2), (PORTION, 2), (PORTION + 1, 3), (10 * PORTION, 11)]
)
def test_namespaces_come_in_small_portions(count, slices):
    found = round_of(Slices(0.0), spaces(count))

    assert len(found) == slices
    assert max(len(scope.namespaces) for scope in found) <= PORTION


def test_what_was_looked_at_for_another_reason_puts_the_round_off():
    slices = Slices(0.0)
    slices.next(spaces(50), 60.0, EVEN)

    slices.restart(61.0)

    assert slices.due == 61.0 + PERIOD
    assert slices.next(spaces(50), slices.due, EVEN).host, "a new round begins"


def test_a_round_goes_on_without_a_namespace_that_came_meanwhile():
    """The next round has it; the look at the list of names has read it already."""
    slices = Slices(0.0)
    slices.next(spaces(2), 60.0, EVEN)

    assert looked_into([slices.next(spaces(3), slices.due, EVEN)]) == ["c0", "c1"]
    assert looked_into(round_of(slices, spaces(3))) == ["c0", "c1", "c2"]


def test_a_namespace_that_is_gone_is_not_in_the_next_round():
    slices = Slices(0.0)
    round_of(slices, spaces(3))

    assert looked_into(round_of(slices, spaces(1))) == ["c0"]


def test_rounds_are_counted():
    slices = Slices(0.0)
    for _ in range(3):
        round_of(slices, spaces(50))

    assert slices.rounds == 3


@given(st.integers(0, 300), chances)
def test_every_namespace_is_in_exactly_one_slice_of_a_round(count, chance):
    found = round_of(Slices(0.0), spaces(count), chance)

    assert looked_into(found) == sorted(spaces(count) - {HOST})
    assert [scope.host for scope in found] == [True] + [False] * (len(found) - 1)


@given(st.integers(0, 300), chances, st.floats(1, 3600))
def test_a_round_takes_its_period_give_or_take_a_tenth(count, chance, period):
    slices = Slices(0.0, period)
    begun = slices.due
    round_of(slices, spaces(count), chance)

    took = slices.due - begun
    assert took == pytest.approx(period * (1 + SPREAD * (chance - 0.5)))
    assert 0.9 * period <= took * (1 + 1e-9)
    assert took <= 1.1 * period * (1 + 1e-9)


@given(st.lists(st.tuples(st.integers(0, 60), chances), min_size=1, max_size=30))
def test_slices_are_due_ever_later_whatever_comes_and_goes(done):
    slices = Slices(0.0)
    for count, chance in done:
        now = slices.due
        slices.next(spaces(count), now, chance)
        assert slices.due > now
