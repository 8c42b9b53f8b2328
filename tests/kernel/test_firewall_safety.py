"""Never half open: between any two operations nothing is reachable that the manifests forbid.

A pass is carried out operation by operation. After each, datagrams are sent along every way that
is forbidden, and what the containers receive is read at the end: on one kernel a datagram is
delivered, or dropped, before the call that sent it returns. Whoever is killed between two
operations leaves just such a state behind.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from reconciler.core.guard import Limit
from tests.kernel import facts
from tests.kernel.firewall_world import BACKENDS, choose_backend
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import converge, session
from tests.world import HERE, NAMED, Host, Namespace, Uplink, inside

EVERYTHING = Limit(100, percent=True)
PORT = 80
HOST, REMOTE = "host", "remote"


class Probes:
    """Datagrams along ways, and what came of them, for containers that come and go."""

    def __init__(self, places: dict[str, Namespace], ways: Iterable[tuple[str, str, int]]) -> None:
        """Take note of the ways: from a place, or a container by its name, to address and port."""
        self.places = places
        self.ways = tuple(ways)
        self.arrived: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self._listeners: dict[str, tuple[int, socket.socket]] = {}
        self._senders: dict[tuple[str, str, int], socket.socket] = {}

    def send(self) -> None:
        """Try all ways once, and read what has arrived."""
        self._follow()
        for way in self.ways:
            source, address, port = way
            namespace = self.places.get(source) or _named(source)
            if namespace is None:
                continue
            text = f"{source} -> {address}:{port}"
            try:
                self._sender(way, namespace).sendto(text.encode(), (address, port))
                self.sent[text] += 1
            except OSError:
                continue  # no route, or no such namespace, at this moment
        self.read()

    def _sender(self, way: tuple[str, str, int], namespace: Namespace) -> socket.socket:
        """One socket for each way, so that a flow that was once known is tried again and again."""
        if way[0] not in self.places:
            with inside(namespace):
                return _udp(way[1])
        if way not in self._senders:
            with inside(namespace):
                self._senders[way] = _udp(way[1])
        return self._senders[way]

    def _follow(self) -> None:
        """Listen in every named namespace, from the moment that it is there."""
        for path in NAMED.iterdir() if NAMED.is_dir() else ():
            inode = path.stat().st_ino
            if self._listeners.get(path.name, (0, None))[0] != inode:
                sock = socket.socket
                try:
                    with inside(Namespace(path.name, path)):
                        sock = _udp("::")
                        sock.bind(("::", PORT))
                except OSError:
                    continue  # a name without a namespace behind it
                self._listeners[path.name] = (inode, sock)

    def read(self) -> None:
        """Take what has arrived, whoever got it."""
        for name, (_, sock) in self._listeners.items():
            while True:
                try:
                    data = sock.recv(200).decode()
                except OSError:
                    break
                self.arrived[f"{data} at {name}"] += 1

    def close(self) -> None:
        for _, sock in self._listeners.values():
            sock.close()
        for sock in self._senders.values():
            sock.close()


def _udp(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    if address == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return sock


def _named(name: str) -> Namespace | None:
    path = NAMED / name
    return Namespace(name, path) if path.exists() else None


def step(host: Host, probes: Probes, **options: object) -> int:
    """One pass, operation by operation; gives how many there were."""
    with session(host, **options) as given:
        count = 0
        for _ in range(3):
            plan = given.preview().plan()
            if not plan.operations:
                return count
            probes.send()
            for outcome in given.host.execute(plan):
                assert outcome.error is None, outcome
                count += 1
                probes.send()
    raise AssertionError("three rounds were not enough")


DUAL = 'addresses: [10.{0}.0.1/24, "fd00:{0}::1/64"], forwardDelay: 0'


def network(name: str, number: int, more: str = "") -> str:
    return bridge(f"{DUAL.format(number)}{more and ', '}{more}", name)


def box(name: str, net: str, number: int, last: int, more: str = "") -> str:
    addresses = f"addresses: [10.{number}.0.{last}, 'fd00:{number}::{last}']"
    return container(f"bridge: {net}, {addresses}{more and ', '}{more}", name)


FILES = {
    "front.yaml": network("front", 1) + box("f1", "front", 1, 2, "publish: [8001:80/udp]"),
    "back.yaml": network("back", 2) + box("b1", "back", 2, 2, "publish: ['127.0.0.1:8002:80/udp']"),
    "inner.yaml": network("inner", 3, "internal: true") + box("i1", "inner", 3, 2),
    "strict.yaml": network("strict", 4, "icc: false")
    + box("s1", "strict", 4, 2)
    + box("s2", "strict", 4, 3),
    "routed.yaml": network("routed", 5, "mode: routed") + box("r1", "routed", 5, 2),
    "open.yaml": network("open", 6, "masquerade: false") + box("o1", "open", 6, 2),
}
NUMBERS = {"f1": 1, "b1": 2, "i1": 3, "s1": 4, "r1": 5, "o1": 6}


def addresses(number: int, last: int = 2) -> tuple[str, str]:
    return f"10.{number}.0.{last}", f"fd00:{number}::{last}"


def forbidden() -> Iterator[tuple[str, str, int]]:
    """Straight at containers: from the network, from the other bridges, and among `icc: false`."""
    for target in NUMBERS.values():
        for address in addresses(target):
            for source, number in (("remote", 0), *NUMBERS.items()):
                if number != target:
                    yield source, address, PORT
    for address in addresses(4):
        yield "s2", address, PORT


PASSES = 7
"""Of the life below."""
ALLOWED = tuple((HOST, a, PORT) for number in NUMBERS.values() for a in addresses(number))


def settle(host: Host, backend: str) -> Uplink:
    """A host that forwards already and drops nothing by itself: only our rules are in the way."""
    choose_backend(host, backend)
    for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        facts.set_sysctl(name, "1")
    uplink = host.uplink()
    uplink.remote.ip(f"route add 10.0.0.0/8 via {uplink.host4}")
    uplink.remote.ip(f"-6 route add fd00::/16 via {uplink.host6}")
    return uplink


@contextmanager
def probing(uplink: Uplink, ways: Iterable[tuple[str, str, int]]) -> Iterator[Probes]:
    probes = Probes({HOST: HERE, REMOTE: uplink.remote}, ways)
    try:
        yield probes
    finally:
        probes.close()


def reached(probes: Probes, source: str) -> list[str]:
    return sorted(text for text in probes.arrived if text.startswith(f"{source} "))


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_forbidden_is_reachable_at_any_moment_of_a_life(host: Host, backend: str):
    """Built, one resource after another taken away, built again, all taken away at once."""
    uplink = settle(host, backend)
    with probing(uplink, (*forbidden(), *ALLOWED)) as probes:
        for name, text in FILES.items():
            host.manifests.write(name, text)
        operations = step(host, probes)
        for name in ("front.yaml", "strict.yaml", "inner.yaml"):
            host.manifests.remove(name)
            operations += step(host, probes, max_deletes=EVERYTHING)
        # Containers go while their bridges stay.
        host.manifests.write("back.yaml", network("back", 2))
        host.manifests.write("open.yaml", network("open", 6, "masquerade: false"))
        operations += step(host, probes, max_deletes=EVERYTHING)
        for name, text in FILES.items():
            host.manifests.write(name, text)
        operations += step(host, probes)
        for name in FILES:
            host.manifests.remove(name)
        operations += step(host, probes, allow_empty=True, max_deletes=EVERYTHING)
        probes.read()

    # The probes see what there is to see: the host's own datagrams came through, all along.
    for source, address, port in ALLOWED:
        assert probes.arrived[f"{source} -> {address}:{port} at {_at(address)}"] > 20
        assert probes.sent[f"{REMOTE} -> {address}:{port}"] == operations + PASSES
    assert operations > 300
    assert [text for text in probes.arrived if not text.startswith(f"{HOST} ")] == []


def _at(address: str) -> str:
    number = int(address.split(":" if ":" in address else ".")[1])
    return next(name for name, net in NUMBERS.items() if net == number)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_containers_port_does_not_lead_to_the_next_one_with_its_address(host: Host, backend: str):
    """Also not for a flow that is known already, whichever of the two is made or deleted first."""
    uplink = settle(host, backend)
    published = box("a1", "front", 1, 2, "publish: [8001:80/udp]")
    ways = [(REMOTE, uplink.host4, 8001), (REMOTE, uplink.host6, 8001)]
    for heir in ("a0", "z9"):
        host.manifests.write("a.yaml", network("front", 1) + published)
        converge(host, max_deletes=EVERYTHING)
        with probing(uplink, [*ways, *((REMOTE, a, PORT) for a in addresses(1))]) as probes:
            probes.send()
            known = {f"{REMOTE} -> {address}:8001 at a1" for _, address, _ in ways}
            assert set(probes.arrived) == known
            host.manifests.write("a.yaml", network("front", 1) + box(heir, "front", 1, 2))
            step(host, probes, max_deletes=EVERYTHING)
            probes.send()
            assert set(probes.arrived) == known


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_container_does_not_inherit_the_flows_of_an_address(host: Host, backend: str):
    """What the last one with it had asked for is not answered to the next, published port or not."""
    uplink = settle(host, backend)
    host.manifests.write("a.yaml", network("front", 1) + box("a1", "front", 1, 2))
    converge(host)
    with inside(uplink.remote):
        server = _udp("::")
        server.bind(("::", 5000))
    with inside(host.netns("a1")), _udp("0.0.0.0") as client:
        client.bind(("", PORT))
        client.sendto(b"hello", (uplink.remote4, 5000))
    _, peer = server.recvfrom(100)
    host.manifests.write("a.yaml", network("front", 1) + box("a0", "front", 1, 2))
    with server, probing(uplink, ()) as probes, session(host, max_deletes=EVERYTHING) as given:
        probes.send()
        server.sendto(b"answer", peer)
        for _ in given.host.execute(given.preview().plan()):
            probes.send()
            server.sendto(b"answer", peer)
        probes.read()
        assert set(probes.arrived) == {"answer at a1"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bridge_that_closes_is_closed_when_the_pass_ends(host: Host, backend: str):
    """And from there on never open on the way from one closed state to the next."""
    uplink = settle(host, backend)
    ways = [("f2", a, PORT) for a in addresses(1)] + [(REMOTE, a, PORT) for a in addresses(1)]
    boxes = box("f1", "front", 1, 2) + box("f2", "front", 1, 3)
    host.manifests.write("a.yaml", network("front", 1, "mode: nat-unprotected") + boxes)
    converge(host)
    with probing(uplink, ways) as probes:
        probes.send()
        assert len(probes.arrived) == 4
        host.manifests.write("a.yaml", network("front", 1, "icc: false") + boxes)
        step(host, probes, max_deletes=EVERYTHING)
    for spec in ("icc: false, mode: routed", "icc: false, internal: true", "icc: false"):
        host.manifests.write("a.yaml", network("front", 1, spec) + boxes)
        with probing(uplink, ways) as probes:  # a flow that is known lives on, so these are new
            probes.send()
            assert step(host, probes, max_deletes=EVERYTHING)
            assert probes.arrived == Counter(), spec
