"""Container checks: whether a Container fits the Bridges and Containers that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from reconciler.kinds.addresses import AddressRequest, contains, unusable
from reconciler.kinds.bridge import Bridge
from reconciler.kinds.claims import host_port_claims, interface_claim
from reconciler.kinds.container import Container
from reconciler.kinds.container_rules import interface_field
from reconciler.kinds.fields import IPV6_MTU_MIN
from reconciler.kinds.interface import InterfaceSpec
from reconciler.kinds.roles import automatic_families, find_bridge, find_container, not_found
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.kind import Claim
from reconciler.manifest.model import Finding
from reconciler.manifest.resource import Resource
from reconciler.manifest.words import Location


def check_container(resource: Resource, catalog: Catalog) -> Iterator[Finding]:
    """What is wrong with the Container's references."""
    spec = cast("Container", resource.spec)
    for number, interface in enumerate(spec.attachments):
        bridge = find_bridge(catalog, interface.bridge)
        if bridge is None:
            location = interface_field(spec, number, "bridge")
            yield not_found(catalog, "Bridge", interface.bridge, location)
        else:
            yield from _check_interface(spec, number, interface, bridge)
    yield from _check_shared(resource.name, spec, catalog)
    yield from _check_links(resource.name, spec, catalog)


def _check_interface(
    spec: Container, number: int, interface: InterfaceSpec, bridge: Bridge
) -> Iterator[Finding]:
    if interface.gateway and bridge.internal:
        message = f"Bridge/{interface.bridge} is internal and has no way out"
        yield Finding(interface_field(spec, number, "gateway"), message, "leave it out")
    if not bridge.subnets:
        return  # an external device's addresses are known only on the host
    explicit = [request.address for request in interface.addresses if request.address]
    families: set[int] = {address.version for address in explicit}
    families.update(automatic_families(interface, bridge))
    if interface.mtu and interface.mtu < IPV6_MTU_MIN and 6 in families:
        message = f"{interface.mtu} is too small for the IPv6 address"
        yield Finding(interface_field(spec, number, "mtu"), message, f"use {IPV6_MTU_MIN} or more")
    for position, request in enumerate(interface.addresses):
        location = interface_field(spec, number, "addresses", position)
        yield from _check_address(request, interface, bridge, location)


def _check_address(
    request: AddressRequest, interface: InterfaceSpec, bridge: Bridge, location: Location
) -> Iterator[Finding]:
    name = f"Bridge/{interface.bridge}"
    if request.address is None:
        given = {other.address.version for other in interface.addresses if other.address}
        if given >= {network.version for network in bridge.subnets}:
            message = f"nothing is left for auto: every family of {name} has an address here"
            yield Finding(location, message, "leave auto out")
        return
    network = contains(bridge.subnets, request.address)
    if network is None:
        subnets = " and ".join(str(network) for network in bridge.subnets)
        yield Finding(location, f"{request.address} is outside {name}, which has {subnets}")
    elif request.prefix_length not in {None, network.prefixlen}:
        hint = f"write {request.address}, or {request.address}/{network.prefixlen}"
        yield Finding(location, f"{request} has another prefix length than {name}", hint)
    elif request.address in bridge.gateways:
        yield Finding(location, f"{request.address} is the gateway's own address on {name}")
    elif problem := unusable(request.address, network):
        yield Finding(location, f"{request.address} is {problem}")


def _check_shared(name: str, spec: Container, catalog: Catalog) -> Iterator[Finding]:
    if spec.shared_with is None:
        return
    if spec.shared_with == name:
        yield Finding(("network",), "a container cannot share its own namespace")
        return
    other = find_container(catalog, spec.shared_with)
    if other is None:
        yield not_found(catalog, "Container", spec.shared_with, ("network",))
    elif other.network not in {"bridge", "none"}:
        message = f"Container/{spec.shared_with} has no namespace of its own: {other.network}"
        hint = f"write network: {other.network}"
        yield Finding(("network",), message, hint if other.shared_with != name else "")


def _check_links(name: str, spec: Container, catalog: Catalog) -> Iterator[Finding]:
    own = {interface.bridge for interface in spec.attachments}
    for number, link in enumerate(spec.links):
        other = find_container(catalog, link.container)
        if link.container == name:
            yield Finding(("links", number), "a container cannot link to itself")
        elif other is None:
            yield not_found(catalog, "Container", link.container, ("links", number))
        else:
            shared = own & {interface.bridge for interface in other.attachments}
            if own:
                location = ("links", number)
                yield from _check_reach(link.container, sorted(shared), catalog, location)


def _check_reach(
    other: str, shared: list[str], catalog: Catalog, location: Location
) -> Iterator[Finding]:
    if not shared:
        hint = "links work between containers on one Bridge"
        yield Finding(location, f"Container/{other} is on none of this one's bridges", hint)
    bridges = {name: bridge for name in shared if (bridge := find_bridge(catalog, name))}
    closed = [n for n, bridge in bridges.items() if not bridge.icc and not bridge.iptables]
    if closed and len(closed) == len(bridges):
        message = f"Bridge/{closed[0]} has icc: false and iptables: false"
        hint = "its ports are isolated in layer 2 and no rule can open them; leave out one of both"
        yield Finding(location, message, hint)


def container_claims(resource: Resource, catalog: Catalog) -> Iterator[Claim]:
    """Names, addresses, MACs and host ports that only this Container can have."""
    spec = cast("Container", resource.spec)
    owns_namespace = spec.network in {"bridge", "none"}
    if spec.runtime != "netns" or owns_namespace:
        text = f"{spec.runtime} {spec.target_name}"
        yield Claim(("target", spec.runtime), text, ("target",), spec.target_name)
    for number, interface in enumerate(spec.attachments):
        location = interface_field(spec, number, "name")
        yield interface_claim(resource.name, str(interface.name), location)
        yield from _interface_claims(spec, number, interface)
    for number, ports in enumerate(spec.publish):
        default = [
            address
            for interface in spec.attachments
            if (bridge := find_bridge(catalog, interface.bridge))
            for address in bridge.bind_address
        ]
        yield from host_port_claims(ports, default, ("publish", number))


def _interface_claims(spec: Container, number: int, interface: InterfaceSpec) -> Iterator[Claim]:
    bridge = f"Bridge/{interface.bridge}"
    if interface.mac:
        location = interface_field(spec, number, "mac")
        yield Claim(("mac", bridge), f"MAC {interface.mac} on {bridge}", location, interface.mac)
    for position, request in enumerate(interface.addresses):
        if request.address:
            location = interface_field(spec, number, "addresses", position)
            text = f"address {request.address} on {bridge}"
            yield Claim(("address", bridge), text, location, request.address)
