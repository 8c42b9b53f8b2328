"""Access: what single containers of a bridge let in, beside what the bridge lets in for all.

A link opens the other's exposed ports where containers may not talk to each other (``icc: false``);
a routed bridge opens the published ports. Rules hang on a tree by the last eight bits of the
container's address, so that a packet walks past few of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import cast

from reconciler.allocate.addresses import IPAddress
from reconciler.core.object import KernelObject
from reconciler.kinds.assignment import Assignment
from reconciler.kinds.bridge import Bridge
from reconciler.kinds.container import Container
from reconciler.kinds.firewall import Writer, access_chain, mode_of
from reconciler.kinds.places import netns_of
from reconciler.manifest.resource import Resource

OWNER = "Host/access"
"""Who owns the branches of the tree, which several containers share."""

Opening = tuple[int, str, IPAddress, str, str]
"""Family, device, the container's address, the rest of the rule, and what it is for."""


def expand_access(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    """Say which rules a container's links, and its ports on a routed bridge, need."""
    for family, device, address, words, what in _openings(resource, assignment):
        writer = Writer(family, (assignment.set_name, resource.id))
        chain = _leaf(device, address)
        yield writer.rule("filter", chain, f"{words} -d {address} -j ACCEPT", (what, words), what)


def expand_access_branches(assignment: Assignment) -> Iterator[KernelObject]:
    """Say which branches the openings of all containers hang on."""
    leaves = {
        (family, device, _bits(address))
        for resource in assignment.catalog.of_kind("Container")
        for family, device, address, _, _ in _openings(resource, assignment)
    }
    done = set()
    for family, device, bits in sorted(leaves):
        writer = Writer(family, (assignment.set_name, OWNER))
        root = access_chain(device)
        middle, leaf = f"{root}-{bits & 0xF:X}", f"{root}-{bits & 0xF:X}{bits >> 4:X}"
        for chain, parent, value, mask in (
            (middle, root, bits & 0xF, 0x0F),
            (leaf, middle, bits & 0xF0, 0xF0),
        ):
            if (family, chain) not in done:
                done.add((family, chain))
                yield writer.chain("filter", chain)
                match = f"-d {_masked(family, value)}/{_masked(family, mask)}"
                yield writer.rule("filter", parent, f"{match} -j {chain}", (chain,))


def _bits(address: IPAddress) -> int:
    return int(address) & 0xFF


def _leaf(device: str, address: IPAddress) -> str:
    bits = _bits(address)
    return f"{access_chain(device)}-{bits & 0xF:X}{bits >> 4:X}"


def _masked(family: int, value: int) -> str:
    """Only these bits, as an address: iptables takes any mask, not only prefixes."""
    return f"0.0.0.{value}" if family == 4 else str(IPv6Address(value))


def _openings(resource: Resource, assignment: Assignment) -> Iterator[Opening]:
    spec = cast("Container", resource.spec)
    netns = netns_of(spec)
    if netns is None:
        return
    for interface in spec.attachments:
        bridge = assignment.bridge(interface.bridge)
        if not bridge.iptables:
            continue
        for address in assignment.addresses[netns, interface.name or ""]:
            family = address.version
            if mode_of(bridge, family) == "routed" and not bridge.internal:
                yield from _published(resource.name, bridge, address.ip, assignment)
            if not bridge.icc:
                yield from _linked(spec, bridge, address.ip, interface.bridge, assignment)


def _published(
    name: str, bridge: Bridge, address: IPAddress, assignment: Assignment
) -> Iterator[Opening]:
    for port in assignment.ports.get(name, ()):
        words = f"! -i {bridge.device_name} -p {port.protocol} --dport {port.container_port}"
        what = f"{port.container_port}/{port.protocol}"
        yield address.version, bridge.device_name, address, words, what


def _linked(
    spec: Container, bridge: Bridge, mine: IPAddress, name: str, assignment: Assignment
) -> Iterator[Opening]:
    """From this container to the exposed ports of those that it links to; one way, with answers."""
    device = bridge.device_name
    for link in spec.links:
        other = assignment.catalog.get("Container", link.container)
        if other is None:
            continue
        target = cast("Container", other.spec)
        netns = netns_of(target)
        ports = {(p.port, p.protocol) for p in target.exposed_ports}
        ports |= {(p.container_port, p.protocol) for p in target.published_ports}
        for interface in target.attachments:
            if interface.bridge != name or netns is None:
                continue
            for theirs in assignment.addresses[netns, interface.name or ""]:
                if theirs.version != mine.version:
                    continue
                for port, protocol in sorted(ports):
                    words = f"-i {device} -s {mine} -p {protocol} --dport {port}"
                    what = f"to {link.container} {port}/{protocol}"
                    yield mine.version, device, theirs.ip, words, what
