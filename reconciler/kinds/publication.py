"""Publication: which ports of which containers the host answers for, and on which ports of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import cast

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
from reconciler.errors import ReconcilerError
from reconciler.kinds.container import Container
from reconciler.kinds.interface import InterfaceSpec
from reconciler.kinds.roles import find_bridge, gateway_interface
from reconciler.manifest.catalog import Catalog
from reconciler.objects import FirewallRule, Listener, Sysctl
from reconciler.objects.keys import LOCAL_RANGE, RESERVED_PORTS, sysctl_key

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


@dataclass(frozen=True, slots=True)
class PortConflict:
    """A host port that a manifest names and a process listens on."""

    container: str
    port: int
    protocol: str
    listener: Listener


class PortsInUseError(ReconcilerError):
    """Ports that manifests name are in use by processes of the host."""

    def __init__(self, conflicts: Iterable[PortConflict]) -> None:
        """Take note of all of them."""
        self.conflicts = tuple(conflicts)
        ports = ", ".join(f"{c.port}/{c.protocol}" for c in self.conflicts)
        super().__init__(f"in use on this host: {ports}")


def publish(catalog: Catalog, observed: State, set_name: str) -> dict[str, tuple[Published, ...]]:
    """Choose the host ports of all containers, by their names.

    Raises:
        PortsInUseError: A process listens on a port that a manifest names and that is not published
            yet: it would never hear of a packet again.
        PortsExhaustedError: A range has no free port left.
    """
    wanted = dict(_requests(catalog))
    ours, foreign = _in_use(observed, set_name, set(catalog.names("Container")))
    current = _match(ours, wanted)
    taken = {protocol: set(foreign.get(protocol, ())) for protocol in ("tcp", "udp", "sctp")}
    kept = {(request.protocol, port) for request, port in current.items()}
    for item in observed.objects.values():
        # Somebody's outgoing UDP may have the number of a port of ours by chance: no reason to move.
        if isinstance(item, Listener) and (item.protocol, item.port) not in kept:
            taken[item.protocol].add(item.port)
    ranges = parse_ranges(_parameter(observed, RESERVED_PORTS))
    reserved = {port for first, last in ranges for port in range(first, last + 1)}
    given = assign_ports(wanted, current, taken, _local_range(observed), reserved)
    if conflicts := list(_conflicts(given, wanted, current, observed)):
        raise PortsInUseError(conflicts)
    found: dict[str, list[Published]] = {}
    for request, port in sorted(given.items()):
        ports = wanted[request]
        host_ip = ip_address(request.host_ip) if request.host_ip else None
        found.setdefault(request.container, []).append(
            Published(
                request.container,
                request.container_port,
                request.protocol,
                host_ip,
                port,
                certain=ports is not None and ports[0] == ports[1],
            )
        )
    return {name: tuple(ports) for name, ports in found.items()}


def _conflicts(
    given: Mapping[PortRequest, int],
    wanted: Mapping[PortRequest, PortRange | None],
    current: Mapping[PortRequest, int],
    observed: State,
) -> Iterator[PortConflict]:
    listeners: dict[tuple[str, int], list[Listener]] = {}
    for item in observed.objects.values():
        if isinstance(item, Listener):
            listeners.setdefault((item.protocol, item.port), []).append(item)
    for request, port in sorted(given.items()):
        ports = wanted[request]
        if ports is None or ports[0] != ports[1] or current.get(request) == port:
            continue
        for listener in listeners.get((request.protocol, port), ()):
            if _same_address(request.host_ip, listener):
                yield PortConflict(request.container, port, request.protocol, listener)
                break


def _same_address(host_ip: str, listener: Listener) -> bool:
    """Whether packets for one address could be meant for the other; "" and :: are all of them."""
    if not host_ip or listener.address.is_unspecified:
        return True
    wanted = ip_address(host_ip)
    if wanted.is_unspecified:
        return wanted.version == listener.address.version
    return listener.address == wanted


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
        interface = publishing_interface(catalog, spec)
        if interface is None:
            continue
        bridge = find_bridge(catalog, interface.bridge)
        binds = _binds(bridge.bind_address if bridge else ())
        number = 0
        for port in spec.published_ports:
            for where in [str(port.host_ip)] if port.host_ip else binds:
                number += 1
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


def _in_use(
    observed: State, set_name: str, declared: Collection[str]
) -> tuple[dict[Place, list[int]], Mapping[str, set[int]]]:
    """Read the published ports off the comments of the rules: of *declared* ones, and all others."""
    foreign: dict[str, set[int]] = {}
    ours: dict[Place, list[int]] = {}
    for key, item in observed.objects.items():
        if not isinstance(item, FirewallRule) or item.table != "nat" or "->" not in item.what:
            continue
        owner = observed.owners.get(key)
        host, _, rest = item.what.partition("->")
        port_text, _, protocol = rest.partition("/")
        host_ip, _, host_port = host.rpartition(":")
        if not (host_port.isdigit() and port_text.isdigit()):
            continue
        container = owner.resource.partition("/")[2] if owner else ""
        if owner is None or owner.set != set_name or container not in declared:
            foreign.setdefault(protocol, set()).add(int(host_port))
            continue
        place = (container, int(port_text), protocol, host_ip)
        if int(host_port) not in ours.setdefault(place, []):
            ours[place].append(int(host_port))
    return ours, foreign


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
