"""Monitor: hears of changes in the kernel, in all namespaces that have a number in ours.

One rtnetlink socket hears them all (NETLINK_LISTEN_ALL_NSID; the number comes beside the message),
one nfnetlink socket hears of the rules of our own. The legacy packet filter, parameters and files
tell nobody. Who subscribes before the first look misses nothing in between; an overrun means that
something was missed, and then everything is to be looked at.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.core.drift import Culprit
from reconciler.core.object import HOST
from reconciler.errors import HostError, PrivilegeError
from reconciler.formats.events import (
    GROUPS,
    NFNLGRP_NFTABLES,
    DeviceEvent,
    NamespaceEvent,
    RulesEvent,
    RulesReader,
    parse_events,
)
from reconciler.formats.netlink import NetlinkFormatError
from reconciler.formats.nfnetlink import NETLINK_NETFILTER
from reconciler.host.listeners import find_culprit

# linux/netlink.h
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NETLINK_LISTEN_ALL_NSID = 270, 1, 8
_SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 16 << 20  # bytes: the events of building a thousand containers
_READ_BYTES = 1 << 16
_PID_BITS = 22  # PID_MAX_LIMIT: pyroute2 puts its own number above them

Place = tuple[str, int]
"""A namespace and the index of a device in it; 0 for the namespace as a whole."""


@dataclass(slots=True)
class Heard:
    """What was told since somebody asked last."""

    places: dict[Place, Culprit | None] = field(default_factory=dict)
    """Where something was changed, and who did it last, if it was not we ourselves."""
    ours: set[Place] = field(default_factory=set)
    """Those of them that only we have changed."""
    names: dict[str, Culprit | None] = field(default_factory=dict)
    """The host's devices by name, of those that were themselves changed by somebody else."""
    devices_changed: set[str] = field(default_factory=set)
    """Namespaces in which a device itself was changed; its parameters may be others now."""
    families: dict[int, Culprit | None] = field(default_factory=dict)
    """Whose rules were changed, and by whom."""
    own_families: set[int] = field(default_factory=set)
    spaces: bool = False
    """Namespaces came or went."""
    overrun: bool = False

    def __bool__(self) -> bool:
        """Whether anything was told."""
        return bool(self.places or self.families or self.spaces or self.overrun)


