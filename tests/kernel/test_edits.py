"""Edits: a change of the manifests touches what it is about, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.cli import main
from tests.kernel import facts
from tests.kernel.manifests import DUAL, SUBNET, bridge, container, link
from tests.kernel.passes import apply, assert_settled, converge, describe, diff
from tests.kernel.streams import Echoes
from tests.kernel.worlds import MANY, write
from tests.probes import ping
from tests.world import HERE, NAMED, Host, Namespace


def identity(space: Namespace) -> dict[str, tuple[object, ...]]:
    """What a device keeps only if it is left alone: number, MAC, addresses, carrier changes."""
    return {
        name: (
            item["ifindex"],
            item["address"],
            facts.carrier_changes(name, space),
            sorted(facts.addresses(name, space)),
        )
        for name, item in facts.links(space).items()
    }


def _edits() -> Iterator[tuple[str, str]]:
    """Twenty edits in a row of what is beside c1 and c2: each a file and its new text."""
    yield "other.yaml", container(name="d1")
    yield "other.yaml", container(name="d1") + container(name="a0")
    yield "other.yaml", container("bridge: br0, addresses: [10.1.0.40, auto]", "d1")
    yield "other.yaml", container("bridge: br0, mac: '02:00:00:00:00:05'", "d1")
    yield "other.yaml", container("bridge: br0, target: elsewhere", "d1")
    yield "br1.yaml", bridge("addresses: [10.2.0.1/24]", "br1")
    yield "other.yaml", container("bridge: br1", "d1")
    yield "br1.yaml", bridge("addresses: [10.2.0.1/24], mtu: 9000", "br1")
    yield "br1.yaml", bridge("addresses: [10.3.0.1/24], mtu: 9000", "br1")
    yield "br1.yaml", bridge("addresses: [10.3.0.1/24], device: br2", "br1")
    yield "other.yaml", container("interfaces: [{bridge: br1}, {bridge: br0}]", "d1")
    yield "other.yaml", container("bridge: br0, sysctls: {net.ipv4.ip_forward: 1}", "d1")
    yield (
        "cable.yaml",
        link(
            "container: d1, interface: x0, addresses: [10.8.0.1/32]",
            "host: true, interface: y0, addresses: [10.8.0.2/32]",
        ),
    )
    yield (
        "cable.yaml",
        link(
            "container: d1, interface: x1, addresses: [10.8.0.1/32]",
            "host: true, interface: y0, addresses: [10.8.0.2/32], mtu: 1400",
        ),
    )
    yield "cable.yaml", ""
    yield "front.yaml", bridge(f"{DUAL}, ageingTime: 100") + container() + container(name="c2")
    yield (
        "front.yaml",
        bridge(f"{DUAL}, ageingTime: 50, reserved: [10.1.0.9]")
        + container()
        + container(name="c2"),
    )
    yield "other.yaml", container("network: none", "d1")
    yield "other.yaml", container(name="e1") + container(name="e2") + container(name="e3")
    yield "other.yaml", ""


def test_what_is_unchanged_is_not_disturbed(host: Host):
    """Twenty edits beside a connection: no packet lost, none sent again, no device touched."""
    host.manifests.write("front.yaml", bridge(DUAL) + container() + container(name="c2"))
    converge(host)
    c1, c2 = host.netns("c1"), host.netns("c2")
    ends = [facts.peer("eth0", c)["ifindex"] for c in (c1, c2)]
    before = [identity(c1), identity(c2), facts.link("br0")["ifindex"]]

    with Echoes(c1, c2, "10.1.0.3") as four, Echoes(c1, c2, "fd00:1::3") as six:
        for number, (name, text) in enumerate(_edits(), 1):
            host.manifests.write(name, text)
            report = apply(host)
            assert report.converged, (number, describe(report.after))
            changed = [str(change.key) for change in report.preview.changes]
            assert changed, number
            assert not [key for key in changed if "c1" in key or "c2" in key], changed
        sent_again = four.retransmissions() + six.retransmissions()

    assert number == 20
    assert (four.lost, six.lost, sent_again) == ([], [], 0)
    assert min(four.count, six.count) > 100
    assert [identity(c1), identity(c2), facts.link("br0")["ifindex"]] == before
    assert [facts.peer("eth0", c)["ifindex"] for c in (c1, c2)] == ends


def test_counters_go_on_counting(host: Host):
    host.manifests.write("a.yaml", bridge() + container())
    converge(host)
    c1 = host.netns("c1")
    assert ping(c1, "10.1.0.1")
    before = facts.received(c1, "eth0")

    host.manifests.write("b.yaml", container(name="c2"))
    converge(host)

    assert ping(c1, "10.1.0.1")
    assert facts.received(c1, "eth0") > before > 0


def test_a_new_container_never_renumbers_another(host: Host):
    """Whatever the order of the names: who has an automatic address keeps it."""
    host.manifests.write("front.yaml", bridge(DUAL))
    given: dict[str, object] = {}
    for name in ("m", "z", "a", "n", "b", "y"):
        host.manifests.write(f"{name}.yaml", container(name=name))
        converge(host)
        now = {space: facts.addresses("eth0", host.netns(space)) for space in facts.namespaces()}
        assert now.items() >= given.items()
        assert now[name] == {f"10.1.0.{len(now) + 1}/24", f"fd00:1::{len(now) + 1}/64"}
        given = now

    # A hole is filled by the next one, and nobody moves up.
    host.manifests.remove("z.yaml")
    converge(host)
    host.manifests.write("c.yaml", container(name="c"))
    converge(host)
    assert facts.addresses("eth0", host.netns("c")) == given.pop("z")
    assert given == {name: facts.addresses("eth0", host.netns(name)) for name in given}


@pytest.mark.parametrize("gone", ["front.yaml", "back.yaml", "cables.yaml", "more.yaml"])
def test_removing_a_manifest_removes_its_network_and_nothing_else(host: Host, gone: str):
    """Each file whose containers nobody else needs; the rest keeps its devices' numbers."""
    files = {
        "front.yaml": bridge(DUAL) + container(),
        "back.yaml": bridge("addresses: [10.2.0.1/24]", "br1") + container("bridge: br1", "c2"),
        "cables.yaml": container("network: none", "c3")
        + link(
            "container: c3, interface: x0, addresses: [10.8.0.1/32]",
            "host: true, interface: y0, addresses: [10.8.0.2/32]",
        ),
        "more.yaml": bridge("addresses: [10.4.0.1/24]", "br4"),
    }
    everybodys = {"front.yaml": "c1", "back.yaml": "c2", "cables.yaml": "c3"}
    write(host, files)
    converge(host)
    before = identity(HERE), {name: identity(host.netns(name)) for name in facts.namespaces()}

    host.manifests.remove(gone)
    converge(host)

    left = identity(HERE)
    expected = {name for file, name in everybodys.items() if file != gone}
    assert facts.namespaces() == expected
    assert {name: identity(host.netns(name)) for name in expected}.items() <= before[1].items()
    # Port and bridge of what is left are untouched; what is gone is gone from the host, too.
    removed = {"front.yaml": 2, "back.yaml": 2, "cables.yaml": 1, "more.yaml": 1}[gone]
    assert len(before[0]) - len(left) == removed
    assert left.items() <= before[0].items()


