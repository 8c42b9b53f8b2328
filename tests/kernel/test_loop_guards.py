"""What a loop does not do: it disturbs nothing, deletes nothing on suspicion, and is alone."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.kernel import facts
from tests.kernel.daemon import Daemon, Record, running, start
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import converge, diff
from tests.kernel.streams import Echoes
from tests.witness import QuietKernel, assert_same, kernel_snapshot
from tests.world import Host, Result, wait_until

GATEWAY = "10.1.0.1/24"
SLOW = ("--full-look", "3600", "--poll", "3600")
"""Nothing is looked at but what an event tells of."""
TTL = "net.ipv4.ip_default_ttl"
"""A parameter, of whose change the kernel tells nobody."""
NAMES = tuple(f"c{number}" for number in range(1, 9))
"""Containers, of which all but one go: more than half of what is there."""
BROKEN = "kind: Bridge\n  name: [\n"


def declare(host: Host, *names: str) -> None:
    """A bridge, and containers on it, a file each."""
    host.manifests.write("br0.yaml", bridge())
    for name in names:
        host.manifests.write(f"{name}.yaml", container(name=name))


def assert_heals(daemon: Daemon) -> None:
    """Take the bridge's address away, and see it come back."""
    assert facts.addresses("br0") == {GATEWAY}
    daemon.host.ip(f"addr del {GATEWAY} dev br0")
    daemon.wait(lambda: facts.addresses("br0") == {GATEWAY})


def events(daemon: Daemon, name: str) -> list[Record]:
    return [record for record in daemon.log if record["event"] == name]


def flow(echoes: Echoes) -> None:
    """Let some traffic pass."""
    count = echoes.count
    wait_until(lambda: echoes.lost or echoes.count > count + 100)


def once(host: Host, folder: Path, *options: str) -> Result:
    dirs = ("--run-dir", folder / "run", "--state-dir", folder / "state")
    return host.reconciler("run", "--once", host.manifests, *dirs, *options)


# --- start and stop


def test_start_and_stop_on_a_converged_host_write_nothing_and_disturb_no_traffic(
    host: Host, tmp_path: Path
):
    declare(host, "c1")
    host.manifests.write("c2.yaml", container("bridge: br0, publish: ['8080:80']", "c2"))
    converge(host)
    with (
        Echoes(host.netns("c1"), host.netns("c2"), "10.1.0.3") as echoes,
        QuietKernel() as quiet,
        running(host, tmp_path / "daemon") as daemon,
    ):
        flow(echoes)
        assert daemon.stop() == 0
        flow(echoes)
        assert echoes.retransmissions() == 0
    assert quiet.changes() == []
    assert echoes.lost == []
    assert not events(daemon, "changed")
    assert [record["operations"] for record in events(daemon, "pass")] == [0]


def test_sigterm_ends_it_within_seconds_and_leaves_the_network_as_it_is(host: Host, tmp_path: Path):
    declare(host, "c1")
    with running(host, tmp_path / "daemon") as daemon:
        before = kernel_snapshot()
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 3
        assert_same(before, kernel_snapshot())
        assert not (daemon.run_dir / "reconciler.sock").exists()
        assert daemon.command("status").code == 1


def test_a_start_with_broken_manifests_changes_nothing_until_they_are_repaired(
    host: Host, tmp_path: Path
):
    declare(host, "c1", "c2")
    converge(host)
    host.ip(f"addr del {GATEWAY} dev br0")
    host.manifests.remove("c2.yaml")
    host.manifests.write("br0.yaml", BROKEN)

    with QuietKernel() as quiet:
        daemon = start(host, tmp_path / "daemon")
        try:
            daemon.wait((daemon.run_dir / "reconciler.sock").exists)
            daemon.wait(lambda: events(daemon, "pass"))
            daemon.signal(signal.SIGHUP)
            daemon.wait(lambda: [p for p in events(daemon, "pass") if p["cause"] == "signal"])
        except BaseException:
            daemon.process.kill()
            raise
    try:
        assert quiet.changes() == []
        status = daemon.status()
        assert [p["path"] for p in status["manifests"]["problems"]] == [
            str(host.manifests.folder / "br0.yaml")
        ]
        assert (status["revision"], status["inSync"], status["ready"]) == ("", False, False)
        said = daemon.command("status")
        assert said.code == 2
        assert "nothing is in force" in said.stdout
        assert facts.namespaces() == {"c1", "c2"}

        host.manifests.write("br0.yaml", bridge())
        daemon.wait_in_sync()
        assert facts.namespaces() == {"c1"}
        assert facts.addresses("br0") == {GATEWAY}
        assert daemon.stop() == 0
    finally:
        daemon.process.kill()
        daemon.process.wait(10)


