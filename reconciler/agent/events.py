"""Events: what happens in a loop, as server-sent events (WHATWG HTML, 9.2) to any who listen.

The loop's thread only puts an event into a bounded queue, and goes on. A client that does not keep
up loses what is newest then, and is told how many: it asks for the status and has all again.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from reconciler.agent.board import Board, Event
from reconciler.agent.status import Status

QUEUE_MAX = 1_000
"""Events that wait for one client."""

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent, so that nobody between drops the connection."""


def render_event(kind: str, data: Mapping[str, Any]) -> bytes:
    """One event, as it goes over the line."""
    return f"event: {kind}\ndata: {json.dumps(dict(data), default=str)}\n\n".encode()


def summarize_status(status: Status) -> dict[str, Any]:
    """What a client that has just come has to know; the rest is under ``/status``."""
    whole = status.to_dict()
    kept = ("revision", "inSync", "ready", "set", "mode", "states", "lastPass", "lastSuccess")
    counts = {"drift": len(status.drift), "problems": len(status.manifests.problems)}
    return {name: whole[name] for name in kept} | counts


class Queue:
    """What waits for one client; filled by the loop's thread, emptied by the server's."""

    def __init__(self, board: Board) -> None:
        self._events: deque[Event] = deque()
        self._missed = 0
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._ended = False
        self._leave = board.listen(self._hear)

    def _hear(self, event: Event) -> None:
        with self._lock:
            if len(self._events) >= QUEUE_MAX:
                self._missed += 1
                return
            self._events.append(event)
            first = len(self._events) == 1
        if first:
            with suppress(RuntimeError):  # the server has ended meanwhile
                self._loop.call_soon_threadsafe(self._wake.set)

    def end(self) -> None:
        """Hear nothing more, and let whoever waits go. On the server's thread."""
        self._ended = True
        self._leave()
        self._wake.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what came meanwhile, as soon as there is something, until the end."""
        while not self._ended:
            try:
                await asyncio.wait_for(self._wake.wait(), KEEP_ALIVE)
            except TimeoutError:
                yield b": keep-alive\n\n"
                continue
            self._wake.clear()
            if chunk := self._take():
                yield chunk

    def _take(self) -> bytes:
        with self._lock:
            events, self._events = self._events, deque()
            missed, self._missed = self._missed, 0
        rendered = [render_event(str(event.get("type", "message")), event) for event in events]
        if missed:
            rendered.append(render_event("missed", {"missed": missed}))
        return b"".join(rendered)


class Streams:
    """The streams that are open now; used on the server's thread only."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._open: set[Queue] = set()
        self._ending = False
        self._none = asyncio.Event()

    def open(self) -> EventStream:
        """Answer a client."""
        return EventStream(self, self._board)

    def begin(self) -> Queue:
        """Start to listen for a client; after the end there is nothing to hear."""
        queue = Queue(self._board)
        self._open.add(queue)
        if self._ending:
            queue.end()
        return queue

    def leave(self, queue: Queue) -> None:
        """Forget a client."""
        queue.end()
        self._open.discard(queue)
        if self._ending and not self._open:
            self._none.set()

    async def end(self, patience: float) -> bool:
        """End them all; False if some client has not taken what it was sent in so many seconds."""
        self._ending = True
        if not self._open:
            return True
        for queue in self._open:
            queue.end()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._none.wait(), patience)
        return not self._open


class EventStream(StreamingResponse):
    """The response to ``/events``: first the status, then what happens."""

    def __init__(self, streams: Streams, board: Board) -> None:
        self._streams = streams
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self._chunks = self._content(board)
        super().__init__(self._chunks, media_type="text/event-stream", headers=headers)

    async def _content(self, board: Board) -> AsyncGenerator[bytes, None]:
        # Listening first: what happens between the two is heard twice rather than never.
        queue = self._streams.begin()
        try:
            yield render_event("status", summarize_status(board.status))
            async for chunk in queue.chunks():
                yield chunk
        finally:
            self._streams.leave(queue)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, and let go of the queue however it ends: a client may leave at any point."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._chunks.aclose()
