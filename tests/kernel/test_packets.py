"""Real packets through what was built: ping, TCP and UDP, IPv4 and IPv6, and frames of full size."""

from __future__ import annotations

import pytest

from tests.kernel import facts
from tests.kernel.manifests import DUAL, bridge, container, link
from tests.kernel.passes import apply, converge
from tests.probes import Listener, ping, tcp_reaches, udp_reaches
from tests.world import HERE, Host, Namespace

HEADERS = {4: 20 + 8, 6: 40 + 8}  # bytes of IP and ICMP before a ping's data: RFC 791, 792, 8200


def assert_reaches(source: Namespace, target: Namespace, address: str) -> None:
    """Ping, TCP and UDP from one namespace arrive in another, and so do their answers."""
    assert ping(source, address), address
    with Listener(target) as tcp, Listener(target, protocol="udp") as udp:
        assert tcp_reaches(source, address, tcp.port), address
        assert udp_reaches(source, address, udp.port), address


def assert_mtu(source: Namespace, address: str, mtu: int) -> None:
    """A packet of this size passes without being fragmented, and one byte more does not."""
    size = mtu - HEADERS[6 if ":" in address else 4]
    assert ping(source, address, size=size, df=True), (address, mtu)
    assert not ping(source, address, size=size + 1, df=True, timeout=0.2), (address, mtu)


def test_containers_of_a_bridge_reach_each_other_and_their_gateway(host: Host):
    host.manifests.write("a.yaml", bridge(DUAL) + container() + container(name="c2"))
    converge(host)
    c1, c2 = host.netns("c1"), host.netns("c2")

    for address in ("10.1.0.3", "fd00:1::3"):
        assert_reaches(c1, c2, address)
        assert_reaches(HERE, c2, address)
    for address in ("10.1.0.1", "fd00:1::1"):
        assert_reaches(c1, HERE, address)


def test_packets_through_the_gateway_reach_another_bridge(host: Host):
    """The host forwards between its bridges, which is what `ipForward` is for.

    Walls between bridges are the firewall's, and have tests of their own.
    """
    other = bridge('addresses: [10.2.0.1/24, "fd00:2::1/64"], iptables: false', "br1")
    c2 = container("bridge: br1", "c2")
    host.manifests.write("a.yaml", bridge(f"{DUAL}, iptables: false") + other + container() + c2)
    converge(host)
    here, there = host.netns("c1"), host.netns("c2")

    for address in ("10.2.0.2", "fd00:2::2"):
        assert_reaches(here, there, address)
    for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        facts.set_sysctl(name, "0")
    for address in ("10.2.0.2", "fd00:2::2"):
        assert not ping(here, address, timeout=0.2)


def test_an_internal_bridge_has_no_way_out(host: Host):
    inside = bridge(f"{DUAL}, internal: true")
    other = bridge('addresses: [10.2.0.1/24, "fd00:2::1/64"]', "br1")
    host.manifests.write(
        "a.yaml",
        inside + other + container() + container(name="c2") + container("bridge: br1", "c3"),
    )
    converge(host)
    c1, c2 = host.netns("c1"), host.netns("c2")

    for address in ("10.1.0.3", "fd00:1::3"):
        assert_reaches(c1, c2, address)
    for address in ("10.2.0.2", "fd00:2::2"):
        assert not ping(c1, address, timeout=0.2)


def test_a_container_on_two_bridges_reaches_both_without_the_gateway(host: Host):
    other = bridge("addresses: [10.2.0.1/24], internal: true", "br1")
    middle = container("interfaces: [{bridge: br0}, {bridge: br1}]")
    ends = container(name="c2") + container("bridge: br1", "c3")
    host.manifests.write("a.yaml", bridge() + other + middle + ends)
    converge(host)
    facts.set_sysctl("net.ipv4.ip_forward", "0")
    c1, c2, c3 = (host.netns(f"c{number}") for number in (1, 2, 3))

    assert_reaches(c1, c2, "10.1.0.3")
    assert_reaches(c1, c3, "10.2.0.3")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.8.0.0/31", "10.8.0.1/31"),  # RFC 3021
        ("10.8.0.1/32", "10.9.0.1/32"),
        ("10.8.0.1/24", "10.8.0.200/24"),
        ("10.8.0.1/24", "10.9.0.1/32"),
        ("fd00:8::/127", "fd00:8::1/127"),  # RFC 6164
        ("fd00:8::1/128", "fd00:9::1/128"),
        ("fd00:8::1/64", "fd00:8::ff/64"),
    ],
)
@pytest.mark.parametrize("end", ["container", "host"])
def test_the_ends_of_a_link_reach_each_other(host: Host, one: str, other: str, end: str):
    far = "container: c2" if end == "container" else "host: true"
    host.manifests.write(
        "a.yaml",
        container("network: none")
        + container("network: none", "c2")
        + link(
            f"container: c1, interface: x0, addresses: ['{one}']",
            f"{far}, interface: y0, addresses: ['{other}']",
        ),
    )
    converge(host)
    here = host.netns("c1")
    there = host.netns("c2") if end == "container" else HERE

    assert_reaches(here, there, other.partition("/")[0])
    assert_reaches(there, here, one.partition("/")[0])


