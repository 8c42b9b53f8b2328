"""Worlds: whole sets of manifests that several tests build, and ways to break them."""

from __future__ import annotations

from tests.kernel.manifests import DUAL, SUBNET, bridge, container, link
from tests.probes import ping
from tests.world import HERE, Host

# The kernel tells of every port once more when its forward delay is over, 15 s after it joined,
# although it has forwarded from the first moment without STP (Linux 6.18).
QUIET = "forwardDelay: 0"

EVERYTHING = {
    "front.yaml": bridge(f"{DUAL}, mtu: 1400, stp: false, ageingTime: 100, {QUIET}")
    + container()
    + container("bridge: br0, mac: '02:00:00:00:00:05', sysctls: {net.ipv4.ip_forward: 1}", "c2"),
    "back.yaml": bridge(f"addresses: [10.2.0.1/24], internal: true, {QUIET}", "br1")
    + container("interfaces: [{bridge: br0}, {bridge: br1}]", "c3")
    + container("bridge: br1, routes: [{to: 10.1.0.0/24, via: 10.2.0.2}]", "c4"),
    "cables.yaml": container("network: none", "c5")
    + link(
        "container: c5, interface: x0, addresses: [10.8.0.1/32, 'fd00:8::1/128']",
        "container: c3, interface: y0, addresses: [10.8.0.2/32, 'fd00:8::2/128']",
    )
    + link(
        "container: c5, interface: h0, addresses: [10.8.1.0/31], routes: [{to: default}]",
        "host: true, addresses: [10.8.1.1/31]",
        name="uplink",
    ),
}
"""Bridges, containers and links of every kind, in three files."""

MANY = EVERYTHING | {
    "more.yaml": container("bridge: br0, addresses: [10.1.0.60, 'fd00:1::60']", "c6")
    + container("bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.60}]", "c7")
    + container("bridge: br1, addresses: [10.2.0.8]", "c8")
    + container("bridge: br1", "c9")
    + container("network: none", "c10")
    + link(
        "container: c6, interface: z0, addresses: [10.8.2.1/24]",
        "container: c10, interface: z0, addresses: [10.8.2.2/24]",
        name="lane",
    ),
}
"""Ten containers, two bridges and three links."""

WAYS = (
    ("c1", "10.1.0.60"), ("c1", "fd00:1::60"), ("c1", "10.1.0.1"), ("c2", "fd00:1::1"),
    ("c3", "10.2.0.8"), ("c4", "10.2.0.8"), ("c9", "10.2.0.8"), ("c7", "10.1.0.60"),
    ("c5", "10.8.0.2"), ("c5", "fd00:8::2"), ("c5", "10.8.1.1"), ("c10", "10.8.2.1"),
    ("c6", "fd00:1::1"), ("", "10.1.0.60"), ("", "10.8.1.0"),
)  # fmt: skip
"""Who reaches which address in MANY; "" is the host."""


def assert_ways(host: Host) -> None:
    """Packets arrive on all the ways of MANY."""
    lost = [
        (name, address)
        for name, address in WAYS
        if not ping(host.netns(name) if name else HERE, address)
    ]
    assert lost == []


ONE = {"one.yaml": bridge(SUBNET) + container()}


def write(host: Host, files: dict[str, str]) -> None:
    """Put the files of a world into the folder of manifests."""
    for name, text in files.items():
        host.manifests.write(name, text)


def break_everything(host: Host) -> None:
    """Leave nothing of EVERYTHING as declared: something of each type is gone or changed."""
    host.ip("link set br0 mtu 1300")
    host.ip("link set br0 type bridge ageing_time 500")
    host.ip("addr del 10.2.0.1/24 dev br1")
    c1, c2, c3 = (host.netns(f"c{number}") for number in (1, 2, 3))
    c1.ip("route del default")
    c2.ip("link set eth0 down")
    c2.ip("link set eth0 address 02:00:00:00:00:99")
    c3.ip("addr del 10.8.0.2/32 dev y0")
    c3.ip("link set eth1 name other")
    host.delete_netns("c4")
