"""Client: asking the loop that runs on this host, over its socket.

Only the standard library: `reconciler status` starts at once.
"""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from reconciler.errors import HostError, PrivilegeError, ReconcilerError

SOCKET = "reconciler.sock"
"""The socket's name in the run directory: one loop a host, whatever its set."""

TIMEOUT = 5.0  # seconds


class NoLoopError(ReconcilerError):
    """Nobody answers: no loop runs on this host, or it hangs."""


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket (unix(7)): the library knows TCP only."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the path instead of a host and a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def get(path: Path, target: str, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Ask the loop whose socket is at *path*, and give the JSON object it answers with.

    Args:
        path: The socket.
        target: ``/status``, ``/drift``, with a query where it takes one.
        timeout: Seconds to wait for each part of the answer.

    Raises:
        NoLoopError: Nobody answers there.
        PrivilegeError: The socket is not for this user.
        HostError: What answers is not a loop of ours.
    """
    code, body = _ask(path, target, timeout)
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise HostError(f"{path}: {target}: an answer that is not understood (HTTP {code})")
    return answer


def complaint(path: Path, target: str, timeout: float = TIMEOUT) -> str:
    """What ``/healthz`` or ``/readyz`` complains of; empty: of nothing.

    Raises:
        NoLoopError: Nobody answers there.
        PrivilegeError: The socket is not for this user.
    """
    code, body = _ask(path, target, timeout)
    return "" if code == 200 else body.decode(errors="replace").strip() or f"HTTP {code}"


def _ask(path: Path, target: str, timeout: float) -> tuple[int, bytes]:
    connection = _UnixConnection(path, timeout)
    try:
        connection.request("GET", target, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read()
    except PermissionError as error:
        raise PrivilegeError(
            f"{path}: {error.strerror}: the loop's socket is for root and its group"
        ) from error
    except TimeoutError as error:
        raise NoLoopError(f"no loop answers at {path} within {timeout:g} s") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise NoLoopError(
            f"no loop answers at {path}: {reason}; start one with `reconciler run`"
        ) from error
    finally:
        connection.close()