def test_a_route_over_a_link_leads_to_the_networks_behind_it(host: Host):
    """c1 has nothing but a cable to c2, which stands on the bridge and forwards."""
    host.manifests.write(
        "a.yaml",
        bridge()
        + container("network: none")
        + container("bridge: br0, sysctls: {net.ipv4.ip_forward: 1}", "c2")
        + container("bridge: br0, routes: [{to: 10.8.0.0/31, via: 10.1.0.2}]", "c3")
        + link(
            "container: c1, interface: x0, addresses: [10.8.0.0/31], routes: [{to: 10.1.0.0/24}]",
            "container: c2, interface: y0, addresses: [10.8.0.1/31]",
        ),
    )
    converge(host)
    assert facts.addresses("eth0", host.netns("c2")) == {"10.1.0.2/24"}

    assert_reaches(host.netns("c1"), host.netns("c3"), "10.1.0.3")
    assert_reaches(host.netns("c3"), host.netns("c1"), "10.8.0.0")


@pytest.mark.parametrize("mtu", [1500, 9000, 1400])
def test_frames_of_the_bridges_full_mtu_pass_and_no_larger_ones(host: Host, mtu: int):
    host.manifests.write(
        "a.yaml", bridge(f"{DUAL}, mtu: {mtu}") + container() + container(name="c2")
    )
    converge(host)
    c1 = host.netns("c1")

    for address in ("10.1.0.3", "fd00:1::3", "10.1.0.1", "fd00:1::1"):
        assert_mtu(c1, address, mtu)
    for address in ("10.1.0.2", "fd00:1::2"):
        assert_mtu(HERE, address, mtu)


@pytest.mark.parametrize("mtu", [1500, 9000, 1400])
def test_frames_of_the_links_full_mtu_pass_and_no_larger_ones(host: Host, mtu: int):
    ends = (
        "container: c1, interface: x0, addresses: [10.8.0.0/31, 'fd00:8::/127']",
        "host: true, interface: y0, addresses: [10.8.0.1/31, 'fd00:8::1/127']",
    )
    host.manifests.write("a.yaml", container("network: none") + link(*ends, more=f"mtu: {mtu}"))
    converge(host)
    c1 = host.netns("c1")

    for address in ("10.8.0.1", "fd00:8::1"):
        assert_mtu(c1, address, mtu)
    for address in ("10.8.0.0", "fd00:8::"):
        assert_mtu(HERE, address, mtu)


def test_a_new_mtu_is_what_frames_are_measured_by(host: Host):
    for mtu in (1500, 9000, 1400, 1500):
        host.manifests.write("a.yaml", bridge(f"{DUAL}, mtu: {mtu}") + container())
        converge(host)
        for address in ("10.1.0.1", "fd00:1::1"):
            assert_mtu(host.netns("c1"), address, mtu)


def test_what_apply_has_built_works_when_it_returns(host: Host):
    """No spanning tree, no late carrier, no search for twins of an IPv6 address (1 to 2 s each)."""
    ends = [
        f"container: c{n}, interface: x0, addresses: [10.8.0.{n}/32, 'fd00:8::{n}/128']"
        for n in (1, 2)
    ]
    host.manifests.write("a.yaml", bridge(DUAL) + container() + container(name="c2") + link(*ends))
    assert apply(host).converged

    for address in ("10.1.0.3", "fd00:1::3", "10.8.0.2", "fd00:8::2", "10.1.0.1", "fd00:1::1"):
        assert ping(host.netns("c1"), address, timeout=0.3), address
