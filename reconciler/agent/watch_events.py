"""Watch events: which of the kernel's events on files are a reason to look at the files."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)

Kick = Callable[[], None]

EVENTS: list[type[FileSystemEvent]] = [
    FileClosedEvent, FileCreatedEvent, FileDeletedEvent, FileMovedEvent,
    DirCreatedEvent, DirDeletedEvent, DirMovedEvent,
]  # fmt: skip
"""Not those of opening and reading, which are our own, nor FileModifiedEvent, which comes for each
part of a file that is written: closing it ends that."""
POLLED_EVENTS = [*EVENTS, FileModifiedEvent]
"""A poll sees no closing, and tells of changed content only so."""


class Tree(FileSystemEventHandler):
    """Kicks for whatever happens in a tree, but for git's own folder.

    Every fetch writes there, and every `git status`. The names of manifests are not asked for: when
    Kubernetes swaps the link of a ConfigMap, no event has one.
    """

    def __init__(self, kick: Kick, tree: str) -> None:
        self._kick = kick
        self._tree = tree

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog."""
        if any(".git" not in path[len(self._tree) :].split("/") for path in _paths_of(event)):
            self._kick()


class Names(FileSystemEventHandler):
    """Kicks for some names in a folder, and for the folder's own end."""

    def __init__(self, kick: Kick, folder: str, names: frozenset[str]) -> None:
        self._kick = kick
        self._ours = {folder, *(f"{folder.rstrip('/')}/{name}" for name in names)}

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog."""
        if not self._ours.isdisjoint(_paths_of(event)):
            self._kick()


class Overflow(logging.Handler):
    """Hears of lost events: watchdog tells of them in its log only."""

    def __init__(self, lost: Kick) -> None:
        super().__init__(logging.WARNING)
        self._lost = lost

    def emit(self, record: logging.LogRecord) -> None:
        """Called by the log."""
        if "overflow" in record.getMessage():
            self._lost()


def _paths_of(event: FileSystemEvent) -> list[str]:
    return [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
