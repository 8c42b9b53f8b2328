"""Manifests: which revision is in force, whatever is done to the files."""

import os
import shutil

import pytest

from reconciler.agent import manifests as module
from reconciler.agent.manifests import Manifests
from reconciler.agent.source import load
from tests.cli.calls import BRIDGE, LONELY, container

HALF = "apiVersion: reconciler/v1\nkind: [Bri"


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watched(manifests, clock):
    """A bridge is in force."""
    manifests.write("web.yaml", BRIDGE)
    found = Manifests((str(manifests.folder),), clock=clock)
    assert list(found.check().catalog.resources) == ["Bridge/web"]
    return found


def names(loaded):
    return sorted(loaded.catalog.resources)


def test_the_first_check_gives_what_is_there_and_the_second_nothing(manifests, clock):
    manifests.write("web.yaml", BRIDGE)
    found = Manifests((str(manifests.folder),), clock=clock)
    assert (found.current, found.revision, found.loaded) == (None, "", None)

    loaded = found.check()

    assert loaded is found.current
    assert loaded.whole
    assert loaded.revision == load([str(manifests.folder)]).revision
    assert (found.loaded, found.problems, found.problems_since) == (1000.0, (), None)
    assert found.check() is None


def test_a_file_is_dropped_changed_renamed_over_and_removed(watched, manifests):
    path = manifests.folder / "web1.yaml"
    path.write_text(container("web1"))
    assert names(watched.check()) == ["Bridge/web", "Container/web1"]

    path.write_text(container("web2"))
    assert names(watched.check()) == ["Bridge/web", "Container/web2"]

    manifests.write("web1.yaml", container("web3"))
    assert names(watched.check()) == ["Bridge/web", "Container/web3"]

    path.unlink()
    assert names(watched.check()) == ["Bridge/web"]
    assert watched.check() is None


def test_a_file_is_moved_out_and_in_and_a_folder_too(watched, manifests, tmp_path):
    manifests.write("team/a/web1.yaml", container("web1"))
    assert names(watched.check()) == ["Bridge/web", "Container/web1"]

    (manifests.folder / "team").rename(tmp_path / "team")
    assert names(watched.check()) == ["Bridge/web"]

    (tmp_path / "team").rename(manifests.folder / "team")
    assert names(watched.check()) == ["Bridge/web", "Container/web1"]


def test_only_what_is_no_manifest_has_changed(watched, manifests):
    manifests.write("README.md", "nothing")
    manifests.write(".web.yaml.swp", "nothing")

    assert watched.check() is None
    assert watched.problems == ()


def test_a_thousand_files_are_one_revision(watched, manifests):
    for number in range(1000):
        (manifests.folder / f"{number}.yaml").write_text(LONELY.replace("lonely", f"c{number}"))

    assert len(watched.check().catalog) == 1001
    assert watched.check() is None


def test_a_config_map_is_swapped(tmp_path, clock):
    """As the kubelet does it: `..data` is a link, and is renamed over."""
    folder = tmp_path / "config"
    for version, name in (("..1", "web1"), ("..2", "web2"), ("..3", "web2")):
        (folder / version).mkdir(parents=True)
        (folder / version / "web.yaml").write_text(BRIDGE + "---\n" + container(name))
    (folder / "..data").symlink_to("..1")
    (folder / "web.yaml").symlink_to("..data/web.yaml")
    found = Manifests((str(folder),), clock=clock)
    assert "Container/web1" in names(found.check())

    swap(folder / "..data", "..2")
    shutil.rmtree(folder / "..1")
    assert "Container/web2" in names(found.check())

    swap(folder / "..data", "..3")
    assert found.check() is None
    assert found.problems == ()


def swap(link, target):
    fresh = link.with_name(link.name + "_tmp")
    fresh.symlink_to(target)
    fresh.rename(link)


