"""Files under a running loop: what is good comes into force whole, what is not changes nothing."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.agent.scan import scan
from tests.kernel import facts
from tests.kernel.daemon import Daemon, Record, running
from tests.kernel.manifests import bridge, container
from tests.world import Host, Manifests, wait_until

GATEWAY = "10.1.0.1/24"
SOON = 5.0
"""Seconds: well before the look at the files that is made without a kick (`loop.RESCAN`)."""
MANY = 1000


def lonely(*names: str) -> str:
    """Containers that are nothing but a namespace."""
    return "".join(container("network: none", name) for name in names)


def declare(host: Host, *names: str) -> None:
    """A bridge in one file, and a file for each container."""
    host.manifests.write("br0.yaml", bridge())
    for name in names:
        host.manifests.write(f"{name}.yaml", lonely(name))


def wait_for_containers(daemon: Daemon, *names: str, deadline: float = SOON) -> None:
    daemon.wait(lambda: facts.namespaces() == set(names), deadline)


def wait_for_revision(daemon: Daemon, which: Callable[[str], bool], deadline: float = SOON) -> None:
    daemon.wait(lambda: (s := daemon.status())["inSync"] and which(s["revision"]), deadline)


def assert_heals(daemon: Daemon) -> None:
    """Take the bridge's address away, and see it come back."""
    assert facts.addresses("br0") == {GATEWAY}
    daemon.host.ip(f"addr del {GATEWAY} dev br0")
    daemon.wait(lambda: facts.addresses("br0") == {GATEWAY})


def problems(daemon: Daemon) -> list[dict[str, object]]:
    return daemon.status()["manifests"]["problems"]


def link_tree(folder: Path, name: str, target: Path | str) -> None:
    """Turn a symbolic link in one step, as git-sync and the kubelet do."""
    fresh = folder / f".{name}.fresh"
    fresh.symlink_to(target)
    fresh.rename(folder / name)


# --- what is good comes into force


def written(folder: Path) -> None:
    (folder / "new.yaml").write_text(lonely("c2"))


def renamed_over(folder: Path) -> None:
    fresh = folder / ".c1.yaml.swp"
    fresh.write_text(lonely("c1", "c2"))
    fresh.rename(folder / "c1.yaml")


def changed_in_place(folder: Path) -> None:
    with (folder / "c1.yaml").open("a") as file:
        file.write(lonely("c2"))


def in_a_new_folder(folder: Path) -> None:
    (folder / "team" / "web").mkdir(parents=True)
    (folder / "team" / "web" / "c2.yaml").write_text(lonely("c2"))


def moved_in_with_its_folder(folder: Path) -> None:
    outside = folder.with_name("outside")
    outside.mkdir()
    (outside / "c2.yaml").write_text(lonely("c2"))
    outside.rename(folder / "team")


@pytest.mark.parametrize(
    "arrive",
    [written, renamed_over, changed_in_place, in_a_new_folder, moved_in_with_its_folder],
    ids=lambda deed: deed.__name__,
)
def test_what_is_declared_comes_and_goes_with_its_file(
    host: Host, tmp_path: Path, arrive: Callable[[Path], None]
):
    declare(host, "c1")
    with running(host, tmp_path / "daemon", "--full-look", "3600") as daemon:
        first = daemon.status()["revision"]
        inode = facts.namespace_inode("c1")

        arrive(host.manifests.folder)
        wait_for_containers(daemon, "c1", "c2")
        wait_for_revision(daemon, lambda revision: revision != first)

        shutil.rmtree(host.manifests.folder / "team", ignore_errors=True)
        (host.manifests.folder / "new.yaml").unlink(missing_ok=True)
        host.manifests.write("c1.yaml", lonely("c1"))
        wait_for_containers(daemon, "c1")
        wait_for_revision(daemon, lambda revision: revision == first)
        assert facts.namespace_inode("c1") == inode, "what is unchanged was made anew"


def test_a_config_map_that_is_swapped_brings_its_new_tree(host: Host, tmp_path: Path):
    folder = host.manifests.folder
    for number, names in enumerate((("c1", "c2"), ("c2", "c3"))):
        (folder / f"..{number}").mkdir()
        (folder / f"..{number}" / "all.yaml").write_text(bridge() + lonely(*names))
    link_tree(folder, "..data", "..0")
    (folder / "all.yaml").symlink_to("..data/all.yaml")

    with running(host, tmp_path / "daemon", "--full-look", "3600") as daemon:
        wait_for_containers(daemon, "c1", "c2")

        link_tree(folder, "..data", "..1")
        shutil.rmtree(folder / "..0")

        wait_for_containers(daemon, "c2", "c3")
        assert not daemon.wait_in_sync()["manifests"]["problems"]


