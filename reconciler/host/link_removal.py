"""Link removal: many devices at once, for the price of one.

The kernel waits for an RCU grace period for every RTM_DELLINK: 16 to 20 ms for one device. All
devices of a group it unregisters together, at 0.3 ms each (Linux 6.18). So the doomed are put into
a group of their own, and the group is deleted.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from reconciler.formats.link_request import LinkSettings, delete_group, delete_link, set_link
from reconciler.host.netlink_socket import NetlinkSocket
from reconciler.host.refusal import KernelRefusal

DOOMED_GROUPS = range(0x7C00_0000, 0x7D00_0000)
"""A device in one of these groups was to be deleted when its owner was killed. The number is drawn
anew each time, so that a device left over from then is never deleted along with others."""
LINKS_AT_ONCE = 500  # the kernel's one lock for all networking (RTNL) is held for the whole group


def delete_links(sock: NetlinkSocket, ifindexes: Sequence[int]) -> list[KernelRefusal | None]:
    """Delete devices, and with each veth its peer wherever that is.

    Returns:
        For each device in order, why it is still there, or None. A device that went with its peer
        before its turn came counts as refused with ENODEV.

    Raises:
        HostError: As NetlinkSocket.request.
    """
    outcomes: list[KernelRefusal | None] = []
    for start in range(0, len(ifindexes), LINKS_AT_ONCE):
        outcomes += _delete_some(sock, ifindexes[start : start + LINKS_AT_ONCE])
    return outcomes


def _delete_some(sock: NetlinkSocket, ifindexes: Sequence[int]) -> list[KernelRefusal | None]:
    if len(ifindexes) == 1:
        return _delete_each(sock, ifindexes)
    doomed = LinkSettings(group=DOOMED_GROUPS.start + secrets.randbelow(len(DOOMED_GROUPS)))
    tagged = [reply.refusal for reply in sock.request([set_link(i, doomed) for i in ifindexes])]
    rest = [i for i, refusal in zip(ifindexes, tagged, strict=True) if refusal is None]
    if rest and sock.request([delete_group(doomed.group or 0)])[0].refusal is None:
        rest = []
    # The kernel deletes a group as a whole or not at all: one that cannot go saves all.
    each = iter(_delete_each(sock, rest))
    return [refusal or (next(each) if rest else None) for refusal in tagged]


def _delete_each(sock: NetlinkSocket, ifindexes: Sequence[int]) -> list[KernelRefusal | None]:
    return [reply.refusal for reply in sock.request([delete_link(i) for i in ifindexes])]
