"""Bridge ports: host devices that come and go, and bridges that are somebody else's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.cli import main
from reconciler.core.diff import Action
from reconciler.core.guard import Limit
from tests.kernel import facts
from tests.kernel.manifests import DUAL, SUBNET, bridge, container
from tests.kernel.passes import apply, assert_settled, converge, describe, diff
from tests.kernel.test_foreign import forwarding, snapshot
from tests.probes import ping
from tests.witness import assert_same
from tests.world import HERE, REMOTE, Host, make_namespace, wait_until, without_dad

BR1 = bridge("addresses: [10.2.0.1/24]", "br1")


def master(device: str) -> str | None:
    return facts.link(device).get("master")


def marks(device: str) -> set[str]:
    return {name for name in facts.link(device).get("altnames", ()) if name.startswith("rcport-")}


def plug(host: Host, name: str) -> None:
    """A device that nobody but us would plug in somewhere."""
    host.ip(f"tuntap add {name} mode tap")


def _tap(host: Host) -> None:
    plug(host, "up0")


def _veth(host: Host) -> None:
    host.ip("link add up0 type veth peer name far0")


def _macvlan(host: Host) -> None:
    plug(host, "base0")
    host.ip("link add link base0 name up0 type macvlan mode private")


def _vxlan(host: Host) -> None:
    host.ip("link add up0 type vxlan id 7 dstport 4789 local 127.0.0.1")


DEVICES: tuple[Callable[[Host], None], ...] = (_tap, _veth, _macvlan, _vxlan)


@pytest.mark.parametrize("make", DEVICES, ids=lambda make: make.__name__.strip("_"))
def test_a_port_is_plugged_in_and_taken_out_and_is_otherwise_left_as_it_is(host: Host, make):
    """Whatever type of device it is: number, MAC, state and MTU stay its owner's."""
    make(host)
    forwarding(host)
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    before = snapshot("promiscuity", "allmulti", "PROMISC")

    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ports: [up0]") + container())
    report = converge(host)
    assert [str(change.key) for change in report.preview.changes] == ["port/up0"]
    assert master("up0") == "br0"
    assert marks("br0") == {"rcport-up0"}

    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    assert master("up0") is None
    assert_same(before, snapshot("promiscuity", "allmulti", "PROMISC"))


def test_a_device_that_is_missing_is_blocked_and_stops_nothing_else(host: Host):
    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ports: [up0, up1]") + container() + BR1)
    plug(host, "up1")

    report = apply(host)

    assert not report.failures
    blocked = {str(change.key): change.reason for change in report.after.changes}
    assert blocked == {
        "device/up0": "device/up0 is not there; it belongs to somebody else, who has to make it",
        "port/up0": "needs device/up0, which is blocked",
    }
    assert master("up1") == "br0"
    assert ping(host.netns("c1"), "10.1.0.1")
    assert facts.addresses("br1") == {"10.2.0.1/24"}

    plug(host, "up0")
    converge(host)
    assert master("up0") == "br0"

    host.ip("link del up0")  # it goes, and comes again as another device
    assert {change.action for change in diff(host).changes} == {Action.BLOCKED}
    host.ip("tuntap add up0 mode tap")
    converge(host)
    assert master("up0") == "br0"


def test_what_somebody_unplugs_or_moves_is_plugged_in_again(host: Host):
    plug(host, "up0")
    host.ip("link add theirs type bridge")
    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ports: [up0]") + BR1)
    converge(host)

    host.ip("link set up0 nomaster")
    converge(host)
    assert master("up0") == "br0"

    host.ip("link property del dev br0 altname rcport-up0")  # our mark alone
    assert_settled(host)  # it is as declared
    host.manifests.write("all.yaml", bridge(SUBNET) + BR1)
    assert_settled(host)  # and nobody knows any more that it was us
    assert master("up0") == "br0"


def test_a_port_in_a_bridge_of_others_is_in_the_way(host: Host):
    """Out of their bridge only on request."""
    plug(host, "up0")
    host.ip("link add theirs type bridge")
    host.ip("link set up0 master theirs")
    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ports: [up0]") + container())

    report = apply(host)

    (change,) = report.after.changes
    assert (str(change.key), change.action) == ("port/up0", Action.BLOCKED)
    assert "--adopt takes it over" in change.reason
    assert master("up0") == "theirs"
    assert ping(host.netns("c1"), "10.1.0.1")

    converge(host, adopt=True)
    assert master("up0") == "br0"
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    assert master("up0") is None


