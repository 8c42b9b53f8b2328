"""Dumps: what a namespace answered, as messages, before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.formats.address import AddressMessage
from reconciler.formats.link import LinkMessage
from reconciler.formats.route import RouteMessage
from reconciler.objects.qdisc import QdiscMessage

LOOPBACK = 1  # LOOPBACK_IFINDEX, net/net_namespace.h: lo is the first device of every namespace


@dataclass(frozen=True, slots=True)
class NamespaceDump:
    """What one namespace answered."""

    name: str
    links: Sequence[LinkMessage] = ()
    addresses: Sequence[AddressMessage] = ()
    routes: Sequence[RouteMessage] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    qdiscs: Sequence[QdiscMessage] = ()
    leftover: str | None = None
    """The text of a mount point on which no namespace is mounted."""


@dataclass(frozen=True, slots=True)
class DeviceDump:
    """What one namespace answered about one device."""

    link: LinkMessage
    addresses: tuple[AddressMessage, ...] = ()
    routes: tuple[RouteMessage, ...] = ()
    """Those that lead through it alone."""
    qdiscs: tuple[QdiscMessage, ...] = ()


def by_device(dump: NamespaceDump) -> dict[int, DeviceDump]:
    """Sort the answers of a namespace by the index of the device that they are about."""
    addresses: dict[int, list[AddressMessage]] = {}
    routes: dict[int, list[RouteMessage]] = {}
    for address in dump.addresses:
        addresses.setdefault(address.ifindex, []).append(address)
    for route in dump.routes:
        routes.setdefault(route.oif, []).append(route)
    return {
        link.ifindex: DeviceDump(
            link,
            tuple(addresses.get(link.ifindex, ())),
            tuple(routes.get(link.ifindex, ())),
            tuple(qdisc for qdisc in dump.qdiscs if qdisc.ifindex == link.ifindex),
        )
        for link in dump.links
    }
