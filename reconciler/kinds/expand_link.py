"""What a Link becomes: a veth pair without a bridge, its addresses, and routes over it.

With /32 or /128 addresses each side gets a host route to the other, as in Docker's own recipe for
point-to-point connections; with a larger prefix the kernel's route to the prefix is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import cast

from reconciler.allocate.addresses import IPAddress
from reconciler.allocate.names import device_name, mac_address
from reconciler.core.object import HOST, KernelObject, Key
from reconciler.kinds.assignment import Assignment
from reconciler.kinds.container import Container
from reconciler.kinds.expand_container import make_route
from reconciler.kinds.link import Endpoint, Link
from reconciler.kinds.places import netns_of
from reconciler.manifest.resource import Resource
from reconciler.objects import Address, Route, Sysctl, Veth
from reconciler.objects.keys import device_parameter
from reconciler.objects.qdisc import token_bucket
from reconciler.objects.route import IPV6_METRIC

MTU_DEFAULT = 1500  # ETH_DATA_LEN of linux/if_ether.h, what a veth gets by itself


@dataclass(frozen=True, slots=True)
class _End:
    netns: str
    device: str
    spec: Endpoint
    mac: str
    mtu: int


def expand_link(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    """Say which objects a link is made of."""
    spec = cast("Link", resource.spec)
    ends = [_end(resource.name, spec, end, assignment) for end in spec.endpoints]
    if None in ends:
        return
    a, b = sorted((end for end in ends if end), key=lambda end: (end.netns, end.device))
    yield Veth(
        a.netns,
        a.device,
        b.netns,
        b.device,
        mtu=a.mtu,
        peer_mtu=b.mtu,
        up=True,
        peer_up=True,
        mac=a.mac,
        peer_mac=b.mac,
    )
    for end, other in ((a, b), (b, a)):
        if spec.rate is not None:
            # What an end sends is one direction, so that both ends shape both.
            yield token_bucket(end.netns, end.device, spec.rate, end.mtu)
        yield from _addresses(end)
        yield from _routes(end, other)


def _end(name: str, spec: Link, end: Endpoint, assignment: Assignment) -> _End | None:
    mtu = spec.mtu_of(end) or MTU_DEFAULT
    if end.container is None:
        device = end.interface or device_name(assignment.set_name, "Link", name, "host")
        netns: str | None = HOST
    else:
        found = assignment.catalog.get("Container", end.container)
        netns = netns_of(cast("Container", found.spec)) if found else None
        device = end.interface or ""
    if netns is None:
        return None
    mac = end.mac or mac_address(assignment.set_name, "Link", name, f"{netns}:{device}")
    return _End(netns, device, end, mac, mtu)


def _addresses(end: _End) -> Iterator[KernelObject]:
    for address in end.spec.addresses:
        yield Address(end.netns, end.device, address)
    if end.netns == HOST and any(a.version == 6 for a in end.spec.addresses):
        parameter = device_parameter("ipv6", end.device, "disable_ipv6")
        yield Sysctl(HOST, parameter, "0", end.device)


def _routes(end: _End, other: _End) -> Iterator[KernelObject]:
    yield from _host_routes(end, other)
    for route in end.spec.routes:
        via = route.via or _other_side(route.family(), other)
        if via is None:
            continue
        after = (*_reaching(end, via), *(r.key for r in _host_routes(end, other)))
        yield make_route(end.netns, end.device, route, via, after)


def _host_routes(end: _End, other: _End) -> Iterator[Route]:
    """To each address of the other side that no prefix of this side reaches."""
    for theirs in other.spec.addresses:
        mine = [a for a in end.spec.addresses if a.version == theirs.version]
        if not mine or any(theirs.ip in a.network for a in mine):
            continue
        metric = 0 if theirs.version == 4 else IPV6_METRIC
        destination = ip_network(theirs.ip)
        after = tuple(Address(end.netns, end.device, a).key for a in mine)
        yield Route(end.netns, destination, end.device, metric=metric, direct=True, after=after)


def _other_side(family: int | None, other: _End) -> IPAddress | None:
    found = (a.ip for a in other.spec.addresses if family in {None, a.version})
    return next(found, None)


def _reaching(end: _End, via: IPAddress) -> tuple[Key, ...]:
    mine = (a for a in end.spec.addresses if a.version == via.version)
    return tuple(Address(end.netns, end.device, a).key for a in mine)