def test_a_port_that_somebody_plugged_in_is_theirs(host: Host):
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    plug(host, "theirs")
    host.ip("link set theirs master br0")
    assert_settled(host)

    host.manifests.write("all.yaml", bridge(f"{SUBNET}, mtu: 1400") + container())
    converge(host)
    assert master("theirs") == "br0"

    # Declared exactly as it is, it stays theirs when it is no longer declared.
    host.manifests.write("all.yaml", bridge(f"{SUBNET}, mtu: 1400, ports: [theirs]") + container())
    converge(host)
    host.manifests.write("all.yaml", bridge(f"{SUBNET}, mtu: 1400") + container())
    converge(host)
    assert master("theirs") == "br0"


def test_a_port_moves_between_our_bridges_in_place(host: Host):
    plug(host, "up0")
    number = facts.link("up0")["ifindex"]
    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ports: [up0]") + BR1)
    converge(host)

    host.manifests.write(
        "all.yaml", bridge() + bridge("addresses: [10.2.0.1/24], ports: [up0]", "br1")
    )
    report = converge(host)

    assert [(str(c.key), c.action) for c in report.preview.changes] == [
        ("port/up0", Action.UPDATE)
    ], describe(report.preview)
    assert (master("up0"), marks("br0"), marks("br1")) == ("br1", set(), {"rcport-up0"})
    assert facts.link("up0")["ifindex"] == number


def test_ports_follow_a_bridge_that_gets_another_name(host: Host):
    plug(host, "up0")
    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ports: [up0]") + container())
    converge(host)
    number = facts.link("br0")["ifindex"]

    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ports: [up0], device: lan0") + container())
    converge(host)

    assert facts.link("lan0")["ifindex"] == number
    assert master("up0") == "lan0"
    assert marks("lan0") == {"rcport-up0"}


def test_a_bridge_made_anew_gets_its_ports_again(host: Host):
    plug(host, "up0")
    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ports: [up0]") + container())
    converge(host)

    host.ip("link del br0")
    converge(host)

    assert master("up0") == "br0"
    assert ping(host.netns("c1"), "10.1.0.1")


def test_a_bridge_that_goes_leaves_its_ports_behind(host: Host):
    plug(host, "up0")
    host.ip("link set up0 up")
    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ports: [up0]") + BR1)
    converge(host)

    host.manifests.write("all.yaml", BR1)
    converge(host, max_deletes=Limit(100, percent=True))
    assert master("up0") is None
    assert "UP" in facts.link("up0")["flags"]

    host.manifests.write("all.yaml", BR1 + bridge(f"{SUBNET}, ports: [up0]"))
    converge(host)
    assert main.run(["teardown"]) == 0
    assert facts.links().keys() >= {"up0"}
    assert facts.bridges() == set()


def test_packets_pass_through_a_port(host: Host):
    """A container reaches a machine on the wire that the port leads to."""
    far = make_namespace(REMOTE / "far")
    host.ip(f"link add up0 index 1001 type veth peer name eth0 netns {far.path}")
    without_dad(far, "eth0")
    far.ip("addr add 10.1.0.200/24 dev eth0")
    far.ip("addr add fd00:1::200/64 dev eth0")
    far.ip("link set eth0 up")
    host.ip("link set up0 up")
    host.manifests.write("all.yaml", bridge(f"{DUAL}, forwardDelay: 0, ports: [up0]") + container())
    converge(host)
    c1 = host.netns("c1")

    assert wait_until(lambda: ping(c1, "10.1.0.200"))
    assert wait_until(lambda: ping(c1, "fd00:1::200"))
    host.manifests.write("all.yaml", bridge(f"{DUAL}, forwardDelay: 0") + container())
    converge(host)
    assert not ping(c1, "10.1.0.200", timeout=0.3)


@pytest.mark.parametrize("name", ["averylongname15", "dotted.100", "ä"])
def test_names_of_devices_that_are_long_or_odd(host: Host, name: str):
    """The mark is an alternative name, which may be 127 bytes long (ALTIFNAMSIZ, linux/if.h)."""
    plug(host, name)
    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ports: ['{name}']"))
    converge(host)
    assert (master(name), marks("br0")) == ("br0", {f"rcport-{name}"})

    host.manifests.write("all.yaml", bridge())
    converge(host)
    assert (master(name), marks("br0")) == (None, set())


# --------------------------------------------------------------------------- external bridges

EXTERNAL = "external: true, device: theirs"


def _their_bridge(host: Host) -> None:
    host.ip("link add theirs address 02:00:00:00:05:01 type bridge")
    host.ip("addr add 10.5.0.1/24 dev theirs")
    host.ip("addr add fd05::1/64 dev theirs nodad")
    host.ip("link set theirs up mtu 1400")


