"""Status: what a running loop knows, as one immutable value that others may read at any time.

The loop makes a new one after every pass and puts it on the board; the HTTP side and the metrics
only ever read what lies there. No kernel, no clock and no lock is needed for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reconciler.agent.changes_json import SourceOf, render_change
from reconciler.core.drift import Drift, Mode
from reconciler.core.state import State
from reconciler.manifest.problem import Problem

VERSION = 1


class ResourceState(StrEnum):
    """How a declared resource is."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    """Work on it has begun and has not ended."""
    DEGRADED = "Degraded"
    """It is other than declared: something failed, or drifted and is left that way."""
    BLOCKED = "Blocked"
    """Something that is not ours is in its way."""
    SUSPENDED = "Suspended"
    """It says itself that it is to be left as it is."""


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """One declared resource."""

    kind: str
    name: str
    state: ResourceState
    message: str = ""
    """Why, if it is not ready."""
    since: float = 0.0
    """Since when it is in this state, in seconds since the epoch."""
    source: str = ""
    """Where it is declared, as ``file:line``."""

    def to_dict(self) -> dict[str, Any]:
        """Say it as JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "state": self.state.value,
            "message": self.message,
            "since": self.since,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class PassSummary:
    """One pass that did something, or was asked for."""

    number: int
    cause: str
    """What it was for: ``start``, ``manifests``, ``drift``, ``retry``, ``signal``, ``look``."""
    started: float
    """In seconds since the epoch."""
    seconds: float
    operations: int = 0
    failures: int = 0
    revision: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Say it as JSON."""
        return {
            "number": self.number,
            "cause": self.cause,
            "started": self.started,
            "seconds": self.seconds,
            "operations": self.operations,
            "failures": self.failures,
            "revision": self.revision,
        }


@dataclass(frozen=True, slots=True)
class ManifestsStatus:
    """The manifests: which revision is in force, and what is wrong with a newer one."""

    paths: tuple[str, ...] = ()
    revision: str = ""
    """Of what is in force: the commit where the directory is a checkout, else a content hash."""
    loaded: float | None = None
    """When it was loaded, in seconds since the epoch; None: nothing ever was."""
    problems: tuple[Problem, ...] = ()
    """Why a newer revision is not in force; empty: there is none."""
    problems_since: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """All that a loop knows, at one moment."""

    version: str = ""
    """Of the program."""
    pid: int = 0
    set_name: str = "default"
    mode: Mode = Mode.HEAL
    started: float = 0.0
    manifests: ManifestsStatus = ManifestsStatus()
    in_sync: bool = False
    ready: bool = False
    """A first pass over a complete load and a complete look has ended."""
    resources: tuple[ResourceStatus, ...] = ()
    drift: tuple[Drift, ...] = ()
    """What is other than declared now, and nobody asked for."""
    last_pass: PassSummary | None = None
    last_success: float | None = None
    """When a pass last ended in sync, in seconds since the epoch."""
    observed: State = field(default=State(), compare=False, repr=False)
    """What was seen last."""
    warnings: tuple[str, ...] = ()
    source_of: SourceOf = field(default=lambda _: "", compare=False, repr=False)

    @property
    def owned(self) -> Mapping[str, int]:
        """How many objects of each type are ours; counted when somebody asks."""
        mine = self.set_name
        return Counter(k.type for k, owner in self.observed.owners.items() if owner.set == mine)

    def to_dict(self) -> dict[str, Any]:
        """Say it as JSON: what `reconciler status -o json` prints."""
        m = self.manifests
        return {
            "version": VERSION,
            "revision": m.revision,
            "inSync": self.in_sync,
            "ready": self.ready,
            "set": self.set_name,
            "mode": self.mode.value,
            "pid": self.pid,
            "started": self.started,
            "program": self.version,
            "manifests": {
                "paths": list(m.paths),
                "loaded": m.loaded,
                "problems": [problem.to_dict() for problem in m.problems],
                "problemsSince": m.problems_since,
            },
            "states": dict(Counter(r.state.value for r in self.resources)),
            "resources": [resource.to_dict() for resource in self.resources],
            "drift": [drift_to_dict(drift, self.source_of) for drift in self.drift],
            "lastPass": None if self.last_pass is None else self.last_pass.to_dict(),
            "lastSuccess": self.last_success,
            "warnings": list(self.warnings),
        }


def drift_to_dict(drift: Drift, source_of: SourceOf) -> dict[str, Any]:
    """Say one drift as JSON: the form of the journal, of `/drift` and of `/events`."""
    culprit = drift.culprit
    return render_change(drift.change, source_of) | {
        "seen": drift.seen,
        "foundBy": drift.found_by.value,
        "mode": drift.mode.value,
        "by": None if culprit is None else {"pid": culprit.pid, "program": culprit.program},
        "fate": drift.fate.value,
        "settled": drift.settled,
        "message": drift.message,
        "times": drift.times,
    }