def test_apply_and_a_second_loop_exit_5_while_a_loop_runs_and_name_it(host: Host, tmp_path: Path):
    declare(host, "c1")
    with running(host, tmp_path / "daemon") as daemon:
        path = os.fspath(host.manifests)
        host.manifests.write("c2.yaml", BROKEN)  # so that the loop itself does not make it
        daemon.wait(lambda: daemon.status()["manifests"]["problems"])
        (tmp_path / "more.yaml").write_text(container("network: none", "c3"))

        found = [
            daemon.command("apply", str(tmp_path / "more.yaml")),
            daemon.command("run", path),
            daemon.command("run", "--once", path),
            daemon.host.reconciler("teardown", "--run-dir", daemon.run_dir),
        ]

        assert [result.code for result in found] == [5] * 4
        for result in found:
            said = " ".join(result.stderr.split())
            assert f"process {daemon.process.pid} (reconciler run)" in said
        assert facts.namespaces() == {"c1"}
        # And the loop is still there, on its socket.
        assert daemon.status()["pid"] == daemon.process.pid
        # To look is free.
        assert daemon.host.reconciler("diff", tmp_path / "more.yaml").code == 2


# --- signals


def test_sighup_looks_at_what_nobody_tells_of(host: Host, tmp_path: Path):
    declare(host)
    host.manifests.write("c1.yaml", container(f"bridge: br0, sysctls: {{{TTL}: '77'}}"))
    with running(host, tmp_path / "daemon", *SLOW) as daemon:
        c1 = host.netns("c1")
        assert facts.sysctl(TTL, c1) == "77"
        facts.set_sysctl(TTL, "64", c1)
        assert_heals(daemon)
        assert facts.sysctl(TTL, c1) == "64", "somebody told, so that this test proves nothing"

        daemon.signal(signal.SIGHUP)

        daemon.wait(lambda: facts.sysctl(TTL, c1) == "77")
        daemon.wait(lambda: [p for p in events(daemon, "pass") if p["cause"] == "signal"])
        (record,) = [r for r in daemon.history() if TTL in r["object"]]
        assert (record["fate"], record["foundBy"]) == ("healed", "timer")


def test_sigusr1_writes_what_it_knows_to_the_log(host: Host, tmp_path: Path):
    declare(host, "c1")
    with running(host, tmp_path / "daemon") as daemon:
        daemon.signal(signal.SIGUSR1)
        (state,) = daemon.wait(lambda: events(daemon, "state"))
        known = daemon.status()
        assert {name: state[name] for name in known} == known
        assert_heals(daemon)


# --- suspiciously much


def owned(host: Host) -> int:
    """How many objects of ours are there."""
    return len(diff(host, prune=False).observed.owners)


def test_removing_most_manifests_at_once_deletes_nothing_and_says_so(host: Host, tmp_path: Path):
    declare(host, *NAMES)
    with running(host, tmp_path / "daemon", "--full-look", "3600") as daemon:
        before = owned(host)
        text = container("network: none", "new")
        host.manifests.write("all.yaml", BROKEN)
        daemon.wait(lambda: daemon.status()["manifests"]["problems"])
        for name in NAMES[1:]:
            host.manifests.remove(f"{name}.yaml")
        host.manifests.write("all.yaml", text)

        # What is new is made all the same.
        daemon.wait(lambda: "new" in facts.namespaces())
        (warning,) = daemon.wait(lambda: daemon.status()["warnings"])

        found = re.match(
            r"([0-9]+) of the ([0-9]+) objects that are ours would be deleted", warning
        )
        assert found
        assert int(found[1]) * 2 > int(found[2])
        assert "Container/c2, Container/c3, Container/c4 and 4 more" in warning
        assert "--max-deletes" in warning
        assert not daemon.status()["inSync"]
        said = daemon.command("status")
        assert said.code == 2
        assert warning in said.stdout
        assert [r["why"] for r in events(daemon, "nothing is deleted")] == [warning]

        assert_heals(daemon)
        daemon.signal(signal.SIGHUP)
        daemon.wait(lambda: [p for p in events(daemon, "pass") if p["cause"] == "signal"])
        assert facts.namespaces() == {*NAMES, "new"}
        assert owned(host) >= before

        # Less at a time is what people do.
        declare(host, *NAMES[:-1])
        daemon.wait(lambda: facts.namespaces() == {*NAMES[:-1], "new"})
        assert daemon.wait_in_sync()["warnings"] == []


