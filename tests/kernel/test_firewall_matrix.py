"""The table of who may reach whom, with real packets, under every policy and on both backends.

The table is Docker's (its tests TestDirectRoutingOpenPorts, TestInterNetworkDirectRouting,
TestBridgeINCRouted, TestAccessPublishedPortFrom..., TestDropInForwardChain, TestLegacyLink), each
entry both ways: what must work does, what must not does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from reconciler.core.guard import Limit
from tests.kernel import facts
from tests.kernel.firewall_world import BACKENDS, PONG, Way, choose_backend, serve, walk
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import converge
from tests.world import HERE, Host, Namespace, Uplink

PUBLISHED, CLOSED = 80, 81


@dataclass(frozen=True)
class Net:
    """A bridge of the table."""

    number: int
    spec: str = ""
    mode4: str = "nat"
    mode6: str = "nat"
    icc: bool = True
    internal: bool = False
    walls: bool = True
    masquerade: bool = True

    def mode(self, family: int) -> str:
        return self.mode4 if family == 4 else self.mode6

    def gateway(self, family: int) -> str:
        return self.address(1, family)

    def address(self, host: int, family: int) -> str:
        return f"10.{self.number}.0.{host}" if family == 4 else f"fd00:{self.number}::{host}"


NETS = {
    "nat": Net(1),
    "nat2": Net(2),
    "bare": Net(3, "mode: nat-unprotected", "nat-unprotected", "nat-unprotected"),
    "routed": Net(4, "mode: routed", "routed", "routed"),
    "noicc": Net(5, "icc: false", icc=False),
    "inner": Net(6, "internal: true", internal=True),
    "hush": Net(7, "internal: true, icc: false", internal=True, icc=False),
    "plain": Net(8, "iptables: false", walls=False),
    "apart": Net(9, "iptables: false, icc: false", walls=False, icc=False),
    "nomasq": Net(10, "masquerade: false", masquerade=False),
    "bound": Net(11, "bindAddress: 203.0.113.2"),
    "mixed": Net(12, "mode: {ipv6: routed}", mode6="routed"),
    "strict": Net(13, "mode: routed, icc: false", "routed", "routed", icc=False),
}
"""By name of the bridge."""


@dataclass(frozen=True)
class Box:
    """A container of the table."""

    net: str
    host: int
    port: int | None = None
    """The host port that leads to PUBLISHED, with tcp and udp."""
    spec: str = ""

    @property
    def of(self) -> Net:
        return NETS[self.net]

    def address(self, family: int) -> str:
        return self.of.address(self.host, family)


BOXES = {
    "n1": Box("nat", 2, 8001),
    "n2": Box("nat", 3, 8002),
    "n3": Box("nat", 4),
    "m1": Box("nat2", 2, 8011),
    "o1": Box("bare", 2, 8021),
    "r1": Box("routed", 2, 8031),
    "r2": Box("routed", 3),
    "i1": Box("noicc", 2, 8041),
    "i2": Box("noicc", 3, spec="links: ['i1:db']"),
    "i3": Box("noicc", 4),
    "t1": Box("inner", 2),
    "t2": Box("inner", 3),
    "h1": Box("hush", 2, spec="expose: [80, 80/udp]"),
    "h2": Box("hush", 3, spec="links: [h1]"),
    "h3": Box("hush", 4),
    "p1": Box("plain", 2),
    "p2": Box("plain", 3),
    "q1": Box("apart", 2),
    "q2": Box("apart", 3),
    "k1": Box("nomasq", 2, 8051),
    "b1": Box("bound", 2, 8061),
    "x1": Box("mixed", 2, 8071),
    "y1": Box("strict", 2, 8081),
    "y2": Box("strict", 3),
}
LINKED = {("i2", "i1"), ("h2", "h1")}
"""Who may reach whose PUBLISHED in spite of `icc: false`."""
MORE_PORTS = {"n1": ("127.0.0.2:8101:80", "203.0.113.2:8102:80", "'[2001:db8:113::2]:8103:80'")}


def manifests() -> str:
    text = "".join(
        bridge(
            f"addresses: [{net.gateway(4)}/24, '{net.gateway(6)}/64'], forwardDelay: 0"
            f"{net.spec and ', '}{net.spec}",
            name,
        )
        for name, net in NETS.items()
    )
    for name, box in BOXES.items():
        ports = [f"{box.port}:{PUBLISHED}{what}" for what in ("", "/udp") if box.port]
        ports += MORE_PORTS.get(name, ())
        addresses = f"addresses: [{box.address(4)}, '{box.address(6)}']"
        parts = [f"bridge: {box.net}", addresses, box.spec]
        parts += [f"publish: [{', '.join(ports)}]"] if ports else []
        text += container(", ".join(filter(None, parts)), name)
    return text


HOST, REMOTE = "host", "remote"
KINDS = (("ping", 0), *((p, n) for n in (PUBLISHED, CLOSED) for p in ("tcp", "udp")))


@dataclass(frozen=True)
class Table:
    """Which ways there are, and which are open where strangers drop what nobody accepts or do not."""

    uplink: Uplink
    forwards: bool
    """What nobody speaks of is forwarded."""
    bridged: bool
    """What containers of one bridge say to each other passes the firewall, whoever wants it."""

    def ways(self) -> Iterator[Way]:
        for family in (4, 6):
            yield from self.direct(family)
            yield from self.out(family)
            yield from self.published(family)
        yield from self.bound()

    # -------------------------------------------------------------- straight at an address

    def direct(self, family: int) -> Iterator[Way]:
        for source in (HOST, REMOTE, *BOXES):
            for name, box in BOXES.items():
                for protocol, port in KINDS:
                    is_open = self.is_open(source, name, family, port or None)
                    who = PONG if protocol == "ping" else name
                    yield Way(source, box.address(family), protocol, port, who if is_open else None)

    def is_open(self, source: str, name: str, family: int, port: int | None) -> bool:
        there = BOXES[name].of
        if source in {HOST, name}:
            return True
        here = NETS[BOXES[source].net] if source in BOXES else None
        if here is there:
            passes = there.walls or self.forwards or not self.bridged
            return (passes and there.icc) or ((source, name) in LINKED and port == PUBLISHED)
        if there.internal or (here and here.internal):
            return False
        if not there.walls:
            return self.forwards or bool(here and here.walls)
        if there.mode(family) == "routed":
            return port is None or (port == PUBLISHED and BOXES[name].port is not None)
        return there.mode(family) == "nat-unprotected"

    # -------------------------------------------------------------- from containers to the world

    def out(self, family: int) -> Iterator[Way]:
        away = self.uplink.remote4 if family == 4 else self.uplink.remote6
        own = self.uplink.host4 if family == 4 else self.uplink.host6
        for name, box in BOXES.items():
            net = box.of
            is_open = not net.internal and (net.walls or self.forwards)
            hidden = net.walls and net.masquerade and net.mode(family) != "routed"
            sees = own if hidden else box.address(family)
            for protocol in ("tcp", "udp"):
                who = REMOTE if is_open else None
                yield Way(name, away, protocol, PUBLISHED, who, sees if is_open else None)
            yield Way(name, away, "ping", 0, PONG if is_open else None)

    # -------------------------------------------------------------- through the host's ports

    def published(self, family: int) -> Iterator[Way]:
        for source in (HOST, REMOTE, *BOXES):
            for name, box in BOXES.items():
                if box.port is None:
                    continue
                for address in self.host_addresses(source, family):
                    is_open = self.is_published(source, name, address, family)
                    for protocol in ("tcp", "udp"):
                        answer = name if is_open else None
                        yield Way(source, address, protocol, box.port, answer)

    def host_addresses(self, source: str, family: int) -> Iterator[str]:
        yield self.uplink.host4 if family == 4 else self.uplink.host6
        if source == HOST:
            yield from ("127.0.0.1", "127.0.0.9") if family == 4 else ()
        for net in ("nat", "noicc", "plain", BOXES[source].net if source in BOXES else "nat2"):
            yield NETS[net].gateway(family)

    def is_published(self, source: str, name: str, address: str, family: int) -> bool:
        there = BOXES[name].of
        if there.mode(family) == "routed":
            return False
        if source in BOXES and BOXES[source].of.internal:
            return False
        return name != "b1" or address == self.uplink.host4

    def bound(self) -> Iterator[Way]:
        """Ports of n1 that are bound to one address of the host."""
        four, six, inner = self.uplink.host4, self.uplink.host6, NETS["nat"].gateway(4)
        for source in (HOST, REMOTE, "n1", "n2", "m1"):
            local = "n1" if source == HOST else None
            yield Way(source, "127.0.0.2", "tcp", 8101, local)
            yield Way(source, four, "tcp", 8101)
            yield Way(source, inner, "tcp", 8101)
            yield Way(source, four, "tcp", 8102, "n1")
            yield Way(source, inner, "tcp", 8102)
            yield Way(source, six, "tcp", 8102)
            yield Way(source, six, "tcp", 8103, "n1")
            yield Way(source, four, "tcp", 8103)
        yield Way(HOST, "127.0.0.1", "tcp", 8101)
        yield Way(HOST, "127.0.0.1", "tcp", 8102)
        yield Way(REMOTE, four, "tcp", PUBLISHED, HOST)  # the host itself is not hidden


POLICIES = {
    "accept": (),
    "drop": ("-P FORWARD DROP",),
    "dropped at the end": ("-A FORWARD -j DROP",),
}


def settle(host: Host, backend: str, lines: tuple[str, ...]) -> dict[str, Namespace]:
    """A host with strangers' rules, another host that routes to all containers, and our world."""
    choose_backend(host, backend)
    uplink = host.uplink()
    for line in lines:
        for program in ("iptables", "ip6tables"):
            host.run(program, *line.split())
    uplink.remote.ip(f"route add 10.0.0.0/8 via {uplink.host4}")
    uplink.remote.ip(f"-6 route add fd00::/16 via {uplink.host6}")
    host.manifests.write("all.yaml", manifests())
    converge(host)
    for name, box in BOXES.items():
        if box.of.internal:  # it has no way out, and looks for one
            for option, family in (("-4", 4), ("-6", 6)):
                host.netns(name).ip(f"{option} route add default via {box.of.gateway(family)}")
    return {
        HOST: HERE,
        REMOTE: uplink.remote,
        **{name: host.netns(name) for name in BOXES},
    }


