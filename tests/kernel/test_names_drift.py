"""Files of names that somebody damaged, and files of somebody else, on a real host."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.objects.file import file_key
from tests.kernel.manifests import DUAL, bridge, container
from tests.kernel.names import (
    NAMES,
    hosts,
    resolver,
    said,
    tree,
)
from tests.kernel.passes import apply, assert_settled, converge, describe
from tests.kernel.test_foreign import snapshot
from tests.witness import assert_same
from tests.world import Host

# --------------------------------------------------------------------------- drift


def _edit(path: Path) -> None:
    path.write_text(path.read_text() + "10.99.0.1\tevil\n")


def _append_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\xff\xfe\x00")


def _truncate(path: Path) -> None:
    path.write_text("")


def _replace(path: Path) -> None:
    fresh = path.with_name("fresh")
    fresh.write_text("10.99.0.1\tevil\n")
    fresh.rename(path)


def _link_away(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _hard_link(path: Path) -> None:
    path.unlink()
    os.link("/etc/netns/theirs", path)


DRIFTS: tuple[Callable[[Path], None], ...] = (
    Path.unlink, _edit, _append_bytes, _truncate, _replace, _link_away, _dangling, _pipe, _hard_link,
)  # fmt: skip


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.__name__)
def test_one_apply_heals_what_somebody_did_to_the_files(host: Host, drift):
    """To each file of a container, and to the one that is shared; nothing is written elsewhere."""
    users = Path("/etc/passwd").read_text()
    theirs = NAMES / "theirs"
    theirs.write_text("theirs\n")
    host.manifests.write(
        "all.yaml",
        bridge() + container() + container("bridge: br0, extraHosts: {a: 10.7.0.1}", "c2"),
    )
    converge(host)
    before = tree()
    files = ("c1/hostname", "c1/resolv.conf", "c1/hosts", "c2/hosts", ".default-bridge-br0/hosts")

    for name in files:
        drift(NAMES / name)
    report = converge(host)

    changed = {change.key.name for change in report.preview.changes}
    # What is written through a link, or lacks only behind it, is one file.
    assert {f"/etc/netns/{name}" for name in files if name != "c1/hosts"} <= changed
    assert tree() == before
    assert Path("/etc/passwd").read_text() == users
    assert theirs.read_text() == "theirs\n"


def test_folders_that_somebody_deleted_are_made_again(host: Host):
    host.manifests.write("all.yaml", bridge() + container() + container(name="c2"))
    converge(host)
    before = tree()

    host.run("rm", "-r", "/etc/netns/c1", "/etc/netns/.default-bridge-br0")
    converge(host)
    assert tree() == before

    (NAMES / ".c1.reconciler").unlink()  # the mark alone: whose the folder is, says nothing now
    report = apply(host)
    blocked = {str(c.key) for c in report.after.changes}
    assert all("/c1" in key for key in blocked), describe(report.after)


def test_all_of_etc_netns_may_vanish(host: Host):
    host.manifests.write("all.yaml", bridge() + container() + container(name="c2"))
    converge(host)
    before = tree()

    host.run("find", "/etc/netns", "-mindepth", "1", "-delete")
    assert tree() == {}
    converge(host)

    assert tree() == before


# --------------------------------------------------------------------------- others


def test_files_of_others_are_in_the_way_and_survive(host: Host):
    (NAMES / "c1").mkdir()
    (NAMES / "c1/resolv.conf").write_text("nameserver 10.0.0.53\n")
    (NAMES / "c1/nsswitch.conf").write_text("hosts: dns\n")
    host.manifests.write("all.yaml", bridge() + container() + container(name="c2"))

    report = apply(host)

    (change,) = report.after.changes
    assert change.key == file_key("/etc/netns/c1/resolv.conf")
    assert "does not carry our mark; --adopt takes it over" in change.reason
    assert resolver() == said(["10.0.0.53"])
    assert hosts("c1") == hosts("c2") == {"10.1.0.2": ["c1"], "10.1.0.3": ["c2"]}
    assert (NAMES / "c1/hostname").read_text() == "c1\n"

    assert main.run(["teardown"]) == 0
    assert tree() == {
        "c1": "folder",
        "c1/nsswitch.conf": "hosts: dns\n",
        "c1/resolv.conf": "nameserver 10.0.0.53\n",
    }


def test_adopt_takes_files_over_and_leaves_the_rest_of_the_folder(host: Host):
    (NAMES / "c1").mkdir()
    (NAMES / "c1/resolv.conf").write_text("nameserver 10.0.0.53\n")
    (NAMES / "c1/nsswitch.conf").write_text("hosts: dns\n")
    host.manifests.write("all.yaml", bridge() + container())
    converge(host, adopt=True)

    assert resolver()["nameserver"] != ["10.0.0.53"]
    assert (NAMES / "c1/nsswitch.conf").read_text() == "hosts: dns\n"
    assert main.run(["teardown"]) == 0
    assert tree() == {"c1": "folder", "c1/nsswitch.conf": "hosts: dns\n"}


def test_other_files_beside_ours_stay_when_ours_go(host: Host):
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    (NAMES / "c1/nsswitch.conf").write_text("hosts: dns\n")
    (NAMES / "c1/hosts.d").mkdir()
    (NAMES / "theirs").mkdir()
    (NAMES / "theirs/hosts").write_text("10.0.0.1 them\n")
    assert_settled(host)

    assert main.run(["teardown"]) == 0

    assert tree() == {
        "c1": "folder", "c1/hosts.d": "folder", "c1/nsswitch.conf": "hosts: dns\n",
        "theirs": "folder", "theirs/hosts": "10.0.0.1 them\n",
    }  # fmt: skip


def test_teardown_leaves_no_trace(host: Host):
    before = snapshot()
    host.manifests.write(
        "all.yaml",
        bridge(f"{DUAL}, ipForward: false")
        + container()
        + container("bridge: br0, links: [c1]", "c2")
        + container("network: none", "c3"),
    )
    converge(host)
    assert len(list(NAMES.iterdir())) == 8

    assert main.run(["teardown"]) == 0

    assert tree() == {}
    assert_same(before, snapshot())


def test_each_set_has_a_shared_file_of_its_own(host: Host):
    """Two sets with bridges of one name: none touches the other's folder."""
    host.manifests.write("a/all.yaml", bridge() + container())
    host.manifests.write(
        "b/all.yaml", bridge("addresses: [10.2.0.1/24], device: br9") + container(name="d1")
    )
    one, two = host.manifests.folder / "a", host.manifests.folder / "b"
    converge(host, one)
    converge(host, two, set_name="two")
    assert_settled(host, one)

    assert hosts("c1") == {"10.1.0.2": ["c1"]}
    assert hosts("d1") == {"10.2.0.2": ["d1"]}
    assert main.run(["teardown", "--set", "two"]) == 0
    assert_settled(host, one)
    assert hosts("c1") == {"10.1.0.2": ["c1"]}