class Monitor:
    """The sockets that hear, and what they have heard."""

    def __init__(
        self,
        name_of: Callable[[int], str | None],
        is_ours: Callable[[int], bool],
        is_our_program: Callable[[int], bool],
        receive_buffer: int = RECEIVE_BUFFER,
    ) -> None:
        """Subscribe, in the namespace of the calling thread.

        Args:
            name_of: Gives the name of the namespace of a number; None if we know none.
            is_ours: Tells our own sockets from others, by their port.
            is_our_program: Tells the programs that we have started, by their process' number.
            receive_buffer: In bytes, of either socket.

        Raises:
            PrivilegeError: Without CAP_NET_BROADCAST.
            HostError: The kernel refused.
        """
        self._name_of, self._is_ours, self._is_our_program = name_of, is_ours, is_our_program
        self._rules = RulesReader()
        try:
            self._routes = _open(0, GROUPS, receive_buffer, everywhere=True)
        except OSError as error:
            raise _refusal(error) from error
        self._strangers: set[int] = set()
        self._filter: socket.socket | None = None
        with suppress(OSError):  # a kernel without nf_tables: only the timer tells of rules
            self._filter = _open(NETLINK_NETFILTER, (NFNLGRP_NFTABLES,), receive_buffer)

    @property
    def sockets(self) -> list[socket.socket]:
        """To wait on until one is readable."""
        found = (self._routes, self._filter)
        return [sock for sock in found if sock is not None]

    @property
    def hears_rules(self) -> bool:
        """Whether nf_tables tells of its rules; on a kernel without them nobody does."""
        return self._filter is not None

    def close(self) -> None:
        """Hear nothing any more."""
        for sock in self.sockets:
            sock.close()

    def read(self) -> Heard:
        """Take all that has been told; never waits."""
        heard = Heard()
        for data, nsid in self._datagrams(self._routes, heard):
            with suppress_malformed(heard):
                for event in parse_events(data):
                    self._take(event, nsid, heard)
        if self._filter is not None:
            for data, _ in self._datagrams(self._filter, heard):
                with suppress_malformed(heard):
                    for rules in self._rules.read(data):
                        self._take_rules(rules, heard)
        return heard

    def _take(self, event: DeviceEvent | NamespaceEvent, nsid: int | None, heard: Heard) -> None:
        if isinstance(event, NamespaceEvent):
            heard.spaces = True
            self._strangers.discard(event.nsid)
            return
        netns = HOST if nsid is None else self._name_of(nsid)
        if netns is None:
            # Worth a look at the list of namespaces, once: most are engines' and nameless.
            heard.spaces |= nsid not in self._strangers
            self._strangers.add(nsid or 0)
            return
        place = (netns, event.ifindex if netns == HOST else 0)
        if event.link:
            heard.devices_changed.add(netns)
        if event.port and self._ours(event.port):
            if place not in heard.places:
                heard.places[place] = None
                heard.ours.add(place)
            return
        heard.ours.discard(place)
        culprit = self._culprit(event.port, here=netns == HOST) if event.port else None
        heard.places[place] = culprit or heard.places.get(place)
        if event.link and netns == HOST and culprit:
            heard.names[event.name] = culprit

    def _ours(self, port: int) -> bool:
        return self._is_ours(port) or port & ((1 << _PID_BITS) - 1) == os.getpid()

    def _take_rules(self, event: RulesEvent, heard: Heard) -> None:
        if self._is_our_program(event.pid):
            heard.own_families |= event.families - heard.families.keys()
            return
        culprit = Culprit(event.pid, event.program) if event.pid else None
        for family in event.families:
            heard.families[family] = culprit

    @staticmethod
    def _culprit(port: int, *, here: bool) -> Culprit:
        """Name the process of a socket by its port: the kernel gives the first the process' own."""
        if port < 1 << _PID_BITS:
            with suppress(OSError):
                return Culprit(port, Path(f"/proc/{port}/comm").read_text().strip())
            return Culprit(port)
        return (find_culprit(port) if here else None) or Culprit(0)

    @staticmethod
    def _datagrams(sock: socket.socket, heard: Heard) -> Iterator[tuple[bytes, int | None]]:
        while True:
            try:
                data, ancillary, flags, sender = sock.recvmsg(
                    _READ_BYTES, socket.CMSG_SPACE(4), socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise HostError(f"netlink events: {error.strerror}") from error
                heard.overrun = True  # the socket itself goes on
                continue
            if flags & socket.MSG_TRUNC:
                heard.overrun = True
            elif sender[0] == 0:  # the kernel: another process can send here, too
                yield data, _nsid(ancillary)


@dataclass(slots=True)
class suppress_malformed:  # noqa: N801 - a context manager, as contextlib.suppress
    """What cannot be read tells that something was changed, but not what."""

    heard: Heard

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        if kind is not None and issubclass(kind, NetlinkFormatError):
            self.heard.overrun = True
            return True
        return False


def _open(
    protocol: int, groups: tuple[int, ...], receive_buffer: int, *, everywhere: bool = False
) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    sock = socket.socket(socket.AF_NETLINK, kind, protocol)
    try:
        if everywhere:
            sock.setsockopt(_SOL_NETLINK, _NETLINK_LISTEN_ALL_NSID, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.bind((0, 0))
        for group in groups:
            sock.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    except BaseException:
        sock.close()
        raise
    return sock


def _refusal(error: OSError) -> HostError:
    if isinstance(error, PermissionError):
        return PrivilegeError("netlink events of all namespaces: this needs CAP_NET_BROADCAST")
    return HostError(f"netlink events: {error.strerror}")


def _nsid(ancillary: list[tuple[int, int, Any]]) -> int | None:
    """The number of the namespace that an event is from; None: ours."""
    for level, kind, data in ancillary:
        if level == _SOL_NETLINK and kind == _NETLINK_LISTEN_ALL_NSID:
            return int.from_bytes(data[:4], sys.byteorder, signed=True)
    return None
