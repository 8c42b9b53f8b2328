"""Assignment: which address every interface gets, written ones and automatic ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import NamedTuple, cast

from reconciler.allocate.addresses import (
    IPAddress,
    IPInterface,
    IPNetwork,
    Pool,
    Request,
    assign,
)
from reconciler.core.object import HOST, Key
from reconciler.core.state import State
from reconciler.formats.resolver import parse_resolver
from reconciler.kinds.bridge import Bridge
from reconciler.kinds.container import Container
from reconciler.kinds.interface import InterfaceSpec
from reconciler.kinds.members import (
    Member,
    Place,
    find_members,
    link_addresses,
    undeclared_members,
)
from reconciler.kinds.places import netns_of
from reconciler.kinds.publication import Published, publish
from reconciler.manifest.catalog import Catalog
from reconciler.objects import Address, File
from reconciler.objects.file import file_key
from reconciler.objects.marks import UNKNOWN


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an expansion needs to know beyond its resource."""

    catalog: Catalog
    set_name: str
    addresses: Mapping[Place, tuple[IPInterface, ...]]
    """Of every container's interface on a bridge."""
    gateways: Mapping[str, tuple[IPInterface, ...]]
    """Of every Bridge by its name, whether written or found on an external device."""
    members: Mapping[str, tuple[Member, ...]]
    """Of every Bridge by its name."""
    link_addresses: Mapping[str, tuple[IPInterface, ...]]
    """Of every container by its name."""
    host_resolver: str
    """The text of the host's resolv.conf."""
    ports: Mapping[str, tuple[Published, ...]]
    """What the host answers for, by the container's name."""
    walls: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    """By Bridge: the rules without which nothing is plugged into it."""

    def bridge(self, name: str) -> Bridge:
        """Find a bridge that the catalog's checks have found before."""
        found = self.catalog.get("Bridge", name)
        if found is None:
            raise LookupError(f"Bridge/{name}")
        return cast("Bridge", found.spec)

    def has_ipv6(self, name: str, spec: Container, netns: str) -> bool:
        """Tell whether any interface of a container has an IPv6 address."""
        own = (self.addresses[netns, i.name or ""] for i in spec.attachments)
        return any(a.version == 6 for found in own for a in found) or any(
            a.version == 6 for a in self.link_addresses.get(name, ())
        )


class _Port(NamedTuple):
    """One interface of one container on one bridge."""

    container: str
    place: Place
    interface: InterfaceSpec


def assign_addresses(
    catalog: Catalog, observed: State, set_name: str, *, partial: bool = False
) -> Assignment:
    """Give every interface its addresses.

    Args:
        catalog: What is declared.
        observed: What is there.
        set_name: Whose things are ours.
        partial: The catalog is not all of the set; what else is there of it stays.
    """
    ports = tuple(_ports(catalog))
    gateways = {
        bridge.name: _gateways(cast("Bridge", bridge.spec), observed)
        for bridge in catalog.of_kind("Bridge")
    }
    requests: dict[Request, Place] = {}
    for port in ports:
        for pool in _wanted_pools(port, gateways):
            requests[Request(port.container, port.place[1], pool)] = port.place
    current = _current(requests, {port.place for port in ports}, observed, set_name)
    kept = {address for found in current.values() for address in found}
    pools = dict(_pools(catalog, ports, gateways, observed, kept))
    given = assign(pools, requests, current)
    addresses: dict[Place, list[IPInterface]] = {
        port.place: _written(port, gateways) for port in ports
    }
    for request in given:
        addresses[requests[request]].append(given[request])
    ordered = {
        place: tuple(found if len(found) < 2 else sorted(found, key=_order))
        for place, found in addresses.items()
    }
    members = find_members(catalog, ordered)
    for bridge, member in undeclared_members(catalog, observed, set_name, partial=partial):
        members[bridge] = tuple(sorted((*members.get(bridge, ()), member)))
    links, resolver = link_addresses(catalog), _host_resolver(observed)
    published = publish(catalog, observed, set_name, partial=partial)
    return Assignment(catalog, set_name, ordered, gateways, members, links, resolver, published)


def _host_resolver(observed: State) -> str:
    """The host's resolv.conf, or the one behind it where it names the local stub resolver only."""
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        file = observed.objects.get(file_key(path))
        if isinstance(file, File) and parse_resolver(file.content or "").reachable:
            return file.content or ""
    first = observed.objects.get(file_key("/etc/resolv.conf"))
    return (first.content or "") if isinstance(first, File) else ""


def _order(interface: IPInterface) -> tuple[int, int]:
    return interface.version, int(interface.ip)


def _ports(catalog: Catalog) -> Iterator[_Port]:
    for resource in catalog.of_kind("Container"):
        spec = cast("Container", resource.spec)
        netns = netns_of(spec)
        if netns is None:
            continue
        for interface in spec.attachments:
            yield _Port(resource.name, (netns, interface.name or ""), interface)


