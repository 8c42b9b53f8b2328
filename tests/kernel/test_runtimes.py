"""Runtimes path and pid: namespaces of others, which we enter, never make and never delete."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.agent.reconcile import Report
from reconciler.cli import main
from reconciler.core.diff import Action
from tests.kernel import facts
from tests.kernel.manifests import DUAL, bridge, container, link
from tests.kernel.passes import apply, assert_settled, converge, describe, diff
from tests.probes import ping
from tests.world import (
    NAMED,
    REMOTE,
    Host,
    Namespace,
    inside,
    make_namespace,
    remove_namespace,
    wait_until,
)

NAMES = Path("/etc/netns")
BOX = REMOTE / "box"
GONE = "is not there; it belongs to somebody else, who has to make it"
BR0 = bridge(DUAL)
ON_BOX = container(f"bridge: br0, runtime: path, target: {BOX}")


@contextmanager
def process() -> Iterator[tuple[str, Namespace]]:
    """A process with a namespace of its own, as a container engine would start one."""
    argv = ["unshare", "-n", "sh", "-c", "echo there; read line"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "there\n"
        pid = str(running.pid)
        try:
            yield pid, Namespace(pid, Path(f"/proc/{pid}/ns/net"))
        finally:
            running.kill()


def on_pid(pid: str) -> str:
    return container(f"bridge: br0, runtime: pid, target: '{pid}'")


def names() -> set[str]:
    return {path.name for path in NAMES.iterdir()}


def reasons(report: Report) -> dict[str, str]:
    return {change.key.name: change.reason for change in report.after.changes}


def test_a_namespace_of_others_gets_an_interface_and_keeps_all_it_has(host: Host):
    box = make_namespace(BOX)
    box.ip("link add own0 type veth peer name own1")
    box.ip("addr add 10.70.0.1/24 dev own0")
    box.ip("link set own0 up")
    box.ip("route add 10.71.0.0/16 via 10.70.0.9")
    facts.set_sysctl("net.ipv4.ip_forward", "1", box)
    before = facts.links(box), facts.all_links(box)["lo"], facts.routes(box)
    host.manifests.write("all.yaml", BR0 + ON_BOX + container(name="c2"))

    converge(host)

    assert facts.addresses("eth0", box) == {"10.1.0.2/24", "fd00:1::2/64"}
    assert ping(box, "10.1.0.3")
    assert ping(host.netns("c2"), "fd00:1::2")
    assert {name: facts.links(box)[name] for name in before[0]} == before[0]
    assert "ifalias" not in facts.all_links(box)["lo"]
    assert facts.namespaces() == {"c2"}

    assert main.run(["teardown"]) == 0
    assert (facts.links(box), facts.all_links(box)["lo"], facts.routes(box)) == before
    assert facts.sysctl("net.ipv4.ip_forward", box) == "1"
    assert BOX.exists()
    assert names() == set()


def test_lo_of_others_is_left_down(host: Host):
    box = make_namespace(BOX)
    box.ip("link set lo down")
    host.manifests.write("all.yaml", BR0 + ON_BOX)
    converge(host)

    assert "UP" not in facts.all_links(box)["lo"]["flags"]


def test_a_path_where_nothing_is_yet_is_blocked_and_stops_nobody_else(host: Host):
    host.manifests.write("all.yaml", BR0 + ON_BOX + container(name="c2"))

    report = apply(host)

    assert not report.failures, [str(outcome.error) for outcome in report.failures]
    found = reasons(report)
    assert found[str(BOX)].endswith(f"{BOX} {GONE}")
    assert {change.action for change in report.after.changes} == {Action.BLOCKED}
    assert ping(host.netns("c2"), "10.1.0.1")
    owners = {str(change.owner) for change in report.after.changes}
    assert owners == {"Container/c1"}, describe(report.after)
    assert main.run(["diff", os.fspath(host.manifests)]) == 2
    assert main.run(["apply", os.fspath(host.manifests)]) == 4

    box = make_namespace(BOX)
    converge(host)
    assert ping(box, "10.1.0.1")


@pytest.mark.parametrize("what", ["file", "folder", "another kind of namespace", "dangling"])
def test_a_path_that_is_no_network_namespace_is_blocked(host: Host, what: str):
    BOX.parent.mkdir(exist_ok=True)
    if what == "file":
        BOX.touch()
    elif what == "folder":
        BOX.mkdir()
    else:
        BOX.symlink_to("/proc/self/ns/mnt" if "kind" in what else "/nowhere")
    host.manifests.write("all.yaml", BR0 + ON_BOX + container(name="c2"))

    report = apply(host)

    assert not report.failures
    assert str(BOX) in reasons(report)
    assert ping(host.netns("c2"), "10.1.0.1")


def test_a_process_that_ends_is_a_state_and_one_that_comes_is_healed(host: Host):
    with process() as (pid, space):
        host.manifests.write("all.yaml", BR0 + on_pid(pid) + container(name="c2"))
        converge(host)
        assert ping(space, "10.1.0.3")
        assert ping(host.netns("c2"), "fd00:1::2")

    wait_until(
        lambda: set(facts.links()) == {"br0", facts.peer("eth0", host.netns("c2"))["ifname"]}
    )
    shown = diff(host)
    assert {change.action for change in shown.changes} == {Action.BLOCKED}
    report = apply(host)
    assert not report.failures
    assert reasons(report)[f"/proc/{pid}/ns/net"].endswith(GONE)
    assert ping(host.netns("c2"), "10.1.0.1")
    assert main.run(["show"]) == 0
    assert main.run(["snapshot"]) == 0

    with process() as (fresh, space):
        host.manifests.write("all.yaml", BR0 + on_pid(fresh) + container(name="c2"))
        converge(host)
        # The address is free again, or still the container's own.
        assert ping(space, "10.1.0.3")
        assert ping(host.netns("c2"), "10.1.0.2")

    wait_until(lambda: len(facts.links()) == 2)
    assert main.run(["teardown"]) == 0
    assert (facts.links(), names()) == ({}, set())


def test_a_namespace_that_is_replaced_under_its_path_is_entered_anew(host: Host):
    """As when an engine starts a container again: another namespace in the same place."""
    first = make_namespace(BOX)
    host.manifests.write("all.yaml", BR0 + ON_BOX)
    converge(host)
    assert ping(first, "10.1.0.1")

    remove_namespace(first)
    second = make_namespace(BOX)
    wait_until(lambda: set(facts.links()) == {"br0"})
    converge(host)

    assert facts.addresses("eth0", second) == {"10.1.0.2/24", "fd00:1::2/64"}
    assert ping(second, "10.1.0.1")


def test_the_old_namespace_that_lives_on_elsewhere_gives_its_interface_back(host: Host):
    """The path leads to another namespace, and the one before is still held by somebody."""
    make_namespace(REMOTE / "one")
    two = make_namespace(REMOTE / "two")
    BOX.symlink_to(REMOTE / "one")
    host.manifests.write("all.yaml", BR0 + ON_BOX)
    converge(host)

    BOX.unlink()
    BOX.symlink_to(REMOTE / "two")
    converge(host)

    assert ping(two, "10.1.0.1")
    assert facts.links(Namespace("one", REMOTE / "one")) == {}


def test_a_named_namespace_given_by_its_path_is_never_deleted(host: Host):
    host.add_netns("theirs")
    for target in ("/run/netns/theirs", "/var/run/netns/theirs"):
        host.manifests.write(
            "all.yaml", BR0 + container(f"bridge: br0, runtime: path, target: {target}")
        )
        converge(host)
        assert ping(host.netns("theirs"), "10.1.0.1")
        assert "ifalias" not in facts.all_links(host.netns("theirs"))["lo"]
        assert {"theirs", ".theirs.reconciler"} <= names()

        host.manifests.write("all.yaml", BR0)
        converge(host)
        assert facts.namespaces() == {"theirs"}
        assert facts.links(host.netns("theirs")) == {}
        assert names() == set()

    assert main.run(["teardown"]) == 0
    assert facts.namespaces() == {"theirs"}


def test_what_is_in_the_way_inside_is_blocked(host: Host):
    box = make_namespace(BOX)
    box.ip("link add eth0 type veth peer name own1")
    host.manifests.write("all.yaml", BR0 + ON_BOX + container(name="c2"))

    report = apply(host)

    assert not report.failures
    assert any("does not carry our mark" in reason for reason in reasons(report).values())
    assert ping(host.netns("c2"), "10.1.0.1")
    assert facts.links(box)["eth0"]["link"] == "own1"


def test_drift_inside_is_healed_and_other_things_there_are_not_touched(host: Host):
    box = make_namespace(BOX)
    host.manifests.write("all.yaml", BR0 + ON_BOX)
    converge(host)

    box.ip("addr flush dev eth0")
    box.ip("link set eth0 down")
    box.ip("addr add 10.72.0.1/24 dev eth0")
    converge(host)
    assert facts.addresses("eth0", box) == {"10.1.0.2/24", "fd00:1::2/64", "10.72.0.1/24"}

    box.ip("link del eth0")
    converge(host)
    assert ping(box, "10.1.0.1")
    with inside(box):
        assert Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").read_text() == "0\n"


def test_links_lead_into_namespaces_of_others(host: Host):
    box = make_namespace(BOX)
    with process() as (pid, space):
        host.manifests.write(
            "all.yaml",
            container(f"network: none, runtime: path, target: {BOX}")
            + container(f"network: none, runtime: pid, target: '{pid}'", "c2")
            + link(
                "container: c1, interface: x0, addresses: [10.8.0.1/32, 'fd00:8::1/128']",
                "container: c2, interface: y0, addresses: [10.8.0.2/32, 'fd00:8::2/128']",
                "rate: 100mbit",
            ),
        )
        converge(host)
        assert ping(box, "10.8.0.2")
        assert ping(space, "fd00:8::1")
        assert facts.rate("x0", box) == facts.rate("y0", space) == 100_000_000

        space.ip("link set y0 down")
        converge(host)
        assert ping(box, "10.8.0.2")

    wait_until(lambda: facts.links(box) == {})
    report = apply(host)
    assert not report.failures
    assert {change.action for change in report.after.changes} == {Action.BLOCKED}
    assert main.run(["teardown"]) == 0
    assert facts.links(box) == {}
    assert BOX.exists()


def test_two_sets_may_have_interfaces_in_one_namespace_of_others(host: Host):
    box = make_namespace(BOX)
    host.manifests.write("a/all.yaml", BR0 + ON_BOX)
    host.manifests.write(
        "b/all.yaml",
        bridge("addresses: [10.2.0.1/24], device: br9")
        + container(
            f"interfaces: [{{name: eth9, bridge: br0, gateway: false}}],"
            f" runtime: path, target: {BOX}",
            "d1",
        ),
    )
    converge(host, host.manifests.folder / "a")
    converge(host, host.manifests.folder / "b", set_name="two")
    assert_settled(host, host.manifests.folder / "a")
    assert set(facts.links(box)) == {"eth0", "eth9"}

    assert main.run(["teardown"]) == 0
    assert set(facts.links(box)) == {"eth9"}
    assert ping(box, "10.2.0.1")
    assert NAMED.is_dir()
