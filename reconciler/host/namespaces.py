"""Namespaces: enter one and come back, open a socket in one, make one.

A network namespace belongs to a thread, so all of this is about the calling thread only. Nothing
here forks, and no descriptor is kept open: it would keep a dead container's namespace alive.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from reconciler.errors import HostError, PrivilegeError
from reconciler.host.netlink_socket import open_socket
from reconciler.host.syscalls import CLONE_NEWNET, setns, unshare_network

NETNS_DIR = Path("/run/netns")
"""Where ip-netns(8) keeps its names."""
HOST = ""
"""The reference to the namespace the calling thread is in."""
HERE = "/proc/thread-self/ns/net"

_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h, ioctl_ns(2)
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h
_EX_SOFTWARE = 70  # sysexits.h


@contextmanager
def inside(fd: int, home: int | None = None) -> Iterator[None]:
    """Be in the namespace of `fd`, and come back whatever happens.

    Args:
        fd: Where to be.
        home: A descriptor of where the calling thread is now, if there is one already.

    Raises:
        HostError: It cannot be entered.
    """
    with _coming_back(home) as stayed:
        try:
            setns(fd)
        except OSError as error:
            stayed.append(True)
            raise host_error("cannot enter the network namespace", error) from error
        yield


@contextmanager
def inside_new_namespace() -> Iterator[None]:
    """Be in a new namespace, which dies on the way back unless it was mounted somewhere.

    Raises:
        HostError: None can be made.
    """
    with _coming_back() as stayed:
        try:
            unshare_network()
        except OSError as error:
            stayed.append(True)
            raise host_error("cannot make a network namespace", error) from error
        yield


def open_socket_in(fd: int, home: int | None = None) -> socket.socket:
    """An rtnetlink socket in the namespace of `fd`, where it stays; *home* as with `inside`."""
    with inside(fd, home):
        return open_socket()


def open_namespace(reference: str) -> int:
    """Open a namespace. The caller closes the descriptor.

    Args:
        reference: HOST, a name under NETNS_DIR, or an absolute path such as /proc/4711/ns/net.

    Raises:
        HostError: It is not there, or not a network namespace.
    """
    path = (reference if reference[0] == "/" else f"{NETNS_DIR}/{reference}") if reference else HERE
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise host_error(f"network namespace {path}", error) from error
    try:
        kind = fcntl.ioctl(fd, _NS_GET_NSTYPE)
    except OSError:
        kind = 0
    if kind != CLONE_NEWNET:
        os.close(fd)
        raise HostError(f"{path} is not a network namespace")
    return fd


def cookie(sock: socket.socket) -> int:
    """The number of the namespace a socket is in; no other has it until the next boot.

    Raises:
        HostError: The kernel is older than Linux 5.14.
    """
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    except OSError as error:
        raise host_error("the kernel does not number its namespaces", error) from error
    return int.from_bytes(raw, sys.byteorder)


def host_error(what: str, error: OSError) -> HostError:
    """The error to raise when a system call about namespaces failed."""
    if isinstance(error, PermissionError):
        return PrivilegeError(f"{what}: {error.strerror}; it needs CAP_SYS_ADMIN, run it as root")
    return HostError(f"{what}: {error.strerror}")


@contextmanager
def _coming_back(here: int | None = None) -> Iterator[list[bool]]:
    """Come back unless the list that is given says that we never left.

    Who may not enter a namespace may not enter its own either.
    """
    home = os.open(HERE, os.O_RDONLY | os.O_CLOEXEC) if here is None else here
    stayed: list[bool] = []
    try:
        yield stayed
    finally:
        try:
            if not stayed:
                setns(home)
        except BaseException:  # noqa: BLE001
            _die()
        if here is None:
            os.close(home)


def _die() -> NoReturn:
    # Every further step would be taken in the wrong namespace, thinking it were the host's.
    os.write(2, b"reconciler: cannot return to its own network namespace, stopping at once\n")
    os._exit(_EX_SOFTWARE)