SERVICES = tuple((protocol, port) for protocol in ("tcp", "udp") for port in (PUBLISHED, CLOSED))


BRIDGED = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_who_reaches_whom(host: Host, backend: str, policy: str):
    """With the host-wide switch for bridged frames on and off: containers must not notice."""
    places = settle(host, backend, POLICIES[policy])
    wrong = []
    with serve(places, SERVICES) as heard:
        for bridged in (True, False):
            for name in BRIDGED:
                facts.set_sysctl(name, str(int(bridged)))
            table = Table(Uplink(places[REMOTE]), policy == "accept", bridged)
            wrong += [f"bridged {bridged}: {line}" for line in walk(table.ways(), places, heard)]
    assert not wrong, f"{len(wrong)} ways: " + "\n".join(wrong)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_port_bound_to_loopback_is_not_reached_from_the_network(host: Host, backend: str):
    """Not even where another program lets the uplink carry 127.0.0.0/8, as kube-proxy does."""
    choose_backend(host, backend)
    uplink = host.uplink()
    host.manifests.write(
        "a.yaml",
        bridge("addresses: [10.1.0.1/24]")
        + container("bridge: br0, publish: ['127.0.0.2:8101:80', '127.0.0.2:8101:80/udp', 8001:80]")
        + container(name="c2")
        + bridge("addresses: [10.2.0.1/24]", "br1")
        + container("bridge: br1", "m1"),
    )
    converge(host)
    facts.set_sysctl("net.ipv4.conf.uplink0.route_localnet", "1")
    places = {name: host.netns(name) for name in ("c1", "c2", "m1")} | {REMOTE: uplink.remote}
    for name, gateway in {"c2": "10.1.0.1", "m1": "10.2.0.1", REMOTE: uplink.host4}.items():
        places[name].ip("addr del 127.0.0.1/8 dev lo")
        facts.set_sysctl("net.ipv4.conf.eth0.route_localnet", "1", places[name])
        places[name].ip(f"route add 127.0.0.0/8 via {gateway} dev eth0")
    places[HOST] = HERE
    ways = [
        Way(source, f"127.0.0.{number}", protocol, port, "c1" if source == HOST else None)
        for source in (HOST, REMOTE, "c2", "m1")
        for protocol in ("tcp", "udp")
        for number, port in ((2, 8101), (1, 8001))
        if (protocol, port) != ("udp", 8001)
    ]
    # And the other way: no container gets at what listens on the host's loopback only.
    ways += [Way(source, "127.0.0.1", "tcp", CLOSED) for source in ("c2", "m1")]
    # The probes are right: what listens on the host itself is there to be reached.
    ways.append(Way(REMOTE, "127.0.0.2", "tcp", CLOSED, HOST))

    with serve(places, SERVICES) as heard:
        wrong = walk(ways, places, heard)
    assert not wrong, "\n".join(wrong)


