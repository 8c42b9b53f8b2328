"""hostname and hosts where `ip netns exec` looks for them, on a real host."""

from __future__ import annotations

from pathlib import Path

from tests.kernel import facts
from tests.kernel.manifests import DUAL, SUBNET, bridge, container, link
from tests.kernel.names import (
    LOCAL6,
    NAMES,
    hosts,
    inode,
)
from tests.kernel.passes import converge
from tests.world import Host, wait_until

# --------------------------------------------------------------------------- hosts


def test_hosts_has_its_own_names_and_the_others_of_its_bridge(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge(DUAL)
        + container()
        + container("bridge: br0, hostname: db, domainname: prod.example", "c2")
        + container("bridge: br0, addresses: [10.1.0.9]", "c3")
        + container("network: none", "c4"),
    )
    converge(host)

    everybody = {
        "10.1.0.2": ["c1"], "fd00:1::2": ["c1"],
        "10.1.0.3": ["db.prod.example", "db", "c2"], "fd00:1::3": ["db.prod.example", "db", "c2"],
        "10.1.0.9": ["c3"],
    }  # fmt: skip
    assert hosts("c1") == hosts("c2") == hosts("c3") == LOCAL6 | everybody
    assert hosts("c4") == {}
    assert (NAMES / "c1/hostname").read_text() == "c1\n"
    assert (NAMES / "c2/hostname").read_text() == "db\n"


def test_extra_hosts_and_links_come_beside_the_neighbours(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge(DUAL)
        + container(
            "bridge: br0, links: ['c2:db', c3],"
            " extraHosts: {gw: host-gateway, mail: 192.0.2.25, six: '2001:db8::6'}"
        )
        + container("bridge: br0, hostname: postgres", "c2")
        + container(name="c3"),
    )
    converge(host)

    assert hosts("c1") == LOCAL6 | {
        "10.1.0.2": ["c1"], "fd00:1::2": ["c1"],
        "10.1.0.1": ["gw"], "fd00:1::1": ["gw"],
        "192.0.2.25": ["mail"], "2001:db8::6": ["six"],
        "10.1.0.3": ["db", "postgres", "c2"], "fd00:1::3": ["db", "postgres", "c2"],
        "10.1.0.4": ["c3"], "fd00:1::4": ["c3"],
    }  # fmt: skip
    assert "db" not in str(hosts("c3"))
    assert "mail" not in str(hosts("c3"))


def test_where_containers_may_not_talk_only_linked_ones_are_named(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge(f"{SUBNET}, icc: false")
        + container("bridge: br0, links: ['c2:db']")
        + container("bridge: br0, expose: [5432]", "c2")
        + container(name="c3"),
    )
    converge(host)

    assert hosts("c1") == {"10.1.0.2": ["c1"], "10.1.0.3": ["db", "c2"]}
    assert hosts("c2") == {"10.1.0.3": ["c2"]}
    assert hosts("c3") == {"10.1.0.4": ["c3"]}


def test_a_container_on_two_bridges_knows_both_and_they_only_themselves(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge()
        + bridge("addresses: [10.2.0.1/24]", "br1")
        + container("interfaces: [{bridge: br0}, {bridge: br1}]")
        + container(name="c2")
        + container("bridge: br1", "c3"),
    )
    converge(host)

    assert hosts("c1") == {
        "10.1.0.2": ["c1"], "10.2.0.2": ["c1"], "10.1.0.3": ["c2"], "10.2.0.3": ["c3"],
    }  # fmt: skip
    assert hosts("c2") == {"10.1.0.2": ["c1"], "10.1.0.3": ["c2"]}
    assert hosts("c3") == {"10.2.0.2": ["c1"], "10.2.0.3": ["c3"]}


def test_a_container_with_links_only_is_known_by_their_addresses(host: Host):
    host.manifests.write(
        "all.yaml",
        container("network: none, hostname: left")
        + container("network: none", "c2")
        + link(
            "container: c1, interface: x0, addresses: [10.8.0.1/32, 'fd00:8::1/128']",
            "container: c2, interface: y0, addresses: [10.8.0.2/32, 'fd00:8::2/128']",
        ),
    )
    converge(host)

    assert hosts("c1") == LOCAL6 | {"10.8.0.1": ["left", "c1"], "fd00:8::1": ["left", "c1"]}


