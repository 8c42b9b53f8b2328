"""Kernel: sockets into namespaces, opened when needed and closed soon, and indexes of devices."""

from __future__ import annotations

import errno
import os
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.object import HOST
from reconciler.errors import HostError
from reconciler.formats.link import LinkMessage, get_link, parse_link
from reconciler.formats.netlink import Request
from reconciler.host.namespaces import inside, open_namespace, open_socket_in
from reconciler.host.netlink_socket import NetlinkSocket
from reconciler.host.recent import Recent
from reconciler.host.refusal import explain

OPEN_AT_ONCE = 8
"""Namespaces that are kept open: consecutive operations are mostly about one. More would keep dead
containers' namespaces alive, and use up descriptors."""


_OF_DEVICES = {
    "accept_dad",
    "accept_ra",
    "arp_announce",
    "arp_ignore",
    "disable_ipv6",
    "forwarding",
    "promote_secondaries",
    "proxy_arp",
    "route_localnet",
    "rp_filter",
}


GONE = frozenset({"ENODEV", "ESRCH", "EADDRNOTAVAIL", "ENOENT", "ENXIO"})
"""Refusals that mean a removal has nothing left to do. ENXIO: the MTU has gone below 1280 since,
and all of IPv6 with it."""


class OperationError(Exception):
    """Why one operation could not be carried out, in the kernel's words."""


@dataclass(frozen=True, slots=True)
class OpenNamespace:
    """A namespace in use: its descriptor, and a socket in it."""

    fd: int
    socket: NetlinkSocket

    def close(self) -> None:
        """Let go of it."""
        self.socket.close()
        os.close(self.fd)


class Kernel:
    """The namespaces of one host, by the names that keys use."""

    def __init__(self, counters: Counter[str] | None = None) -> None:
        """Open nothing yet.

        Args:
            counters: Where requests are counted, see NetlinkSocket; and "files", written ones.
        """
        self.counters: Counter[str] = Counter() if counters is None else counters
        self.ports = Recent()
        """Of our own sockets, by which our own changes are known among all others."""
        self._open: OrderedDict[str, OpenNamespace] = OrderedDict()
        self._indexes: dict[tuple[str, str], int] = {}

    def at(self, netns: str) -> OpenNamespace:
        """Open a namespace, or take the one that is open.

        Raises:
            HostError: It is not there, or may not be entered.
        """
        found = self._open.pop(netns, None)
        if found is None:
            fd = open_namespace(netns)
            try:
                home = self._open[HOST].fd if HOST in self._open else None
                sock = NetlinkSocket(open_socket_in(fd, home), self.counters)
            except BaseException:
                os.close(fd)
                raise
            self.ports.add(sock.port)
            found = OpenNamespace(fd, sock)
        self._open[netns] = found
        if len(self._open) > OPEN_AT_ONCE:
            self._open.popitem(last=False)[1].close()
        return found

    def forget(self, netns: str | None = None) -> None:
        """Close a namespace that is going away, or all of them, and forget their devices."""
        gone = list(self._open) if netns is None else [netns] if netns in self._open else []
        for name in gone:
            self._open.pop(name).close()
        if netns is None:
            self._indexes.clear()
        else:
            self._indexes = {k: v for k, v in self._indexes.items() if k[0] != netns}

    def note(self, netns: str, name: str, ifindex: int) -> None:
        """Remember the index of a device."""
        self._indexes[netns, name] = ifindex

    def forget_device(self, netns: str | None, name: str | None) -> None:
        """A device is gone, or has another name now."""
        self._indexes.pop((netns or "", name or ""), None)

    def index(self, netns: str, name: str) -> int:
        """Find the index of a device by its name.

        Raises:
            OperationError: There is none.
        """
        known = self._indexes.get((netns, name))
        if known is None:
            known = self.find(netns, name).ifindex
            self.note(netns, name, known)
        return known

    def find(self, netns: str, name: str) -> LinkMessage:
        """Read a device by its name.

        Raises:
            OperationError: There is none.
        """
        (answer,) = self.request(netns, [get_link(name)])
        return parse_link(answer[0], 0, len(answer[0]))

    def request(self, netns: str, requests: Sequence[Request]) -> list[tuple[bytes, ...]]:
        """Send requests in one go and return what came back for each.

        Raises:
            OperationError: With the first refusal; what came after it was tried as well.
        """
        replies = self.at(netns).socket.request(requests)
        for reply in replies:
            if reply.refusal is not None:
                raise OperationError(str(reply.refusal))
        return [reply.payloads for reply in replies]

    def request_removal(self, netns: str, request: Request) -> None:
        """Send a request that removes something; that it is gone already is no error.

        Raises:
            OperationError: The kernel refused.
        """
        (reply,) = self.at(netns).socket.request([request])
        if reply.refusal is not None and reply.refusal.name not in GONE:
            raise OperationError(str(reply.refusal))

    def index_or_none(self, netns: str, name: str) -> int | None:
        """Find the index of a device by its name; None if there is none."""
        try:
            return self.index(netns, name)
        except OperationError:
            return None

    @contextmanager
    def inside(self, netns: str) -> Iterator[None]:
        """Be in a namespace, and come back.

        Raises:
            HostError: It is not there, or may not be entered.
        """
        home = self.at(HOST).fd
        with inside(self.at(netns).fd, home):
            yield

    def write_sysctl(self, netns: str, name: str, value: str) -> None:
        """Set a kernel parameter in a namespace.

        Raises:
            OperationError: There is none of this name, or it does not take the value.
        """
        self.counters["files"] += 1
        with inside(self.at(netns).fd):
            write_sysctl(name, value)

    def close(self) -> None:
        """Let go of everything."""
        self.forget()


