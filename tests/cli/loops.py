"""Loops: the status server over a hand-made status, for commands that ask a loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.agent.board import Board
from reconciler.agent.client import SOCKET
from reconciler.agent.http import StatusServer
from reconciler.agent.journal import Journal
from reconciler.agent.metrics import Metrics
from reconciler.agent.status import Status


@contextmanager
def answering(run_dir: Path, status: Status, journal: Journal, **options) -> Iterator[Board]:
    """A loop that knows `status` answers in `run_dir`."""
    board = Board(status)
    board.heartbeat = time.monotonic()
    server = StatusServer(board, Metrics(board), journal, socket=run_dir / SOCKET, **options)
    server.start()
    try:
        yield board
    finally:
        server.stop()
