"""Which of the two packet filters ours go to: where the others write, and never into both."""

from __future__ import annotations

import pytest

from reconciler.cli import main
from reconciler.host.firewall.save import legacy_tables
from tests.kernel.firewall_world import BACKENDS, Way, choose_backend, dump, ours, serve, walk
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import assert_settled, converge
from tests.world import HERE, Host

WORLD = (
    bridge('addresses: [10.1.0.1/24, "fd00:1::1/64"]')
    + container("bridge: br0, publish: [8001:80]")
    + bridge('addresses: [10.2.0.1/24, "fd00:2::1/64"]', "br1")
    + container("bridge: br1", "m1")
)
OTHER = {"nft": "legacy", "legacy": "nft"}


def homes(host: Host) -> dict[str, set[str]]:
    """Where something of ours is, by program."""
    return {
        program: {b for b in BACKENDS if ours(dump(host, f"{program}-{b}"))}
        for program in ("iptables", "ip6tables")
    }


def assert_packets(host: Host) -> None:
    """The port is open to the host and the other bridge, and the container is not, in both families."""
    places = {"host": HERE, "m1": host.netns("m1"), "c1": host.netns("c1")}
    ways = []
    for gateway, address in (("10.2.0.1", "10.1.0.2"), ("fd00:2::1", "fd00:1::2")):
        ways += [Way(source, gateway, "tcp", 8001, "c1") for source in ("host", "m1", "c1")]
        ways += [Way("m1", address, "tcp", 80), Way("m1", address, "ping")]
    with serve({"c1": places["c1"]}, (("tcp", 80),)):
        assert walk(ways, places) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_nothing_there_ours_go_where_iptables_writes(host: Host, backend: str):
    choose_backend(host, backend)
    host.manifests.write("a.yaml", WORLD)
    converge(host)
    assert homes(host) == {"iptables": {backend}, "ip6tables": {backend}}
    assert_packets(host)


def test_no_legacy_table_comes_to_be_on_a_host_that_uses_nftables(host: Host):
    """Reading one, or asking for it, would make it, and load its module."""
    choose_backend(host, "nft")
    host.manifests.write("a.yaml", WORLD)
    converge(host)
    host.manifests.write("a.yaml", WORLD.replace("8001", "8002"))
    converge(host)
    assert main.run(["teardown"]) == 0
    assert legacy_tables(4) == legacy_tables(6) == frozenset()


@pytest.mark.parametrize("backend", BACKENDS)
def test_ours_go_where_the_others_are_whatever_iptables_means(host: Host, backend: str):
    """Each family on its own: a host may have them in different ones."""
    choose_backend(host, OTHER[backend])
    host.run(f"iptables-{backend}", "-A", "FORWARD", "-s", "192.0.2.0/24", "-j", "DROP")
    host.run(f"ip6tables-{backend}", "-P", "FORWARD", "DROP")
    host.manifests.write("a.yaml", WORLD)
    converge(host)
    assert homes(host) == {"iptables": {backend}, "ip6tables": {backend}}
    assert_packets(host)

    assert main.run(["teardown"]) == 0
    assert homes(host) == {"iptables": set(), "ip6tables": set()}
    host.run(f"ip6tables-{backend}", "-P", "FORWARD", "ACCEPT")
    host.run(f"ip6tables-{OTHER[backend]}", "-P", "FORWARD", "DROP")
    converge(host)
    assert homes(host) == {"iptables": {backend}, "ip6tables": {OTHER[backend]}}
    assert_packets(host)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ours_stay_where_they_are_when_iptables_comes_to_mean_the_other(host: Host, backend: str):
    choose_backend(host, backend)
    host.manifests.write("a.yaml", WORLD)
    converge(host)
    choose_backend(host, OTHER[backend])
    for program in ("iptables", "ip6tables"):
        host.run(program, "-A", "INPUT", "-p", "tcp", "--dport", "9", "-j", "ACCEPT")
    assert_settled(host)
    host.manifests.write("a.yaml", WORLD.replace("[8001:80]", "[8001:80, 8002:80]"))
    converge(host)
    assert homes(host) == {"iptables": {backend}, "ip6tables": {backend}}
    assert_packets(host)
    assert main.run(["teardown"]) == 0
    assert homes(host) == {"iptables": set(), "ip6tables": set()}