def resolve(host: Host, container_name: str, name: str) -> set[str]:
    """The addresses that a name has in a container."""
    done = host.run(
        "ip", "netns", "exec", container_name, "getent", "-s", "files", "ahosts", name, check=False
    )
    return {line.split()[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_link_lasts_through_a_new_address_and_ends_with_its_line(host: Host, backend: str):
    choose_backend(host, backend)
    network = bridge('addresses: [10.1.0.1/24, "fd00:1::1/64"], icc: false')

    def write(number: int, links: str) -> None:
        own = f"bridge: br0, addresses: [10.1.0.{number}, 'fd00:1::{number}']"
        db = container(f"{own}, expose: [80, 81/udp]", "db")
        web = container(f"bridge: br0{links}", "web") + container(name="other")
        host.manifests.write("a.yaml", network + db + web)
        converge(host)

    def ways(number: int, *, linked: bool) -> list[Way]:
        exposed = {("tcp", PUBLISHED), ("udp", CLOSED)} if linked else set()
        there = (f"10.1.0.{number}", f"fd00:1::{number}")
        return [
            Way(name, address, *port, "db" if name == "web" and port in exposed else None)
            for name in ("web", "other")
            for address in there
            for port in SERVICES
        ] + [Way("db", address, "tcp", PUBLISHED) for address in ("10.1.0.20", "fd00:1::20")]

    write(9, ", addresses: [10.1.0.20, 'fd00:1::20'], links: ['db:database']")
    places = {name: host.netns(name) for name in ("db", "web", "other")}
    with serve(places, SERVICES):
        for number in (9, 77):
            write(number, ", addresses: [10.1.0.20, 'fd00:1::20'], links: ['db:database']")
            assert walk(ways(number, linked=True), places) == []
            for name in ("db", "database"):
                found = {f"10.1.0.{number}", f"fd00:1::{number}"}
                assert resolve(host, "web", name) == found
        write(77, ", addresses: [10.1.0.20, 'fd00:1::20']")
        assert walk(ways(77, linked=False), places) == []
        assert resolve(host, "web", "database") == resolve(host, "web", "db") == set()


def rules(host: Host) -> list[str]:
    """Every rule and chain of ours, in both backends."""
    programs = [f"{name}-{b}-save" for name in ("iptables", "ip6tables") for b in BACKENDS]
    texts = [host.run(program).stdout for program in programs]
    return [line for text in texts for line in text.splitlines() if line.startswith(("-A", ":RC-"))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_iptables_there_is_not_one_rule(host: Host, backend: str):
    """From the start, and after there were some; the host's own tables are not even touched."""
    choose_backend(host, backend)
    dual = 'addresses: [10.1.0.1/24, "fd00:1::1/64"]'
    without = bridge(f"{dual}, iptables: false, icc: false")
    published = container("bridge: br0, publish: ['127.0.0.1:8001:80', 8002:80]")

    for text in (without, bridge(dual), without):
        host.manifests.write("a.yaml", text + published + container(name="c2"))
        converge(host, max_deletes=Limit(100, percent=True))
        assert bool(rules(host)) == (text != without)
        assert facts.sysctl("net.ipv4.conf.br0.route_localnet") == str(int(text != without))
