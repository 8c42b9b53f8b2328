"""Drift: what somebody breaks, one pass puts right, wherever it was broken."""

from __future__ import annotations

from random import Random

import pytest

from tests.kernel.drifts import DRIFTS, shape
from tests.kernel.passes import apply, assert_settled, converge, describe, diff
from tests.kernel.worlds import MANY, assert_ways, write
from tests.world import Host

NUMBERS = range(50)
THREES = range(1000, 1010)


def one_pass_heals(host: Host, number: int, count: int) -> None:
    """Build, break, converge; the same number always breaks the same things."""
    choose = Random(number)
    drifts = choose.sample(DRIFTS, count) if count > 1 else [DRIFTS[number % len(DRIFTS)]]
    write(host, MANY)
    converge(host)
    before = shape(host)

    done = [f"{drift.__name__}: {drift(host, choose)}" for drift in drifts]
    shown = diff(host)
    assert shape(host) != before or not shown.in_sync, done
    report = apply(host)

    failures = [f"{o.operation}: {o.error}" for o in report.failures]
    assert failures == [], (done, describe(report.preview))
    assert report.converged, (done, describe(report.preview), describe(report.after))
    assert_settled(host)
    assert shape(host) == before, (done, describe(report.preview))
    assert_ways(host)


def _name(number: int) -> str:
    return f"{number}-{DRIFTS[number % len(DRIFTS)].__name__}"


@pytest.mark.parametrize("number", NUMBERS, ids=_name)
def test_one_pass_heals_a_drift(host: Host, number: int):
    one_pass_heals(host, number, 1)


@pytest.mark.parametrize("number", THREES)
def test_one_pass_heals_three_drifts_at_once(host: Host, number: int):
    one_pass_heals(host, number, 3)


def test_every_kind_of_drift_has_its_turn():
    assert len(DRIFTS) <= len(NUMBERS)