def test_a_renamed_resource_is_another_resource(host: Host):
    host.manifests.write("a.yaml", bridge() + container("bridge: br0, addresses: [10.1.0.9]"))
    converge(host)
    host.manifests.write(
        "a.yaml", bridge() + container("bridge: br0, addresses: [10.1.0.9]", "renamed")
    )
    converge(host)

    assert facts.namespaces() == {"renamed"}
    assert ping(host.netns("renamed"), "10.1.0.1")


def test_a_renamed_resource_with_the_same_target_keeps_its_namespace(host: Host):
    """Only the words of its mark change, and the name of the device that is made of its name."""
    host.manifests.write("a.yaml", bridge() + container("bridge: br0, target: box"))
    converge(host)
    before = facts.namespace_inode("box")
    host.manifests.write("a.yaml", bridge() + container("bridge: br0, target: box", "renamed"))
    converge(host)

    assert facts.namespaces() == {"box"}
    assert facts.namespace_inode("box") == before
    assert ping(host.netns("box"), "10.1.0.1")


IN_PLACE = {
    "another bridge": "bridge: br1",
    "another address": "bridge: br0, addresses: [10.1.0.77]",
    "another mac": "bridge: br0, mac: '02:00:00:00:00:05'",
    "a route": "bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.1}]",
    "a sysctl": "bridge: br0, sysctls: {net.ipv4.ip_forward: 1}",
    "an mtu": "interfaces: [{bridge: br0, mtu: 1400}]",
    "one interface more": "interfaces: [{bridge: br0}, {bridge: br1}]",
}


