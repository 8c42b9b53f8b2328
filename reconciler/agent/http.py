"""HTTP: the thread that answers people, probes and Prometheus.

It only ever reads the board: a slow client cannot hold up the loop, and a loop that hangs is still
reported. While nobody asks it sleeps.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from socket import socket as Socket  # noqa: N812 - it is a class

from uvicorn.config import Config
from uvicorn.server import Server

from reconciler.agent.board import Board
from reconciler.agent.events import Streams
from reconciler.agent.journal import Journal
from reconciler.agent.listen import bind_tcp, bind_unix
from reconciler.agent.metrics import Metrics
from reconciler.agent.pages import Pages
from reconciler.errors import HostError

HEARTBEAT_MAX = 180.0
"""Seconds after which a loop that has not come round counts as hanging: three full looks."""

CONNECTIONS_MAX = 100
_PATIENCE = 0.5
"""Seconds that clients have to take what they were sent when the server stops."""
_LIMIT = 3.0
"""Seconds within which the thread starts, or ends."""


class _Server(Server):
    """uvicorn, asleep while nobody asks: it would wake up ten times a second to look at a flag."""

    def __init__(self, config: Config, streams: Streams, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._streams = streams
        self._on_start = on_start
        self._asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Wait to be told to stop; then end the streams, which would never end by themselves."""
        self._loop = asyncio.get_running_loop()
        self._on_start()
        await self._asked.wait()
        if not await self._streams.end(_PATIENCE):
            for connection in list(self.server_state.connections):
                connection.transport.abort()

    def stop(self) -> None:
        """Have it end; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._asked.set)


class StatusServer:
    """The thread that answers, on a unix socket and where wanted on TCP."""

    def __init__(
        self,
        board: Board,
        metrics: Metrics,
        journal: Journal,
        *,
        socket: Path,
        group: str | int | None = None,
        listen: str = "",
        heartbeat_max: float = HEARTBEAT_MAX,
    ) -> None:
        """Prepare; nothing is bound yet.

        Args:
            board: What the loop knows.
            metrics: What it counts.
            journal: What it has seen.
            socket: Where to listen: a unix socket, for root and *group*.
            group: A group that may ask, by name or number.
            listen: ``HOST:PORT`` to listen on, too; empty: only on the unix socket.
            heartbeat_max: Seconds after which a silent loop counts as hanging.
        """
        self.socket = socket
        self._group, self._listen = group, listen
        self._pages = Pages(board, metrics, journal, heartbeat_max)
        self._started = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._identity: tuple[int, int] | None = None
        self.failure = ""
        """Why the thread ended by itself; empty: it did not."""
        self.addresses: tuple[object, ...] = ()
        """Where it listens on TCP, as `socket.getsockname` says it."""

    def start(self) -> None:
        """Listen, and answer from now on.

        Raises:
            HostError: It cannot listen there; the message names the path or the address.
        """
        sockets = [bind_unix(self.socket, self._group)]
        found = self.socket.stat()
        self._identity = (found.st_dev, found.st_ino)
        try:
            if self._listen:
                sockets.append(bind_tcp(self._listen))
            self.addresses = tuple(each.getsockname() for each in sockets[1:])
            self._start(sockets)
        except HostError:
            for each in sockets:
                each.close()
            self._remove()
            raise

    def _start(self, sockets: list[Socket]) -> None:
        pages = self._pages
        server = self._server = _Server(_config(pages), pages.streams, self._started.set)
        self._thread = threading.Thread(
            target=self._run, args=(server, sockets), name="http", daemon=True
        )
        self._thread.start()
        if not self._started.wait(_LIMIT) or self.failure:
            raise HostError(f"{self.socket}: the status server did not start: {self.failure}")

    def _run(self, server: _Server, sockets: list[Socket]) -> None:
        try:
            asyncio.run(server.serve(sockets))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a thread has nobody to raise to
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self._started.set()

    def stop(self) -> None:
        """End all streams and the thread, within about two seconds; harmless when repeated."""
        if self._server is not None:
            self._server.stop()
        if self._thread is not None:
            self._thread.join(_LIMIT)
        self._remove()

    def _remove(self) -> None:
        """Take the socket's file away, unless it is another's by now."""
        try:
            found = self.socket.lstat()
            if (found.st_dev, found.st_ino) == self._identity:
                self.socket.unlink()
        except OSError:
            pass  # it is gone, or its directory is


def _config(pages: Pages) -> Config:
    return Config(
        pages.app(),
        loop="asyncio",
        http="h11",
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=1,
    )
