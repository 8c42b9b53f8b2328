"""Roles: what kinds may know of each other. A container finds its bridge through the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

from reconciler.kinds.addresses import Address, Interface, Network
from reconciler.kinds.interface import InterfaceSpec
from reconciler.kinds.names import ContainerLink
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.model import Finding
from reconciler.manifest.resource import Resource
from reconciler.manifest.words import Location, did_you_mean, quote


class BridgeRole(Protocol):
    """What others see of a Bridge."""

    device_name: str
    addresses: tuple[Interface, ...]
    gateways: tuple[Address, ...]
    subnets: tuple[Network, ...]
    reserved: tuple[Address, ...]
    bind_address: tuple[Address, ...]
    mtu: int
    icc: bool
    internal: bool
    iptables: bool
    external: bool

    def automatic_range(self, family: int) -> Network | None:
        """Where automatic addresses of family 4 or 6 come from."""


class ContainerRole(Protocol):
    """What others see of a Container."""

    network: str
    shared_with: str | None
    attachments: tuple[InterfaceSpec, ...]
    links: tuple[ContainerLink, ...]


def find_bridge(catalog: Catalog, name: str) -> BridgeRole | None:
    """The spec of a Bridge, or None."""
    resource = catalog.get("Bridge", name)
    return cast("BridgeRole", resource.spec) if resource else None


def find_container(catalog: Catalog, name: str) -> ContainerRole | None:
    """The spec of a Container, or None."""
    resource = catalog.get("Container", name)
    return cast("ContainerRole", resource.spec) if resource else None


def containers(catalog: Catalog) -> Iterator[tuple[Resource, ContainerRole]]:
    """All Containers, in the order of the files."""
    for resource in catalog.of_kind("Container"):
        yield resource, cast("ContainerRole", resource.spec)


def attachments(catalog: Catalog, bridge: str) -> tuple[tuple[Resource, InterfaceSpec], ...]:
    """The interfaces on a Bridge, in the order of the files."""
    return tuple(catalog.index(_attachments_by_bridge).get(bridge, ()))


def _attachments_by_bridge(catalog: Catalog) -> dict[str, list[tuple[Resource, InterfaceSpec]]]:
    found: dict[str, list[tuple[Resource, InterfaceSpec]]] = {}
    for resource, container in containers(catalog):
        for interface in container.attachments:
            found.setdefault(interface.bridge, []).append((resource, interface))
    return found


def not_found(catalog: Catalog, kind: str, name: str, location: Location) -> Finding:
    """The finding that a reference leads nowhere, with the nearest name."""
    names = catalog.names(kind)
    message = f"there is no {kind} {quote(name)}"
    return Finding(location, message, did_you_mean(name, names), missing=f"{kind}/{name}")


def automatic_families(interface: InterfaceSpec, bridge: BridgeRole) -> tuple[int, ...]:
    """The families (4, 6) in which an interface gets a free address.

    Where `addresses` is not written: all of the bridge. With `auto` in the list: those of the
    bridge that no other entry of the list is of.
    """
    families = tuple(network.version for network in bridge.subnets)
    if not interface.addresses:
        return families
    if not any(request.automatic for request in interface.addresses):
        return ()
    given = {request.address.version for request in interface.addresses if request.address}
    return tuple(family for family in families if family not in given)


def gateway_interface(catalog: Catalog, container: ContainerRole) -> InterfaceSpec | None:
    """The interface that the default route leads through, or None."""
    for interface in container.attachments:
        if interface.gateway:
            return interface
    for interface in container.attachments:
        bridge = find_bridge(catalog, interface.bridge)
        if interface.gateway is None and bridge and not bridge.internal:
            return interface
    return None
