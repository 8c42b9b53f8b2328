"""Firewall of a bridge: Docker's access control and NAT, in as few rules as will do.

Nothing here grows with the number of containers: walls and address translation are written once for
a bridge, and what came through a published port is known by its translation (conntrack's DNAT
state). So a container's own rules only open, one for each published port (`kinds.firewall_ports`)
or link (`kinds.firewall_access`).

The rules are those of Docker 29 (docker.md 1.1 to 1.3), except:

- The raw table drops by subnet what does not come from the bridge, not container by container; the
  bridge's own address is let through, because the host is reached by it.
- There is no raw rule without masquerading, where answers come to the container's own address.
- Nobody gets at 127.0.0.0/8 through a published port from the network, whatever route_localnet says.
- Where containers may not talk to each other, neither may they ping (``mode: routed``); but IPv6
  neighbours find each other, so that links work there too, and on an internal bridge.
- Ports are opened by the DNAT state, not port by port; without a proxy process, what a bridge's own
  containers send to a published port is masqueraded, so that the answers come back this way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from reconciler.allocate.addresses import IPInterface
from reconciler.core.object import KernelObject
from reconciler.kinds.assignment import Assignment
from reconciler.kinds.bridge import Bridge
from reconciler.manifest.resource import Resource
from reconciler.objects import FirewallChain
from reconciler.objects.rule import Order, make_jump, make_rule

HOOKS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("filter", "FORWARD", (), "RC-FORWARD"),
    ("nat", "PREROUTING", ("-m", "addrtype", "--dst-type", "LOCAL"), "RC-DNAT"),
    ("nat", "OUTPUT", ("-m", "addrtype", "--dst-type", "LOCAL"), "RC-DNAT"),
    ("nat", "POSTROUTING", (), "RC-SNAT"),
    ("raw", "PREROUTING", (), "RC-RAW"),
)
"""Table, chain of the kernel, matches, chain of ours: one jump each."""
SECTIONS = ("RC-USER", "RC-CT", "RC-INTERNAL", "RC-IN", "RC-OUT")
"""Where a forwarded packet goes through, in order."""
TO_LOOPBACK = "127.0.0.0/8"


class Writer:
    """Writes rules of one owner in one family."""

    def __init__(self, family: int, owner: tuple[str, str]) -> None:
        """Take note of whose rules these are."""
        self.family = family
        self.owner = owner

    def rule(
        self, table: str, chain: str, words: str, order: Order, what: str = ""
    ) -> KernelObject:
        """Write one rule; *words* are divided by spaces."""
        place = (self.family, table, chain)
        return make_rule(place, tuple(words.split()), self.owner, order=order, what=what)

    def chain(self, table: str, name: str) -> KernelObject:
        """Declare a chain."""
        return FirewallChain(self.family, table, name)


def expand_firewall(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    """Say which chains and rules a bridge needs, in the families that it has."""
    spec = cast("Bridge", resource.spec)
    if not spec.iptables:
        return
    for gateway in assignment.gateways[resource.name]:
        writer = Writer(gateway.version, (assignment.set_name, resource.id))
        yield from _scaffold(gateway.version)
        yield from _filter(spec, gateway, writer)
        if not spec.internal:
            yield from _nat(spec, gateway, writer)
            yield from _raw(spec, gateway, writer)


def mode_of(spec: Bridge, family: int) -> str:
    """The gateway mode of a bridge in a family."""
    return spec.mode.ipv4 if family == 4 else spec.mode.ipv6


def _scaffold(family: int) -> Iterator[KernelObject]:
    for table, chain, matches, target in HOOKS:
        yield FirewallChain(family, table, target)
        if family == 4 and chain == "PREROUTING" and table == "nat":
            # From the network nobody has a port bound to loopback, even where some program lets
            # its device carry such packets (route_localnet).
            around: tuple[str, ...] = ("!", "-d", TO_LOOPBACK)
        else:
            around = ()
        yield make_jump((family, table, chain), (*around, *matches, "-j", target), (0,))
    for number, section in enumerate(SECTIONS):
        yield FirewallChain(family, "filter", section)
        yield make_jump((family, "filter", "RC-FORWARD"), ("-j", section), (number,))


def _filter(spec: Bridge, gateway: IPInterface, writer: Writer) -> Iterator[KernelObject]:
    device = spec.device_name
    if spec.internal:
        yield from _internal(spec, gateway, writer)
    if not spec.internal or not spec.icc:
        within = f"-i {device} " if spec.internal else ""
        answers = f"{within}-o {device} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        yield writer.rule("filter", "RC-CT", answers, (device,))
        yield from _entrance(spec, writer)
    yield from _exits(spec, writer)


def _internal(spec: Bridge, gateway: IPInterface, writer: Writer) -> Iterator[KernelObject]:
    """No way in or out: what is not from here to here is dropped."""
    device, net = spec.device_name, gateway.network
    around = ("", "") if gateway.version == 4 else (f"! -i {device} ", f"! -o {device} ")
    into = f"! -s {net} {around[0]}-o {device} -j DROP"
    out = f"! -d {net} -i {device} {around[1]}-j DROP"
    yield writer.rule("filter", "RC-INTERNAL", into, (device, 0))
    yield writer.rule("filter", "RC-INTERNAL", out, (device, 1))


def entrance_chain(device: str) -> str:
    """The chain of what leaves to a bridge."""
    return f"RC-IN-{device}"


def access_chain(device: str) -> str:
    """The chain of what single containers of a bridge let in."""
    return f"RC-AC-{device}"


def _entrance(spec: Bridge, writer: Writer) -> Iterator[KernelObject]:
    device, family = spec.device_name, writer.family
    chain = entrance_chain(device)
    yield writer.chain("filter", chain)
    yield writer.rule("filter", "RC-IN", f"-o {device} -j {chain}", (device,))
    if spec.internal:  # nothing comes in; what is linked may talk
        yield writer.chain("filter", access_chain(device))
        yield writer.rule("filter", chain, f"-j {access_chain(device)}", (3,))
        return
    mode = mode_of(spec, family)
    if mode == "nat-unprotected":
        yield writer.rule("filter", chain, f"! -i {device} -j ACCEPT", (0,))
    if mode == "routed":
        protocol = "icmp" if family == 4 else "ipv6-icmp"
        yield writer.rule("filter", chain, f"! -i {device} -p {protocol} -j ACCEPT", (1,))
    else:
        opened = "-m conntrack --ctstate DNAT -j ACCEPT"
        yield writer.rule("filter", chain, opened, (2,), "published ports")
    if mode == "routed" or not spec.icc:
        yield writer.chain("filter", access_chain(device))
        yield writer.rule("filter", chain, f"-j {access_chain(device)}", (3,))
    if mode != "nat-unprotected":
        yield writer.rule("filter", chain, f"! -i {device} -j DROP", (4,))


def _exits(spec: Bridge, writer: Writer) -> Iterator[KernelObject]:
    device = spec.device_name
    among, away = f"-i {device} -o {device}", f"-i {device} ! -o {device}"
    match spec.icc, spec.internal:
        case True, False:
            found = [f"-i {device} -j ACCEPT"]
        case True, True:
            found = [f"{among} -j ACCEPT"]
        case False, False:
            found = [*_neighbours(writer, among), f"{among} -j DROP", f"{away} -j ACCEPT"]
        case _:
            found = [*_neighbours(writer, among), f"{among} -j DROP"]
    for number, words in enumerate(found):
        yield writer.rule("filter", "RC-OUT", words, (device, number))


def _neighbours(writer: Writer, among: str) -> list[str]:
    """Let containers that may not talk find each other's MACs: a link would come to nothing.

    ARP does not pass here, but IPv6 asks by ICMP (RFC 4861, 4.3 and 4.4).
    """
    if writer.family == 4:
        return []
    kinds = ("neighbour-solicitation", "neighbour-advertisement")
    return [f"{among} -p ipv6-icmp --icmpv6-type {kind} -j ACCEPT" for kind in kinds]


def _nat(spec: Bridge, gateway: IPInterface, writer: Writer) -> Iterator[KernelObject]:
    device, net = spec.device_name, gateway.network
    if mode_of(spec, gateway.version) == "routed":
        return
    local = f"-o {device} -m addrtype --src-type LOCAL -j MASQUERADE"
    back = f"-s {net} -o {device} -m conntrack --ctstate DNAT -j MASQUERADE"
    yield writer.rule("nat", "RC-SNAT", local, (device, 0), "from the host itself")
    yield writer.rule("nat", "RC-SNAT", back, (device, 1), "back in where it came from")
    if spec.masquerade:
        away = f"-s {net} ! -o {device} -j MASQUERADE"
        yield writer.rule("nat", "RC-SNAT", away, (device, 2))


def _raw(spec: Bridge, gateway: IPInterface, writer: Writer) -> Iterator[KernelObject]:
    """Nobody routes straight at a container, and no container at the host's loopback.

    Without masquerading a container is answered by its own address, which cannot be told apart
    here: then the filter alone keeps out what no container has asked for.
    """
    device = spec.device_name
    if mode_of(spec, gateway.version) == "nat" and spec.masquerade:
        chain = f"RC-RAW-{device}"
        yield writer.chain("raw", chain)
        around = f"-d {gateway.network} ! -i {device} -j {chain}"
        yield writer.rule("raw", "RC-RAW", around, (device, 0))
        yield writer.rule("raw", chain, f"-d {gateway.ip} -j RETURN", (0,), "the bridge itself")
        yield writer.rule("raw", chain, "-j DROP", (1,))
    if gateway.version == 4:
        words = f"-d {TO_LOOPBACK} -i {device} -j DROP"
        yield writer.rule("raw", "RC-RAW", words, (device, 1))
