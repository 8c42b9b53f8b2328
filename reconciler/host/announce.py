"""Announce: tell neighbours, by ARP and neighbour advertisements, where an address is now.

It is a courtesy: who does not hear it finds out by himself, half a minute later. So nothing here
fails a pass. What could not be sent is counted: the device is gone again, or CAP_NET_RAW missing.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Sequence

from reconciler.errors import ReconcilerError
from reconciler.formats.announce import MAC_LENGTH, render_announcement
from reconciler.formats.link import IF_OPER_UP
from reconciler.host.kernel import Kernel, OperationError, read_sysctl
from reconciler.host.namespaces import inside
from reconciler.objects.announcements import Announcement
from reconciler.objects.keys import device_parameter

CARRIER_WAIT = 0.2
"""Seconds that new devices get, all together, until they have carrier: before, frames are lost."""
SOCKETS_AT_ONCE = 64
"""A packet socket takes 12 ms to close (it waits for all CPUs, packet_release of
net/packet/af_packet.c), and many at a time take hardly longer."""
_POLL = 0.002
_ARPHRD_ETHER = 1  # linux/if_arp.h


def announce(kernel: Kernel, found: Iterable[Announcement]) -> None:
    """Send one frame for each, and count them: "announcements", "announcements_failed"."""
    by_netns: dict[str, list[Announcement]] = {}
    for one in sorted(found, key=lambda one: one.fresh):
        by_netns.setdefault(one.netns, []).append(one)
    deadline = time.monotonic() + CARRIER_WAIT
    sockets: list[socket.socket] = []
    for netns, here in by_netns.items():
        sent = _announce_in(kernel, netns, here, deadline, sockets)
        kernel.counters["announcements"] += sent
        kernel.counters["announcements_failed"] += len(here) - sent
        if len(sockets) == SOCKETS_AT_ONCE:
            _close(sockets)
    _close(sockets)


def _announce_in(
    kernel: Kernel,
    netns: str,
    found: Sequence[Announcement],
    deadline: float,
    sockets: list[socket.socket],
) -> int:
    """Send from one namespace by a socket put into *sockets*; say how many frames have left."""
    sent = 0
    try:
        with inside(kernel.at(netns).fd):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
            sockets.append(sock)
            routers = {one.device: _forwards(one.device) for one in found}
    except (OSError, ReconcilerError):
        return 0
    for one in found:
        if one.fresh:
            _await_carrier(kernel, netns, one.device, deadline)
        sent += _send(sock, one, router=routers[one.device])
    return sent


def _close(sockets: list[socket.socket]) -> None:
    """Close all of them side by side, and forget them."""
    threads = [threading.Thread(target=sock.close) for sock in sockets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sockets.clear()


def _forwards(device: str) -> bool:
    """Whether a device of the namespace that the thread is in is a router's (ip-sysctl)."""
    return read_sysctl(device_parameter("ipv6", device, "forwarding")) == "1"


def _send(sock: socket.socket, one: Announcement, *, router: bool) -> bool:
    try:
        sock.bind((one.device, 0))
        hardware, mac = sock.getsockname()[3:5]
        if hardware != _ARPHRD_ETHER or len(mac) != MAC_LENGTH:
            return False
        sock.send(render_announcement(mac, one.interface.ip, router=router))
    except OSError:
        return False
    return True


def _await_carrier(kernel: Kernel, netns: str, device: str, deadline: float) -> None:
    """Wait for the kernel to notice that both ends are up, which it does a moment after."""
    try:
        while kernel.find(netns, device).operstate != IF_OPER_UP:
            if time.monotonic() > deadline:
                return
            time.sleep(_POLL)
    except (OperationError, ReconcilerError):
        return  # sending says the same
