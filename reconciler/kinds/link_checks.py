"""Link checks: what does not go together in a Link, and whether its ends exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import cast

from reconciler.kinds.claims import HOST, interface_claim, namespace_text
from reconciler.kinds.container_rules import check_route
from reconciler.kinds.fields import IPV6_MTU_MIN
from reconciler.kinds.link import Endpoint, Link
from reconciler.kinds.roles import connected_subnets, find_container, not_found
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.kind import Claim
from reconciler.manifest.model import Finding
from reconciler.manifest.resource import Resource
from reconciler.manifest.words import Location
from reconciler.objects.qdisc import RATE_MAX, RATE_MIN


def check_link_spec(spec: Link) -> Iterator[Finding]:
    """Every rule that needs no other resource."""
    if len(spec.endpoints) != 2:
        message = f"must be exactly two, and there are {len(spec.endpoints)}"
        yield Finding(("endpoints",), message)
        return
    for number, endpoint in enumerate(spec.endpoints):
        yield from _check_endpoint(endpoint, ("endpoints", number))
        yield from _check_mtu(spec, endpoint, ("endpoints", number))
    yield from _check_rate(spec)
    one, other = spec.endpoints
    if one.host and other.host:
        hint = "one end must be in a container"
        yield Finding(("endpoints", 1, "host"), "both ends are on the host", hint)
    if one.container and one.container == other.container:
        message = f"is a link to itself: both ends are in Container/{one.container}"
        yield Finding(("endpoints", 1, "container"), message, "name another container")
    yield from _check_pair(one, other)


def _check_endpoint(endpoint: Endpoint, location: Location) -> Iterator[Finding]:
    if endpoint.host == (endpoint.container is not None):
        message = "is on the host and in a container" if endpoint.host else "is nowhere"
        yield Finding(location, message, "write container: NAME, or host: true")
    elif endpoint.container and not endpoint.interface:
        hint = "name it, for example interface: link0"
        yield Finding((*location, "interface"), "is required in a container", hint)
    counted: Counter[object] = Counter()
    for number, interface in enumerate(endpoint.addresses):
        counted[interface.ip] += 1
        if counted[interface.ip] == 2:
            yield Finding((*location, "addresses", number), f"{interface.ip} is there twice")
    for number, route in enumerate(endpoint.routes):
        yield from check_route(route, (*location, "routes", number))


def _check_mtu(spec: Link, endpoint: Endpoint, location: Location) -> Iterator[Finding]:
    mtu = spec.mtu_of(endpoint)
    if mtu is not None and mtu < IPV6_MTU_MIN and any(i.version == 6 for i in endpoint.addresses):
        where = (*location, "mtu") if endpoint.mtu is not None else ("mtu",)
        hint = f"use {IPV6_MTU_MIN} or more"
        yield Finding(where, f"{mtu} is too small for the IPv6 address", hint)


def _check_rate(spec: Link) -> Iterator[Finding]:
    if spec.rate is not None and not RATE_MIN <= spec.rate <= RATE_MAX:
        message = "is more or less than the kernel's token bucket can hold back"
        yield Finding(("rate",), message, "write one from 8kbit to 34gbit")


def _check_pair(one: Endpoint, other: Endpoint) -> Iterator[Finding]:
    own = {interface.ip for interface in one.addresses}
    for number, interface in enumerate(other.addresses):
        if interface.ip in own:
            location = ("endpoints", 1, "addresses", number)
            yield Finding(location, f"both ends have the address {interface.ip}")
    if one.mac and one.mac == other.mac:
        yield Finding(("endpoints", 1, "mac"), f"both ends have the MAC {one.mac}")


def check_link(resource: Resource, catalog: Catalog) -> Iterator[Finding]:
    """Whether each end's container is there and has a namespace of its own."""
    spec = cast("Link", resource.spec)
    for number, endpoint in enumerate(spec.endpoints):
        yield from _check_subnets(endpoint, catalog, ("endpoints", number))
        if endpoint.container is None:
            continue
        location = ("endpoints", number, "container")
        container = find_container(catalog, endpoint.container)
        if container is None:
            yield not_found(catalog, "Container", endpoint.container, location)
        elif container.shared_with:
            message = f"Container/{endpoint.container} shares a namespace"
            yield Finding(location, message, f"write container: {container.shared_with}")
        elif container.network == "host":
            message = f"Container/{endpoint.container} has the host's namespace"
            yield Finding(location, message, "write host: true instead")


def _check_subnets(endpoint: Endpoint, catalog: Catalog, location: Location) -> Iterator[Finding]:
    subnets = connected_subnets(catalog, endpoint.container)
    for number, interface in enumerate(endpoint.addresses):
        if bridge := subnets.get(interface.network):
            message = f"{interface.network} is the subnet of Bridge/{bridge}, and leads there"
            hint = "give the Link a subnet of its own"
            yield Finding((*location, "addresses", number), message, hint)


def link_claims(resource: Resource, _catalog: Catalog) -> Iterator[Claim]:
    """The interfaces, and their addresses within their namespaces."""
    spec = cast("Link", resource.spec)
    for number, endpoint in enumerate(spec.endpoints):
        location = ("endpoints", number)
        namespace = endpoint.container or HOST
        if endpoint.interface:
            yield interface_claim(namespace, endpoint.interface, (*location, "interface"))
        for position, interface in enumerate(endpoint.addresses):
            text = f"address {interface.ip} in {namespace_text(namespace)}"
            where = (*location, "addresses", position)
            yield Claim(("address in", namespace), text, where, interface.ip)
            if interface.network.prefixlen < interface.max_prefixlen:
                text = f"subnet {interface.network} in {namespace_text(namespace)}"
                yield Claim(("subnet in", namespace), text, where, interface.network)
