"""What is not ours: never touched, and only moved out of the way when `--adopt` says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.core.diff import Action
from tests.kernel import facts
from tests.kernel.manifests import DUAL, SUBNET, bridge, container
from tests.kernel.passes import apply, assert_settled, converge, diff, run
from tests.kernel.worlds import EVERYTHING, break_everything, write
from tests.probes import ping
from tests.witness import assert_same, kernel_snapshot
from tests.world import Host


def forwarding(host: Host) -> None:
    """Let the host forward already: a sysctl cannot be ours, so none is put back at the end."""
    facts.set_sysctl("net.ipv4.ip_forward", "1")
    for place in ("all", "default"):
        facts.set_sysctl(f"net.ipv6.conf.{place}.forwarding", "1")


def settle_the_world(host: Host) -> None:
    """Others have devices, namespaces, addresses, routes and rules here."""
    forwarding(host)
    host.ip("link add theirs type bridge")
    host.ip("addr add 10.77.0.1/24 dev theirs")
    host.ip("link set theirs up")
    host.ip("link add their0 type veth peer name their1")
    host.ip("link set their0 master theirs up")
    host.ip("link set their1 alias somebody mtu 1400 group 7")
    host.ip("link add link theirs name theirvlan type macvlan")
    host.ip("tuntap add theirtap mode tap")
    host.ip("route add 10.78.0.0/16 via 10.77.0.9")
    host.ip("route add blackhole 10.79.0.0/16 metric 5")
    host.ip("route add 10.80.0.0/16 dev theirs table 100")
    host.ip("rule add from 10.77.0.0/24 table 100")
    stranger = host.add_netns("stranger")
    host.ip("link add theirs2 type veth peer name eth0 netns stranger")
    stranger.ip("link set eth0 up")
    stranger.ip("addr add 10.1.0.77/24 dev eth0")  # of the subnet that ours is going to have
    stranger.ip("route add default via 10.1.0.1")
    facts.set_sysctl("net.ipv4.conf.eth0.rp_filter", "2", stranger)
    facts.set_sysctl("net.ipv4.ip_local_port_range", "20000 30000")


def snapshot(*without: str) -> str:
    """All that the kernel holds, but for what moves by itself, and lines with these words.

    A device's carrier is told up to a second late (net/core/link_watch.c). The two folders have a
    time of change. `promote_secondaries` is what an address of ours needed to be taken away. A
    table of iptables that was in use once stays, empty.
    """
    moving = ("linkdown", "operstate", "LOWER_UP", "NO-CARRIER", "promote_secondaries", *without)
    empty = re.compile(r".*tables-save: (\*\w+|:[A-Z]+ ACCEPT|COMMIT)$")
    return "\n".join(
        line
        for line in kernel_snapshot().splitlines()
        if not line.startswith(("/run/netns: ", "/etc/netns: "))
        and not any(word in line for word in moving)
        and not empty.match(line)
    )


def test_a_life_of_ours_leaves_everything_of_others_as_it_was(host: Host):
    """Built, edited, broken, healed, torn down: the host is what it was before."""
    settle_the_world(host)
    before = snapshot()

    write(host, EVERYTHING)
    converge(host)
    write(host, {"back.yaml": bridge("addresses: [10.2.9.1/24], mtu: 1300", "br1")})
    host.manifests.remove("cables.yaml")
    converge(host)
    write(host, EVERYTHING)
    converge(host)
    break_everything(host)
    converge(host)
    assert main.run(["teardown"]) == 0

    assert_same(before, snapshot())
    assert main.run(["teardown"]) == 0  # nothing is left to do


def test_what_others_put_on_our_devices_and_in_our_namespaces_stays(host: Host):
    host.manifests.write("a.yaml", bridge(DUAL) + container() + container(name="c2"))
    converge(host)
    c1 = host.netns("c1")
    host.ip("addr add 10.66.0.1/24 dev br0")
    host.ip("-6 addr add fd66::1/64 dev br0 nodad")
    host.ip("route add 10.67.0.0/16 via 10.1.0.2")
    host.ip("link add their0 type veth peer name their1")
    host.ip("link set their0 master br0 up")
    c1.ip("addr add 10.66.0.2/24 dev eth0")
    c1.ip("addr add 10.1.0.50/24 dev eth0")
    c1.ip("addr add 10.66.1.1/32 dev lo")
    c1.ip("route add 10.68.0.0/16 via 10.1.0.1")
    c1.ip("route add default via 10.1.0.3 metric 50")
    c1.ip("link add link eth0 name theirs type macvlan")
    facts.set_sysctl("net.ipv4.ip_forward", "1", c1)
    theirs = {
        "host": ({"10.66.0.1/24", "fd66::1/64"}, "10.67.0.0/16 via 10.1.0.2 dev br0"),
        "c1": ({"10.66.0.2/24", "10.1.0.50/24"}, "10.68.0.0/16 via 10.1.0.1 dev eth0"),
    }

    def assert_there() -> None:
        assert theirs["host"][0] <= facts.addresses("br0")
        assert theirs["host"][1] in facts.routes()
        assert facts.link("their0")["master"] == "br0"
        assert theirs["c1"][0] <= facts.addresses("eth0", c1)
        assert "10.66.1.1/32" in facts.addresses("lo", c1)
        assert theirs["c1"][1] in facts.routes(c1)
        assert "default via 10.1.0.3 dev eth0 metric 50" in facts.routes(c1)
        assert "theirs" in facts.links(c1)
        assert facts.sysctl("net.ipv4.ip_forward", c1) == "1"

    assert_settled(host)
    assert_there()
    # An edit of everything around it: another gateway, another address, a neighbour that goes.
    host.manifests.write(
        "a.yaml",
        bridge('addresses: [10.1.0.254/24, "fd00:1::fe/64"], ageingTime: 9')
        + container("bridge: br0, addresses: [10.1.0.9, auto], mac: '02:00:00:00:00:05'"),
    )
    converge(host)
    assert_there()
    assert facts.addresses("eth0", c1) >= {"10.1.0.9/24"}

    assert main.run(["teardown"]) == 0
    assert facts.links().keys() == {"their0", "their1"}
    assert facts.link("their0").get("master") is None


def _bridge_is_taken(host: Host) -> str:
    host.ip("link add br0 type bridge ageing_time 12300")
    return "device/br0"


def _bridges_name_is_a_veths(host: Host) -> str:
    host.ip("link add br0 type veth peer name their1")
    return "device/br0"


def _namespace_is_taken(host: Host) -> str:
    host.add_netns("c1").ip("addr add 192.0.2.1/32 dev lo")
    return "netns/c1"


def _interface_is_taken(host: Host) -> str:
    host.manifests.write("a.yaml", bridge() + container("network: none"))
    converge(host)
    host.netns("c1").ip("link add eth0 type bridge")
    return "device/rcc1-lcfuhey"


def _route_is_taken(host: Host) -> str:
    host.manifests.write("a.yaml", bridge() + container("bridge: br0"))
    converge(host)
    c1 = host.netns("c1")
    c1.ip("route del default")
    c1.ip("route add default via 10.1.0.7 dev eth0")
    return "route/c1:default"


def _device_is_another_sets(host: Host) -> str:
    theirs = host.manifests.folder.parent / "theirs.yaml"
    theirs.write_text(bridge("addresses: [10.9.0.1/24]") + container("bridge: br0", "c9"))
    assert apply(host, theirs, set_name="theirs").converged
    return "device/br0"


def _namespace_is_another_sets(host: Host) -> str:
    theirs = host.manifests.folder.parent / "theirs.yaml"
    theirs.write_text(container("network: none"))
    assert apply(host, theirs, set_name="theirs").converged
    return "netns/c1"


IN_THE_WAY = (
    _bridge_is_taken,
    _bridges_name_is_a_veths,
    _namespace_is_taken,
    _interface_is_taken,
    _route_is_taken,
    _device_is_another_sets,
    _namespace_is_another_sets,
)


@pytest.mark.parametrize("prepare", IN_THE_WAY, ids=lambda f: f.__name__.strip("_"))
def test_what_is_in_the_way_is_blocked_and_taken_over_only_with_adopt(
    host: Host, prepare: Callable[[Host], str]
):
    taken = prepare(host)
    host.manifests.write("a.yaml", bridge() + container())
    changes = {str(change.key): change for change in diff(host).changes}
    assert changes[taken].action is Action.BLOCKED
    assert "--adopt takes it over" in changes[taken].reason

    assert run(host, "apply") == 4
    after_first = snapshot()
    assert run(host, "apply") == 4

    # What could be done is done, what is blocked is as it was, and stays so.
    assert_same(after_first, snapshot())
    assert {str(c.key) for c in diff(host).changes if c.action is not Action.BLOCKED} == set()

    assert run(host, "apply", "--adopt") == 0
    assert_settled(host)
    assert facts.link("br0")["ifalias"] == "reconciler default Bridge/br0"
    assert facts.addresses("br0") == {"10.1.0.1/24"}
    assert facts.routes(host.netns("c1")) == {"default via 10.1.0.1 dev eth0"}
    assert ping(host.netns("c1"), "10.1.0.1")


def test_a_file_in_the_place_of_a_namespace_is_blocked_too(host: Host):
    host.add_netns("other")  # makes /run/netns the shared mount that it is on every host
    path = host.netns("c1").path
    path.write_text("somebody's notes")
    host.manifests.write("a.yaml", bridge() + container())

    assert run(host, "apply") == 4
    assert path.read_text() == "somebody's notes"
    assert not Path("/etc/netns/c1").exists()

    assert run(host, "apply", "--adopt") == 0
    assert_settled(host)
    assert ping(host.netns("c1"), "10.1.0.1")


def test_what_somebody_put_back_by_hand_is_as_declared(host: Host):
    """An address and a route without our number, on devices of ours: there is nothing to do."""
    host.manifests.write("a.yaml", bridge() + container())
    converge(host)
    c1 = host.netns("c1")
    host.ip("addr del 10.1.0.1/24 dev br0")
    host.ip("addr add 10.1.0.1/24 dev br0")
    c1.ip("route del default")
    c1.ip("route add default via 10.1.0.1")

    assert_settled(host)
    assert main.run(["teardown"]) == 0


def test_what_is_blocked_is_left_exactly_as_it_is(host: Host):
    """A bridge, a namespace and another set's bridge in the way of all that we want."""
    forwarding(host)
    host.ip("link add br0 type bridge ageing_time 12300")
    host.ip("link set br0 mtu 1300")
    host.ip("addr add 10.1.0.9/24 dev br0")
    c1 = host.add_netns("c1")
    c1.ip("link add eth0 type bridge")
    theirs = host.manifests.folder.parent / "theirs.yaml"
    theirs.write_text(bridge("addresses: [10.9.0.1/24]", "br1") + container("bridge: br1", "c2"))
    assert apply(host, theirs, set_name="theirs").converged
    # A file that the containers of a bridge share, and empty chains, stand in nobody's way.
    harmless = ("default-bridge-", "tables-save: :RC-")
    before = snapshot(*harmless)

    host.manifests.write(
        "a.yaml",
        bridge(f"{SUBNET}, mtu: 9000")
        + container()
        + bridge("addresses: [10.2.0.1/24]", "br1")
        + container("bridge: br1", "c2"),
    )
    assert run(host, "apply") == 4

    assert_same(before, snapshot(*harmless))


