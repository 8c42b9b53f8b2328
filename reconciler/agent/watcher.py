"""Watcher: a kick when files may have changed. What has changed, a scan finds out.

The kernel's events (inotify(7), by watchdog) carry no meaning here: they may be doubled, late, of
half-written files, or of a link that moves a whole tree without a word of the files in it. So each
that is not caused by reading is one kick. Nor may they be relied on: a directory that is replaced
takes its watches along, a queue overflows, a thread dies. Therefore the loop calls `look_after`.
"""

from __future__ import annotations

import errno
import logging
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress

from watchdog.events import FileSystemEvent
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyObserver
from watchdog.observers.polling import PollingObserver

from reconciler.agent.file_systems import remote_type
from reconciler.agent.watch_events import EVENTS, POLLED_EVENTS, Kick, Names, Overflow, Tree
from reconciler.agent.watch_places import Places, find_places

INTERVAL = 2.0  # seconds between two looks where nothing tells of changes
PATIENCE = 2.0  # seconds for watchdog's threads to end; one may hang in a dead file server
ATTEMPTS = 3

_EXHAUSTED = {
    errno.ENOSPC: "fs.inotify.max_user_watches",
    errno.EMFILE: "fs.inotify.max_user_instances",
    errno.ENOSYS: "CONFIG_INOTIFY_USER",
}


class Watcher:
    """Watches some paths, files or directories, which need not exist.

    Args:
        paths: As the manifests' paths.
        kick: Called in threads of watchdog, many times for one change; it must not block.
        force_polling: Look every `INTERVAL` seconds, whatever the file system.
        interval: Instead of `INTERVAL`.
    """

    def __init__(
        self,
        paths: tuple[str, ...],
        kick: Kick,
        *,
        force_polling: bool = False,
        interval: float = INTERVAL,
    ) -> None:
        self.polling = False
        """Nobody tells of changes here, so it is looked every few seconds."""
        self.why = ""
        """Why it is polled, or empty."""
        self._paths = paths
        self._kick = kick
        self._force_polling = force_polling
        self._interval = interval
        self._observer: BaseObserver | None = None
        self._places: Places | None = None
        self._lost = threading.Event()
        self._overflow = Overflow(self._on_overflow)

    def start(self) -> None:
        """Begin to kick; what changes after this is not missed."""
        logger = logging.getLogger("watchdog.observers")
        logger.setLevel(logging.WARNING)  # an overflow is only a warning
        logger.addHandler(self._overflow)
        # What it warns of when a folder comes, or comes back: it watches that twice for a moment.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning, r"watchdog\.")
        self._arm()

    def stop(self) -> None:
        """End it, within `PATIENCE` seconds; a thread that hangs is left behind as a daemon."""
        logging.getLogger("watchdog.observers").removeHandler(self._overflow)
        observer, self._observer = self._observer, None
        _retire(observer)

    def look_after(self) -> bool:
        """Watch anew where that is needed, and say whether it was: then the files must be looked at.

        For the loop, on a timer and after each kick.
        """
        if self._observer is not None and not self._lost.is_set() and _is_well(self._observer):
            places = find_places(self._paths)
            if places == self._places:
                return False
        old = self._observer
        self._arm()
        _retire(old)
        return True

    def _arm(self) -> None:
        self._lost.clear()
        self._observer = None
        for _ in range(ATTEMPTS):
            places = self._places = find_places(self._paths)
            self.why = self._reason_to_poll(places)
            try:
                self._observer = self._begin(places)
            except FileNotFoundError:
                continue  # it has gone meanwhile
            except OSError as error:
                self.why = str(error)
            break
        if self._observer is None and not self.why:
            self.why = "what is there keeps being replaced"
        self.polling = bool(self.why)

    def _begin(self, places: Places) -> BaseObserver:
        if not self.why:
            try:
                return self._observe(InotifyObserver, places, EVENTS)
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self.why = f"{error.strerror} ({_EXHAUSTED[error.errno]})"
        return self._observe(self._poller, places, POLLED_EVENTS)

    def _poller(self) -> BaseObserver:
        return PollingObserver(timeout=self._interval)

    def _observe(
        self, make: Callable[[], BaseObserver], places: Places, events: list[type[FileSystemEvent]]
    ) -> BaseObserver:
        observer = make()
        try:
            for tree in places.trees:
                handler = Tree(self._kick, tree)
                observer.schedule(handler, tree, recursive=True, event_filter=events)
            for folder, names in places.names.items():
                by_name = Names(self._kick, folder, names)
                observer.schedule(by_name, folder, recursive=False, event_filter=events)
            observer.start()
        except OSError:
            _retire(observer)
            raise
        return observer

    def _reason_to_poll(self, places: Places) -> str:
        if self._force_polling:
            return "asked for"
        for folder in (*places.trees, *places.names):
            if type_ := remote_type(folder):
                return f"{folder} is on {type_}, which does not tell of what others change"
        return ""

    def _on_overflow(self) -> None:
        self._lost.set()
        self._kick()


def _is_well(observer: BaseObserver) -> bool:
    return observer.is_alive() and all(
        emitter.is_alive() and emitter.should_keep_running() for emitter in observer.emitters
    )


def _retire(observer: BaseObserver | None) -> None:
    """End an observer. Its own stopping waits without end, so that is done in a thread."""
    if observer is None:
        return
    ending = threading.Thread(target=_end, args=(observer,), daemon=True)
    ending.start()
    ending.join(PATIENCE)


def _end(observer: BaseObserver) -> None:
    with suppress(OSError, RuntimeError):  # of one that never began
        observer.stop()
        observer.join()
