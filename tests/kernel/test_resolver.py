"""resolv.conf of a container: whose servers, search and options it has, on a real host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.manifests import DUAL, SUBNET, bridge, container
from tests.kernel.names import (
    FALLBACK,
    FALLBACK6,
    HOSTS_OWN,
    OF_BRIDGE,
    hosts,
    inode,
    resolver,
    said,
    set_resolver,
)
from tests.kernel.passes import converge
from tests.world import Host

OF_CONTAINER = "dns: [1.1.1.1, 1.0.0.1], dnsSearch: [c.example, d.example], dnsOptions: [rotate]"
BOTH = "nameserver 2001:db8::53\nnameserver 192.0.2.53\nnameserver ::1\n"

RESOLVERS = {
    "the host's, without its loopback": (
        HOSTS_OWN, SUBNET, "", said(["192.0.2.53"], "host.example", "ndots:2"),
    ),
    "the bridge's": (
        HOSTS_OWN, f"{SUBNET}, {OF_BRIDGE}", "", said(["9.9.9.9"], "bridge.example", "ndots:3"),
    ),
    "the container's": (
        HOSTS_OWN, f"{SUBNET}, {OF_BRIDGE}", OF_CONTAINER,
        said(["1.1.1.1", "1.0.0.1"], "c.example d.example", "rotate"),
    ),
    "each part by itself": (
        HOSTS_OWN, f"{SUBNET}, dnsSearch: [bridge.example]", "dns: [1.1.1.1]",
        said(["1.1.1.1"], "bridge.example", "ndots:2"),
    ),
    "a dot clears the search list": (
        HOSTS_OWN, f"{SUBNET}, dnsSearch: [bridge.example]", "dnsSearch: ['.']",
        said(["192.0.2.53"], "", "ndots:2"),
    ),
    "a dot on the bridge clears the host's": (
        HOSTS_OWN, f"{SUBNET}, dnsSearch: ['.']", "", said(["192.0.2.53"], "", "ndots:2"),
    ),
    "the fallback, where the host has loopback servers only": (
        "nameserver 127.0.0.1\nnameserver ::1\n", SUBNET, "", said(FALLBACK),
    ),
    "the fallback in both families": (
        "nameserver 127.0.0.1\n", DUAL, "", said(FALLBACK + FALLBACK6),
    ),
    "no server that only IPv6 reaches": (BOTH, SUBNET, "", said(["192.0.2.53"])),
    "IPv6 servers where there is IPv6": (BOTH, DUAL, "", said(["2001:db8::53", "192.0.2.53"])),
    "the fallback, where all of the host's need IPv6": (
        "nameserver 2001:db8::53\n", SUBNET, "", said(FALLBACK),
    ),
    "what is written stays, be it IPv6 or loopback": (
        HOSTS_OWN, SUBNET, "dns: ['2001:db8::1', 127.0.0.1]",
        said(["2001:db8::1", "127.0.0.1"], "host.example", "ndots:2"),
    ),
    "the last search line, and domain is one": (
        "search a.example\nnameserver 192.0.2.1\ndomain b.example\noptions a\noptions b\n",
        SUBNET, "", said(["192.0.2.1"], "b.example", "a b"),
    ),
    "a host without servers": ("", SUBNET, "", said(FALLBACK)),
}  # fmt: skip
"""The host's file, the bridge, what the container says beside its bridge, and what it gets."""


@pytest.mark.parametrize("case", RESOLVERS.values(), ids=RESOLVERS)
def test_servers_search_and_options_come_from_where_they_are_said_first(host: Host, case):
    own, of_bridge, of_container, expected = case
    set_resolver(own)
    spec = ", ".join(filter(None, ("bridge: br0", of_container)))
    host.manifests.write("all.yaml", bridge(of_bridge) + container(spec))

    converge(host)

    assert resolver() == expected


def test_of_several_bridges_the_first_that_says_something_counts(host: Host):
    set_resolver(HOSTS_OWN)
    host.manifests.write(
        "all.yaml",
        bridge()
        + bridge("addresses: [10.2.0.1/24], dns: [9.9.9.9]", "br1")
        + bridge("addresses: [10.3.0.1/24], dns: [8.8.8.8], dnsSearch: [x.example]", "br2")
        + container("interfaces: [{bridge: br0}, {bridge: br1}, {bridge: br2}]"),
    )
    converge(host)

    assert resolver() == said(["9.9.9.9"], "x.example", "ndots:2")


def test_without_a_bridge_there_are_the_hosts_servers(host: Host):
    set_resolver(HOSTS_OWN)
    host.manifests.write("all.yaml", container("network: none"))
    converge(host)

    assert resolver() == said(["192.0.2.53"], "host.example", "ndots:2")
    assert hosts() == {}


def test_behind_a_local_stub_are_the_servers_that_it_asks(host: Host):
    set_resolver("nameserver 127.0.0.53\noptions edns0\nsearch stub.example\n")
    behind = "/run/systemd/resolve/resolv.conf"
    set_resolver("nameserver 192.0.2.7\nsearch lan.example\n", behind)
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    assert resolver() == said(["192.0.2.7"], "lan.example")

    set_resolver("nameserver 192.0.2.8\n", behind)
    converge(host)
    assert resolver() == said(["192.0.2.8"])

    set_resolver("nameserver 192.0.2.9\n")  # the host asks for itself now
    converge(host)
    assert resolver() == said(["192.0.2.9"])


def test_it_follows_the_hosts_file_and_the_manifests_in_place(host: Host):
    set_resolver(HOSTS_OWN)
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    before = inode("c1", "resolv.conf")

    set_resolver("nameserver 192.0.2.99\n")
    converge(host)
    assert resolver() == said(["192.0.2.99"])

    host.manifests.write("all.yaml", bridge(f"{SUBNET}, {OF_BRIDGE}") + container())
    converge(host)
    assert resolver() == said(["9.9.9.9"], "bridge.example", "ndots:3")

    Path("/etc/resolv.conf").unlink(missing_ok=True)
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    assert resolver() == said(FALLBACK)
    assert inode("c1", "resolv.conf") == before