def test_two_sets_live_side_by_side(host: Host):
    """Their containers may even have the same names in the manifests, but not on the host."""
    forwarding(host)
    folder = host.manifests.folder.parent
    one, two = folder / "one", folder / "two"
    for number, place in enumerate((one, two), 1):
        place.mkdir()
        (place / "a.yaml").write_text(
            bridge(f"addresses: [10.{number}.0.1/24], device: br{number}", "front")
            + container(f"bridge: front, target: set{number}", "web")
            + container(f"bridge: front, target: other{number}", "other")
        )
    assert apply(host, one, set_name="one").converged
    with_one = snapshot()

    assert apply(host, two, set_name="two").converged
    assert_settled(host, one, set_name="one")
    assert_settled(host, two, set_name="two")
    assert ping(host.netns("set1"), "10.1.0.3")
    assert ping(host.netns("set2"), "10.2.0.3")
    with_both = snapshot()

    # An edit and a pass of one set leave the other as it is.
    text = (two / "a.yaml").read_text()
    (two / "a.yaml").write_text(text.replace("10.2.0.1/24", "10.2.0.1/23"))
    assert apply(host, two, set_name="two").converged
    (two / "a.yaml").write_text(text)
    assert apply(host, two, set_name="two").converged
    assert_same(with_both, snapshot())

    assert main.run(["teardown", "--set", "two"]) == 0
    assert_same(with_one, snapshot())
    assert_settled(host, one, set_name="one")