_TO_PATH = str.maketrans("./", "/.")
_SYSCTL_MAX = 1 << 16  # bytes; the longest are lists of ports


def sysctl_path(name: str) -> Path:
    """Where the dotted *name* lies; a slash stands for a dot of a device's name (sysctl(8))."""
    return Path("/proc/sys") / name.translate(_TO_PATH)


def write_sysctl(name: str, value: str) -> None:
    """Set a parameter of the namespace that the calling thread is in.

    Raises:
        OperationError: There is none of this name, or it does not take the value.
    """
    try:
        sysctl_path(name).write_text(value)
    except OSError as error:
        raise OperationError(f"{name} = {value}: {explain_file(error)}") from error


def read_sysctl(name: str) -> str | None:
    """Read a parameter of the namespace that the calling thread is in; None if there is none."""
    try:
        fd = os.open(f"/proc/sys/{name.translate(_TO_PATH)}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return " ".join(os.read(fd, _SYSCTL_MAX).decode().split())
        finally:
            os.close(fd)
    except (FileNotFoundError, PermissionError):
        return None  # some can only be written (net.ipv4.route.flush)
    except OSError as error:
        if error.errno == errno.EIO:  # net.ipv6.conf.all.stable_secret until somebody writes one
            return None
        raise HostError(f"sysctl {name}: {explain_file(error)}") from error


_SECRETS = {"stable_secret", "tcp_fastopen_key"}
"""Keys from which addresses and cookies are made (ip-sysctl): nothing for a bug report."""


def list_sysctls() -> list[str]:
    """Name the parameters of the namespace that the calling thread is in, but for neighbours'.

    Of those of one device only the few that somebody may want to differ: there are a hundred each.
    """
    root = Path("/proc/sys/net")
    found = []
    for path in root.rglob("*"):
        parts = path.relative_to(root.parent).parts
        if "neigh" in parts or parts[-1] in _SECRETS or path.is_dir():
            continue
        of_device = "conf" in parts and parts[-2] not in {"all", "default"}
        if not of_device or parts[-1] in _OF_DEVICES:
            found.append(".".join(part.replace(".", "/") for part in parts))
    return sorted(found)


def explain_file(error: OSError) -> str:
    """Say in plain words why a file of the kernel could not be read or written."""
    return explain(error.errno) if error.errno else str(error)
