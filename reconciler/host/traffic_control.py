"""Traffic control: token buckets at the root of devices, read and written through pyroute2.

They are rare, so that its cost (an import of 200 ms, a millisecond for a socket) is paid only where
a device has one or is to get one. The socket is opened in the namespace here: pyroute2 would fork.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from reconciler.formats.link import LinkMessage
from reconciler.host.kernel import Kernel, OperationError
from reconciler.host.namespaces import inside
from reconciler.host.refusal import KernelRefusal
from reconciler.objects.qdisc import BITS, HANDLE, NOBODYS, TBF, Qdisc, QdiscMessage

TC_H_ROOT = 0xFFFFFFFF  # linux/pkt_sched.h
_TICK = 64e-9  # seconds, PSCHED_SHIFT of net/pkt_sched.h
_GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.EINVAL})
"""Nothing to delete: no device, no qdisc, or (EINVAL) one with another handle, a stranger's."""


def read_qdiscs(kernel: Kernel, netns: str, links: Sequence[LinkMessage]) -> list[QdiscMessage]:
    """Say which roots somebody has put on devices: all token buckets, and what else is on pairs.

    Raises:
        HostError: The kernel refused.
    """
    others = [
        QdiscMessage(link.ifindex, link.qdisc)
        for link in links
        if link.kind == "veth" and link.qdisc not in {*NOBODYS, TBF}
    ]
    if all(link.qdisc != TBF for link in links):
        return others
    kernel.counters["dumps"] += 1
    with _traffic_control(kernel, netns, "RTM_GETQDISC") as control:
        return [*others, *map(_parse, filter(_is_root_bucket, control.get_qdiscs()))]


def write_qdisc(kernel: Kernel, qdisc: Qdisc) -> None:
    """Put a token bucket at the root of its device, in place of whatever is there.

    Raises:
        HostError: The kernel refused.
        OperationError: There is no such device.
    """
    index = kernel.index(qdisc.netns, qdisc.device)
    kernel.counters["changes"] += 1
    with _traffic_control(kernel, qdisc.netns, "RTM_NEWQDISC") as control:
        control.tc(
            "replace",
            kind=qdisc.kind,
            index=index,
            parent=TC_H_ROOT,
            handle=HANDLE,
            rate=(qdisc.rate or 0) // BITS,
            burst=qdisc.burst,
            limit=qdisc.limit,
        )


def delete_qdisc(kernel: Kernel, qdisc: Qdisc) -> None:
    """Take ours from the root of its device; what is gone, or is another's now, is no error.

    Raises:
        HostError: The kernel refused.
    """
    try:
        index = kernel.index(qdisc.netns, qdisc.device)
    except OperationError:
        return  # the device is gone, or has another name, and its qdisc with it
    kernel.counters["changes"] += 1
    with _traffic_control(kernel, qdisc.netns, "RTM_DELQDISC", passing=_GONE) as control:
        control.tc("del", index=index, parent=TC_H_ROOT, handle=HANDLE)


@contextmanager
def _traffic_control(
    kernel: Kernel, netns: str, request: str, passing: frozenset[int] = frozenset()
) -> Iterator[Any]:
    from pyroute2 import IPRoute  # noqa: PLC0415 - 200 ms
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    with inside(kernel.at(netns).fd):
        # Its event loop takes datagram sockets only; to netlink it is the same (netlink(7)).
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
    control = IPRoute(fileno=sock.detach(), ext_ack=True)
    try:
        yield control
    except NetlinkError as error:
        if error.code not in passing:
            raise KernelRefusal(error.code, str(error.args[1]), request).error() from error
    finally:
        control.close()


def _is_root_bucket(message: Any) -> bool:
    return bool(message["parent"] == TC_H_ROOT and message.get_attr("TCA_KIND") == TBF)


def _parse(message: Any) -> QdiscMessage:
    found = message.get_attr("TCA_OPTIONS").get_attr("TCA_TBF_PARMS")
    burst = round(found["buffer"] * _TICK * found["rate"])
    return QdiscMessage(
        message["index"], TBF, message["handle"], found["rate"], burst, found["limit"]
    )
