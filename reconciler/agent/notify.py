"""Notify: tells systemd how the loop is (sd_notify(3)), where it was started by systemd."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(message: str) -> bool:
    """Send one message, such as ``READY=1``; False where nobody wants to know."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    # A name that begins with @ lies in the abstract namespace (unix(7)).
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with (
        suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
    ):
        sock.connect(address)
        # Without waiting: where nobody reads, the loop is not to stop.
        sock.send(message.encode(), socket.MSG_DONTWAIT)
        return True
    return False


def watchdog_interval() -> float | None:
    """Seconds between two signs of life, half of what systemd waits for; None: it does not wait."""
    given = os.environ.get("WATCHDOG_USEC", "")
    microseconds = int(given) if given.isdecimal() else 0
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return microseconds / 2e6 if microseconds and mine else None
