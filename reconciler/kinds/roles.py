"""Roles: how kinds find each other. None imports another: a container finds its bridge here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from reconciler.kinds.addresses import Network
from reconciler.kinds.bridge import Bridge
from reconciler.kinds.container import Container
from reconciler.kinds.interface import InterfaceSpec
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.model import Finding
from reconciler.manifest.resource import Resource
from reconciler.manifest.words import Location, did_you_mean, quote


def find_bridge(catalog: Catalog, name: str) -> Bridge | None:
    """The spec of a Bridge, or None."""
    resource = catalog.get("Bridge", name)
    return cast("Bridge", resource.spec) if resource else None


def find_container(catalog: Catalog, name: str) -> Container | None:
    """The spec of a Container, or None."""
    resource = catalog.get("Container", name)
    return cast("Container", resource.spec) if resource else None


def containers(catalog: Catalog) -> Iterator[tuple[Resource, Container]]:
    """All Containers, in the order of the files."""
    for resource in catalog.of_kind("Container"):
        yield resource, cast("Container", resource.spec)


def attachments(catalog: Catalog, bridge: str) -> tuple[tuple[Resource, InterfaceSpec], ...]:
    """The interfaces on a Bridge, in the order of the files."""
    return tuple(catalog.index(_attachments_by_bridge).get(bridge, ()))


def _attachments_by_bridge(catalog: Catalog) -> dict[str, list[tuple[Resource, InterfaceSpec]]]:
    found: dict[str, list[tuple[Resource, InterfaceSpec]]] = {}
    for resource, container in containers(catalog):
        for interface in container.attachments:
            found.setdefault(interface.bridge, []).append((resource, interface))
    return found


def connected_subnets(catalog: Catalog, container: str | None) -> dict[Network, str]:
    """The subnets that a container, or with None the host, is in by Bridges, and whose they are."""
    if container is None:
        return catalog.index(_subnets_of_bridges)
    spec = find_container(catalog, container)
    names = [interface.bridge for interface in spec.attachments] if spec else []
    found = {name: bridge for name in names if (bridge := find_bridge(catalog, name))}
    return {network: name for name, bridge in found.items() for network in bridge.subnets}


def _subnets_of_bridges(catalog: Catalog) -> dict[Network, str]:
    bridges = [(r.name, cast("Bridge", r.spec)) for r in catalog.of_kind("Bridge")]
    return {network: name for name, bridge in bridges for network in bridge.subnets}


def not_found(catalog: Catalog, kind: str, name: str, location: Location) -> Finding:
    """The finding that a reference leads nowhere, with the nearest name."""
    names = catalog.names(kind)
    message = f"there is no {kind} {quote(name)}"
    return Finding(location, message, did_you_mean(name, names), missing=f"{kind}/{name}")


def automatic_families(interface: InterfaceSpec, bridge: Bridge) -> tuple[int, ...]:
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


def gateway_interface(catalog: Catalog, container: Container) -> InterfaceSpec | None:
    """The interface that the default route leads through, or None."""
    for interface in container.attachments:
        if interface.gateway:
            return interface
    for interface in container.attachments:
        bridge = find_bridge(catalog, interface.bridge)
        if interface.gateway is None and bridge and not bridge.internal:
            return interface
    return None
