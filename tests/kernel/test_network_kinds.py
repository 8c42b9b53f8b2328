"""Network kinds: changed on a living container they converge, and nothing of the old one stays."""

from __future__ import annotations

import re
from itertools import pairwise, permutations
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.manifest.problem import ManifestErrors
from tests.kernel import facts
from tests.kernel.manifests import DUAL, bridge, container
from tests.kernel.passes import converge, diff
from tests.kernel.test_foreign import forwarding, snapshot
from tests.probes import Listener, ask, ping
from tests.witness import assert_same
from tests.world import Host

NAMES = Path("/etc/netns")
KINDS = {
    "bridge": "bridge: br0, addresses: [10.1.0.2], hostname: front, publish: ['8080:80'],"
    " routes: [{to: 10.9.0.0/16, via: 10.1.0.7}]",
    "none": "network: none, hostname: front",
    "shared": "network: 'container:c2'",
    "host": "network: host",
}
WALK = ("bridge", "none", "bridge", "shared", "bridge", "host", "none", "shared", "none", "host",
        "shared", "host", "bridge")  # fmt: skip
"""From each to each other."""
REST = bridge(DUAL) + container("bridge: br0, addresses: [10.1.0.77, 'fd00:1::77']", "c2")


def write(host: Host, kind: str) -> None:
    host.manifests.write("all.yaml", REST + container(KINDS[kind]))


def test_from_each_kind_to_each_other_it_is_what_a_fresh_host_would_have(host: Host):
    """Devices, addresses, routes, rules, sysctls and names; the other container is not disturbed."""
    forwarding(host)
    write(host, "none")
    converge(host)
    assert main.run(["teardown"]) == 0  # from here on the firewall's own tables are there
    empty = snapshot()
    fresh = {}
    for kind in KINDS:
        write(host, kind)
        converge(host)
        fresh[kind] = _without_numbers(snapshot())
        assert main.run(["teardown"]) == 0
    assert_same(fresh["shared"], fresh["host"])

    write(host, "bridge")
    converge(host)
    inode = facts.namespace_inode("c2")
    assert set(pairwise(WALK)) == set(permutations(KINDS, 2))
    for kind in WALK[1:]:
        write(host, kind)
        converge(host)
        assert_same(fresh[kind], _without_numbers(snapshot()))
    assert facts.namespace_inode("c2") == inode

    assert main.run(["teardown"]) == 0
    assert_same(empty, snapshot())


def _without_numbers(text: str) -> str:
    """Device and file numbers go up with every new one, and the MACs of ports are random."""
    moving = (
        ".ifindex = ", ".link_index = ", ".link_netnsid = ", ".link_netns = ", ".nhid = ",
        "/etc/netns/", "/run/netns/", ".stats", ".root_id", ".bridge_id", ".designated_",
        ".gc_timer", ".numtxqueues", ".no = ", ".num = ", ".id = ",
    )  # fmt: skip
    files = {line.partition(": ")[0] for line in text.splitlines() if line.startswith("/")}
    mac = re.compile(r"host: ip (addr|link): rc\S+\.address = ")
    kept = (
        line
        for line in text.splitlines()
        if not any(word in line for word in moving) and not mac.match(line)
    )
    return "\n".join([*sorted(files), *(line for line in kept if not line.startswith("/"))])


def test_a_published_port_goes_and_comes_with_the_bridge(host: Host):
    uplink = host.uplink()

    def reached() -> str | None:
        return ask(uplink.remote, uplink.host4, 8080, timeout=0.3)

    for kind in ("bridge", "none", "bridge", "shared", "bridge", "host"):
        write(host, kind)
        converge(host)
        if kind == "bridge":
            with Listener(host.netns("c1"), 80):
                assert reached() == uplink.remote4
        else:
            assert reached() is None
    for program in ("iptables-save", "ip6tables-save"):
        assert "8080" not in host.run(program).stdout


def test_the_shared_namespace_is_the_others_and_lives_on(host: Host):
    write(host, "shared")
    converge(host)
    assert facts.namespaces() == {"c2"}
    assert {path.name for path in NAMES.iterdir() if path.name[0] != "."} == {"c2"}
    before = facts.namespace_inode("c2"), facts.link("eth0", host.netns("c2"))["ifindex"]

    host.manifests.write("all.yaml", REST)
    converge(host)

    c2 = host.netns("c2")
    assert (facts.namespace_inode("c2"), facts.link("eth0", c2)["ifindex"]) == before
    assert ping(c2, "10.1.0.1")
    assert ping(c2, "fd00:1::1")


REFUSED = {
    "network: host, bridge: br0": "bridge",
    "network: host, interfaces: [{bridge: br0}]": "interfaces",
    "network: host, publish: [80]": "publish",
    "network: host, links: [c2]": "links",
    "network: host, mac: '02:00:00:00:00:01'": "mac",
    "network: host, sysctls: {net.ipv4.ip_forward: 1}": "sysctls",
    "network: none, bridge: br0": "bridge",
    "network: none, publish: [80]": "publish",
    "network: none, links: [c2]": "links",
    **{
        f"network: 'container:c2', {written}": written.partition(":")[0]
        for written in (
            "hostname: x", "domainname: x.example", "dns: [9.9.9.9]", "dnsSearch: [x.example]",
            "dnsOptions: [rotate]", "extraHosts: {a: 10.0.0.1}", "expose: [80]", "publish: [80]",
            "publishAll: true", "links: [c2]", "bridge: br0", "mac: '02:00:00:00:00:01'",
        )
    },
}  # fmt: skip


def test_what_docker_refuses_is_an_error_and_nothing_is_touched(host: Host):
    write(host, "bridge")
    converge(host)
    before = facts.links(host.netns("c1")), facts.routes(host.netns("c1"))

    for text, field in REFUSED.items():
        host.manifests.write("all.yaml", REST + container(text))
        with pytest.raises(ManifestErrors) as caught:
            diff(host)
        (problem,) = caught.value.problems
        assert field in str(problem), text
        assert "does not go with network:" in problem.message
        assert main.run(["apply", str(host.manifests.folder)]) == 1

    assert (facts.links(host.netns("c1")), facts.routes(host.netns("c1"))) == before


CHAINS = {
    "to nobody": (container("network: 'container:c9'"), "there is no Container"),
    "to itself": (container("network: 'container:c1'"), "cannot share its own namespace"),
    "to one on the host": (
        container("network: 'container:c3'") + container("network: host", "c3"),
        "has no namespace of its own: host",
    ),
    "a chain": (
        container("network: 'container:c3'") + container("network: 'container:c2'", "c3"),
        "has no namespace of its own: container:c2",
    ),
    "a cycle": (
        container("network: 'container:c3'") + container("network: 'container:c1'", "c3"),
        "has no namespace of its own: container:",
    ),
}


@pytest.mark.parametrize(("text", "message"), CHAINS.values(), ids=CHAINS)
def test_a_chain_or_a_cycle_of_shared_namespaces_is_an_error(host: Host, text: str, message: str):
    host.manifests.write("all.yaml", REST + text)

    with pytest.raises(ManifestErrors) as caught:
        diff(host)

    assert all(message in problem.message for problem in caught.value.problems)
    assert facts.namespaces() == set()
