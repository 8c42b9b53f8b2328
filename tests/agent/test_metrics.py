"""Metrics: names and labels that dashboards rely on, read back with Prometheus's own parser."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.agent.metrics import Metrics
from reconciler.agent.status import ManifestsStatus, ResourceState
from reconciler.core.drift import Fate
from tests.agent.boards import MTU, PROBLEM, board, owning, resource, status


@pytest.fixture
def empty():
    return board(observed=owning(), resources=(), last_pass=None, last_success=None)


def samples(metrics):
    """All samples, by name and the values of their labels, in the order of the labels' names."""
    text, _ = metrics.render()
    return {
        (
            sample.name.removeprefix("reconciler_"),
            *dict(sorted(sample.labels.items())).values(),
        ): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_the_text_is_of_the_format_that_its_content_type_names(empty):
    text, content_type = Metrics(empty).render()

    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert text.decode().startswith("# HELP reconciler_")


def test_a_pass_is_counted_by_its_cause_with_its_phases_and_their_sum(empty):
    metrics = Metrics(empty)

    metrics.pass_done("drift", {"observe": 0.25, "execute": 0.5})
    metrics.pass_done("drift", {"observe": 0.25, "total": 2.0})
    found = samples(metrics)

    assert found["passes_total", "drift"] == 2
    assert found["pass_seconds_sum", "observe"] == 0.5
    assert found["pass_seconds_count", "execute"] == 1
    assert found["pass_seconds_sum", "total"] == 2.75


def test_operations_drift_missed_events_and_overruns_are_counted(empty):
    metrics = Metrics(empty)

    metrics.operation_done("address", "add", "failed")
    metrics.drift_seen("address", "event")
    metrics.missed_event("route")
    metrics.overrun()
    found = samples(metrics)

    assert found["operations_total", "failed", "address", "add"] == 1
    assert found["drift_total", "event", "address"] == 1
    assert found["missed_events_total", "route"] == 1
    assert found["overruns_total",] == 1


def test_healing_is_a_histogram_from_a_millisecond_to_a_minute(empty):
    metrics = Metrics(empty)

    metrics.healed(0.004)
    found = samples(metrics)

    assert found["heal_seconds_bucket", "0.001"] == 0
    assert found["heal_seconds_bucket", "0.005"] == found["heal_seconds_bucket", "60.0"] == 1
    assert found["heal_seconds_sum",] == 0.004


def test_all_states_and_lasting_fates_are_there_although_nothing_is_in_them(empty):
    found = samples(Metrics(empty))

    states = {key[1]: value for key, value in found.items() if key[0] == "resources"}
    fates = {key[1]: value for key, value in found.items() if key[0] == "drift_open"}
    assert states == dict.fromkeys(ResourceState, 0)
    assert fates == dict.fromkeys(set(Fate) - {Fate.HEALED, Fate.GONE}, 0)


def test_a_loop_that_never_succeeded_says_so_with_0(empty):
    found = samples(Metrics(empty))

    assert found["last_success_timestamp_seconds",] == 0
    assert found["last_pass_timestamp_seconds",] == 0


def test_the_board_is_read_when_somebody_asks():
    shown = board(
        in_sync=False,
        drift=(MTU, replace(MTU, fate=Fate.FIGHT)),
        resources=(resource("Bridge/web"), resource("Link/x", ResourceState.BLOCKED)),
        manifests=ManifestsStatus(problems=(PROBLEM, PROBLEM)),
    )
    found = samples(Metrics(shown))

    assert found["resources", "Ready"] == found["resources", "Blocked"] == 1
    assert found["drift_open", "reported"] == found["drift_open", "fight"] == 1
    assert found["in_sync",] == 0
    assert found["ready",] == 1
    assert found["owned_objects", "device"] == 3
    assert found["manifest_problems",] == 2
    assert found["build_info", "1.2.3"] == 1
    assert found["start_time_seconds",] == 1_700_000_000.0
    assert found["last_pass_timestamp_seconds",] == 1_700_000_100.5
    assert found["last_success_timestamp_seconds",] == 1_700_000_100.5


def test_what_has_gone_from_the_board_leaves_no_label():
    shown = board(observed=owning(device=3, rule=40))
    metrics = Metrics(shown)
    samples(metrics)

    shown.publish(status(observed=owning(device=1)))
    found = samples(metrics)

    assert found["owned_objects", "device"] == 1
    assert ("owned_objects", "rule") not in found


def test_two_loops_of_one_process_count_apart(empty):
    one, other = Metrics(empty), Metrics(empty)

    one.overrun()

    assert samples(other)["overruns_total",] == 0
