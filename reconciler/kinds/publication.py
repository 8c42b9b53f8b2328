"""Publication: which ports of which containers the host answers for, and on which ports of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple, cast

from reconciler.allocate.addresses import IPAddress
from reconciler.allocate.ports import (
    DEFAULT_RANGE,
    PortRange,
    PortRequest,
    assign_ports,
    parse_ranges,
)
from reconciler.core.object import HOST
from reconciler.core.state import State
from reconciler.kinds.container import Container
from reconciler.kinds.interface import InterfaceSpec
from reconciler.kinds.port_conflicts import (
    PortsInUseError,
    Publication,
    find_conflicts,
    read_publications,
)
from reconciler.kinds.ports import PROTOCOLS
from reconciler.kinds.roles import find_bridge, gateway_interface
from reconciler.manifest.catalog import Catalog
from reconciler.objects import Listener, Sysctl
from reconciler.objects.keys import LOCAL_RANGE, RESERVED_PORTS, sysctl_key
from reconciler.objects.marks import UNKNOWN

EVERY_PORT = (1, 65535)


@dataclass(frozen=True, slots=True)
class Published:
    """One port of a container on one port of the host."""

    container: str
    container_port: int
    protocol: str
    host_ip: IPAddress | None
    """None: every address of the host."""
    host_port: int
    certain: bool
    """The manifest names the host port."""

    @property
    def what(self) -> str:
        """How the rule's comment says it, and `docker port` would."""
        host = "" if self.host_ip is None else f"{self.host_ip}:"
        return f"{host}{self.host_port}->{self.container_port}/{self.protocol}"


def publish(
    catalog: Catalog, observed: State, set_name: str, *, partial: bool = False
) -> dict[str, tuple[Published, ...]]:
    """Choose the host ports of all containers, by their names.

    Args:
        catalog: What is declared.
        observed: What is there.
        set_name: Whose things are ours.
        partial: What the set has beyond the catalog stays.

    Raises:
        PortsInUseError: Somebody else has a port that a manifest names and that is not published
            yet.
        PortsExhaustedError: A range has no free port left.
    """
    wanted = dict(_requests(catalog))
    if not wanted:
        return {}
    there = _look(observed, set_name, set(catalog.names("Container")), partial=partial)
    current = _match(_places(there.ours), wanted)
    listeners = [item for item in observed.objects.values() if isinstance(item, Listener)]
    taken = _taken(there, current, listeners)
    reserved = _reserved(observed)
    given = assign_ports(wanted, current, taken, _local_range(observed), reserved)
    certain = {request: port for request, port in given.items() if _is_certain(wanted[request])}
    kept = [*there.ours, *there.leaving]
    if conflicts := list(find_conflicts(certain, listeners, kept, there.staying)):
        raise PortsInUseError(conflicts)
    found: dict[str, list[Published]] = {}
    for request, port in sorted(given.items()):
        found.setdefault(request.container, []).append(
            Published(
                request.container,
                request.container_port,
                request.protocol,
                ip_address(request.host_ip) if request.host_ip else None,
                port,
                certain=_is_certain(wanted[request]),
            )
        )
    return {name: tuple(ports) for name, ports in found.items()}


class _There(NamedTuple):
    """What is published on the host, and by whom."""

    ours: list[Publication]
    """By containers that are declared."""
    leaving: list[Publication]
    """By others of our set, which go in this pass: their ports are free."""
    staying: list[Publication]


def _look(observed: State, set_name: str, declared: Collection[str], *, partial: bool) -> _There:
    there = _There([], [], [])
    kept = {owner.resource for owner in observed.owners.values() if owner.keep}
    for one in read_publications(observed):
        if one.owner is None or one.owner.set != set_name:
            there.staying.append(one)
        elif one.container in declared:
            there.ours.append(one)
        elif one.owner.resource != UNKNOWN:  # a surplus copy of a rule of ours says nothing
            stays = partial or one.owner.resource in kept
            (there.staying if stays else there.leaving).append(one)
    return there