def test_a_root_that_is_a_link_is_swapped(tmp_path, clock):
    for name in ("web1", "web2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "web.yaml").write_text(BRIDGE + "---\n" + container(name))
    (tmp_path / "current").symlink_to("web1")
    found = Manifests((str(tmp_path / "current"),), clock=clock)
    found.check()

    swap(tmp_path / "current", "web2")

    assert "Container/web2" in names(found.check())


def broken_file(folder):
    (folder / "web1.yaml").write_text(HALF)


def unknown_field(folder):
    (folder / "web1.yaml").write_text(container("web1", "mtuu: 3"))


def conflict(folder):
    shutil.copy(folder / "web.yaml", folder / "again.yaml")


def emptied(folder):
    (folder / "web.yaml").unlink()


def truncated(folder):
    (folder / "web.yaml").write_text("")


def vanished(folder):
    shutil.rmtree(folder)


def replaced_by_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text(HALF)


def link_to_nothing(folder):
    (folder / "more").symlink_to("missing")


def link_out(folder):
    (folder / "more.yaml").symlink_to("/etc/passwd")


def link_to_itself(folder):
    (folder / "loop.yaml").symlink_to("loop.yaml")


def pipe(folder):
    os.mkfifo(folder / "pipe.yaml")


def not_text(folder):
    (folder / "web1.yaml").write_bytes(b"\xff\xfe\x00")


BAD = [
    broken_file, unknown_field, conflict, emptied, truncated, vanished, replaced_by_a_file,
    link_to_nothing, link_out, link_to_itself, pipe, not_text,
]  # fmt: skip


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_what_is_bad_changes_nothing_and_is_told_until_it_is_good(watched, manifests, clock, spoil):
    good, revision = watched.current, watched.revision
    clock.now = 2000.0
    spoil(manifests.folder)

    assert watched.check() is None
    assert watched.problems
    assert all(problem.message and problem.path for problem in watched.problems)
    assert (watched.current, watched.revision, watched.loaded) == (good, revision, 1000.0)

    clock.now = 3000.0
    problems = watched.problems
    assert watched.check() is None
    assert (watched.problems, watched.problems_since) == (problems, 2000.0)

    if manifests.folder.is_file():
        manifests.folder.unlink()
    shutil.rmtree(manifests.folder, ignore_errors=True)
    manifests.write("web.yaml", BRIDGE)
    assert watched.check() is None  # as it was before
    assert (watched.problems, watched.problems_since) == ((), None)

    spoil(manifests.folder)
    watched.check()
    assert watched.problems_since == 3000.0


def test_problems_vanish_with_a_newer_good_revision(watched, manifests, clock):
    broken_file(manifests.folder)
    watched.check()
    clock.now = 2000.0
    manifests.write("web1.yaml", container("web1"))

    assert names(watched.check()) == ["Bridge/web", "Container/web1"]
    assert (watched.problems, watched.problems_since, watched.loaded) == ((), None, 2000.0)


def test_the_same_problems_are_since_earlier_whatever_else_changes(watched, manifests, clock):
    broken_file(manifests.folder)
    watched.check()
    clock.now = 2000.0
    manifests.write("web2.yaml", container("web2"))
    watched.check()

    assert watched.problems_since == 1000.0


def test_other_problems_are_since_later(watched, manifests, clock):
    broken_file(manifests.folder)
    watched.check()
    clock.now = 2000.0
    unknown_field(manifests.folder)
    watched.check()

    assert watched.problems_since == 2000.0
    assert watched.problems[0].field == "spec.mtuu"


def test_an_unchanged_bad_state_is_parsed_once(watched, manifests, monkeypatch):
    broken_file(manifests.folder)
    watched.check()
    monkeypatch.setattr(module, "check_scan", lambda *_, **__: pytest.fail("parsed again"))

    assert watched.check() is None
    assert watched.problems


def test_nothing_is_in_force_before_something_good(manifests, clock):
    found = Manifests((str(manifests.folder),), clock=clock)

    assert found.check() is None
    assert (found.current, found.revision, found.loaded) == (None, "", None)
    assert found.problems[0].message == "no manifests there"
    assert found.problems[0].hint == "if nothing is to exist, say so with --allow-empty"
    assert found.problems_since == 1000.0


def test_an_empty_directory_is_a_revision_where_that_is_meant(watched, manifests):
    watched.allow_empty = True
    emptied(manifests.folder)

    assert names(watched.check()) == []


def test_a_directory_that_vanishes_is_a_problem_even_where_nothing_is_meant(watched, manifests):
    watched.allow_empty = True
    vanished(manifests.folder)

    assert watched.check() is None
    assert "No such file" in watched.problems[0].message


def changing(monkeypatch, steps):
    """Something else changes the files after each scan."""
    real_scan, waiting = module.scan, list(steps)

    def scan(*arguments):
        found = real_scan(*arguments)
        if waiting:
            waiting.pop(0)()
        return found

    monkeypatch.setattr(module, "scan", scan)


def test_a_checkout_that_is_seen_half_is_looked_at_again(watched, manifests, monkeypatch):
    """A file moves from one folder to another: seen half, its container would be deleted."""
    manifests.write("a/web1.yaml", container("web1"))
    assert names(watched.check()) == ["Bridge/web", "Container/web1"]
    (manifests.folder / "a/web1.yaml").unlink()
    changing(monkeypatch, [lambda: manifests.write("b/web1.yaml", container("web1"))])

    assert names(watched.check()) == ["Bridge/web", "Container/web1"]
    assert not watched.unsettled


def test_files_that_keep_changing_are_left_for_the_next_check(watched, manifests, monkeypatch):
    numbers = iter(range(100))

    def change():
        manifests.write("web1.yaml", container(f"web{next(numbers)}"))

    change()
    changing(monkeypatch, [change] * 10)
    assert watched.check() is None
    assert watched.unsettled
    assert watched.problems == ()

    changing(monkeypatch, [])
    assert watched.check() is not None
    assert not watched.unsettled


def test_what_does_not_change_is_looked_at_once(watched, monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda _: pytest.fail("waited"))
    looks = []
    changing(monkeypatch, [lambda: looks.append(1)] * 3)

    watched.check()

    assert len(looks) == 1