@pytest.mark.parametrize("spec", IN_PLACE.values(), ids=IN_PLACE)
def test_an_edit_of_a_container_keeps_its_devices(host: Host, spec: str):
    """Moved to another bridge, renumbered: the same pair of devices, numbers and carrier."""
    bridges = bridge() + bridge("addresses: [10.2.0.1/24]", "br1")
    host.manifests.write("a.yaml", bridges + container())
    converge(host)
    c1 = host.netns("c1")
    before = facts.link("eth0", c1)["ifindex"], facts.peer("eth0", c1)["ifindex"]
    carrier = facts.carrier_changes("eth0", c1)

    host.manifests.write("a.yaml", bridges + container(spec))
    converge(host)

    assert (facts.link("eth0", c1)["ifindex"], facts.peer("eth0", c1)["ifindex"]) == before
    assert facts.carrier_changes("eth0", c1) == carrier
    address = min(facts.addresses("eth0", c1))
    assert ping(HERE, address.partition("/")[0])


def test_a_bridges_edits_keep_its_device_and_its_ports(host: Host):
    host.manifests.write("a.yaml", bridge() + container())
    converge(host)
    before = facts.link("br0")["ifindex"], facts.peer("eth0", host.netns("c1"))["ifindex"]
    for spec in (
        f"{SUBNET}, mtu: 9000",
        f"{SUBNET}, stp: false, ageingTime: 7",
        DUAL,
        "addresses: [10.5.0.1/16]",
        f"{SUBNET}, internal: true",
    ):
        host.manifests.write("a.yaml", bridge(spec) + container())
        converge(host)
        now = facts.link("br0")["ifindex"], facts.peer("eth0", host.netns("c1"))["ifindex"]
        assert now == before, spec


def test_a_single_file_adds_and_changes_but_prunes_only_when_asked(host: Host):
    write(host, {"a.yaml": bridge() + container(), "b.yaml": container(name="c2")})
    converge(host)
    one = host.manifests.write("a.yaml", bridge(f"{SUBNET}, mtu: 1400") + container(name="c3"))

    report = apply(host, one)
    assert report.converged
    assert facts.namespaces() == {"c1", "c2", "c3"}
    assert facts.link("br0")["mtu"] == 1400

    assert apply(host, one, prune=True).converged
    assert facts.namespaces() == {"c3"}


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "kind: Bridge\n", "{", "\x00"])
def test_what_says_nothing_or_nonsense_deletes_nothing(host: Host, text: str | None):
    """An empty folder, a half-finished checkout, one bad file: an error, and all stays (7)."""
    write(host, {"a.yaml": bridge() + container()})
    converge(host)
    before = identity(HERE)
    host.manifests.remove("a.yaml")
    if text is not None:
        host.manifests.write("a.yaml", text)

    done = host.reconciler("apply", host.manifests)

    assert done.code == 1
    assert done.stderr
    assert facts.namespaces() == {"c1"}
    assert identity(HERE) == before


def test_an_empty_folder_that_is_meant_removes_all(host: Host):
    write(host, MANY)
    converge(host)
    for name in MANY:
        host.manifests.remove(name)

    assert host.reconciler("apply", "--allow-empty", host.manifests).code == 0
    assert (facts.namespaces(), facts.links()) == (set(), {})


