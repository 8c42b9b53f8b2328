"""Metrics: what a running loop counts, for Prometheus.

What happens is counted by the loop's own thread. What is (resources by state, drift that is open)
is read from the board when somebody asks, so that no label of something that has gone lives on.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.agent.board import Board
from reconciler.agent.status import ResourceState, Status
from reconciler.core.drift import Fate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What every Prometheus since 2014 reads (prometheus.io, exposition formats)."""

TOTAL = "total"
"""The phase that is a whole pass."""

PASS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
HEAL_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""In seconds: from what one request takes to what a full look takes to notice."""

LASTING = tuple(fate for fate in Fate if fate not in {Fate.HEALED, Fate.GONE})


class Metrics:
    """Counters and histograms of one loop, with what its board shows."""

    def __init__(self, board: Board) -> None:
        # When a series began is a series again, and of no use here.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        r = self._registry = CollectorRegistry()
        self._passes = Counter("reconciler_passes", "Passes.", ["cause"], registry=r)
        self._seconds = Histogram(
            *("reconciler_pass_seconds", "What the phases of a pass take, and a whole one."),
            ["phase"],
            registry=r,
            buckets=PASS_BUCKETS,
        )
        labels = ["type", "verb", "outcome"]
        self._operations = Counter("reconciler_operations", "Operations.", labels, registry=r)
        labels = ["type", "found_by"]
        self._drift = Counter("reconciler_drift", "Objects that drifted.", labels, registry=r)
        text = "Drift that the full look found, and of which an event should have told."
        self._missed = Counter("reconciler_missed_events", text, ["type"], registry=r)
        text = "Times that the kernel had more to tell than its buffer holds."
        self._overruns = Counter("reconciler_overruns", text, registry=r)
        text = "From a drift that was seen to one that was healed."
        self._heal = Histogram("reconciler_heal_seconds", text, registry=r, buckets=HEAL_BUCKETS)
        r.register(_BoardCollector(board))

    def pass_done(self, cause: str, phases: Mapping[str, float]) -> None:
        """Count a pass.

        Args:
            cause: What it was for.
            phases: Seconds that each phase took; `total` is their sum unless it is given.
        """
        self._passes.labels(cause).inc()
        for phase, seconds in ({TOTAL: sum(phases.values())} | dict(phases)).items():
            self._seconds.labels(phase).observe(seconds)

    def operation_done(self, type: str, verb: str, outcome: str) -> None:  # noqa: A002 - the label
        """Count an operation; its outcome is ``done``, ``failed`` or ``skipped``."""
        self._operations.labels(type, verb, outcome).inc()

    def drift_seen(self, type: str, found_by: str) -> None:  # noqa: A002 - the label's name
        """Count an object that became other than declared."""
        self._drift.labels(type, found_by).inc()

    def missed_event(self, type: str) -> None:  # noqa: A002 - the label's name
        """Count a drift of which an event should have told."""
        self._missed.labels(type).inc()

    def overrun(self) -> None:
        """Count a loss of events that the kernel owns up to."""
        self._overruns.inc()

    def healed(self, seconds: float) -> None:
        """Take note of how long an object was other than declared."""
        self._heal.observe(seconds)

    def render(self) -> tuple[bytes, str]:
        """The text for Prometheus, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE


class _BoardCollector(Collector):
    """Asked at every scrape; what it shows is what the board shows at that moment."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterable[GaugeMetricFamily]:
        status = self._board.status
        return (*_counted(status), *_single(status))


def _counted(status: Status) -> Iterator[GaugeMetricFamily]:
    states = Tally({state.value: 0 for state in ResourceState})
    states.update(resource.state.value for resource in status.resources)
    yield _family("resources", "Declared resources by state.", "state", states)
    fates = Tally({fate.value: 0 for fate in LASTING})
    fates.update(drift.fate.value for drift in status.drift if drift.fate in LASTING)
    yield _family("drift_open", "Objects that are other than declared now.", "fate", fates)
    yield _family("owned_objects", "Objects of the host that are ours.", "type", status.owned)
    build = {status.version: 1}
    yield _family("build_info", "1, with the version of the program.", "version", build)


def _family(name: str, text: str, label: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"reconciler_{name}", text, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family


def _single(status: Status) -> Iterator[GaugeMetricFamily]:
    last = status.last_pass
    ended = 0.0 if last is None else last.started + last.seconds
    for name, text, value in (
        ("in_sync", "1 if the host is as declared.", status.in_sync),
        ("ready", "1 once a first pass over everything has ended.", status.ready),
        (
            "last_success_timestamp_seconds",
            "When a pass last ended in sync; 0: never.",
            status.last_success or 0.0,
        ),
        ("last_pass_timestamp_seconds", "When the last pass ended; 0: never.", ended),
        (
            "manifest_problems",
            "What is wrong with the newest manifests, so that they are not in force.",
            len(status.manifests.problems),
        ),
        ("start_time_seconds", "When the loop started.", status.started),
    ):
        yield GaugeMetricFamily(f"reconciler_{name}", text, value=float(value))