def _gateways(spec: Bridge, observed: State) -> tuple[IPInterface, ...]:
    """The bridge's addresses; those of an external one are whatever its owner gave it."""
    if spec.addresses or not spec.external:
        return tuple(spec.addresses)
    found = [
        item.interface
        for item in observed.objects.values()
        if isinstance(item, Address)
        and (item.netns, item.device) == (HOST, spec.device_name)
        and not item.interface.is_link_local
    ]
    first = {interface.version: interface for interface in sorted(found, key=_order, reverse=True)}
    return tuple(first[version] for version in sorted(first))


def _written(port: _Port, gateways: Mapping[str, tuple[IPInterface, ...]]) -> list[IPInterface]:
    found: list[IPInterface] = []
    for wanted in port.interface.addresses:
        if wanted.address is None:
            continue
        length = wanted.prefix_length
        if length is None:
            length = _prefix_length(wanted.address, gateways[port.interface.bridge])
        found.append(ip_interface((wanted.address, length)))
    return found


def _prefix_length(address: IPAddress, gateways: Iterable[IPInterface]) -> int:
    networks = (gateway.network for gateway in gateways)
    return next((n.prefixlen for n in networks if address in n), address.max_prefixlen)


def _wanted_pools(port: _Port, gateways: Mapping[str, tuple[IPInterface, ...]]) -> Iterator[str]:
    """An automatic address in every family of the bridge that no written one is of."""
    wanted = port.interface.addresses
    if wanted and not any(one.address is None for one in wanted):
        return
    written = {one.address.version for one in wanted if one.address is not None}
    for gateway in gateways[port.interface.bridge]:
        if gateway.version not in written:
            yield _pool_name(port.interface.bridge, gateway)


def _pool_name(bridge: str, gateway: IPInterface) -> str:
    return f"Bridge/{bridge} IPv{gateway.version}"


def _pools(
    catalog: Catalog,
    ports: Iterable[_Port],
    gateways: Mapping[str, tuple[IPInterface, ...]],
    observed: State,
    kept: set[IPAddress],
) -> Iterator[tuple[str, Pool]]:
    written: dict[str, set[IPAddress]] = {}
    for port in ports:
        addresses = (one.address for one in port.interface.addresses)
        written.setdefault(port.interface.bridge, set()).update(a for a in addresses if a)
    strangers = _strangers({port.place for port in ports}, observed)
    for resource in catalog.of_kind("Bridge"):
        spec = cast("Bridge", resource.spec)
        for gateway in gateways[resource.name]:
            excluded = {gateway.ip, *spec.reserved}
            excluded |= written.get(resource.name, set())
            excluded |= strangers.get(gateway.network, set()) - kept
            chosen = spec.automatic_range(gateway.version) or gateway.network
            pool = Pool(gateway.network, chosen, frozenset(excluded))
            yield _pool_name(resource.name, gateway), pool


def _strangers(places: set[Place], observed: State) -> dict[IPNetwork, set[IPAddress]]:
    """Addresses in use by whatever these manifests do not speak of: nobody else gets them.

    Those in namespaces of others are nobody's business: a pass does not look there, a snapshot does.
    """
    found: dict[IPNetwork, set[IPAddress]] = {}
    known = {HOST, *(netns for netns, _ in places)}
    known |= {key.name for key in observed.owners if key.type == "netns"}
    for key, item in observed.objects.items():
        if key.type != "address" or key.netns not in known or not isinstance(item, Address):
            continue
        if (item.netns, item.device) not in places:
            found.setdefault(item.interface.network, set()).add(item.interface.ip)
    return found


def _current(
    requests: Mapping[Request, Place], places: set[Place], observed: State, set_name: str
) -> dict[Request, list[IPAddress]]:
    """What each interface has now; without that, what its container has on undeclared ones.

    So an interface that somebody renamed, or that is declared under another name, keeps its address.
    """
    here: dict[Place, list[IPAddress]] = {}
    elsewhere: dict[str, list[IPAddress]] = {}
    for key, item in observed.objects.items():
        if key.type != "address":
            continue
        owner = observed.owners.get(key)
        if not isinstance(item, Address) or owner is None or owner.set != set_name:
            continue
        place = (item.netns, item.device)
        if place in places:
            here.setdefault(place, []).append(item.interface.ip)
        else:
            # Where the mark has lost its words, the namespace says whose it is.
            owned = item.netns if owner.resource == UNKNOWN else owner.resource
            elsewhere.setdefault(owned, []).append(item.interface.ip)
    return {
        request: here.get(place)
        or elsewhere.get(f"Container/{request.container}")
        or elsewhere.get(place[0], [])
        for request, place in requests.items()
    }
