"""Bridge checks: what does not go together in a Bridge, and what it wants for itself alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import cast

from reconciler.kinds.addresses import Address, Network, contains
from reconciler.kinds.bridge import Bridge
from reconciler.kinds.claims import device_claim
from reconciler.kinds.fields import DEVICE_NAME_MAX, IPV6_MTU_MIN
from reconciler.kinds.roles import attachments, automatic_families
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.kind import Claim
from reconciler.manifest.model import Finding
from reconciler.manifest.resource import Resource

PORTS_MAX = 1023  # BR_MAX_PORTS of net/bridge/br_private.h, less port 0
STP_DELAY_MIN = 2  # seconds: BR_MIN_FORWARD_DELAY of net/bridge/br_private_stp.h

_OWNER_FIELDS = ("ports", "stp", "forward_delay", "ageing_time")


def check_bridge_spec(spec: Bridge) -> Iterator[Finding]:
    """Every rule that needs no other resource."""
    if len(spec.device_name.encode()) > DEVICE_NAME_MAX:
        message = f"{spec.device_name} is too long for the name of a device"
        hint = f"write device: with {DEVICE_NAME_MAX} bytes at most"
        yield Finding(("device",), message, hint)
    if not spec.addresses and not spec.external:
        yield Finding(("addresses",), "is required", "for example addresses: [10.0.0.1/24]")
    yield from _check_families(spec)
    yield from _check_external(spec)
    yield from _check_ranges(spec)
    yield from _check_delay(spec)


def _check_families(spec: Bridge) -> Iterator[Finding]:
    counted: Counter[int] = Counter()
    for number, interface in enumerate(spec.addresses):
        counted[interface.version] += 1
        if counted[interface.version] == 2:
            message = f"there is another IPv{interface.version} address"
            yield Finding(("addresses", number), message, "at most one IPv4 and one IPv6")
    if spec.address_of(6) and spec.mtu < IPV6_MTU_MIN:
        hint = f"use {IPV6_MTU_MIN} or more"
        yield Finding(("mtu",), f"{spec.mtu} is too small for the IPv6 address", hint)
    families = [address.version for address in spec.bind_address]
    if len(families) != len(set(families)):
        yield Finding(("bindAddress",), "has two addresses of one family", "one IPv4, one IPv6")


def _check_external(spec: Bridge) -> Iterator[Finding]:
    if not spec.external:
        return
    for field in _OWNER_FIELDS:
        if spec.is_written(field):
            alias = str(Bridge.model_fields[field].alias)
            hint = "an external device is never changed; leave it out"
            yield Finding((alias,), "does not go with external: true", hint)


def _check_ranges(spec: Bridge) -> Iterator[Finding]:
    families = [network.version for network in spec.ip_range]
    if len(families) != len(set(families)):
        yield Finding(("ipRange",), "has two ranges of one family", "one IPv4, one IPv6")
    if not spec.subnets:
        return
    subnets = " and ".join(str(network) for network in spec.subnets)
    for number, network in enumerate(spec.ip_range):
        outer = contains(spec.subnets, network.network_address)
        if outer is None or outer.prefixlen > network.prefixlen:
            yield Finding(("ipRange", number), f"{network} is outside {subnets}")
    for number, address in enumerate(spec.reserved):
        if not contains(spec.subnets, address):
            yield Finding(("reserved", number), f"{address} is outside {subnets}")


def _check_delay(spec: Bridge) -> Iterator[Finding]:
    if spec.stp and spec.forward_delay is not None and spec.forward_delay < STP_DELAY_MIN:
        message = f"{spec.forward_delay:g} is too short with stp: true"
        yield Finding(("forwardDelay",), message, f"write {STP_DELAY_MIN} to 30")


def check_bridge(resource: Resource, catalog: Catalog) -> Iterator[Finding]:
    """Whether what is on the bridge fits it."""
    spec = cast("Bridge", resource.spec)
    on_it = attachments(catalog, resource.name)
    count = len(on_it) + len(spec.ports)
    if count > PORTS_MAX:
        message = f"has {count} ports, and a bridge can have {PORTS_MAX}"
        yield Finding((), message, "move some to another Bridge")
    for network in spec.subnets:
        yield from _check_room(resource, catalog, network)


def _check_room(resource: Resource, catalog: Catalog, network: Network) -> Iterator[Finding]:
    spec = cast("Bridge", resource.spec)
    on_it = attachments(catalog, resource.name)
    family = network.version
    wanted = sum(family in automatic_families(one, spec) for _, one in on_it)
    explicit = {request.address for _, one in on_it for request in one.addresses if request.address}
    pool = spec.automatic_range(family) or network
    room = free_addresses(pool, network, {*explicit, *spec.gateways, *spec.reserved})
    if wanted > room:
        field = "ipRange" if spec.ip_range else "addresses"
        message = f"{pool} has room for {room} automatic addresses, and {wanted} are wanted"
        yield Finding((field,), message, "use a larger subnet, or more Bridges")


def free_addresses(pool: Network, network: Network, taken: set[Address]) -> int:
    """How many addresses of a pool a container can get.

    The network's own address is never handed out, nor an IPv4 network's broadcast address, except
    on point-to-point networks (RFC 3021, RFC 6164).
    """
    used = {address for address in taken if address.version == pool.version and address in pool}
    if network.max_prefixlen - network.prefixlen > 1:
        ends = [network.network_address]
        if network.version == 4:
            ends.append(network.broadcast_address)
        used.update(address for address in ends if address in pool)
    return pool.num_addresses - len(used)


def bridge_claims(resource: Resource, _catalog: Catalog) -> Iterator[Claim]:
    """The device, the ports and the subnets."""
    spec = cast("Bridge", resource.spec)
    yield device_claim(spec.device_name, ("device",))
    for number, device in enumerate(spec.ports):
        yield device_claim(device, ("ports", number))
    for number, network in enumerate(spec.subnets):
        yield Claim(("subnet",), f"subnet {network}", ("addresses", number), network=network)
