"""Pages: what a running loop says to those who ask over HTTP.

They only read what lies on the board. There is nothing to write, so GET is all there is.
"""

from __future__ import annotations

import json
import time
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reconciler.agent.board import Board
from reconciler.agent.events import EventStream, Streams
from reconciler.agent.journal import Journal
from reconciler.agent.metrics import Metrics
from reconciler.agent.status import VERSION, drift_to_dict

HISTORY_MAX = 10_000
"""Records of the journal in one answer; more than its two files hold, mostly."""


class Pages:
    """The answers, by path."""

    def __init__(
        self, board: Board, metrics: Metrics, journal: Journal, heartbeat_max: float
    ) -> None:
        self._board = board
        self._metrics = metrics
        self._journal = journal
        self._heartbeat_max = heartbeat_max
        self._began = time.monotonic()
        self.streams = Streams(board)

    def app(self) -> Starlette:
        """The application that uvicorn runs."""
        pages = (self.healthz, self.readyz, self.status, self.drift, self.events, self.metrics)
        return Starlette(routes=[Route(f"/{page.__name__}", page) for page in pages])

    async def healthz(self, _: Request) -> Response:
        """Whether the loop comes round, or has hung."""
        age = time.monotonic() - max(self._board.heartbeat, self._began)
        if age < self._heartbeat_max:
            return PlainTextResponse("ok\n")
        reason = f"the loop has not come round for {age:.0f} s\n"
        return PlainTextResponse(reason, status_code=503)

    async def readyz(self, _: Request) -> Response:
        """Whether a first pass over everything has ended."""
        status = self._board.status
        if status.ready:
            return PlainTextResponse("ok\n")
        number = len(status.manifests.problems)
        what = "problem" if number == 1 else "problems"
        why = f"; {number} {what} in the manifests" if number else ""
        return PlainTextResponse(f"no pass has ended yet{why}\n", status_code=503)

    async def status(self, _: Request) -> Response:
        """Everything, as `reconciler status -o json` prints it."""
        return _json(self._board.status.to_dict())

    async def drift(self, request: Request) -> Response:
        """What is other than declared, and with ``?history=N`` what was."""
        wanted = request.query_params.get("history", "0")
        if not wanted.isdecimal():
            return PlainTextResponse("history is a number\n", status_code=400)
        status = self._board.status
        limit = min(int(wanted), HISTORY_MAX)
        return _json(
            {
                "version": VERSION,
                "set": status.set_name,
                "drift": [drift_to_dict(drift, status.source_of) for drift in status.drift],
                "history": self._journal.read(limit) if limit else [],
            }
        )

    async def events(self, _: Request) -> EventStream:
        """What happens, as it happens."""
        return self.streams.open()

    async def metrics(self, _: Request) -> Response:
        """For Prometheus."""
        text, content_type = self._metrics.render()
        return Response(text, headers={"Content-Type": content_type})


def _json(value: dict[str, Any]) -> Response:
    # Escaped to ASCII, as names in a kernel need not be UTF-8.
    return Response(json.dumps(value, default=str), media_type="application/json")
