"""Lock: one instance at a time changes a host. It names its holder; a dead one holds nothing."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import HostError, LockedError

FILE = "lock"


@contextmanager
def host_lock(run_dir: Path, what: str) -> Iterator[None]:
    """Hold the lock of this host.

    It is a flock(2) on a file that stays: the kernel lets go of it when its holder dies, however.

    Args:
        run_dir: Where the file lies; made if it is not there.
        what: The holder's command, for whoever comes second.

    Raises:
        LockedError: Another instance holds it; the message names it.
        HostError: The file cannot be made.
    """
    path = run_dir / FILE
    try:
        run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    try:
        _take(fd, path)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {what}\n".encode(), 0)
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _take(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid, _, what = os.pread(fd, 512, 0).decode(errors="replace").strip().partition(" ")
        holder = f"process {pid} ({what})" if pid else "another process"
        raise LockedError(f"{holder} works on this host and holds {path}") from None
