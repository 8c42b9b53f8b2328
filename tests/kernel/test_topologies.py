"""Topologies of twenty to fifty containers: every declared path pings, every undeclared one does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import product
from pathlib import Path

import pytest

from reconciler.cli import main
from tests.kernel import facts
from tests.kernel.firewall_world import PONG, Way, walk
from tests.kernel.manifests import bridge, container, link
from tests.kernel.passes import converge
from tests.kernel.test_foreign import forwarding, snapshot
from tests.witness import assert_same
from tests.world import HERE, Host

QUIET = "forwardDelay: 0"
FORWARDS = "sysctls: {net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1}"


@dataclass
class Topology:
    """Manifests, the addresses that each container has, and who reaches which of them."""

    manifests: str
    addresses: Mapping[str, Iterable[str]]
    reaches: Callable[[str, str, str], bool]
    """Source, target, and the target's address."""
    more: tuple[Way, ...] = field(default=())

    def ways(self) -> Iterator[Way]:
        for source, target in product(self.addresses, repeat=2):
            for address in self.addresses[target]:
                if source != target and self._is_of_a_family_of(source, address):
                    answer = PONG if self.reaches(source, target, address) else None
                    yield Way(source, address, "ping", answer=answer)
        yield from self.more

    def _is_of_a_family_of(self, source: str, address: str) -> bool:
        versions = {ip_address(own).version for own in self.addresses[source]}
        return ip_address(address).version in versions


