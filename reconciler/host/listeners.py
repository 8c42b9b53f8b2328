"""Listeners: sockets of this host that wait for peers, and whose they are."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from reconciler.core.drift import Culprit
from reconciler.errors import HostError
from reconciler.formats.netlink import AF_INET, AF_INET6
from reconciler.formats.sock_diag import (
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    dump_listeners,
    parse_socket,
)
from reconciler.host.netlink_socket import NetlinkSocket
from reconciler.objects import Listener

_NETLINK_SOCK_DIAG = 4  # linux/netlink.h
_PROTOCOLS = (("tcp", IPPROTO_TCP), ("udp", IPPROTO_UDP), ("sctp", IPPROTO_SCTP))


def read_listeners() -> Iterator[Listener]:
    """Read all waiting sockets of the namespace that the calling thread is in."""
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
    )
    with NetlinkSocket(sock) as diagnosis:
        for name, protocol in _PROTOCOLS:
            for family in (AF_INET, AF_INET6):
                yield from _read(diagnosis, name, dump_listeners(family, protocol))


def _read(diagnosis: NetlinkSocket, name: str, request: object) -> Iterator[Listener]:
    try:
        found = diagnosis.dump(request, parse_socket)  # type: ignore[arg-type]
    except HostError:
        return  # a kernel without this protocol
    for message in found:
        if message.port:
            yield Listener(name, message.address, message.port, message.inode)


def describe_process(inode: int) -> str:
    """Say which process has a socket: its number and command; where nobody may know, only that."""
    found = find_process(inode)
    return (
        "a process that we may not look at" if found is None else "process {} ({})".format(*found)
    )


def find_process(inode: int) -> tuple[int, str] | None:
    """Find the process that has a socket: its number and name; None where nobody may know."""
    wanted = f"socket:[{inode}]"
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            links = os.listdir(process / "fd")  # noqa: PTH208 - thousands of them
            if any(os.readlink(process / "fd" / link) == wanted for link in links):  # noqa: PTH115
                return int(process.name), (process / "comm").read_text().strip()
        except OSError:
            continue  # it has ended, or is somebody else's
    return None


def find_culprit(port: int) -> Culprit | None:
    """Find the process that has the rtnetlink socket with this port, while it lives."""
    # Columns (net/netlink/af_netlink.c): sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
    for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == "0" and int(words[2]) == port:
            found = find_process(int(words[9]))
            return None if found is None else Culprit(*found)
    return None