def test_removing_most_manifests_is_done_where_it_is_said_to_be_meant(host: Host, tmp_path: Path):
    declare(host, *NAMES)
    with running(host, tmp_path / "daemon", "--max-deletes", "100%") as daemon:
        for name in NAMES[1:]:
            host.manifests.remove(f"{name}.yaml")
        daemon.wait(lambda: facts.namespaces() == {"c1"})
        assert daemon.wait_in_sync()["warnings"] == []


def test_a_restart_deletes_no_more_than_the_loop_before_it_would_have(host: Host, tmp_path: Path):
    declare(host, *NAMES)
    converge(host)
    for name in NAMES[1:]:
        host.manifests.remove(f"{name}.yaml")
    with running(host, tmp_path / "daemon", in_sync=False) as daemon:
        assert [w for w in daemon.status()["warnings"] if "would be deleted" in w]
        assert_heals(daemon)
        assert facts.namespaces() == set(NAMES)


def test_no_prune_leaves_what_is_not_declared_any_more(host: Host, tmp_path: Path):
    declare(host, "c1", "c2")
    with running(host, tmp_path / "daemon", "--no-prune") as daemon:
        host.manifests.remove("c2.yaml")
        host.manifests.write("c3.yaml", container(name="c3"))
        daemon.wait(lambda: "c3" in facts.namespaces())
        assert daemon.wait_in_sync()
        assert facts.namespaces() == {"c1", "c2", "c3"}
        assert daemon.command("status").code == 0


# --- once


def test_once_converges_and_exits_0(host: Host, tmp_path: Path):
    declare(host, "c1", "c2")
    assert once(host, tmp_path).code == 0
    assert facts.namespaces() == {"c1", "c2"}
    assert diff(host).in_sync

    host.manifests.remove("c2.yaml")
    host.ip(f"addr del {GATEWAY} dev br0")
    assert once(host, tmp_path).code == 0
    assert facts.namespaces() == {"c1"}
    assert diff(host).in_sync
    assert not (tmp_path / "run" / "reconciler.sock").exists()


def test_once_exits_4_where_something_is_in_the_way(host: Host, tmp_path: Path):
    declare(host, "c1")
    host.manifests.write("lonely.yaml", container("network: none", "lonely"))
    host.ip("link add br0 type veth peer name theirs")

    assert once(host, tmp_path).code == 4

    assert facts.link("br0")["linkinfo"]["info_kind"] == "veth"
    assert "lonely" in facts.namespaces()
    host.ip("link del br0")
    assert once(host, tmp_path).code == 0


@pytest.mark.parametrize("spoil", ["broken", "gone", "empty"])
def test_once_exits_1_on_bad_manifests_and_changes_nothing(host: Host, tmp_path: Path, spoil: str):
    declare(host, "c1")
    converge(host)
    host.manifests.remove("c1.yaml")
    if spoil == "broken":
        host.manifests.write("more.yaml", BROKEN)
    else:
        host.manifests.remove("br0.yaml")
    if spoil == "gone":
        host.manifests.folder.rmdir()

    with QuietKernel() as quiet:
        done = once(host, tmp_path)

    assert done.code == 1
    assert str(host.manifests.folder) in done.stderr
    assert quiet.changes() == []


LOOKS_THAT_FAIL = (
    "import reconciler.host.look as l; from reconciler.errors import HostError; "
    "real, left = l.Look.look, [1]; import reconciler.agent.loop as p; p.FAILED_PAUSE = 0.2; "
    "l.Look.look = lambda s, i, c: (_ for _ in ()).throw(HostError('the kernel is away')) "
    "if left and left.pop() else real(s, i, c)"
)
"""The first look comes to nothing."""


def test_manifests_that_came_with_a_look_that_failed_are_applied_when_it_works(
    host: Host, tmp_path: Path
):
    host.manifests.write("site.yaml", bridge() + container())

    with running(host, tmp_path / "d", patch=LOOKS_THAT_FAIL, in_sync=False) as daemon:
        daemon.wait_in_sync()

        assert "c1" in facts.namespaces()
        assert [line["why"] for line in daemon.log if line["event"] == "the pass failed"] == [
            "the kernel is away"
        ]