def test_teardown_of_all_sets_removes_all_of_ours(host: Host):
    settle_the_world(host)
    before = snapshot()
    folder = host.manifests.folder.parent
    for number, name in enumerate(("one", "two", "three"), 1):
        path = folder / f"{name}.yaml"
        path.write_text(
            bridge(f"addresses: [10.{number}.0.1/24]", f"br{number}")
            + container(f"bridge: br{number}", name)
        )
        assert apply(host, path, set_name=name).converged

    assert main.run(["teardown"]) == 0  # of the set "default", which has nothing here
    assert facts.bridges() == {"theirs", "br1", "br2", "br3"}
    assert main.run(["teardown", "--all-sets"]) == 0

    assert_same(before, snapshot())


def test_a_mark_of_another_set_is_no_mark_of_ours(host: Host):
    """Pruning looks at set and words, not at names: what only looks like ours stays."""
    host.ip("link add rcweb1-aaaaaaa type bridge")
    host.ip("link add br7 type bridge")
    host.ip("link set br7 alias reconciler")
    host.ip("link add br8 type bridge")
    host.run("ip", "link", "set", "br8", "alias", "reconciler another Bridge/br8")
    host.manifests.write("a.yaml", bridge() + container())
    converge(host)
    host.manifests.write("a.yaml", bridge())
    converge(host)

    assert main.run(["teardown"]) == 0
    assert facts.bridges() == {"rcweb1-aaaaaaa", "br7", "br8"}
