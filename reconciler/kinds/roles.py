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

    @property
    def device_name(self) -> str: ...
    @property
    def addresses(self) -> tuple[Interface, ...]: ...
    @property
    def gateways(self) -> tuple[Address, ...]: ...
    @property
    def subnets(self) -> tuple[Network, ...]: ...
    @property
    def reserved(self) -> tuple[Address, ...]: ...
    @property
    def bind_address(self) -> tuple[Address, ...]: ...
    @property
    def mtu(self) -> int: ...
    @property
    def icc(self) -> bool: ...
    @property
    def internal(self) -> bool: ...
    @property
    def iptables(self) -> bool: ...
    @property
    def external(self) -> bool: ...
    def automatic_range(self, family: int) -> Network | None: ...


class ContainerRole(Protocol):
    """What others see of a Container."""

    @property
    def network(self) -> str: ...
    @property
    def shared_with(self) -> str | None: ...
    @property
    def attachments(self) -> tuple[InterfaceSpec, ...]: ...
    @property
    def links(self) -> tuple[ContainerLink, ...]: ...


def find_bridge(catalog: Catalog, name: str) -> BridgeRole | None:
    """The spec of a Bridge, or None."""
    resource = catalog.get("Bridge", name)
    return cast(BridgeRole, resource.spec) if resource else None


def find_container(catalog: Catalog, name: str) -> ContainerRole | None:
    """The spec of a Container, or None."""
    resource = catalog.get("Container", name)
    return cast(ContainerRole, resource.spec) if resource else None


def containers(catalog: Catalog) -> Iterator[tuple[Resource, ContainerRole]]:
    """All Containers, in the order of the files."""
    for resource in catalog.of_kind("Container"):
        yield resource, cast(ContainerRole, resource.spec)


def attachments(catalog: Catalog, bridge: str) -> Iterator[tuple[Resource, InterfaceSpec]]:
    """The interfaces on a Bridge, in the order of the files."""
    for resource, container in containers(catalog):
        for interface in container.attachments:
            if interface.bridge == bridge:
                yield resource, interface


def not_found(catalog: Catalog, kind: str, name: str, location: Location) -> Finding:
    """The finding that a reference leads nowhere, with the nearest name."""
    names = catalog.names(kind)
    hint = did_you_mean(name, names) or (f"there is no {kind}" if not names else "")
    return Finding(location, f"there is no {kind} {quote(name)}", hint, missing=f"{kind}/{name}")


def automatic_families(interface: InterfaceSpec, bridge: BridgeRole) -> tuple[int, ...]:
    """The families (4, 6) in which an interface gets a free address.

    Where `addresses` is not written: all of the bridge. With `auto` in the list: those of the bridge
    that no other entry of the list is of.
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
