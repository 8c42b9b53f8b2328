"""Moves: what the kernel can change in place is changed in place, else only what must is replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from reconciler.cli import main
from reconciler.core.diff import Action
from reconciler.manifest.problem import ManifestErrors
from tests.kernel import facts
from tests.kernel.manifests import DUAL, SUBNET, bridge, container, link
from tests.kernel.passes import apply, converge, describe, diff
from tests.kernel.streams import Echoes
from tests.kernel.test_topologies import nothing_bridged_is_filtered
from tests.probes import ping
from tests.world import HERE, Host

OTHER = "addresses: [10.2.0.1/24, 'fd00:2::1/64']"
BR1 = bridge(OTHER, "br1")


def numbers(host: Host) -> dict[str, int]:
    """Every device of the host and of its namespaces, by where it is, with its number."""
    spaces = {"": HERE} | {name: host.netns(name) for name in facts.namespaces()}
    return {
        f"{space}:{name}": item["ifindex"]
        for space, namespace in spaces.items()
        for name, item in facts.links(namespace).items()
    }


@dataclass(frozen=True)
class Move:
    """Manifests before and after, and how devices are called then that were called otherwise."""

    before: str
    after: str
    renamed: tuple[tuple[str, str], ...] = ()
    reaches: tuple[tuple[str, str], ...] = (("c1", "10.1.0.3"),)


def _two(one: str, other: str = "bridge: br0") -> str:
    return container(one) + container(other, "c2")


LINK = (
    "container: c1, interface: x0, addresses: [10.8.0.1/32]",
    "container: c2, interface: y0, addresses: [10.8.0.2/32]",
)

IN_PLACE = {
    "a container to another bridge": Move(
        bridge(DUAL) + BR1 + _two("bridge: br0"),
        bridge(DUAL) + BR1 + _two("bridge: br1"),
        reaches=(("c1", "10.2.0.1"), ("c1", "fd00:2::1"), ("c2", "10.1.0.1")),
    ),
    "two containers in each other's place": Move(
        bridge(DUAL) + BR1 + _two("bridge: br0", "bridge: br1"),
        bridge(DUAL) + BR1 + _two("bridge: br1", "bridge: br0"),
        reaches=(("c1", "10.2.0.1"), ("c1", "fd00:2::1"), ("c2", "10.1.0.1"), ("c2", "fd00:1::1")),
    ),
    "two explicit addresses in each other's place": Move(
        bridge() + _two("bridge: br0, addresses: [10.1.0.7]", "bridge: br0, addresses: [10.1.0.8]"),
        bridge() + _two("bridge: br0, addresses: [10.1.0.8]", "bridge: br0, addresses: [10.1.0.7]"),
        reaches=(("c1", "10.1.0.7"), ("c2", "10.1.0.8"), ("", "10.1.0.7")),
    ),
    "a bridge to another subnet": Move(
        bridge(DUAL) + _two("bridge: br0"),
        bridge("addresses: [10.9.0.1/16, 'fd00:9::1/56']") + _two("bridge: br0"),
        reaches=(("c1", "10.9.0.3"), ("c2", "fd00:9::2"), ("c1", "10.9.0.1")),
    ),
    "two bridges to each other's subnet": Move(
        bridge(DUAL) + BR1 + _two("bridge: br0", "bridge: br1"),
        bridge(OTHER) + bridge(DUAL, "br1") + _two("bridge: br0", "bridge: br1"),
        reaches=(("c1", "10.2.0.1"), ("c2", "10.1.0.1"), ("c1", "fd00:2::1"), ("c2", "fd00:1::1")),
    ),
    "another MTU": Move(
        bridge(DUAL) + _two("bridge: br0"),
        bridge(f"{DUAL}, mtu: 1300") + _two("bridge: br0"),
        reaches=(("c1", "10.1.0.3"), ("c1", "fd00:1::3")),
    ),
    "another name of the bridge's device": Move(
        bridge(DUAL) + _two("bridge: br0, publish: ['8080:80']"),
        bridge(f"{DUAL}, device: lan.0") + _two("bridge: br0, publish: ['8080:80']"),
        (("br0", "lan.0"),),
        (("c1", "10.1.0.3"), ("c1", "fd00:1::1"), ("", "fd00:1::2")),
    ),
    "another name of an interface, with all that is on it": Move(
        bridge(DUAL)
        + _two(
            "interfaces: [{bridge: br0}], routes: [{to: 10.9.0.0/16, via: 10.1.0.3}],"
            " sysctls: {net.ipv4.conf.eth0.rp_filter: 2}"
        ),
        bridge(DUAL)
        + _two(
            "interfaces: [{bridge: br0, name: lan.7}], routes: [{to: 10.9.0.0/16, via: 10.1.0.3}],"
            " sysctls: {net.ipv4.conf.lan/7.rp_filter: 2}"
        ),
        (("c1:eth0", "c1:lan.7"), ("rcc1-lcfuhey", "rcc1-prm2cdx")),
        (("c1", "10.1.0.3"), ("c1", "fd00:1::3"), ("c2", "fd00:1::2")),
    ),
    "another name of a cable's end": Move(
        _two("network: none", "network: none") + link(*LINK),
        _two("network: none", "network: none") + link(LINK[0].replace("x0", "z0"), LINK[1]),
        (("c1:x0", "c1:z0"),),
        (("c1", "10.8.0.2"), ("c2", "10.8.0.1")),
    ),
    "the gateway to another interface": Move(
        bridge() + BR1 + container("interfaces: [{bridge: br0}, {bridge: br1}]"),
        bridge() + BR1 + container("interfaces: [{bridge: br0}, {bridge: br1, gateway: true}]"),
        reaches=(("c1", "10.1.0.1"), ("c1", "10.2.0.1")),
    ),
    "from automatic to the same address written, and another MAC": Move(
        bridge() + _two("bridge: br0"),
        bridge() + _two("bridge: br0, addresses: [10.1.0.2], mac: '02:00:00:00:00:05'"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("move", IN_PLACE.values(), ids=IN_PLACE)
def test_a_move_keeps_every_device(host: Host, move: Move):
    """The same numbers of all of them, under the names that they are to have now; and back again."""
    host.manifests.write("all.yaml", move.before)
    converge(host)
    before = numbers(host)

    host.manifests.write("all.yaml", move.after)
    report = converge(host)

    now = dict(move.renamed)
    expected = {_told(name, now): number for name, number in before.items()}
    devices = [change for change in report.preview.changes if change.key.type == "device"]
    assert not [c for c in devices if c.action is not Action.UPDATE], describe(report.preview)
    assert numbers(host) == expected
    for name, address in move.reaches:
        assert ping(host.netns(name) if name else HERE, address), (name, address)

    host.manifests.write("all.yaml", move.before)
    converge(host)
    assert numbers(host) == before


def _told(place: str, renamed: dict[str, str]) -> str:
    space, _, device = place.partition(":")
    new = renamed.get(f"{space}:{device}" if space else device, device)
    return f"{space}:{new.rpartition(':')[2]}"


def test_traffic_goes_on_while_a_bridge_gets_another_name_and_mtu(host: Host):
    host.manifests.write("all.yaml", bridge(DUAL) + _two("bridge: br0"))
    converge(host)
    c1, c2 = host.netns("c1"), host.netns("c2")

    nothing_bridged_is_filtered()
    with Echoes(c1, c2, "10.1.0.3") as four, Echoes(c1, c2, "fd00:1::3") as six:
        for spec in (f"{DUAL}, device: lan0", f"{DUAL}, device: lan0, mtu: 1400", DUAL):
            host.manifests.write("all.yaml", bridge(spec) + _two("bridge: br0"))
            converge(host)

    assert (four.lost, six.lost) == ([], [])
    assert min(four.count, six.count) > 50


def test_who_moves_away_does_not_disturb_who_stays(host: Host):
    stays = container(name="s1") + container(name="s2")
    host.manifests.write("all.yaml", bridge(DUAL) + BR1 + stays + container())
    converge(host)
    s1, s2 = host.netns("s1"), host.netns("s2")
    address = next(a for a in facts.addresses("eth0", s2) if "." in a).partition("/")[0]

    with Echoes(s1, s2, address) as echoes:
        for place in ("br1", "br0", "br1"):
            host.manifests.write(
                "all.yaml", bridge(DUAL) + BR1 + stays + container(f"bridge: {place}")
            )
            converge(host)
        host.manifests.write("all.yaml", bridge(DUAL) + BR1 + stays)
        converge(host)
        sent_again = echoes.retransmissions()

    assert (echoes.lost, sent_again) == ([], 0)


# --------------------------------------------------------------------------- ranges


def _addresses(host: Host) -> dict[str, set[str]]:
    return {
        name: {a.partition("/")[0] for a in facts.addresses("eth0", host.netns(name))}
        for name in sorted(facts.namespaces())
    }


def test_a_range_renumbers_only_who_is_outside_of_it(host: Host):
    many = "".join(container(name=f"c{number}") for number in (1, 2, 3))
    many += container("bridge: br0, addresses: [10.1.0.9]", "c4")
    host.manifests.write("all.yaml", bridge() + many)
    converge(host)
    before = numbers(host)
    assert _addresses(host) == {
        "c1": {"10.1.0.2"}, "c2": {"10.1.0.3"}, "c3": {"10.1.0.4"}, "c4": {"10.1.0.9"},
    }  # fmt: skip

    for spec, expected in (
        # .4 to .7: c3 is in it already, and an explicit address need not be.
        ("ipRange: 10.1.0.4/30", ["10.1.0.5", "10.1.0.6", "10.1.0.4", "10.1.0.9"]),
        ("ipRange: 10.1.0.4/30, reserved: [10.1.0.6]",
         ["10.1.0.5", "10.1.0.7", "10.1.0.4", "10.1.0.9"]),
        ("reserved: [10.1.0.5, 10.1.0.2, 10.1.0.9]",
         ["10.1.0.3", "10.1.0.7", "10.1.0.4", "10.1.0.9"]),
        ("ipRange: 10.1.0.128/25", ["10.1.0.128", "10.1.0.129", "10.1.0.130", "10.1.0.9"]),
    ):  # fmt: skip
        host.manifests.write("all.yaml", bridge(f"{SUBNET}, {spec}") + many)
        converge(host)
        assert list(_addresses(host).values()) == [{one} for one in expected], spec
        assert ping(host.netns("c1"), expected[2])
    assert numbers(host) == before


def test_a_range_that_is_too_small_is_an_error_and_nothing_is_touched(host: Host):
    many = "".join(container(name=f"c{number}") for number in range(5))
    host.manifests.write("all.yaml", bridge() + many)
    converge(host)
    before = _addresses(host)

    host.manifests.write("all.yaml", bridge(f"{SUBNET}, ipRange: 10.1.0.4/30") + many)
    with pytest.raises(
        ManifestErrors, match="has room for 4 automatic addresses, and 5 are wanted"
    ):
        apply(host)

    assert _addresses(host) == before


# --------------------------------------------------------------------------- what does not fit

MISFITS = {
    "another subnet": (
        bridge("addresses: [10.3.0.1/24]") + container("bridge: br0, addresses: [10.1.0.9]"),
        "10.1.0.9 is outside Bridge/br0, which has 10.3.0.0/24",
    ),
    "a smaller subnet": (
        bridge("addresses: [10.1.0.1/29]") + container("bridge: br0, addresses: [10.1.0.9]"),
        "10.1.0.9 is outside Bridge/br0",
    ),
    "another prefix length": (
        bridge("addresses: [10.1.0.1/25]") + container("bridge: br0, addresses: [10.1.0.9/24]"),
        "has another prefix length than Bridge/br0",
    ),
    "the gateway's new address": (
        bridge("addresses: [10.1.0.9/24]") + container("bridge: br0, addresses: [10.1.0.9]"),
        "is the gateway's own address",
    ),
    "another bridge": (
        bridge() + BR1 + container("bridge: br1, addresses: [10.1.0.9]"),
        "10.1.0.9 is outside Bridge/br1",
    ),
    "no such family any more": (
        bridge("addresses: ['fd00:1::1/64']") + container("bridge: br0, addresses: [10.1.0.9]"),
        "10.1.0.9 is outside Bridge/br0",
    ),
    "the broadcast address": (
        bridge("addresses: [10.1.0.10/30]") + container("bridge: br0, addresses: [10.1.0.11]"),
        "broadcast",
    ),
    "two bridges of one subnet": (
        bridge() + bridge("addresses: [10.1.0.129/25]", "br1") + container(),
        "overlap",
    ),
    "an MTU too small for IPv6": (
        bridge(f"{DUAL}, mtu: 1200") + container(),
        "too small for the IPv6",
    ),
}


@pytest.mark.parametrize(("text", "message"), MISFITS.values(), ids=MISFITS)
def test_what_no_longer_fits_is_an_error_before_anything_is_touched(
    host: Host, text: str, message: str
):
    host.manifests.write("all.yaml", bridge() + container("bridge: br0, addresses: [10.1.0.9]"))
    converge(host)
    before = numbers(host), facts.addresses("br0"), _addresses(host)

    host.manifests.write("all.yaml", text)
    with pytest.raises(ManifestErrors) as caught:
        diff(host)
    assert main.run(["apply", str(host.manifests.folder)]) == 1

    assert any(message in problem.message for problem in caught.value.problems)
    assert (numbers(host), facts.addresses("br0"), _addresses(host)) == before


# --------------------------------------------------------------------------- what must be replaced


def _replaced(host: Host, after: str) -> set[str]:
    """The devices that are other ones now, under the names that they have in both."""
    before = numbers(host)
    host.manifests.write("all.yaml", after)
    converge(host)
    now = numbers(host)
    return {name for name in before.keys() & now.keys() if before[name] != now[name]}


def test_a_cable_to_another_container_is_the_only_thing_made_anew(host: Host):
    three = bridge() + "".join(container(name=name) for name in ("c1", "c2", "c3"))
    host.manifests.write("all.yaml", three + link(*LINK))
    converge(host)
    inodes = {name: facts.namespace_inode(name) for name in facts.namespaces()}

    moved = _replaced(host, three + link(LINK[0], LINK[1].replace("c2", "c3")))

    assert moved == {"c1:x0"}
    assert "y0" not in facts.links(host.netns("c2"))
    assert ping(host.netns("c1"), "10.8.0.2")
    assert {name: facts.namespace_inode(name) for name in facts.namespaces()} == inodes


def test_another_target_is_another_namespace_and_the_others_stay(host: Host):
    host.manifests.write("all.yaml", bridge() + _two("bridge: br0, addresses: [10.1.0.9]"))
    converge(host)
    number = facts.namespace_inode("c2")

    moved = _replaced(host, bridge() + _two("bridge: br0, addresses: [10.1.0.9], target: box"))

    assert facts.namespaces() == {"box", "c2"}
    assert facts.namespace_inode("c2") == number
    assert not {name for name in moved if name.startswith("c2:") or name == ":br0"}
    assert ping(host.netns("box"), "10.1.0.1")
    assert ping(host.netns("c2"), "10.1.0.9")


# --------------------------------------------------------------------------- names that are taken


def _their_bridge(host: Host) -> None:
    host.ip("link add lan0 type bridge")


def _their_port(host: Host) -> None:
    host.ip("tuntap add lan0 mode tap")


@pytest.mark.parametrize("make", [_their_bridge, _their_port], ids=["a bridge", "another device"])
def test_a_name_that_others_have_waits_and_everything_goes_on(
    host: Host, make: Callable[[Host], None]
):
    host.manifests.write("all.yaml", bridge(DUAL) + _two("bridge: br0"))
    converge(host)
    before = numbers(host)
    make(host)

    host.manifests.write("all.yaml", bridge(f"{DUAL}, device: lan0") + _two("bridge: br0"))
    report = apply(host)

    assert not report.failures, [str(o.error) for o in report.failures]
    assert not report.converged
    assert {change.action for change in report.after.changes} == {Action.BLOCKED}, describe(
        report.after
    )
    assert numbers(host).items() >= before.items()
    assert ping(host.netns("c1"), "10.1.0.3")
    assert ping(host.netns("c1"), "fd00:1::1")

    host.ip("link del lan0")
    converge(host)
    assert numbers(host) == {(":lan0" if name == ":br0" else name): n for name, n in before.items()}


def test_an_interface_name_that_others_have_waits(host: Host):
    host.manifests.write("all.yaml", bridge() + container("interfaces: [{bridge: br0}]"))
    converge(host)
    c1 = host.netns("c1")
    number = facts.link("eth0", c1)["ifindex"]
    c1.ip("tuntap add lan0 mode tap")

    host.manifests.write(
        "all.yaml", bridge() + container("interfaces: [{bridge: br0, name: lan0}]")
    )
    report = apply(host)
    assert {change.action for change in report.after.changes} == {Action.BLOCKED}
    assert ping(c1, "10.1.0.1")

    c1.ip("link del lan0")
    converge(host)
    assert facts.link("lan0", c1)["ifindex"] == number
    assert facts.addresses("lan0", c1) == {"10.1.0.2/24"}


def test_a_name_that_another_bridge_gives_up_is_free_in_the_same_pass(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge(DUAL) + bridge(f"{OTHER}, device: lan0", "br1") + _two("bridge: br0", "bridge: br1"),
    )
    converge(host)

    host.manifests.write(
        "all.yaml", bridge(f"{DUAL}, device: lan0") + BR1 + _two("bridge: br0", "bridge: br1")
    )
    converge(host)

    assert facts.bridges() == {"lan0", "br1"}
    assert facts.addresses("lan0") == {"10.1.0.1/24", "fd00:1::1/64"}
    for name, address in (("c1", "10.1.0.1"), ("c1", "fd00:1::1"), ("c2", "10.2.0.1")):
        assert ping(host.netns(name), address)


def test_two_interfaces_in_each_others_place(host: Host):
    """Names cannot be exchanged in one step: it converges, however that is done."""
    both = bridge() + BR1
    host.manifests.write(
        "all.yaml",
        both + container("interfaces: [{name: a0, bridge: br0}, {name: b0, bridge: br1}]"),
    )
    converge(host)

    host.manifests.write(
        "all.yaml",
        both + container("interfaces: [{name: b0, bridge: br0}, {name: a0, bridge: br1}]"),
    )
    converge(host)

    c1 = host.netns("c1")
    assert facts.peer("b0", c1)["master"] == "br0"
    assert facts.peer("a0", c1)["master"] == "br1"
    assert ping(c1, "10.1.0.1")
    assert ping(c1, "10.2.0.1")