def test_a_root_that_is_a_link_and_is_turned_brings_its_new_tree(host: Host, tmp_path: Path):
    for number, names in enumerate((("c1", "c2"), ("c2", "c3"), ("c3", "c4"))):
        (tmp_path / f"tree{number}").mkdir()
        (tmp_path / f"tree{number}" / "all.yaml").write_text(lonely(*names))
    link_tree(tmp_path, "current", "tree0")
    host = replace(host, manifests=Manifests(tmp_path / "current"))

    with running(host, tmp_path / "daemon", "--full-look", "3600") as daemon:
        wait_for_containers(daemon, "c1", "c2")
        link_tree(tmp_path, "current", "tree1")
        shutil.rmtree(tmp_path / "tree0")
        wait_for_containers(daemon, "c2", "c3")
        # The watches have to have moved along: once more, then a word in the tree itself.
        link_tree(tmp_path, "current", "tree2")
        wait_for_containers(daemon, "c3", "c4")
        (tmp_path / "tree2" / "more.yaml").write_text(lonely("c5"))
        wait_for_containers(daemon, "c3", "c4", "c5")
        assert daemon.wait_in_sync()["manifests"]["paths"] == [str(tmp_path / "current")]


def test_a_thousand_manifests_written_at_once_take_three_passes_at_most(host: Host, tmp_path: Path):
    declare(host)
    with running(host, tmp_path / "daemon", "--full-look", "3600") as daemon:
        made = passes_for(daemon, "{name: n%d}")
        daemon.wait(lambda: len(facts.namespaces()) == MANY)
        assert sum(record["operations"] for record in made) >= MANY

        # Without work that takes its time, in which the rest of the files would be written anyway.
        labelled = passes_for(daemon, "{name: n%d, labels: {team: web}}")
        assert sum(record["operations"] for record in labelled) == 0


def passes_for(daemon: Daemon, metadata: str) -> list[Record]:
    """Write them, wait until they are in force, and give the passes that were made for it."""

    def passes() -> list[Record]:
        return [r for r in daemon.log if r["event"] == "pass" and r["cause"] == "manifests"]

    texts = [lonely("NAME").replace("{name: NAME}", metadata % n) for n in range(MANY)]
    before = len(passes())
    began = time.monotonic()
    for number, text in enumerate(texts):
        (daemon.host.manifests.folder / f"n{number}.yaml").write_text(text)
        time.sleep(0.0005)  # as a checkout writes them: not in one breath
    took = time.monotonic() - began
    # What is written last is in force last, and there is a pass for it.
    whole = scan([os.fspath(daemon.host.manifests)]).digest()
    wait_for_revision(daemon, lambda revision: revision == whole, 60)
    # Where the machine takes longer than a second to write them, one more for each second.
    assert len(passes()) - before <= 2 + math.ceil(took)
    return passes()[before:]


# --- what is not good changes nothing


def put(folder: Path, data: bytes) -> Path:
    """Another c1.yaml in one step: no moment without one, which would be an order to delete it."""
    (folder / ".fresh").write_bytes(data)
    return (folder / ".fresh").rename(folder / "c1.yaml")


def empty_directory(folder: Path) -> Path:
    folder.rename(folder.with_name("aside"))
    folder.mkdir()
    return folder


def link_that_leads_out(folder: Path) -> Path:
    link_tree(folder, "c1.yaml", folder.parent)
    return folder / "c1.yaml"


def link_to_nothing(folder: Path) -> Path:
    link_tree(folder, "c1.yaml", "gone.yaml")
    return folder / "c1.yaml"


def pipe_in_place_of_a_file(folder: Path) -> Path:
    os.mkfifo(folder / ".fresh")
    return (folder / ".fresh").rename(folder / "c1.yaml")


def not_utf_8(folder: Path) -> Path:
    return put(folder, lonely("c1").encode() + b"# caf\xe9\n")


def half_written(folder: Path) -> Path:
    text = lonely("c1")
    return put(folder, text[: text.index("network") + 3].encode())


def not_valid(folder: Path) -> Path:
    return put(folder, container("bridge: br9", "c1").encode())


