"""Loading again: only what has changed is read and parsed, and the result is the same."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.agent import file_cache, scan
from reconciler.agent.file_cache import FileCache
from reconciler.agent.source import NoManifestsError, load
from reconciler.kinds import ManifestFile, ParseCache, parse_catalog
from reconciler.manifest import parsed_file
from reconciler.manifest.problem import ManifestErrors
from tests.cli.calls import BRIDGE, container


@pytest.fixture
def old(monkeypatch):
    """Every file counts as written long ago."""
    monkeypatch.setattr(file_cache, "YOUNG", 0)


@pytest.fixture
def opened(monkeypatch):
    """The names of the files that are opened."""
    names = []
    real_open = scan._open
    monkeypatch.setattr(scan, "_open", lambda p, r: names.append(Path(p).name) or real_open(p, r))
    return names


@pytest.fixture
def parsed(monkeypatch):
    """The names of the files that are parsed."""
    names = []
    read = parsed_file.read_file
    monkeypatch.setattr(
        parsed_file, "read_file", lambda file: names.append(Path(file.path).name) or read(file)
    )
    return names


@pytest.fixture
def site(manifests):
    manifests.write("web.yaml", BRIDGE)
    manifests.write("web1.yaml", container("web1"))
    manifests.write("web2.yaml", container("web2"))
    return manifests


def again(manifests, cache):
    return load([str(manifests.folder)], cache=cache)


def test_only_a_file_that_has_changed_is_opened_and_parsed_again(site, old, opened, parsed):
    cache = FileCache()
    first = again(site, cache)
    opened.clear()
    parsed.clear()
    assert again(site, cache).revision == first.revision
    assert (opened, parsed) == ([], [])

    site.write("web2.yaml", container("other"))
    second = again(site, cache)

    assert (opened, parsed) == (["web2.yaml"], ["web2.yaml"])
    assert list(second.catalog.resources) == ["Bridge/web", "Container/web1", "Container/other"]
    assert second.revision == load([str(site.folder)]).revision != first.revision


def test_a_file_of_the_same_size_and_time_is_known_by_its_inode(site, old):
    """`cp -p` and git set the time of content as they like."""
    cache = FileCache()
    again(site, cache)
    path = site.folder / "web2.yaml"
    status = path.stat()

    path.write_text(path.read_text().replace("web2", "web9"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert path.stat().st_size == status.st_size
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert "Container/web9" in again(site, cache).catalog.resources


@pytest.mark.parametrize("age", [0, 3600], ids=["content and inode", "inode alone"])
def test_a_file_that_was_just_changed_is_read_again(site, opened, monkeypatch, age):
    monkeypatch.setattr(file_cache, "YOUNG", 60_000_000_000)
    for path in site.folder.iterdir():
        long_ago = path.stat().st_mtime - age
        os.utime(path, (long_ago, long_ago))
    cache = FileCache()
    again(site, cache)
    again(site, cache)

    assert opened == ["web.yaml", "web1.yaml", "web2.yaml"] * 2


def test_what_is_gone_is_forgotten(site, old):
    cache = FileCache()
    again(site, cache)
    site.remove("web2.yaml")
    again(site, cache)
    again(site, cache)

    assert len(cache._before) == len(cache.parsed._files) == 2


def test_a_link_that_is_turned_to_another_file_is_another_file(site, old, opened):
    (site.folder / ".a").write_text(container("a"))
    (site.folder / ".b").write_text(container("b"))
    (site.folder / "link.yaml").symlink_to(".a")
    cache = FileCache()
    assert "Container/a" in again(site, cache).catalog.resources
    opened.clear()
    again(site, cache)
    assert opened == []

    (site.folder / "link.yaml").unlink()
    (site.folder / "link.yaml").symlink_to(".b")

    assert "Container/b" in again(site, cache).catalog.resources


def test_a_file_that_cannot_be_read_any_more_is_a_problem_though_it_is_known(site, old):
    cache = FileCache()
    again(site, cache)
    site.remove("web1.yaml")
    os.mkfifo(site.folder / "web1.yaml")

    with pytest.raises(ManifestErrors, match=r"web1\.yaml: not a regular file"):
        again(site, cache)


def test_a_name_that_is_not_text_is_read_all_the_same(site):
    odd = os.fsencode(site.folder) + b"/\xff.yaml"
    shutil.copy(site.folder / "web.yaml", odd)
    site.remove("web.yaml")

    assert "Bridge/web" in load([str(site.folder)]).catalog.resources


def test_folders_without_end_are_a_problem(site):
    folder = site.folder
    for _ in range(scan.FOLDERS_MAX + 1):
        folder /= "d"
    folder.mkdir(parents=True)

    with pytest.raises(ManifestErrors, match="deeper than 64 folders"):
        load([str(site.folder)])


BRIDGE_2 = BRIDGE.replace("10.1.0.1/24", "10.1.0.129/25").replace("name: web", "name: db")
CONTENTS = [
    BRIDGE,
    BRIDGE.replace("web", "db"),  # the same subnet twice
    BRIDGE_2,  # overlaps
    BRIDGE.replace("10.1.0.1/24", "10.1.0.1/30"),  # room for one
    container("one"),
    container("two"),
    container("one") + "---\n" + container("two"),
    container("three", "publish: ['8080:80']"),
    container("four", "publish: ['127.0.0.1:8080:80']"),
    container("five", "addresses: [10.1.0.5]"),
    container("six", "addresses: [10.1.0.5], links: [five, nobody]"),
    container("seven", "addresses: [10.9.0.5]"),
    container("eight", "network: 'container:one'"),
    container("nine", "mtuu: 3"),
    "kind: [half",
    "\xff",
    "",
    "- a list\n",
    "{apiVersion: reconciler/v1, kind: Brigde, metadata: {name: x}}",
    (
        "apiVersion: reconciler/v1\nkind: Check\nmetadata: {name: x}\n"
        "spec: {from: outside, to: 'one:80/tcp'}\n"
    ),
]
NAMES = [f"{letter}.yaml" for letter in "abcd"]


def outcome(files, cache=None):
    """All that can be seen of a catalog, or of what is wrong with it."""
    try:
        catalog = parse_catalog(files, cache)
    except ManifestErrors as errors:
        return errors.problems
    places = [catalog.locate(name, ("spec",)) for name in catalog.resources]
    return dict(catalog.resources), list(catalog.resources), places


states = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(CONTENTS))


@settings(max_examples=150, deadline=None)
@given(st.lists(states, min_size=2, max_size=6))
def test_a_catalog_and_its_errors_are_the_same_with_and_without_a_cache(history):
    cache = ParseCache()
    for state in history:
        files = [ManifestFile(name, text.encode("latin-1")) for name, text in state.items()]
        assert outcome(files, cache) == outcome(files)


def loaded(folder, cache=None):
    try:
        found = load([folder], cache=cache)
    except (ManifestErrors, NoManifestsError) as error:
        return str(error)
    return dict(found.catalog.resources), found.revision, found.whole


@settings(max_examples=25, deadline=None)
@given(st.lists(states, min_size=2, max_size=4), st.booleans())
def test_a_folder_loads_the_same_with_and_without_a_cache(history, in_place):
    cache = FileCache()
    with tempfile.TemporaryDirectory() as folder:
        for state in history:
            for path in Path(folder).iterdir():
                if path.name not in state:
                    path.unlink()
            for name, text in state.items():
                if not in_place:
                    (Path(folder) / name).unlink(missing_ok=True)
                (Path(folder) / name).write_bytes(text.encode("latin-1"))
            assert loaded(folder, cache) == loaded(folder)
            assert loaded(folder, cache) == loaded(folder)
