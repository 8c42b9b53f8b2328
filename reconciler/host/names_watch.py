"""Names watch: hears of names that come, go and change under /run/netns and /etc/netns.

No netlink event tells of a file. This is a kick only: what is there now, a look tells. A name that
nobody heard of is found by the next full look.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from reconciler.host.folders import FRESH
from reconciler.host.namespaces import NETNS_DIR
from reconciler.objects.directory import MARKER_SUFFIX, NETNS_NAMES

_EVENTS: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
]
"""Not opened and closed again: our own reading is no news."""


class NamesWatch:
    """Which namespaces' names and which folders of names were touched."""

    def __init__(self, kick: Callable[[], None]) -> None:
        """Watch nothing yet.

        Args:
            kick: Called on another thread when there is something to take; returns at once.
        """
        self._kick = kick
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._folders: set[str] = set()
        self._watched: dict[str, tuple[int, Any]] = {}
        self._lost: set[str] = set()
        self._observer: Any = None
        self.problem = ""
        """Why it cannot watch; then only full looks find what is done to names."""

    def arm(self) -> None:
        """Watch the folders that are there; to be called again when one may have been made."""
        for path, recursive in ((str(NETNS_DIR), False), (NETNS_NAMES, True)):
            inode, before = _inode(path), self._watched.get(path)
            if before is not None and (before[0] != inode or path in self._lost):
                # watchdog would go on with what it has for this path, which hears nothing any more.
                self._observer.unschedule(self._watched.pop(path)[1])
                self._lost.discard(path)
            if inode is None or path in self._watched:
                continue
            try:
                if self._observer is None:
                    self._observer = Observer()
                    self._observer.daemon = True
                    self._observer.start()
                watch = self._observer.schedule(
                    _Handler(self), path, recursive=recursive, event_filter=_EVENTS
                )
            except OSError as error:
                self.problem = f"{path} cannot be watched: {error.strerror}"
                continue
            self._watched[path] = inode, watch

    def take(self) -> tuple[frozenset[str], frozenset[str]]:
        """Give and forget what was touched: names of namespaces, and paths of folders."""
        with self._lock:
            found = frozenset(self._names), frozenset(self._folders)
            self._names.clear()
            self._folders.clear()
        return found

    def close(self) -> None:
        """Watch nothing any more."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(2)

    def note(self, path: str) -> None:
        """Take one path that was touched."""
        with self._lock:
            if Path(path).parent == NETNS_DIR:
                self._names.add(Path(path).name)
            elif path.startswith(NETNS_NAMES):
                self._folders.update(_folder_of(path))
            if path in self._watched:  # it is gone; another may get the number of its inode
                self._lost.add(path)
        self._kick()


class _Handler(FileSystemEventHandler):
    def __init__(self, watch: NamesWatch) -> None:
        self._watch = watch

    def on_any_event(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            if path:
                self._watch.note(os.fsdecode(path))


def _folder_of(path: str) -> list[str]:
    """The folder of names that a path is in, is, or is the mark of."""
    parts = Path(path).relative_to(NETNS_NAMES).parts
    if not parts:
        return []
    name = parts[0]
    marked = name.removesuffix(FRESH)
    if marked.startswith(".") and marked.endswith(MARKER_SUFFIX):
        name = marked[1:].removesuffix(MARKER_SUFFIX)
    return [f"{NETNS_NAMES}/{name}"]


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino  # noqa: PTH116
    except OSError:
        return None
