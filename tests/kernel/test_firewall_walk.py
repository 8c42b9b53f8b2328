"""How many rules a new connection walks, and how many lines a change writes, at 5,000 ports.

Counted over the rules as they are generated, by the filter in memory; that it walks as the kernel
does is proven by the kernel's own counters.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import pytest

from reconciler.core.diff import diff
from reconciler.core.plan import make_plan
from reconciler.core.policy import decide
from reconciler.core.state import State
from reconciler.formats.iptables import parse
from reconciler.formats.iptables_restore import TableEdit
from reconciler.host.firewall.edit import make_target, plan_edits
from reconciler.kinds.expand import expand_catalog
from reconciler.objects import Address, FirewallJump, FirewallRule
from reconciler.objects.firewall_observed import find_misplaced, parse_firewall
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import converge
from tests.manifest.reading import catalog_of, manifest
from tests.netfilter import Filter, Packet, Router, rules_of
from tests.probes import Listener, ask
from tests.world import Host, wait_until

MOST = 100
"""Rules of a new connection at 5,000 published ports; Docker and kube-proxy walk them all."""
HOST, REMOTE, INTERNET = "203.0.113.2", "203.0.113.1", "198.51.100.1"
BRIDGES = 5  # as many as 5,000 containers need (1,023 ports each)


def documents(
    ports: Iterable[int], *, containers: int, bridges: int = BRIDGES, spec: str = "", more: str = ""
) -> Iterator[str]:
    """So many containers on so many bridges, which share the ports evenly."""
    found = list(ports)
    each = len(found) // containers
    for b in range(bridges):
        yield manifest("Bridge", f"br{b}", f"{{addresses: [10.{b}.0.1/16]{spec}}}")
    for n in range(containers):
        own = ", ".join(f"'{found[n * each + i]}:{80 + i}'" for i in range(each))
        fields = f"bridge: br{n % bridges}, publish: [{own}]{more.format(n=n)}"
        yield manifest("Container", f"c{n:04}", f"{{{fields}}}")


@cache
def desired_of(*documents: str) -> State:
    return expand_catalog(catalog_of(*documents), State(), "default")


def router_of(desired: State, bridges: int = BRIDGES) -> Router:
    routes = {f"10.{b}.0.0/16": f"br{b}" for b in range(bridges)} | {"0.0.0.0/0": "uplink0"}
    local = {HOST, "127.0.0.1", *(f"10.{b}.0.1" for b in range(bridges))}
    return Router(rules_of(desired.objects.values(), 4), local, routes)


def addresses(desired: State) -> dict[str, str]:
    """Of every container, by name."""
    found = (o for o in desired.objects.values() if isinstance(o, Address) and o.netns)
    return {o.netns: str(o.interface.ip) for o in found if o.interface.version == 4}


SPREAD = sorted(random.Random(6).sample(range(1024, 65536), 5000))
PORTS = {"in a row": tuple(range(30000, 35000)), "all over": tuple(SPREAD)}


@pytest.mark.parametrize("ports", PORTS.values(), ids=PORTS)
@pytest.mark.parametrize("containers", [500, 5000])
def test_a_new_connection_walks_fewer_than_100_rules_at_5000_ports(ports, containers):
    desired = desired_of(*documents(ports, containers=containers))
    router, inside = router_of(desired), addresses(desired)
    each = 5000 // containers
    most = 0
    for number in range(0, 5000, 13):
        packet = Packet(INTERNET, HOST, "tcp", ports[number], "uplink0")

        walk = router.forward(packet)

        most = max(most, walk.rules)
        assert walk.verdict == "ACCEPT"
        found = (walk.packet.destination, walk.packet.port)
        assert found == (inside[f"c{number // each:04}"], 80 + number % each)
    assert most < MOST
    missed = router.forward(Packet(INTERNET, HOST, "tcp", 1023, "uplink0"))
    assert (missed.packet.destination, missed.rules < MOST) == (HOST, True)


def test_the_walk_does_not_grow_with_the_ports():
    """From 10 to 5,000: the digits of a port are as many."""

    def most(count: int) -> int:
        ports = random.Random(7).sample(range(1024, 65536), count)
        desired = desired_of(*documents(ports, containers=10, bridges=1))
        router = router_of(desired, 1)
        packets = (Packet(INTERNET, HOST, "tcp", port, "uplink0") for port in ports[::7])
        return max(router.forward(packet).rules for packet in packets)

    few, many = most(50), most(5000)
    assert many < few + 48  # four digits of sixteen, of which few ports have some each
    assert many < 70


WAYS = {
    "out": (Packet("10.0.0.9", INTERNET, into="br0"), "ACCEPT"),
    "to a neighbour bridge": (Packet("10.0.0.9", "10.1.0.9", into="br0"), "DROP"),
    "straight at a container": (Packet(INTERNET, "10.3.0.9", into="uplink0"), "DROP"),
    "to loopback": (Packet("10.0.0.9", "127.0.0.1", port=8080, into="br0"), "DROP"),
}


@pytest.mark.parametrize(("packet", "verdict"), WAYS.values(), ids=WAYS)
def test_other_connections_walk_no_more(packet: Packet, verdict: str):
    desired = desired_of(*documents(PORTS["in a row"], containers=500))

    walk = router_of(desired).forward(packet)

    assert walk.verdict == verdict
    assert walk.rules < MOST


def test_a_routed_bridge_with_a_thousand_containers_is_as_short_a_walk():
    """Every container's ports have rules of their own there, on a tree by its address."""
    ports = range(20000, 25000)
    desired = desired_of(*documents(ports, containers=1000, bridges=2, spec=", mode: routed"))
    router, inside = router_of(desired, 2), addresses(desired)
    walks = [
        router.forward(Packet(INTERNET, address, "tcp", port, "uplink0"))
        for address in list(inside.values())[::9]
        for port in (80, 84, 85)
    ]

    assert [w.verdict for w in walks] == ["ACCEPT", "ACCEPT", "DROP"] * (len(walks) // 3)
    assert max(w.rules for w in walks) < MOST


def test_links_among_a_thousand_containers_are_as_short_a_walk():
    """Each may talk to the one before it, and to no other."""
    names = [f"c{n:04}" for n in range(1000)]
    texts = [manifest("Bridge", "br0", "{addresses: [10.0.0.1/16], icc: false}")]
    for before, name in zip(["", *names], names, strict=False):
        links = f", links: [{before}]" if before else ""
        texts.append(manifest("Container", name, f"{{bridge: br0, expose: [80, 443]{links}}}"))
    desired = desired_of(*texts)
    router, inside = router_of(desired, 1), addresses(desired)
    for number in range(1, 1000, 17):
        here, before, other = (inside[names[n]] for n in (number, number - 1, number - 17))
        for to, verdict in ((before, "ACCEPT"), (other, "DROP")):
            walk = router.forward(Packet(here, to, "tcp", 443, "br0"))
            assert (walk.verdict, walk.rules < MOST) == (verdict, True)


# ---------------------------------------------------------------- what a change writes


def edits_of(host: Filter, desired: State) -> list[TableEdit]:
    observed = State.of(parse_firewall(4, parse(host.save()), "default"))
    observed = find_misplaced(desired, observed)
    wanted = State.of(
        (item, desired.owners[key])
        for key, item in desired.objects.items()
        if key.type in {"rule", "chain"} and getattr(item, "family", 0) == 4
    )
    changes = decide(diff(wanted, observed), wanted, observed).changes
    batch = make_plan(changes, wanted, observed).operations
    return [edit for edit, _ in plan_edits(parse(host.save()), make_target(4, batch, wanted))]


def test_16000_ports_are_one_line_each_and_few_more():
    """500 containers with 32 published ports each, in one restore."""
    desired = desired_of(*documents(range(20000, 36000), containers=500))
    rules = sum(isinstance(o, FirewallRule | FirewallJump) for o in desired.objects.values())

    edits = edits_of(Filter(), desired)

    assert [edit.table for edit in edits] == ["raw", "filter", "nat"]
    lines = sum(len(edit.lines) for edit in edits)
    assert 16000 < rules < 17300
    assert lines < 1.2 * 16000


def test_one_container_more_is_its_own_lines_alone():
    """Among 1,000 with a port each: at most a chain and a jump for each digit, and the rule."""
    host = Filter()
    ports: Sequence[int] = PORTS["all over"][:1000]
    before = list(documents(ports, containers=1000))
    host.restore(edits_of(host, desired_of(*before)))
    new = manifest("Container", "new", "{bridge: br0, publish: ['65000:80']}")

    (edit,) = edits_of(host, desired_of(*before, new))

    assert edit.table == "nat"
    assert len(edit.lines) <= 9
    assert [line for line in edit.lines if "-tF" not in line] == []  # 65000 is 0xFDE8
    host.restore([edit])
    assert edits_of(host, desired_of(*before, new)) == []
    (edit,) = edits_of(host, desired_of(*before))
    assert len(edit.lines) <= 12


# ---------------------------------------------------------------- as the kernel walks


def test_the_kernel_counts_the_same_rules(host: Host):
    """The nat table sees the first packet of a connection alone, so that its counters are a walk."""
    uplink = host.uplink()
    ports = [*range(8000, 8040), 9000, 31000, 31001, 61000]
    own = ", ".join(f"{port}:{80 + n}" for n, port in enumerate(ports))
    host.manifests.write(
        "a.yaml",
        bridge("addresses: [10.1.0.1/24]") + container(f"bridge: br0, publish: [{own}]"),
    )
    converge(host)
    c1 = host.netns("c1")
    desired = expand_catalog(
        catalog_of((host.manifests.folder / "a.yaml").read_text()), State(), "default"
    )
    router = Router(rules_of(desired.objects.values(), 4), {uplink.host4}, {"10.1.0.0/24": "br0"})
    for number in (0, 17, 39, 40, 42, 43):
        host.run("iptables", "-t", "nat", "-Z")
        with Listener(c1, 80 + number):
            assert wait_until(lambda n=number: ask(uplink.remote, uplink.host4, ports[n]))

        walk = router.forward(Packet(uplink.remote4, uplink.host4, "tcp", ports[number], "uplink0"))

        expected = {one for one in walk.matched if one[0] == "nat"}
        assert counted(host) == expected


def counted(host: Host) -> set[tuple[str, str, int]]:
    """The rules of the table nat that have counted a packet."""
    text = host.run("iptables-save", "-c", "-t", "nat").stdout
    (table,) = parse(text).tables.values()
    return {
        ("nat", chain, number)
        for chain, rules in table.rules.items()
        for number, rule in enumerate(rules, 1)
        if rule.counters is not None and rule.counters.packets
    }