# ---------------------------------------------------------------- what a killed run leaves behind


def _mount_point_without_a_mount(host: Host) -> None:
    host.delete_netns("c1")
    (NAMED / "c1").write_text("reconciler default Container/c1")


def _namespace_of_nobody_any_more(host: Host) -> None:
    (NAMED / "gone").write_text("reconciler default Container/gone")


def _namespace_without_devices(host: Host) -> None:
    for name in list(facts.links(host.netns("c1"))):
        host.netns("c1").ip(f"link del {name}")


def _device_without_words(host: Host) -> None:
    c1 = host.netns("c1")
    host.run("ip", "link", "set", facts.peer("eth0", c1)["ifname"], "alias", "")
    c1.run("ip", "link", "set", "eth0", "alias", "")
    c1.ip("link set eth0 down")


def _bridge_without_words(host: Host) -> None:
    host.run("ip", "link", "set", "br0", "alias", "")
    host.ip("addr flush dev br0")


def _device_of_nobody_without_words(host: Host) -> None:
    """Made for a resource that is not declared any more, killed before it had its alias."""
    group = facts.link("br0")["group"]
    host.ip(f"link add rcold-aaaaaaa group {group} type veth peer name eth5 netns c1")
    host.ip(f"link add brold group {group} type bridge")


def _half_made_pair(host: Host) -> None:
    """The pair is there, its peer neither named in words nor up, without address and route."""
    c1 = host.netns("c1")
    device, group = facts.peer("eth0", c1)["ifname"], facts.link("br0")["group"]
    host.ip(f"link del {device}")
    host.ip(f"link add {device} group {group} type veth peer name eth0 netns c1")
    host.ip(f"link set {device} master br0 up")


def _doomed_devices(host: Host) -> None:
    """Killed between putting devices into a group of the doomed and deleting the group."""
    host.ip("link set br0 group 2080374785")
    host.ip(f"link set {facts.peer('eth0', host.netns('c1'))['ifname']} group 2080374785")


def _address_without_route(host: Host) -> None:
    host.netns("c1").ip("route flush default")


LEFT_BEHIND = (
    _mount_point_without_a_mount,
    _namespace_of_nobody_any_more,
    _namespace_without_devices,
    _device_without_words,
    _bridge_without_words,
    _device_of_nobody_without_words,
    _half_made_pair,
    _doomed_devices,
    _address_without_route,
)


@pytest.mark.parametrize("leave", LEFT_BEHIND, ids=lambda f: f.__name__.strip("_"))
def test_the_next_pass_finishes_what_a_killed_one_left_and_nothing_leaks(
    host: Host, leave: Callable[[Host], None]
):
    write(host, {"a.yaml": bridge() + container() + container(name="c2")})
    converge(host)
    names = set(facts.links()), facts.namespaces()
    leave(host)
    shown = diff(host)

    converge(host)

    assert (set(facts.links()), facts.namespaces()) == names
    assert set(facts.links(host.netns("c1"))) == {"eth0"}
    assert ping(host.netns("c1"), "10.1.0.3")
    assert shown.in_sync == (leave is _doomed_devices), describe(shown)
    assert main.run(["teardown"]) == 0
    assert facts.links() == {}
    assert list(NAMED.iterdir()) == []


def test_a_name_in_run_netns_of_nobody_stays(host: Host):
    """Only what carries our words is a leftover of ours."""
    host.add_netns("other")
    (NAMED / "notes").write_text("somebody's")
    (NAMED / "empty").touch()
    write(host, {"a.yaml": bridge() + container()})
    converge(host)
    host.manifests.remove("a.yaml")
    assert apply(host, allow_empty=True).converged

    assert {path.name for path in NAMED.iterdir()} == {"other", "notes", "empty"}
    assert Path("/run/netns/notes").read_text() == "somebody's"
    assert_settled(host, allow_empty=True)
