"""Listen: the sockets on which a loop answers.

They are bound by the caller, not by the HTTP server: what is wrong with a path or a port is an
error at the start, in words, and the unix socket is never open to more people than it should be.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from pathlib import Path

from reconciler.errors import HostError

MODE = 0o660
BACKLOG = 64
_PATIENCE = 1.0
"""Seconds that a socket's owner has to accept before it counts as alive but busy."""


def bind_unix(path: Path, group: str | int | None = None) -> socket.socket:
    """Listen on a unix socket, in the place of one that nobody listens on any more.

    Args:
        path: Where; its directory is made if it is not there.
        group: Whose group may ask, by name or number, besides root; None: that of this process.

    Raises:
        HostError: Somebody answers there, or it cannot be made.
    """
    gid = -1 if group is None else _gid(group)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # On Linux a socket's mode becomes its file's (unix_bind_bsd in net/unix/af_unix.c):
            # nobody else gets in before the group is right.
            os.fchmod(listener.fileno(), 0o600)
            listener.bind(str(path))
            os.chown(path, -1, gid)
            path.chmod(MODE)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise HostError(f"{path}: {error.strerror or error}") from error
    return listener


def _gid(group: str | int) -> int:
    text = str(group)
    if text.isdecimal():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise HostError(f"there is no group {text!r} on this host") from None


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise HostError(f"{path}: there is something else under this name, not a socket")
    if _answers(path):
        raise HostError(f"{path}: another process answers there already")
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (TimeoutError, BlockingIOError):
            return True  # its queue is full
        return True


def bind_tcp(address: str) -> socket.socket:
    """Listen on ``HOST:PORT``, ``[::1]:PORT`` for an IPv6 address; port 0 takes a free one.

    Raises:
        HostError: That is no address of this host, or the port is taken.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise HostError(f"{address!r} is not HOST:PORT, such as 127.0.0.1:9092 or [::1]:9092")
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (
            os.strerror(errno.EADDRINUSE) if error.errno == errno.EADDRINUSE else error.strerror
        )
        raise HostError(f"{address}: {reason or error}") from error