SPOILS = [
    empty_directory, link_that_leads_out, link_to_nothing, pipe_in_place_of_a_file, not_utf_8,
    half_written, not_valid,
]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_while_the_files_are_not_good_the_last_revision_stays_in_force_and_heals(
    host: Host, tmp_path: Path, spoil: Callable[[Path], Path]
):
    declare(host, "c1", "c2")
    with running(host, tmp_path / "daemon", "--full-look", "3600") as daemon:
        revision = daemon.status()["revision"]

        before = time.time()
        bad = spoil(host.manifests.folder)
        # What is good beside it does not come into force either.
        (host.manifests.folder / "c2.yaml").unlink(missing_ok=True)
        found = daemon.wait(lambda: problems(daemon), SOON)

        assert str(bad) in {problem["path"] for problem in found}
        status = daemon.status()
        assert before <= status["manifests"]["problemsSince"] <= time.time()
        assert status["revision"] == revision
        assert not status["inSync"]
        said = daemon.command("status")
        assert said.code == 2
        assert str(bad) in said.stdout
        assert "in the manifests since " in said.stdout
        assert daemon.metric("reconciler_manifest_problems") == len(found)

        assert_heals(daemon)
        assert facts.namespaces() == {"c1", "c2"}
        assert daemon.status()["manifests"]["problemsSince"] == status["manifests"]["problemsSince"]

        declare(host, "c1")
        wait_for_containers(daemon, "c1")
        assert daemon.wait_in_sync()["manifests"] | {"loaded": 0} == {
            "paths": [str(host.manifests.folder)],
            "loaded": 0,
            "problems": [],
            "problemsSince": None,
        }
        assert daemon.command("status").code == 0


def test_a_root_that_is_deleted_deletes_nothing_and_may_come_back(host: Host, tmp_path: Path):
    folder = host.manifests.folder
    host.manifests.write("all.yaml", bridge() + lonely("c1", "c2"))
    with running(host, tmp_path / "daemon", "--full-look", "3600") as daemon:
        before = time.time()
        shutil.rmtree(folder)
        daemon.wait(lambda: [p for p in problems(daemon) if p["path"] == str(folder)], SOON)
        assert before <= daemon.status()["manifests"]["problemsSince"] <= time.time()
        assert daemon.command("status").code == 2
        assert_heals(daemon)
        assert facts.namespaces() == {"c1", "c2"}

        folder.mkdir()
        declare(host, "c2", "c3")
        wait_for_containers(daemon, "c2", "c3")
        # It is watched again, too.
        host.manifests.write("c4.yaml", lonely("c4"))
        wait_for_containers(daemon, "c2", "c3", "c4")
        daemon.wait_in_sync()
        assert daemon.command("status").code == 0


# --- where nobody tells of changes

DEAF = """
import sys
from reconciler.agent import watcher
from reconciler.cli import main

def no_inotify():
    raise AssertionError("inotify was relied on")

watcher.remote_type = lambda path: "nfs4"  # no such file system can be mounted everywhere
watcher.InotifyObserver = no_inotify
sys.exit(main.run(sys.argv[1:]))
"""


class DeafHost(Host):
    """A host whose manifests lie on a file server."""

    def command(self, *arguments: str | os.PathLike[str]) -> list[str]:
        return [sys.executable, "-c", DEAF, *map(os.fspath, arguments)]


def test_on_a_file_server_changes_are_found_by_looking(host: Host, tmp_path: Path):
    declare(host, "c1")
    deaf = DeafHost(host.manifests)
    with running(deaf, tmp_path / "daemon", "--full-look", "3600") as daemon:
        # Each is found long before the files would be looked at anyway.
        host.manifests.write("c2.yaml", lonely("c2"))
        wait_for_containers(daemon, "c1", "c2", deadline=10)
        host.manifests.remove("c1.yaml")
        wait_for_containers(daemon, "c2", deadline=10)
        shutil.rmtree(host.manifests.folder)
        daemon.wait(lambda: problems(daemon))
        host.manifests.folder.mkdir()
        declare(host, "c2", "c3")
        wait_for_containers(daemon, "c2", "c3", deadline=10)


def test_a_tree_that_is_deleted_and_written_anew_slowly_deletes_nothing(host: Host, tmp_path: Path):
    """A checkout that takes its time leaves, in between, a valid tree that lacks something."""
    texts = {f"c{n}.yaml": container(name=f"c{n}") for n in range(4)}
    host.manifests.write("bridge.yaml", bridge())
    for name, text in texts.items():
        host.manifests.write(name, text)
    with running(host, tmp_path / "d") as daemon:
        inodes = {n: facts.namespace_inode(n) for n in facts.namespaces()}
        for _ in range(3):
            for name in texts:
                host.manifests.remove(name)
            for name, text in texts.items():
                pause_between_files()
                host.manifests.write(name, text)
        host.manifests.write("marker.yaml", container("network: none", "marker"))

        daemon.wait(lambda: "marker" in facts.namespaces())
        assert inodes.items() <= {n: facts.namespace_inode(n) for n in facts.namespaces()}.items()
        assert not [line for line in daemon.log if line.get("verb") == "delete"]


def pause_between_files() -> None:
    """Longer than it takes to notice a file, shorter than what has to stay as it is."""
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() - begin > 0.06)