def test_who_says_nothing_special_shares_one_file(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge() + container() + container(name="c2") + container("bridge: br0, links: [c1]", "c3"),
    )
    converge(host)
    shared = {(NAMES / name / "hosts").readlink() for name in ("c1", "c2")}
    assert shared == {Path("../.default-bridge-br0/hosts")}
    assert not (NAMES / "c3/hosts").is_symlink()
    assert {"10.1.0.2", "10.1.0.3", "10.1.0.4"} == hosts("c1").keys() == hosts("c3").keys()

    # From shared to one's own, and back.
    host.manifests.write(
        "all.yaml",
        bridge()
        + container("bridge: br0, extraHosts: {mail: 192.0.2.25}")
        + container(name="c2")
        + container(name="c3"),
    )
    converge(host)
    assert not (NAMES / "c1/hosts").is_symlink()
    assert (NAMES / "c3/hosts").is_symlink()
    assert "192.0.2.25" in hosts("c1")
    assert hosts("c2") == hosts("c3") == {
        "10.1.0.2": ["c1"], "10.1.0.3": ["c2"], "10.1.0.4": ["c3"],
    }  # fmt: skip

    host.manifests.write("all.yaml", bridge(f"{SUBNET}, icc: false") + container())
    converge(host)
    assert {path.name for path in NAMES.iterdir()} == {".c1.reconciler", "c1"}  # nobody shares


def test_hosts_follow_an_address_that_changes(host: Host):
    text = bridge() + container("bridge: br0, links: ['c2:db']") + container(name="c3")
    host.manifests.write("all.yaml", text)
    host.manifests.write("c2.yaml", container("bridge: br0, addresses: [10.1.0.7]", "c2"))
    converge(host)
    before = inode("c1", "hosts"), inode("c3", "hosts")

    host.manifests.write("c2.yaml", container("bridge: br0, addresses: [10.1.0.8]", "c2"))
    converge(host)

    assert hosts("c1")["10.1.0.8"] == ["db", "c2"]
    assert hosts("c3")["10.1.0.8"] == ["c2"]
    assert "10.1.0.7" not in hosts("c1").keys() | hosts("c3").keys()
    assert (inode("c1", "hosts"), inode("c3", "hosts")) == before

    host.manifests.write("all.yaml", text.replace("10.1.0.1/24", "10.5.0.1/24"))
    host.manifests.write("c2.yaml", container("bridge: br0", "c2"))
    converge(host)
    assert set(hosts("c3")) == {"10.5.0.2", "10.5.0.3", "10.5.0.4"}


# --------------------------------------------------------------------------- a part of a set


def test_a_single_file_keeps_the_names_of_those_that_it_does_not_speak_of(host: Host):
    """Names of their own included; what the file does say is new."""
    host.manifests.write("bridge.yaml", bridge())
    host.manifests.write("c1.yaml", container())
    host.manifests.write(
        "c2.yaml", container("bridge: br0, hostname: db, domainname: prod.example", "c2")
    )
    converge(host)
    everybody = {"10.1.0.2": ["c1"], "10.1.0.3": ["db.prod.example", "db", "c2"]}
    assert hosts() == everybody

    one = host.manifests.write("one/one.yaml", bridge() + container(name="c3"))
    converge(host, one)

    assert hosts("c1") == hosts("c2") == hosts("c3") == everybody | {"10.1.0.4": ["c3"]}

    one.write_text(bridge() + container("bridge: br0, links: [c3]") + container(name="c3"))
    converge(host, one)
    assert hosts("c1").keys() == hosts("c2").keys() == {"10.1.0.2", "10.1.0.3", "10.1.0.4"}
    assert hosts("c1")["10.1.0.3"] == hosts("c2")["10.1.0.3"] == everybody["10.1.0.3"]


def test_the_directory_is_the_whole_truth_again(host: Host):
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    one = host.manifests.folder.parent / "one.yaml"
    one.write_text(bridge() + container(name="c2"))
    converge(host, one)
    assert set(hosts()) == {"10.1.0.2", "10.1.0.3"}

    converge(host)

    assert set(hosts()) == {"10.1.0.2"}
    assert facts.namespaces() == {"c1"}
    wait_until(lambda: not (NAMES / "c2").exists())
