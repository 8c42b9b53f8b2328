"""Neighbours hear at once where an address is now, and nothing about what is new."""

from __future__ import annotations

import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from reconciler.host.announce import announce
from reconciler.host.kernel import Kernel
from reconciler.objects.announcements import Announcement
from tests.kernel import facts
from tests.kernel.manifests import DUAL, bridge, container
from tests.kernel.passes import session
from tests.probes import ping
from tests.world import HERE, Host, Namespace, inside, wait_until

HOUR = "3600000"  # milliseconds
AT_ONCE = 0.2  # seconds
ETH_P_ALL, ETH_P_ARP, ETH_P_IPV6 = 0x0003, 0x0806, 0x86DD  # linux/if_ether.h
BOTH = ["10.1.0.7", "fd00:1::7"]
MOVED = 'addresses: [10.1.0.7, "fd00:1::7"]'


class Capture:
    """What a namespace hears: a packet socket, that was there before (packet(7))."""

    def __init__(self, namespace: Namespace) -> None:
        with inside(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setblocking(False)

    def announced(self) -> list[tuple[str, str]]:
        """The announcements that came in until now: the address, and the MAC that it has."""
        return [found for frame in self._frames() if (found := announced_in(frame))]

    def _frames(self) -> Iterator[bytes]:
        while True:
            try:
                frame, sender = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            if sender[2] != socket.PACKET_OUTGOING:
                yield frame

    def close(self) -> None:
        self._socket.close()


def announced_in(frame: bytes) -> tuple[str, str] | None:
    """Read an ARP request for the sender's own address, or an advertisement to all nodes."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ETH_P_ARP and frame[28:32] == frame[38:42]:
        return str(ip_address(frame[28:32])), frame[22:28].hex(":")
    if kind == ETH_P_IPV6 and frame[20] == 58 and frame[54] == 136 and frame[38] == 0xFF:
        return str(ip_address(frame[62:78])), frame[80:86].hex(":")
    return None


@contextmanager
def listening(namespace: Namespace) -> Iterator[Capture]:
    capture = Capture(namespace)
    try:
        yield capture
    finally:
        capture.close()


def apply(host: Host) -> Counter[str]:
    """Converge, and give what was counted."""
    counters: Counter[str] = Counter()
    with session(host, counters) as given:
        report = given.reconcile()
    assert report.converged
    return counters


def believe(namespace: Namespace, mac: str, *addresses: str) -> None:
    """Make a neighbour sure of where the addresses are, for longer than any test runs."""
    with inside(namespace):
        for family in ("ipv4", "ipv6"):
            folder = Path(f"/proc/sys/net/{family}/neigh/eth0")
            (folder / "base_reachable_time_ms").write_text(HOUR)
    for address in addresses:
        namespace.ip(f"neigh replace {address} lladdr {mac} dev eth0 nud reachable")


def mac_of(namespace: Namespace) -> str:
    return str(facts.link("eth0", namespace)["address"])


def reach(namespace: Namespace, addresses: list[str]) -> list[bool]:
    return [ping(namespace, address, timeout=AT_ONCE) for address in addresses]


def write(host: Host, *containers: str) -> None:
    host.manifests.write("all.yaml", bridge(DUAL) + container() + "".join(containers))


def test_an_address_that_moves_to_another_container_is_reached_at_once(host: Host):
    mac = "mac: '02:00:00:00:00:22'"
    write(host, container(f"bridge: br0, {MOVED}, {mac}", "c2"), container(name="c3"))
    apply(host)
    c1 = host.netns("c1")
    believe(c1, mac_of(host.netns("c2")), *BOTH)
    assert reach(c1, BOTH) == [True, True]
    third = facts.addresses("eth0", host.netns("c3"))
    own = ", ".join(f'"{ip_interface(a).ip}"' for a in sorted(third))
    moved = f'addresses: [{own}, "10.1.0.7", "fd00:1::7"]'
    write(host, container(f"bridge: br0, {mac}", "c2"), container(f"bridge: br0, {moved}", "c3"))

    with listening(c1) as heard:
        counters = apply(host)

        assert reach(c1, BOTH) == [True, True]
        found = heard.announced()
    there = mac_of(host.netns("c3"))
    assert {(address, there) for address in BOTH} <= set(found)
    # Besides those, what the second container got instead.
    assert counters["announcements"] == len(found) == 4
    assert counters["announcements_failed"] == 0


def test_a_container_that_takes_the_addresses_of_one_that_goes_is_reached_at_once(host: Host):
    """Its device is new, and must forward before anything is told."""
    write(host, container(f"bridge: br0, {MOVED}", "c2"))
    apply(host)
    c1 = host.netns("c1")
    believe(c1, mac_of(host.netns("c2")), *BOTH)
    write(host, container(f"bridge: br0, {MOVED}, mac: '02:00:00:00:00:33'", "c3"))

    with listening(c1) as heard:
        apply(host)

        assert reach(c1, BOTH) == [True, True]
        assert sorted(heard.announced()) == [(a, "02:00:00:00:00:33") for a in BOTH]


def test_a_new_container_that_takes_one_of_several_addresses_is_reached_at_once(host: Host):
    """Nothing else takes time here, so that the new device has only just come up."""
    mac = "mac: '02:00:00:00:00:22'"
    write(host, container(f"bridge: br0, {MOVED[:-1]}, 10.1.0.8], {mac}", "c2"))
    apply(host)
    c1 = host.netns("c1")
    believe(c1, mac_of(host.netns("c2")), *BOTH)
    write(
        host,
        container(f"bridge: br0, addresses: [10.1.0.8], {mac}", "c2"),
        container(f"bridge: br0, {MOVED}", "c3"),
    )

    apply(host)

    assert reach(c1, BOTH) == [True, True]


def test_a_container_with_another_mac_is_reached_at_once(host: Host):
    write(host, container(f"bridge: br0, {MOVED}", "c2"))
    apply(host)
    c1 = host.netns("c1")
    believe(c1, mac_of(host.netns("c2")), *BOTH)
    write(host, container(f"bridge: br0, {MOVED}, mac: '02:00:00:00:00:22'", "c2"))

    apply(host)

    assert reach(c1, BOTH) == [True, True]


def test_a_gateway_that_gets_its_mac_back_is_reached_at_once_and_stays_a_router(host: Host):
    write(host)
    apply(host)
    c1 = host.netns("c1")
    HERE.ip("link set dev br0 address 02:00:00:00:00:44")
    gateways = ["10.1.0.1", "fd00:1::1"]
    believe(c1, "02:00:00:00:00:44", *gateways)
    assert reach(c1, gateways) == [True, True]

    counters = apply(host)

    assert reach(c1, gateways) == [True, True]
    assert "router" in c1.ip("-6 neigh show fd00:1::1")
    assert counters["announcements"] >= 2


def test_the_host_itself_hears_of_it(host: Host):
    write(host, container(f"bridge: br0, {MOVED}", "c2"))
    apply(host)
    old = mac_of(host.netns("c2"))
    for address in BOTH:
        HERE.ip(f"neigh replace {address} lladdr {old} dev br0 nud reachable")
    write(host, container(f"bridge: br0, {MOVED}, mac: '02:00:00:00:00:22'", "c2"))

    apply(host)

    for address in BOTH:
        found = wait_until(lambda address=address: HERE.ip(f"neigh show {address}"))
        assert "02:00:00:00:00:22" in found


def test_a_container_that_is_plugged_back_in_is_found_at_its_port(host: Host):
    write(host, container(f"bridge: br0, {MOVED}", "c2"))
    apply(host)
    port = str(facts.peer("eth0", host.netns("c2"))["ifname"])
    HERE.ip(f"link set dev {port} nomaster")

    with listening(host.netns("c1")) as heard:
        apply(host)

        assert {address for address, _ in heard.announced()} >= set(BOTH)


def test_what_is_new_is_not_announced(host: Host):
    """Fifty containers on a bridge: not one frame, by what we count and by what anybody hears."""
    host.manifests.write("all.yaml", bridge(DUAL))
    apply(host)
    names = [f"c{number}" for number in range(50)]
    host.manifests.write("all.yaml", bridge(DUAL) + "".join(container(name=name) for name in names))

    with listening(HERE) as heard:
        counters = apply(host)

        assert heard.announced() == []
    assert counters["announcements"] == counters["announcements_failed"] == 0


def test_an_address_that_somebody_deleted_is_announced_when_it_is_back(host: Host):
    """Somebody else may have had it meanwhile."""
    write(host, container(f"bridge: br0, {MOVED}", "c2"))
    apply(host)
    c2 = host.netns("c2")
    c2.ip("address delete 10.1.0.7/24 dev eth0")

    with listening(host.netns("c1")) as heard:
        counters = apply(host)

        assert heard.announced() == [("10.1.0.7", mac_of(c2))]
    assert counters["announcements"] == 1


def test_a_new_device_is_given_a_moment_until_it_has_carrier(host: Host):
    HERE.ip("link add name new0 up type veth peer name far0")
    kernel = Kernel(Counter())
    later = subprocess.Popen(["sh", "-c", "sleep 0.05; ip link set dev far0 up"])

    with listening(HERE) as heard:
        announce(kernel, [Announcement("", "new0", ip_interface("10.0.0.1/8"), fresh=True)])

        assert [address for address, _ in heard.announced()] == ["10.0.0.1"]
    later.wait()
    kernel.close()


def test_a_hundred_that_moved_are_announced_in_a_few_moments(host: Host):
    """A packet socket for each namespace, and each takes some ten milliseconds to close."""
    names = [f"n{number}" for number in range(100)]
    for number, name in enumerate(names):
        space = host.add_netns(name)
        space.ip(f"link add name eth0 address 02:00:00:00:00:{number:02x} up type veth")
    kernel = Kernel(Counter())
    before = len(list(Path("/proc/self/fd").iterdir()))

    start = time.monotonic()
    announce(kernel, [Announcement(name, "eth0", ip_interface("10.0.0.1/8")) for name in names])
    took = time.monotonic() - start

    assert kernel.counters["announcements"] == len(names)
    assert took < 0.5
    kernel.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("netns", "device"), [("gone", "eth0"), ("", "gone0"), ("", "lo"), ("", "down0")]
)
@pytest.mark.parametrize("fresh", [True, False])
def test_what_cannot_be_announced_is_counted_and_no_error(
    host: Host, netns: str, device: str, fresh: bool
):
    HERE.ip("link add name down0 type bridge")
    HERE.ip("link set dev lo up")
    counters: Counter[str] = Counter()
    kernel = Kernel(counters)

    announce(kernel, [Announcement(netns, device, ip_interface("10.0.0.1/8"), fresh)])

    kernel.close()
    assert (counters["announcements"], counters["announcements_failed"]) == (0, 1)