def test_containers_stand_on_a_bridge_of_others(host: Host):
    """Automatic addresses are of the device's own subnets, explicit ones are as written."""
    _their_bridge(host)
    forwarding(host)
    before = snapshot("theirs.", "theirs6.", " dev theirs", " theirs ")
    device = facts.link("theirs")
    host.manifests.write(
        "all.yaml",
        bridge(EXTERNAL)
        + container()
        + container("bridge: br0, addresses: [10.5.0.77, auto]", "c2")
        + container("bridge: br0, addresses: [10.5.0.78/24]", "c3"),
    )
    converge(host)

    c1, c2, c3 = (host.netns(f"c{number}") for number in (1, 2, 3))
    assert facts.addresses("eth0", c1) == {"10.5.0.2/24", "fd05::2/64"}
    assert facts.addresses("eth0", c2) == {"10.5.0.77/24", "fd05::3/64"}
    assert facts.addresses("eth0", c3) == {"10.5.0.78/24"}
    assert facts.routes(c1) == {"default via 10.5.0.1 dev eth0",
                                "default via fd05::1 dev eth0 metric 1024"}  # fmt: skip
    for source, address in ((c1, "10.5.0.1"), (c1, "10.5.0.77"), (c2, "fd05::2"), (c3, "10.5.0.2")):
        assert wait_until(lambda a=address, s=source: ping(s, a)), address

    after = facts.link("theirs")
    for name in ("ifindex", "address", "mtu", "group", "ifalias", "altnames"):
        assert after.get(name) == device.get(name), name
    assert facts.addresses("theirs") == {"10.5.0.1/24", "fd05::1/64"}

    assert main.run(["teardown"]) == 0
    assert facts.addresses("theirs") == {"10.5.0.1/24", "fd05::1/64"}
    assert_same(before, snapshot("theirs.", "theirs6.", " dev theirs", " theirs "))


def test_a_bridge_of_others_that_is_missing_blocks_only_who_is_on_it(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge(f"{EXTERNAL}, addresses: [10.5.0.1/24]")
        + container()
        + BR1
        + container("bridge: br1", "c2"),
    )

    report = apply(host)

    assert not report.failures
    left = {str(change.key): change for change in report.after.changes}
    assert {change.action for change in left.values()} == {Action.BLOCKED}
    assert left["device/theirs"].reason == (
        "device/theirs is not there; it belongs to somebody else, who has to make it"
    )
    assert any("c1:eth0" in key for key in left)
    assert not any("c2" in key for key in left), describe(report.after)
    assert ping(host.netns("c2"), "10.2.0.1")
    assert "theirs" not in facts.links()

    _their_bridge(host)
    converge(host)
    assert ping(host.netns("c1"), "10.5.0.1")

    host.ip("link del theirs")
    assert {change.action for change in diff(host).changes} == {Action.BLOCKED}
    _their_bridge(host)
    converge(host)
    assert ping(host.netns("c1"), "10.5.0.1")


def test_a_bridge_of_others_without_an_address_that_gets_one(host: Host):
    host.ip("link add theirs type bridge")
    host.ip("link set theirs up")
    host.manifests.write(
        "all.yaml", bridge(EXTERNAL) + container() + container("network: none", "c2")
    )
    converge(host)
    assert facts.addresses("eth0", host.netns("c1")) == set()

    host.ip("addr add 10.5.0.1/24 dev theirs")
    converge(host)
    assert facts.addresses("eth0", host.netns("c1")) == {"10.5.0.2/24"}

    host.ip("addr del 10.5.0.1/24 dev theirs")
    host.ip("addr add 10.6.0.1/24 dev theirs")
    converge(host)
    assert facts.addresses("eth0", host.netns("c1")) == {"10.6.0.2/24"}


def test_a_bridge_is_handed_over_and_taken_back(host: Host):
    """From ours to external its device would have to be somebody's: it is deleted, not kept."""
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    _their_bridge(host)

    host.manifests.write("all.yaml", bridge(EXTERNAL) + container())
    converge(host)
    assert facts.bridges() == {"theirs"}
    assert facts.peer("eth0", host.netns("c1"))["master"] == "theirs"
    assert facts.addresses("eth0", host.netns("c1")) == {"10.5.0.2/24", "fd05::2/64"}

    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    assert facts.bridges() == {"br0", "theirs"}
    assert ping(host.netns("c1"), "10.1.0.1")
    assert facts.addresses("theirs", HERE) == {"10.5.0.1/24", "fd05::1/64"}


def test_something_else_by_the_name_of_an_external_bridge_is_said(host: Host):
    plug(host, "theirs")
    host.manifests.write("all.yaml", bridge(f"{EXTERNAL}, addresses: [10.5.0.1/24]") + container())

    report = apply(host)

    reasons = {str(change.key): change.reason for change in report.after.changes}
    assert reasons["device/theirs"].startswith("device/theirs is of another kind; it belongs to")
