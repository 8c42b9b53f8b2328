"""Connection tracking of this host: stale flows are forgotten, all others are left alone."""

from __future__ import annotations

import socket
from collections import Counter

from reconciler.errors import HostError
from reconciler.formats.conntrack import delete_flow, dump_flows, parse_flow
from reconciler.formats.netlink import AF_INET, AF_INET6
from reconciler.host.netlink_socket import NetlinkSocket
from reconciler.objects.flows import StaleFlows

_NETLINK_NETFILTER = 12  # linux/netlink.h


def forget_flows(stale: StaleFlows, counters: Counter[str]) -> int:
    """Forget the stale flows of the namespace that the calling thread is in.

    Returns:
        How many there were. A host without connection tracking has none.
    """
    if not stale:
        return 0
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
    )
    count = 0
    with NetlinkSocket(sock) as tracking:
        for family in (AF_INET, AF_INET6):
            try:
                flows = tracking.dump(dump_flows(family), parse_flow)
            except HostError:
                continue  # the module is not there: nothing is tracked
            found = [flow for flow in flows if stale.has(flow)]
            tracking.request([delete_flow(flow) for flow in found])
            count += len(found)
    counters["flows"] += count
    return count