def spec(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def routes(*targets: tuple[str, str]) -> str:
    return f"routes: [{', '.join(f'{{to: {to!r}, via: {via!r}}}' for to, via in targets)}]"


# --------------------------------------------------------------------------- cables only

RING = 24


def ring() -> Topology:
    """Each has a cable to the next; nobody forwards, so only neighbours reach each other."""
    text, addresses = "", {f"c{n}": [] for n in range(RING)}
    for n in range(RING):
        one, other = f"c{n}", f"c{(n + 1) % RING}"
        text += container("network: none", one)
        nets = ((f"10.40.{n}.0/31", f"10.40.{n}.1/31"), (f"fd40:{n:x}::/127", f"fd40:{n:x}::1/127"))
        mine, theirs = ([pair[end] for pair in nets] for end in (0, 1))
        text += link(
            f"container: {one}, interface: right, addresses: {mine}",
            f"container: {other}, interface: left, addresses: {theirs}",
            name=f"cable{n}",
        )
        addresses[one] += [address.partition("/")[0] for address in mine]
        addresses[other] += [address.partition("/")[0] for address in theirs]

    def reaches(source: str, target: str, address: str) -> bool:
        # The one that the cable between them has at its far end.
        left, right = (int(name[1:]) for name in (source, target))
        cable = left if (left + 1) % RING == right else right if (right + 1) % RING == left else -1
        return address in {f"10.40.{cable}.{int(cable == left)}", _at_end(cable, cable == left)}

    return Topology(text, addresses, reaches)


def _at_end(cable: int, far: bool) -> str:
    return f"fd40:{cable:x}::{'1' if far else ''}"


LEAVES = 30


def star(forwards: bool) -> Topology:
    """A hub with cables to the leaves, in Docker's way: /32 and a route to the other end."""
    hub = spec("network: none", FORWARDS if forwards else "")
    text, addresses = container(hub, "hub"), {"hub": [f"10.41.0.{n + 1}" for n in range(LEAVES)]}
    for n in range(LEAVES):
        text += container("network: none", f"leaf{n}")
        way = ", routes: [{to: default}]" if forwards else ""
        text += link(
            f"container: hub, interface: leaf{n}, addresses: [10.41.0.{n + 1}/32]",
            f"container: leaf{n}, interface: up, addresses: [10.41.1.{n + 1}/32]{way}",
            name=f"ray{n}",
        )
        addresses[f"leaf{n}"] = [f"10.41.1.{n + 1}"]

    def reaches(source: str, target: str, address: str) -> bool:
        if forwards or source == "hub":
            return True
        return target == "hub" and address.rpartition(".")[2] == str(int(source[4:]) + 1)

    return Topology(text, addresses, reaches)


CHAIN = 20


def chain() -> Topology:
    """Cables in a row, each container with routes over them to both ends: all reach all."""
    text, addresses = "", {f"c{n}": [] for n in range(CHAIN)}

    def over(n: int, side: int) -> str:
        """From c<n> to all cables beyond the neighbour, in both families."""
        far = range(n + 1, CHAIN - 1) if side else range(n - 1)
        return ", ".join(
            f"{{to: '{net}'}}" for m in far for net in (f"10.42.{m}.0/30", f"fd42:{m:x}::/64")
        )

    for n in range(CHAIN):
        text += container(f"network: none, {FORWARDS}", f"c{n}")
    for n in range(CHAIN - 1):
        near, far = ([f"10.42.{n}.{end}/30", f"fd42:{n:x}::{end}/64"] for end in (1, 2))
        text += link(
            f"container: c{n}, interface: right, addresses: {near}, routes: [{over(n, 1)}]",
            f"container: c{n + 1}, interface: left, addresses: {far}, routes: [{over(n + 1, 0)}]",
            name=f"hop{n}",
        )
        addresses[f"c{n}"] += [address.partition("/")[0] for address in near]
        addresses[f"c{n + 1}"] += [address.partition("/")[0] for address in far]
    return Topology(text, addresses, lambda *_: True)


# --------------------------------------------------------------------------- bridges

SIZE = 10
LETTERS = "abc"


def _net(letter: str) -> tuple[str, str]:
    number = LETTERS.index(letter) + 1
    return f"10.43.{number}", f"fd43:{number}:"


def routed_by_a_container() -> Topology:
    """Three bridges and a router on two of them; the last of each has no route to the other."""
    text, addresses = "", {}
    for letter in LETTERS:
        four, six = _net(letter)
        text += bridge(f"addresses: [{four}.1/24, '{six}:1/64'], {QUIET}", letter)
    interfaces = []
    for letter in "ab":
        four, six = _net(letter)
        interfaces.append(f"{{bridge: {letter}, addresses: [{four}.254, '{six}:fe']}}")
    text += container(f"interfaces: [{', '.join(interfaces)}], {FORWARDS}", "router")
    addresses["router"] = [a for net in map(_net, "ab") for a in (f"{net[0]}.254", f"{net[1]}:fe")]
    for letter, n in product(LETTERS, range(SIZE)):
        (four, six), other = _net(letter), _net("b" if letter == "a" else "a")
        way = routes((f"{other[0]}.0/24", f"{four}.254"), (f"{other[1]}:/64", f"{six}:fe"))
        own = [f"{four}.{n + 2}", f"{six}:{n + 2:x}"]
        lost = letter == "c" or n == SIZE - 1
        text += container(
            spec(f"bridge: {letter}, addresses: {own}", "" if lost else way), f"{letter}{n}"
        )
        addresses[f"{letter}{n}"] = own

    def reaches(source: str, target: str, address: str) -> bool:
        if source == "router":
            return target[0] in "ab"
        far = not address.startswith(_net(source[0]))
        if not far:
            return True
        return "c" not in source[0] + target[0] and not {source[1:], target[1:]} & {str(SIZE - 1)}

    return Topology(text, addresses, reaches)


FAMILIES = {"four": (4,), "six": (6,), "both": (4, 6), "alone": (4, 6), "inner": (4, 6)}
MORE = {"alone": ", icc: false", "inner": ", internal: true"}


def dual_stack() -> Topology:
    """Five bridges, 45 containers; a few have only one of the families, and two are linked."""
    text, addresses, more = "", {}, []
    for number, (name, families) in enumerate(FAMILIES.items(), 1):
        gateways = [address for address in (f"10.44.{number}.1/24", f"fd44:{number}::1/64")
                    if (6 if ":" in address else 4) in families]  # fmt: skip
        text += bridge(f"addresses: {gateways}, {QUIET}{MORE.get(name, '')}", name)
        for n in range(2, 11):
            only = {9: (4,), 10: (6,)}.get(n, families) if len(families) == 2 else families
            own = [a for a, v in ((f"10.44.{number}.{n}", 4), (f"fd44:{number}::{n:x}", 6))
                   if v in only]  # fmt: skip
            text += container(f"bridge: {name}, addresses: {own}", f"{name}{n}")
            addresses[f"{name}{n}"] = own
            # The host reaches them, and they their gateway.
            more += [Way("host", a, "ping", answer=PONG) for a in own]
            more += [
                Way(f"{name}{n}", g.partition("/")[0], "ping", answer=PONG)
                for g in gateways
                if (6 if ":" in g else 4) in only
            ]
    text += link(
        "container: alone2, interface: x0, addresses: [10.45.0.1/32, 'fd45::1/128']",
        "container: inner2, interface: x0, addresses: [10.45.0.2/32, 'fd45::2/128']",
    )
    more += [
        Way(source, address, "ping", answer=PONG if source in {"alone2", "inner2"} else None)
        for source in ("alone2", "alone3", "inner2", "inner3", "both2")
        for address in ("10.45.0.2", "fd45::2")
    ]

    def reaches(source: str, target: str, address: str) -> bool:
        bridges = {name.rstrip("0123456789") for name in (source, target)}
        return len(bridges) == 1 and bridges != {"alone"}

    return Topology(text, addresses, reaches, tuple(more))


TOPOLOGIES: dict[str, Callable[[], Topology]] = {
    "a ring of cables": ring,
    "a star whose hub forwards nothing": lambda: star(forwards=False),
    "a star whose hub forwards": lambda: star(forwards=True),
    "a chain of cables with routes": chain,
    "a router between bridges": routed_by_a_container,
    "dual stack": dual_stack,
}


def nothing_bridged_is_filtered() -> None:
    """Where br_netfilter is loaded a new host filters what passes a bridge; most hosts don't."""
    for name in ("iptables", "ip6tables"):
        if Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}").exists():
            facts.set_sysctl(f"net.bridge.bridge-nf-call-{name}", "0")


@pytest.mark.parametrize("make", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_every_declared_path_pings_and_every_undeclared_one_does_not(
    host: Host, make: Callable[[], Topology]
):
    """It converges in one pass, a second one does nothing, and nothing of it is left at the end."""
    topology = make()
    forwarding(host)
    nothing_bridged_is_filtered()
    before = snapshot()
    host.manifests.write("all.yaml", topology.manifests)

    converge(host)

    assert 20 <= len(facts.namespaces()) <= 50
    places = {name: host.netns(name) for name in topology.addresses} | {"host": HERE}
    ways = list(topology.ways())
    assert {way.answer for way in ways} >= {PONG}
    assert walk(ways, places) == []

    assert main.run(["teardown"]) == 0
    assert_same(before, snapshot())
