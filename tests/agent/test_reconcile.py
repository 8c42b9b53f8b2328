"""One pass: it acts, looks again, goes on while that helps, and says what is left."""

from ipaddress import ip_interface

import pytest

from reconciler.agent.reconcile import ROUNDS_MAX, preview, reconcile
from reconciler.core.object import Owner
from reconciler.core.policy import Policy
from reconciler.core.state import State
from reconciler.host.fake import FakeHost
from reconciler.objects import Address, BridgeDevice

WEB = Owner("default", "Bridge/web")
BRIDGE = BridgeDevice("", "web", mtu=1500, up=True, mac="02:00:00:00:00:01")
ADDRESS = Address("", "web", ip_interface("10.1.0.1/24"))
DESIRED = State.of([(BRIDGE, WEB), (ADDRESS, WEB)])


def expand(observed):
    return DESIRED


class Meddled(FakeHost):
    """A host on which somebody sets the bridge's MTU back whenever something was done."""

    def execute(self, plan):
        yield from super().execute(plan)
        self.place(BridgeDevice("", "web", mtu=900, up=True, mac=BRIDGE.mac), WEB)


@pytest.fixture
def host():
    return FakeHost()


def test_a_preview_changes_nothing(host):
    found = preview(host, expand, Policy(), "default")

    assert [str(change.key) for change in found.changes] == [
        "address/web/10.1.0.1/24",
        "device/web",
    ]
    assert not found.in_sync
    assert (host.trace, host.objects) == ([], {})


def test_a_pass_converges_and_the_next_one_plans_nothing(host):
    first = reconcile(host, expand, Policy(), "default")
    done = len(host.trace)
    second = reconcile(host, expand, Policy(), "default")

    assert first.converged
    assert [str(outcome.operation) for outcome in first.outcomes] == [
        "add device/web",
        "add address/web/10.1.0.1/24",
    ]
    assert second.converged
    assert second.outcomes == ()
    assert second.preview.unchanged == 2
    assert len(host.trace) == done == 2


def test_the_report_shows_what_was_there_before(host):
    report = reconcile(host, expand, Policy(), "default")

    assert len(report.preview.changes) == 2
    assert report.after.changes == ()


def test_everything_is_told_as_it_is_done(host):
    heard = []

    report = reconcile(host, expand, Policy(), "default", heard.append)

    assert tuple(heard) == report.outcomes


def test_a_refusal_ends_the_pass_and_is_in_the_report(host):
    host.refuse = lambda operation: "no" if operation.key == BRIDGE.key else None

    report = reconcile(host, expand, Policy(), "default")

    assert not report.converged
    assert [(str(o.operation), o.skipped) for o in report.failures] == [
        ("add device/web", False),
        ("add address/web/10.1.0.1/24", True),
    ]
    assert len(host.trace) == 1, "it is not tried again in the same pass"


def test_a_fight_ends_after_a_few_rounds():
    host = Meddled()

    report = reconcile(host, expand, Policy(), "default")

    assert not report.converged
    assert report.failures == ()
    assert [d.field for change in report.after.changes for d in change.differences] == ["mtu"]
    assert len(report.outcomes) == 2 + (ROUNDS_MAX - 1)


def test_what_is_blocked_is_not_waited_for(host):
    host.place(BridgeDevice("", "web", mtu=1500, up=True), None)

    report = reconcile(host, expand, Policy(), "default")

    assert not report.converged
    assert report.outcomes == ()
