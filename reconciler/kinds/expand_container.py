"""What a Container becomes: a namespace, and for every interface a veth pair, addresses, routes."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import cast

from reconciler.allocate.addresses import IPAddress, IPInterface
from reconciler.allocate.names import device_name, mac_address, mac_from_address
from reconciler.core.object import HOST, KernelObject, Key
from reconciler.kinds.assignment import Assignment
from reconciler.kinds.container import Container
from reconciler.kinds.expand_names import expand_names
from reconciler.kinds.firewall_access import expand_access
from reconciler.kinds.firewall_ports import expand_ports
from reconciler.kinds.interface import InterfaceSpec
from reconciler.kinds.interface import Route as RouteSpec
from reconciler.kinds.places import netns_of
from reconciler.kinds.publication import publishing_interface
from reconciler.kinds.roles import gateway_interface
from reconciler.manifest.resource import Resource
from reconciler.objects import Address, Namespace, Route, Sysctl, Veth
from reconciler.objects.keys import IPV6_SWITCH
from reconciler.objects.route import IPV6_METRIC

EVERYWHERE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
"""Destination of a default route, by family."""


def expand_container(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    """Say which objects a container is made of."""
    spec = cast("Container", resource.spec)
    netns = netns_of(spec)
    if netns is None:
        return
    ours = spec.runtime == "netns"
    yield Namespace(netns, loopback=True if ours else None, external=not ours)
    yield from _sysctls(resource.name, spec, netns, assignment)
    for interface in spec.attachments:
        yield from _interface(resource.name, netns, interface, assignment)
    yield from _default_routes(spec, netns, assignment)
    yield from _routes(spec, netns, assignment)
    yield from expand_names(resource, assignment)
    yield from expand_ports(resource, assignment)
    yield from expand_access(resource, assignment)


def _sysctls(
    name: str, spec: Container, netns: str, assignment: Assignment
) -> Iterator[KernelObject]:
    written = dict(spec.sysctls)
    needs_ipv6 = assignment.has_ipv6(name, spec, netns)
    # Of somebody else's namespace only what our interfaces need is switched.
    if spec.runtime == "netns" or needs_ipv6:
        written.setdefault(IPV6_SWITCH, "0" if needs_ipv6 else "1")
    devices = {interface.name or "" for interface in spec.attachments}
    for parameter, value in sorted(written.items()):
        parts = parameter.split(".")
        device = parts[3].replace("/", ".") if len(parts) > 4 and parts[2] == "conf" else None
        yield Sysctl(
            netns, parameter, " ".join(value.split()), device if device in devices else None
        )


def _interface(
    name: str, netns: str, interface: InterfaceSpec, assignment: Assignment
) -> Iterator[KernelObject]:
    bridge = assignment.bridge(interface.bridge)
    device = interface.name or ""
    addresses = assignment.addresses[netns, device]
    mtu = interface.mtu or bridge.mtu
    yield Veth(
        HOST,
        device_name(assignment.set_name, "Container", name, device),
        netns,
        device,
        mtu=mtu,
        peer_mtu=mtu,
        up=True,
        peer_up=True,
        peer_mac=interface.mac or _mac(name, device, addresses, assignment.set_name),
        master=bridge.device_name,
        hairpin=_hairpin(name, interface, assignment),
        # Without a firewall it is the bridge itself that keeps its ports apart.
        isolated=not bridge.icc and not bridge.iptables,
        after=assignment.walls.get(interface.bridge, ()),
    )
    for address in addresses:
        yield Address(netns, device, address)


def _hairpin(name: str, interface: InterfaceSpec, assignment: Assignment) -> bool:
    """As needed: a container reaches its own published port by the host's address.

    Where bridged frames pass the firewall (net.bridge.bridge-nf-call-iptables), its packet is led
    back to the port of the bridge that it came from, and that must let it through.
    """
    bridge = assignment.bridge(interface.bridge)
    if bridge.hairpin is not None:
        return bridge.hairpin
    resource = assignment.catalog.get("Container", name)
    if resource is None or not assignment.ports.get(name):
        return False
    spec = cast("Container", resource.spec)
    return publishing_interface(assignment.catalog, spec) == interface


def _mac(name: str, interface: str, addresses: tuple[IPInterface, ...], set_name: str) -> str:
    """Docker's MAC of the IPv4 address: an address that is handed on keeps its MAC."""
    first = next((a for a in addresses if a.version == 4), None)
    return mac_from_address(first) if first else mac_address(set_name, "Container", name, interface)


def _default_routes(spec: Container, netns: str, assignment: Assignment) -> Iterator[KernelObject]:
    """Through the bridge of the interface that gives the gateway, in the families both have."""
    interface = gateway_interface(assignment.catalog, spec)
    if interface is None:
        return
    device = interface.name or ""
    for gateway in assignment.gateways[interface.bridge]:
        after = _addresses_in(netns, device, gateway.ip, assignment)
        if after:
            metric = 0 if gateway.version == 4 else IPV6_METRIC
            yield Route(netns, EVERYWHERE[gateway.version], device, gateway.ip, metric, after=after)


def _routes(spec: Container, netns: str, assignment: Assignment) -> Iterator[KernelObject]:
    for route in spec.routes:
        if route.via is None:
            continue
        for interface in spec.attachments:
            device = interface.name or ""
            after = _addresses_in(netns, device, route.via, assignment)
            if after:
                yield make_route(netns, device, route, route.via, after)
                break


def make_route(
    netns: str, device: str, route: RouteSpec, via: IPAddress, after: tuple[Key, ...]
) -> Route:
    """Make the object of a route that a manifest writes, through *device*."""
    to = route.to or EVERYWHERE[via.version]
    usual = 0 if to.version == 4 else IPV6_METRIC
    # The kernel has no IPv6 route of metric 0: it takes the usual one instead (ip-route(8)).
    return Route(netns, to, device, via, route.metric or usual, after=after)


def _addresses_in(
    netns: str, device: str, via: IPAddress, assignment: Assignment
) -> tuple[Key, ...]:
    """The addresses of a device that make *via* reachable."""
    return tuple(
        Address(netns, device, address).key
        for address in assignment.addresses[netns, device]
        if via in address.network
    )
