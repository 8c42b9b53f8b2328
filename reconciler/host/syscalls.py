"""System calls that Python 3.11 has no name for: setns, unshare, mount, umount2.

Each raises OSError with the errno of the call. Namespaces belong to the calling thread.
"""

from __future__ import annotations

import ctypes
import os

# linux/sched.h
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
MS_BIND, MS_REC, MS_SLAVE, MS_SHARED = 0x1000, 0x4000, 0x80000, 0x100000  # linux/mount.h
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    *(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p),
    *(ctypes.c_ulong, ctypes.c_void_p),
)


def setns(fd: int) -> None:
    """Move this thread into the network namespace that `fd` refers to (setns(2))."""
    _check(_libc.setns(fd, CLONE_NEWNET))


def unshare_network() -> None:
    """Move this thread into a new network namespace (unshare(2))."""
    unshare(CLONE_NEWNET)


def unshare(flags: int) -> None:
    """Move this thread into new namespaces of these kinds (unshare(2))."""
    _check(_libc.unshare(flags))


def mount(source: str, target: str, flags: int) -> None:
    """Bind a file or directory, or change how a mount propagates (mount(2))."""
    _check(_libc.mount(source.encode(), os.fsencode(target), b"none", flags, None), target)


def mount_sysfs(target: str) -> None:
    """Show the devices of the network namespace that this thread is in (mount(2), sysfs)."""
    _check(_libc.mount(b"sysfs", os.fsencode(target), b"sysfs", 0, None), target)


def unmount(target: str) -> None:
    """Take a mount away at once; what still uses it keeps it alive (umount2(2), MNT_DETACH)."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), target)


def _check(result: int, target: str | None = None) -> None:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), target)
