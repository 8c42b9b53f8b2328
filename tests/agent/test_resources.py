"""How each declared resource is, why, and since when."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from reconciler.agent.reconcile import Preview
from reconciler.agent.resources import ResourceBook, judge
from reconciler.agent.status import ResourceState
from reconciler.core.diff import Action, Change
from reconciler.core.drift import Drift, Fate, FoundBy, Mode
from reconciler.core.object import Key, Owner
from reconciler.core.policy import Decision, Policy
from reconciler.core.state import State
from reconciler.objects import BridgeDevice
from tests.manifest.reading import BRIDGE, catalog_of, manifest

READY, PROGRESSING, DEGRADED = (
    ResourceState.READY,
    ResourceState.PROGRESSING,
    ResourceState.DEGRADED,
)
BLOCKED, SUSPENDED = ResourceState.BLOCKED, ResourceState.SUSPENDED


def change(name: str, action: Action = Action.UPDATE, reason: str = "", owner: str = "") -> Change:
    """Something about a bridge, which is of its resource unless the test says otherwise."""
    item = BridgeDevice("", name)
    return Change(
        action, item.key, item, item, Owner("default", owner or f"Bridge/{name}"), (), reason
    )


def drift(name: str, fate: Fate = Fate.OPEN, mode: Mode = Mode.HEAL, message: str = "") -> Drift:
    return Drift(change(name), 0.0, FoundBy.EVENT, mode, None, fate, message=message)


def states(
    *changes: Change,
    drifts: Collection[Drift] = (),
    failures: Mapping[Key, str] | None = None,
    working: Collection[Key] = (),
    **policy: frozenset,
) -> dict[str, tuple[ResourceState, str]]:
    preview = Preview(State(), State(), Decision(changes), Policy(**policy))
    return judge(preview, drifts, failures or {}, working)


# --------------------------------------------------------------------------- what is said


def test_of_what_is_as_declared_nothing_is_said():
    assert states() == {}


def test_what_something_is_in_the_way_of_is_blocked():
    assert states(change("web", Action.BLOCKED, "in the way")) == {
        "Bridge/web": (BLOCKED, "in the way")
    }


def test_what_the_kernel_refused_is_degraded():
    web = change("web")

    assert states(web, failures={web.key: "EBUSY"}) == {
        "Bridge/web": (DEGRADED, "device/web: EBUSY")
    }


def test_a_refusal_of_what_is_right_now_is_history():
    assert states(failures={change("web").key: "EBUSY"}) == {}


def test_what_is_worked_on_is_progressing():
    web = change("web", Action.CREATE)

    assert states(web, working={web.key}) == {"Bridge/web": (PROGRESSING, "create device/web")}


def test_what_waits_is_progressing():
    assert states(change("web")) == {
        "Bridge/web": (PROGRESSING, "device/web waits to be tried again")
    }


def test_what_waits_although_it_is_withheld_is_progressing():
    web = change("web")
    preview = Preview(State(), State(), Decision((), (web,)), Policy(waiting=frozenset({web.key})))

    assert judge(preview, (), {})["Bridge/web"][0] is PROGRESSING


def test_what_says_itself_that_it_is_suspended_is():
    found = states(suspended=frozenset({"Bridge/web"}))

    assert found == {"Bridge/web": (SUSPENDED, "it is to be left as it is")}


@pytest.mark.parametrize("fate", [Fate.REPORTED, Fate.FIGHT, Fate.FAILED])
def test_a_drift_that_lasts_degrades(fate):
    found = states(drifts=[drift("web", fate, Mode.REPORT, "why")])

    assert found == {"Bridge/web": (DEGRADED, "device/web: why")}


@pytest.mark.parametrize("fate", [Fate.OPEN, Fate.BLOCKED])
def test_a_drift_that_is_worked_on_says_nothing_beyond_its_change(fate):
    assert states(drifts=[drift("web", fate)]) == {}


def test_a_drift_of_what_is_suspended_suspends():
    (found,) = states(drifts=[drift("web", Fate.REPORTED, Mode.SUSPEND)]).values()

    assert found == (SUSPENDED, "device/web has drifted and is left as it is")


def test_what_all_share_is_no_resource():
    assert states(change("web", Action.BLOCKED, owner="Host/firewall")) == {}


# --------------------------------------------------------------------------- the gravest


def test_the_gravest_thing_is_said_whatever_comes_first():
    waiting = change("web", owner="Bridge/net")
    blocked = change("app", Action.BLOCKED, "in the way", "Bridge/net")
    failed = change("db", owner="Bridge/net")
    failures = {failed.key: "EBUSY"}

    assert states(waiting, blocked)["Bridge/net"] == (BLOCKED, "in the way")
    assert states(blocked, waiting)["Bridge/net"] == (BLOCKED, "in the way")
    for order in ((waiting, blocked, failed), (failed, blocked, waiting)):
        assert states(*order, failures=failures)["Bridge/net"][0] is DEGRADED


def test_suspended_outweighs_all():
    web = change("web")

    found = states(web, failures={web.key: "EBUSY"}, suspended=frozenset({"Bridge/web"}))

    assert found["Bridge/web"][0] is SUSPENDED


# --------------------------------------------------------------------------- since when

WEB_AND_C1 = (BRIDGE, manifest("Container", "c1", "{bridge: web}"))


@pytest.fixture
def book() -> ResourceBook:
    return ResourceBook()


def of(book: ResourceBook, name: str):
    return next(one for one in book.all if f"{one.kind}/{one.name}" == name)


def test_all_resources_are_there_in_the_order_of_the_manifests(book):
    book.update(catalog_of(*WEB_AND_C1), {"Container/c1": (BLOCKED, "why")}, 100.0)

    assert [(one.name, one.state, one.message, one.source) for one in book.all] == [
        ("web", READY, "", "web.yaml:1"),
        ("c1", BLOCKED, "why", "web.yaml:6"),
    ]


def test_since_is_when_the_state_changed(book):
    catalog = catalog_of(*WEB_AND_C1)
    book.update(catalog, {}, 100.0)
    book.update(catalog, {"Bridge/web": (DEGRADED, "EBUSY")}, 200.0)

    assert of(book, "Bridge/web").since == 200.0
    assert of(book, "Container/c1").since == 100.0


def test_another_reason_for_the_same_state_does_not_change_since_when(book):
    catalog = catalog_of(*WEB_AND_C1)
    book.update(catalog, {"Bridge/web": (DEGRADED, "EBUSY")}, 100.0)
    book.update(catalog, {"Bridge/web": (DEGRADED, "ENOMEM")}, 200.0)

    found = of(book, "Bridge/web")
    assert (found.since, found.message) == (100.0, "ENOMEM")


def test_a_resource_that_only_moved_in_its_file_is_ready_as_long_as_before(book):
    book.update(catalog_of(*WEB_AND_C1), {}, 100.0)
    book.update(catalog_of("# more\n" + WEB_AND_C1[0], WEB_AND_C1[1]), {}, 200.0)

    found = of(book, "Bridge/web")
    assert (found.since, found.source) == (100.0, "web.yaml:2")


def test_a_resource_that_went_and_came_back_begins_anew(book):
    both, one = catalog_of(*WEB_AND_C1), catalog_of(WEB_AND_C1[0])
    book.update(both, {}, 100.0)
    book.update(one, {}, 200.0)
    assert [resource.name for resource in book.all] == ["web"]
    book.update(both, {}, 300.0)

    assert of(book, "Container/c1").since == 300.0


def test_one_resource_in_the_place_of_another_takes_its_place(book):
    book.update(catalog_of(BRIDGE), {}, 100.0)
    book.update(catalog_of(BRIDGE.replace("name: web", "name: app")), {}, 200.0)

    assert [(one.name, one.since) for one in book.all] == [("app", 200.0)]


def test_where_nothing_has_changed_the_value_is_the_same(book):
    catalog = catalog_of(*WEB_AND_C1)
    book.update(catalog, {}, 100.0)
    before = book.all

    book.update(catalog, {}, 200.0)
    assert book.all is before
    book.update(catalog_of(*WEB_AND_C1), {}, 300.0)
    assert book.all is before


def test_the_order_of_the_manifests_counts_when_only_that_has_changed(book):
    a, b = BRIDGE, BRIDGE.replace("name: web", "name: app").replace("10.0.0.1", "10.9.0.1")
    book.update(catalog_of(a, b), {}, 100.0)
    book.update(catalog_of(b, a), {}, 200.0)

    assert [resource.name for resource in book.all] == ["app", "web"]
