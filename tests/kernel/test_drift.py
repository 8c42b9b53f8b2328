"""Drift: what somebody breaks, one pass puts right, wherever it was broken."""

from __future__ import annotations

from random import Random

import pytest

from reconciler.cli import main
from tests.kernel import facts
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


def test_a_bridge_that_was_down_with_stp_forwards_at_once_when_it_is_healed(host: Host):
    """STP goes off before the bridge comes up; else its ports would only listen for seconds."""
    write(host, MANY)
    converge(host)
    host.ip("link set br0 type bridge stp_state 1")
    host.ip("link set br0 down")

    converge(host)

    assert_ways(host)


def test_a_renamed_interface_without_its_words_keeps_its_automatic_address(host: Host):
    write(host, MANY)
    converge(host)
    before = shape(host)
    c9 = host.netns("c9")
    c9.ip("link set eth0 name wan0")
    c9.run("ip", "link", "set", "wan0", "alias", "")
    host.run("ip", "link", "set", facts.peer("wan0", c9)["ifname"], "alias", "")

    converge(host)

    assert shape(host) == before


def test_a_device_without_its_group_is_still_ours(host: Host):
    """The words are enough; the group only marks what has none yet."""
    write(host, MANY)
    converge(host)
    for name in facts.links():
        host.ip(f"link set {name} group default")

    assert_settled(host)
    assert main.run(["teardown"]) == 0
    assert (facts.links(), facts.namespaces()) == ({}, set())
