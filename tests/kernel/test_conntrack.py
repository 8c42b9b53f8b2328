"""Flows that outlive their way are forgotten, and only those: with real packets and connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from pyroute2 import NFCTSocket

from tests.kernel.manifests import DUAL, bridge, container
from tests.kernel.passes import converge
from tests.probes import Listener
from tests.world import HERE, Host, Namespace, Uplink, inside, wait_until

Way = tuple[int, str, int, str, int, str]
"""Protocol, from where to where, and who answers."""
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
UDP, TCP = 17, 6


def flows() -> set[Way]:
    """What the kernel remembers, by pyroute2."""
    found = set()
    for family, version in ((socket.AF_INET, "V4"), (socket.AF_INET6, "V6")):
        with NFCTSocket(nfgen_family=family) as tracking:
            for message in tracking.dump():
                ends = [message.get_attr(f"CTA_TUPLE_{way}") for way in ("ORIG", "REPLY")]
                ips = [end.get_attr("CTA_TUPLE_IP") for end in ends]
                proto = ends[0].get_attr("CTA_TUPLE_PROTO")
                if proto.get_attr("CTA_PROTO_NUM") in {UDP, TCP}:
                    found.add(
                        (
                            proto.get_attr("CTA_PROTO_NUM"),
                            ips[0].get_attr(f"CTA_IP_{version}_SRC"),
                            proto.get_attr("CTA_PROTO_SRC_PORT"),
                            ips[0].get_attr(f"CTA_IP_{version}_DST"),
                            proto.get_attr("CTA_PROTO_DST_PORT"),
                            ips[1].get_attr(f"CTA_IP_{version}_SRC"),
                        )
                    )
    return found


class Client:
    """A UDP socket that keeps its port, and so its flow."""

    def __init__(self, namespace: Namespace, address: str, port: int) -> None:
        self.family = 6 if ":" in address else 4
        with inside(namespace):
            self.sock = socket.socket(FAMILIES[self.family], socket.SOCK_DGRAM)
            self.sock.connect((address, port))
        self.sock.settimeout(0.3)
        self.port = self.sock.getsockname()[1]

    def ask(self) -> str | None:
        """Say who answers: what he sees as the source is not asked here, only that he does."""
        try:
            self.sock.send(b"who am I")
            return self.sock.recv(64).decode()
        except OSError:  # silence, or a port that nobody has
            return None

    def mine(self) -> set[Way]:
        return {way for way in flows() if way[0] == UDP and way[2] == self.port}


class Connection:
    """A TCP connection that is held open, with both of its ends."""

    def __init__(
        self, source: Namespace, address: str, port: int, server: Namespace, to: int
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with inside(server):
            listening = socket.create_server(("", to), family=family)
        with inside(source):
            self.near = socket.create_connection((address, port), timeout=3)
        listening.settimeout(3)
        self.far, _ = listening.accept()
        listening.close()
        for end in (self.near, self.far):
            end.settimeout(3)

    def goes_on(self) -> bool:
        """Both ways."""
        self.near.sendall(b"ping")
        self.far.sendall(b"pong")
        return self.far.recv(4) + self.near.recv(4) == b"pingpong"

    def mine(self) -> set[Way]:
        port = self.near.getsockname()[1]
        return {way for way in flows() if way[0] == TCP and way[2] == port}


def write(host: Host, c1: str, c2: str = "publish: ['9090:90', '5454:54/udp']") -> None:
    bridges = bridge(f"{DUAL}, forwardDelay: 0")
    boxes = [
        container(f"bridge: br0, {spec}", name) for name, spec in (("c1", c1), ("c2", c2)) if spec
    ]
    host.manifests.write("a.yaml", bridges + "".join(boxes))
    converge(host)


@pytest.fixture(params=[4, 6], ids=["v4", "v6"])
def family(request: pytest.FixtureRequest) -> int:
    return request.param


@contextmanager
def answering(*places: tuple[Namespace, int]) -> Iterator[None]:
    with ExitStack() as stack:
        for namespace, port in places:
            stack.enter_context(Listener(namespace, port, "udp"))
        yield


def address_of(uplink: Uplink, family: int) -> str:
    return uplink.host4 if family == 4 else uplink.host6


PORTS = "publish: ['5353:53/udp', '8080:80']"
C1 = {4: "10.1.0.2", 6: "fd00:1::2"}


def test_a_port_that_goes_takes_its_flows_along_and_no_other(host: Host, family: int):
    uplink = host.uplink()
    write(host, PORTS)
    c1, c2 = host.netns("c1"), host.netns("c2")
    here = address_of(uplink, family)
    away = uplink.remote4 if family == 4 else uplink.remote6
    with answering((c1, 53), (c2, 54), (uplink.remote, 55), (HERE, 56)):
        stale = Client(uplink.remote, here, 5353)
        others = [
            Client(uplink.remote, here, 5454),  # to another container
            Client(c1, away, 55),  # from the same container
            Client(uplink.remote, here, 56),  # to the host itself
        ]
        for client in (stale, *others):
            assert wait_until(client.ask)
        kept = Connection(uplink.remote, here, 9090, c2, 90)
        own = Connection(uplink.remote, here, 8080, c1, 80)
        before = flows()
        assert len(stale.mine()) == len(kept.mine()) == len(own.mine()) == 1

        write(host, "publish: ['8080:80']")

        assert before - flows() == {way for way in before if way[2] == stale.port}
        assert not [client for client in others if client.ask() is None]
        assert kept.goes_on()
        assert own.goes_on()
        assert stale.ask() is None


def test_a_container_with_another_address_is_reached_by_the_same_client(host: Host, family: int):
    """Its flow leads to the old address, as long as it goes on sending, whatever the rules say."""
    uplink = host.uplink()
    write(host, f"addresses: [10.1.0.2, 'fd00:1::2'], {PORTS}")
    c1 = host.netns("c1")
    here = address_of(uplink, family)
    with answering((c1, 53)):
        client = Client(uplink.remote, here, 5353)
        assert wait_until(client.ask)
        assert {way[5] for way in client.mine()} == {C1[family]}
        kept = Connection(uplink.remote, here, 9090, host.netns("c2"), 90)

        write(host, f"addresses: [10.1.0.77, 'fd00:1::77'], {PORTS}")

        assert wait_until(client.ask)
        assert {way[5] for way in client.mine()} == {"10.1.0.77" if family == 4 else "fd00:1::77"}
        assert kept.goes_on()


def test_a_container_that_goes_takes_all_its_flows_along(host: Host, family: int):
    """Also those that it began itself, by no published port."""
    uplink = host.uplink()
    write(host, PORTS)
    c1, c2 = host.netns("c1"), host.netns("c2")
    away = uplink.remote4 if family == 4 else uplink.remote6
    with answering((uplink.remote, 55)):
        one, other = Client(c1, away, 55), Client(c2, away, 55)
        for client in (one, other):
            assert wait_until(client.ask)
        kept = Connection(uplink.remote, address_of(uplink, family), 9090, c2, 90)
        before = flows()

        write(host, "")

        address = C1[family]
        assert before - flows() == {way for way in before if address in (way[1], way[5])}
        assert one.mine() == set()
        assert other.ask()
        assert kept.goes_on()


def test_a_port_that_leads_to_another_container_takes_its_clients_there(host: Host, family: int):
    uplink = host.uplink()
    write(host, "publish: ['5353:53/udp']", "hostname: x")
    c1, c2 = host.netns("c1"), host.netns("c2")
    with answering((c1, 53), (c2, 53)):
        client = Client(uplink.remote, address_of(uplink, family), 5353)
        assert wait_until(client.ask)
        assert {way[5] for way in client.mine()} == {C1[family]}

        write(host, "hostname: x", "publish: ['5353:53/udp']")

        assert wait_until(client.ask)
        assert {way[5] for way in client.mine()} == {"10.1.0.3" if family == 4 else "fd00:1::3"}


def test_a_new_udp_port_takes_over_what_went_to_the_host(host: Host, family: int):
    """A client that keeps its port would go on talking to nobody; who talks to others is left."""
    uplink = host.uplink()
    write(host, "hostname: x")
    c1 = host.netns("c1")
    here = address_of(uplink, family)
    away = uplink.remote4 if family == 4 else uplink.remote6
    client = Client(uplink.remote, here, 5353)
    with answering((HERE, 5353), (uplink.remote, 5353)):
        passing = Client(c1, away, 5353)  # the same port, of somebody else
        for one in (client, passing):
            assert wait_until(one.ask)
        before = passing.mine()
    assert {way[5] for way in client.mine()} == {here}

    write(host, PORTS)

    assert passing.mine() == before
    with answering((c1, 53)):
        assert wait_until(client.ask)
        assert {way[5] for way in client.mine()} == {C1[family]}


def test_a_pass_that_changes_no_port_forgets_nothing(host: Host):
    """Not a request to connection tracking, and a look at thousands of flows is saved."""
    uplink = host.uplink()
    write(host, PORTS)
    with answering((host.netns("c1"), 53)):
        client = Client(uplink.remote, uplink.host4, 5353)
        assert wait_until(client.ask)
        before = flows()

        write(host, f"{PORTS}, hostname: other")

        assert before <= flows()
