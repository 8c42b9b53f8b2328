"""Board: where the loop puts what it knows, and where everybody else reads it.

One thread writes, others read: a status is one reference, replaced whole. What happens in between
(a drift, a change, a pass) goes to those who listen, as events; a listener that does not keep up
misses some, and is told how many.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.agent.status import Status

Event = Mapping[str, Any]
"""``{"type": "drift" | "change" | "pass" | "manifests", "time": seconds, …}``."""

Listener = Callable[[Event], None]
"""Called on the loop's own thread: it has to return at once, and never raises."""


class Board:
    """What a loop knows now, and who wants to hear of what it learns."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()
        self.heartbeat = 0.0
        """When the loop last came round, by the monotonic clock, in seconds."""

    @property
    def status(self) -> Status:
        """The latest."""
        return self._status

    def publish(self, status: Status) -> None:
        """Put a new status in the place of the old one."""
        self._status = status

    def tell(self, event: Event) -> None:
        """Hand an event to everybody who listens."""
        for listener in self._listeners:
            listener(event)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hear of every event from now on; the answer ends it."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def stop() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

        return stop
