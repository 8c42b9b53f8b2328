"""Published ports: one DNAT rule each, at the leaf of a tree by the digits of the host port.

A new connection walks at most sixteen jumps for each of four hexadecimal digits, however many ports
are published, and adding a port touches the way to its leaf only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import cast

from reconciler.core.object import KernelObject
from reconciler.kinds.assignment import Assignment
from reconciler.kinds.container import Container
from reconciler.kinds.firewall import Writer, mode_of
from reconciler.kinds.places import netns_of
from reconciler.kinds.publication import Published, publishing_interface
from reconciler.manifest.resource import Resource

OWNER = "Host/ports"
"""Who owns the branches of the tree, which several containers share."""
_LETTERS = {"tcp": "t", "udp": "u", "sctp": "s"}
_DIGITS = 4


def expand_ports(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    """Say which rules a container's published ports need."""
    spec = cast("Container", resource.spec)
    interface = publishing_interface(assignment.catalog, spec)
    netns = netns_of(spec)
    if interface is None or netns is None:
        return
    bridge = assignment.bridge(interface.bridge)
    for address in assignment.addresses[netns, interface.name or ""]:
        family = address.version
        if mode_of(bridge, family) == "routed":
            continue
        writer = Writer(family, (assignment.set_name, resource.id))
        for port in assignment.ports.get(resource.name, ()):
            if port.host_ip is None or port.host_ip.version == family:
                target = f"[{address.ip}]" if family == 6 else str(address.ip)
                yield _leaf(port, f"{target}:{port.container_port}", writer, assignment.set_name)


def _leaf(port: Published, target: str, writer: Writer, set_name: str) -> KernelObject:
    host = "" if port.host_ip is None or port.host_ip.is_unspecified else f"-d {port.host_ip} "
    # As Docker: a host that is only a link-local neighbour cannot be answered through NAT.
    source = "! -s fe80::/10 " if writer.family == 6 else ""
    packets = f"{host}{source}-p {port.protocol} --dport {port.host_port}"
    words = f"{packets} -j DNAT --to-destination {target}"
    chain = _path(port.protocol, port.host_port, set_name)[-1]
    return writer.rule("nat", chain, words, (port.host_port, host), port.what)


def expand_branches(assignment: Assignment) -> Iterator[KernelObject]:
    """Say which branches the published ports of all containers hang on."""
    wanted: dict[int, set[tuple[str, int]]] = {4: set(), 6: set()}
    for resource in assignment.catalog.of_kind("Container"):
        if not assignment.ports.get(resource.name):
            continue
        for item in expand_ports(resource, assignment):
            family = getattr(item, "family", 4)
            host, _, rest = str(getattr(item, "what", "")).partition("->")
            wanted[family].add((rest.partition("/")[2], int(host.rpartition(":")[2])))
    for family, ports in wanted.items():
        if ports:
            writer = Writer(family, (assignment.set_name, OWNER))
            yield from _branches(ports, writer, assignment.set_name)


def _branches(
    ports: Iterable[tuple[str, int]], writer: Writer, set_name: str
) -> Iterator[KernelObject]:
    root = _root(set_name)
    yield writer.chain("nat", root)
    yield writer.rule("nat", "RC-DNAT", f"-j {root}", (root,))
    done = set()
    for protocol, port in sorted(ports):
        path = _path(protocol, port, set_name)
        for depth, chain in enumerate(path):
            if chain in done:
                continue
            done.add(chain)
            yield writer.chain("nat", chain)
            parent = path[depth - 1] if depth else root
            words = f"-p {protocol} {_range(port, depth)}-j {chain}"
            yield writer.rule("nat", parent, words, (chain,))


def _root(set_name: str) -> str:
    return f"RC-DNAT-{sha256(set_name.encode()).hexdigest()[:6]}"


def _path(protocol: str, port: int, set_name: str) -> list[str]:
    """The chains from the protocol's to the leaf's: by nothing, one, two and three digits."""
    base = f"{_root(set_name)}-{_LETTERS[protocol]}"
    digits = f"{port:04X}"
    return [base + digits[:depth] for depth in range(_DIGITS)]


def _range(port: int, depth: int) -> str:
    """Match the ports of a branch: those that begin with the same digits."""
    if depth == 0:
        return ""
    size = 16 ** (_DIGITS - depth)
    first = port // size * size
    return f"--dport {first}:{first + size - 1} "
