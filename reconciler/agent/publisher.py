"""Publisher: puts on the board what a loop knows, and decides whether that is "in sync"."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from reconciler import __version__
from reconciler.agent.board import Board
from reconciler.agent.drifts import differing
from reconciler.agent.engine import Engine
from reconciler.agent.reconcile import Preview
from reconciler.agent.resources import ResourceBook, judge
from reconciler.agent.status import ManifestsStatus, PassSummary, Status
from reconciler.core.drift import Drift, Mode
from reconciler.core.object import Key
from reconciler.kinds.inert import inert_fields
from reconciler.manifest.problem import Problem

SHORT = 50
"""Changes that are made before anybody could read that they are."""


class Publisher:
    """What is to be said about a loop, beside what its passes found."""

    def __init__(self, engine: Engine, board: Board, set_name: str, mode: Mode) -> None:
        """Publish nothing yet."""
        self._engine, self._board = engine, board
        self._resources = ResourceBook()
        self._first = Status(
            version=__version__, pid=os.getpid(), set_name=set_name, mode=mode, started=time.time()
        )
        self._last_success: float | None = None
        self._inert: tuple[str, ...] | None = None
        self.manifests = ManifestsStatus()
        self.notes: tuple[str, ...] = ()
        """What is to be said of how the loop hears."""
        self.refusal: tuple[Problem, ...] = ()
        """Why this host cannot be made what valid manifests say."""
        self.refused_since: float | None = None
        self.too_many = ""
        """Why nothing is deleted: suspiciously much would be."""
        self.settling = False
        """Newer manifests are there, and it is not certain yet that all of them are."""
        self.trouble = ""
        """Why the last pass came to nothing at all."""
        self.last_pass: PassSummary | None = None

    def accepted(self) -> None:
        """Another revision is wanted; what was wrong with the one before does not count any more."""
        self.refusal, self.refused_since, self.too_many = (), None, ""
        self._inert = None

    def in_sync(self, preview: Preview | None, drifts: Collection[Drift]) -> bool:
        """The host is as the manifests say, and they are as they are in the directory."""
        if preview is None or self.manifests.problems or self.refusal:
            return False
        if self.too_many or self.trouble or self.settling:
            return False
        return not differing(preview) and not drifts

    def publish(
        self, preview: Preview | None, drifts: Sequence[Drift], failures: Mapping[Key, str]
    ) -> None:
        """Put a new status on the board.

        Args:
            preview: The last comparison; None: there was none.
            drifts: What is open.
            failures: What the kernel refused last, by object.
        """
        loaded, now = self._engine.loaded, time.time()
        if loaded is not None and preview is not None:
            self._resources.update(loaded.catalog, judge(preview, drifts, failures), now)
        in_sync = self.in_sync(preview, drifts)
        if in_sync:
            self._last_success = now
        ready = loaded is not None and preview is not None
        self._board.publish(replace(self._status(drifts), in_sync=in_sync, ready=ready))

    def progress(self, preview: Preview, drifts: Sequence[Drift], working: Collection[Key]) -> None:
        """Before a pass that takes its time, say of what."""
        loaded = self._engine.loaded
        if loaded is None or len(working) < SHORT:
            return
        found = judge(preview, drifts, {}, working)
        self._resources.update(loaded.catalog, found, time.time())
        ready = self._board.status.ready
        self._board.publish(replace(self._status(drifts), ready=ready))

    def source_of(self, resource: str) -> str:
        """Where a resource is declared, as ``file:line``; empty if it is not."""
        loaded = self._engine.loaded
        found = loaded.catalog.resources.get(resource) if loaded else None
        return "" if found is None else str(found.source)

    def _without_effect(self) -> tuple[str, ...]:
        """What the manifests ask for and nothing does yet; found out once for a revision."""
        if self._inert is None:
            loaded = self._engine.loaded
            found = inert_fields(loaded.catalog) if loaded is not None else ()
            self._inert = tuple(one.render().splitlines()[0] for one in found)
        return self._inert

    def _status(self, drifts: Sequence[Drift]) -> Status:
        problems = (*self.manifests.problems, *self.refusal)
        since = self.manifests.problems_since or self.refused_since
        said = (*self.notes, *self._engine.host.warnings, self.too_many, self.trouble)
        return replace(
            self._first,
            manifests=replace(
                self.manifests, problems=problems, problems_since=since if problems else None
            ),
            resources=self._resources.all,
            drift=tuple(drifts),
            last_pass=self.last_pass,
            last_success=self._last_success,
            observed=self._engine.observed,
            warnings=(*filter(None, said), *self._without_effect()),
            source_of=self.source_of,
        )