def _taken(
    there: _There, current: Mapping[PortRequest, int], listeners: Iterable[Listener]
) -> dict[str, set[int]]:
    """By protocol, the ports that are not handed out."""
    taken: dict[str, set[int]] = {protocol: set() for protocol in PROTOCOLS}
    for one in there.staying:
        taken.setdefault(one.protocol, set()).add(one.host_port)
    busy = {(request.protocol, port) for request, port in current.items()}
    for item in listeners:
        # Somebody's outgoing UDP may have the number of a port of ours by chance: no reason to move.
        if (item.protocol, item.port) not in busy:
            taken[item.protocol].add(item.port)
    return taken


def _reserved(observed: State) -> set[int]:
    ranges = parse_ranges(_parameter(observed, RESERVED_PORTS))
    return {port for first, last in ranges for port in range(first, last + 1)}


def _is_certain(ports: PortRange | None) -> bool:
    return ports is not None and ports[0] == ports[1]


def publishing_interface(catalog: Catalog, spec: Container) -> InterfaceSpec | None:
    """The interface that published ports lead to: the one of the default route."""
    interface = gateway_interface(catalog, spec)
    bridge = find_bridge(catalog, interface.bridge) if interface else None
    if bridge is None or bridge.internal or not bridge.iptables:
        return None
    return interface


def _requests(catalog: Catalog) -> Iterator[tuple[PortRequest, PortRange | None]]:
    for resource in catalog.of_kind("Container"):
        spec = cast("Container", resource.spec)
        if not (spec.publish or spec.publish_all):
            continue  # most publish nothing
        interface = publishing_interface(catalog, spec)
        if interface is None:
            continue
        bridge = find_bridge(catalog, interface.bridge)
        binds = _binds(bridge.bind_address if bridge else ())
        for number, port in enumerate(spec.published_ports, 1):
            for where in [str(port.host_ip)] if port.host_ip else binds:
                yield (
                    PortRequest(resource.name, port.container_port, port.protocol, where, number),
                    port.host_ports,
                )
        if spec.publish_all:
            done = {(port.container_port, port.protocol) for port in spec.published_ports}
            for exposed in spec.exposed_ports:
                if (exposed.port, exposed.protocol) not in done:
                    for where in binds:
                        yield (
                            PortRequest(resource.name, exposed.port, exposed.protocol, where),
                            None,
                        )


def _binds(addresses: Collection[IPAddress]) -> list[str]:
    """The host addresses of a port that names none; "" is all of both families, on one port."""
    if not addresses or (
        all(ip.is_unspecified for ip in addresses) and {ip.version for ip in addresses} == {4, 6}
    ):
        return [""]
    return [str(ip) for ip in addresses]


Place = tuple[str, int, str, str]
"""Container, its port, protocol, host address."""


def _places(ours: Iterable[Publication]) -> dict[Place, list[int]]:
    """The host ports of each place, which both families have on their own."""
    found: dict[Place, list[int]] = {}
    for one in ours:
        place = (one.container, one.container_port, one.protocol, one.host_ip)
        if one.host_port not in found.setdefault(place, []):
            found[place].append(one.host_port)
    return found


def _match(
    ours: Mapping[Place, list[int]], wanted: Mapping[PortRequest, PortRange | None]
) -> dict[PortRequest, int]:
    """Find which port each request has now.

    A rule does not say which of several requests for one container port it answers: those that are
    the most particular choose first.
    """
    free = {place: sorted(ports) for place, ports in ours.items()}
    found = {}
    for request, ports in sorted(wanted.items(), key=lambda one: (_width(one[1]), one[0])):
        place = (request.container, request.container_port, request.protocol, request.host_ip)
        first, last = ports or EVERY_PORT
        port = next((port for port in free.get(place, ()) if first <= port <= last), None)
        if port is not None:
            free[place].remove(port)
            found[request] = port
    return found


def _width(ports: PortRange | None) -> int:
    first, last = ports or EVERY_PORT
    return last - first


def _local_range(observed: State) -> PortRange:
    words = _parameter(observed, LOCAL_RANGE).split()
    if len(words) == 2 and all(word.isdigit() for word in words):
        return int(words[0]), int(words[1])
    return DEFAULT_RANGE


def _parameter(observed: State, name: str) -> str:
    found = observed.objects.get(sysctl_key(HOST, name))
    return found.value if isinstance(found, Sysctl) else ""
