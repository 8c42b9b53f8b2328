"""Dry: diff, show, snapshot and validate write nothing, whatever they find."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from reconciler.cli import main
from reconciler.host.base import Interest
from reconciler.host.linux import LinuxHost
from tests.kernel.passes import converge, listening, session
from tests.kernel.worlds import EVERYTHING, break_everything, write
from tests.witness import QuietKernel
from tests.world import Host, wait_until


def _fresh(host: Host) -> None:
    """Nothing of ours, but something of others."""
    host.ip("link add theirs type bridge")
    host.add_netns("stranger").ip("addr add 192.0.2.1/24 dev lo")


def _converged(host: Host) -> None:
    _fresh(host)
    converge(host)


def _drifted(host: Host) -> None:
    _converged(host)
    break_everything(host)


def _blocked(host: Host) -> None:
    _fresh(host)
    host.ip("link add br0 type veth peer name br1")
    host.add_netns("c1")


STATES = (_fresh, _converged, _drifted, _blocked)
every_state = pytest.mark.parametrize("prepare", STATES, ids=lambda f: f.__name__.strip("_"))


def wait_for_silence() -> None:
    """Wait until the kernel has nothing more to say about what was done before.

    It tells of a device's carrier once a second at most (net/core/link_watch.c, Linux 6.18): a
    bridge gets a RTM_NEWLINK a second after its first port, long after it has begun to work.
    """

    def is_silent() -> bool:
        with QuietKernel() as quiet:
            threading.Event().wait(1.1)
        return quiet.changes() == []

    wait_until(is_silent, deadline=20)


@every_state
def test_no_command_that_only_looks_writes_anything(host: Host, prepare: Callable[[Host], None]):
    write(host, EVERYTHING)
    prepare(host)
    differs = 0 if prepare is _converged else 2
    wait_for_silence()

    folder = os.fspath(host.manifests)
    with QuietKernel(host.manifests.folder) as quiet, listening() as heard:
        codes = [
            main.run(arguments)
            for arguments in (
                ("diff", folder),
                ("diff", "-o", "json", "--adopt", "--no-prune", "--set", "another", folder),
                ("show",),
                ("snapshot",),
                ("validate", folder),
            )
        ]

    assert codes == [differs, 2, 0, 0, 0]
    assert quiet.changes() == []
    assert heard == []


@every_state
def test_a_look_sends_no_changing_request_and_starts_no_process(
    host: Host, prepare: Callable[[Host], None]
):
    write(host, EVERYTHING)
    prepare(host)
    counters: Counter[str] = Counter()

    with session(host, counters) as given, listening() as heard:
        preview = given.preview()

    assert preview.in_sync == (prepare is _converged)
    assert counters["dumps"] > 0
    assert (counters["changes"], counters["files"]) == (0, 0)
    assert counters["requests"] == counters["dumps"]
    assert heard == []


def test_a_snapshots_look_changes_nothing_either(host: Host):
    write(host, EVERYTHING)
    converge(host)
    wait_for_silence()
    counters: Counter[str] = Counter()
    linux = LinuxHost(counters=counters)

    with QuietKernel() as quiet, listening() as heard:
        linux.observe(Interest(everything=True))
    linux.close()

    assert quiet.changes() == []
    assert (counters["changes"], counters["files"], heard) == (0, 0, [])


def test_the_witness_would_see_a_pass_that_acts(host: Host):
    """The proof above is worth something only if the same witnesses hear an apply."""
    write(host, EVERYTHING)
    converge(host)
    wait_for_silence()
    host.netns("c1").ip("route del default")
    counters: Counter[str] = Counter()

    with QuietKernel() as quiet, session(host, counters) as given, listening() as heard:
        assert given.reconcile().converged

    # By now IPv6 has its route, so that one request was enough.
    assert set(quiet.changes()) == {"c1: RTM_NEWROUTE"}
    assert counters["changes"] == 1
    assert heard == []


def test_diff_says_before_what_apply_does_then(host: Host):
    """Promise 2: the changes that diff prints are the changes that apply reports."""
    write(host, EVERYTHING)
    for prepare in (_fresh, break_everything):
        prepare(host)
        shown = json.loads(host.reconciler("diff", "-o", "json", host.manifests).stdout)
        done = host.reconciler("apply", "-o", "json", host.manifests)

        assert done.code == 0, done
        assert shown["changes"] == json.loads(done.stdout)["changes"]
        assert host.reconciler("diff", host.manifests).code == 0
