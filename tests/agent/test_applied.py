"""What was applied last: it tells a change of the manifests from a drift, and may be lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.agent.applied import Applied, AppliedRecord
from reconciler.agent.source import Loaded
from tests.manifest.reading import BRIDGE, catalog_of, manifest

KEEP = 'annotations: {reconciler/prune: "false"}'
SUSPEND = 'annotations: {reconciler/suspend: "true"}'
C1 = manifest("Container", "c1", "{bridge: web}")


def loaded(*documents: str, whole: bool = True, revision: str = "r1") -> Loaded:
    return Loaded(catalog_of(*documents), whole, revision, ("manifests",))


@pytest.fixture
def record(tmp_path: Path) -> AppliedRecord:
    return AppliedRecord(tmp_path, "default")


def test_nothing_is_applied_at_first(record):
    assert record.read() is None
    assert not record.is_applied(loaded(BRIDGE))


def test_what_is_remembered_is_applied(record):
    record.remember(loaded(BRIDGE, C1))

    assert record.is_applied(loaded(BRIDGE, C1))
    assert record.read().revision == "r1"
    assert set(record.read().resources) == {"Bridge/web", "Container/c1"}


def test_another_program_run_reads_it(record, tmp_path):
    record.remember(loaded(BRIDGE))

    assert AppliedRecord(tmp_path, "default").read() == record.read()


def test_another_set_has_a_note_of_its_own(record, tmp_path):
    record.remember(loaded(BRIDGE))

    assert AppliedRecord(tmp_path, "other").read() is None


def test_another_revision_is_not_applied(record):
    record.remember(loaded(BRIDGE))

    assert not record.is_applied(loaded(BRIDGE, revision="r2"))


def test_what_is_forgotten_is_not_applied(record):
    record.remember(loaded(BRIDGE))
    record.forget()
    record.forget()

    assert record.read() is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"revision": "r1", "resources": [1]}', "\xff"]
)
def test_a_note_that_cannot_be_read_is_none(record, tmp_path, text):
    path = tmp_path / "applied" / "default.json"
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))

    assert record.read() is None


def test_a_note_that_cannot_be_kept_is_no_error(tmp_path):
    (tmp_path / "applied").write_text("a file in the way")
    record = AppliedRecord(tmp_path, "default")

    record.remember(loaded(BRIDGE))

    assert record.read() is None


def test_the_same_revision_is_written_once(record, tmp_path):
    record.remember(loaded(BRIDGE))
    path = tmp_path / "applied" / "default.json"
    before = path.stat()

    record.remember(loaded(BRIDGE))

    assert path.stat().st_ino == before.st_ino
    assert [p.name for p in path.parent.iterdir()] == ["default.json"]


# --------------------------------------------------------------------------- files, not directories


def test_a_file_is_applied_beside_what_was_applied_before(record):
    record.remember(loaded(BRIDGE))
    record.remember(loaded(C1.replace("bridge: web", "network: none"), whole=False))

    assert set(record.read().resources) == {"Bridge/web", "Container/c1"}


def test_after_a_file_no_revision_of_a_directory_is_in_force(record):
    record.remember(loaded(BRIDGE))
    record.remember(loaded(BRIDGE, whole=False))

    assert record.read().revision == ""
    assert not record.is_applied(loaded(BRIDGE))


def test_a_file_alone_never_counts_as_the_revision_in_force(record):
    record.remember(loaded(BRIDGE, whole=False, revision=""))

    assert not record.is_applied(loaded(BRIDGE, whole=False, revision=""))


# --------------------------------------------------------------------------- what has changed


@pytest.fixture
def applied(record) -> Applied:
    record.remember(loaded(BRIDGE, C1))
    return record.read()


def test_nothing_has_changed_where_it_says_the_same(applied):
    assert applied.changed(catalog_of(C1, "# a remark\n" + BRIDGE)) == frozenset()


@pytest.mark.parametrize(
    "document",
    [
        manifest("Container", "c1", "{bridge: web, mac: '02:00:00:00:00:01'}"),
        manifest("Container", "c1", "{bridge: web}", KEEP),
        manifest("Container", "c1", "{bridge: web}", SUSPEND),
    ],
    ids=["the spec", "prune", "suspend"],
)
def test_what_says_something_else_has_changed(applied, document):
    assert applied.changed(catalog_of(BRIDGE, document)) == {"Container/c1"}


def test_what_is_new_or_gone_has_changed(applied):
    found = applied.changed(catalog_of(BRIDGE, manifest("Container", "c2", "{bridge: web}")))

    assert found == {"Container/c1", "Container/c2"}


def test_a_label_is_no_change(applied):
    document = manifest("Container", "c1", "{bridge: web}", "labels: {tier: front}")

    assert applied.changed(catalog_of(BRIDGE, document)) == frozenset()


def test_the_note_is_plain_json(record, tmp_path):
    record.remember(loaded(BRIDGE))

    found = json.loads((tmp_path / "applied" / "default.json").read_text())
    assert found["revision"] == "r1"
    assert list(found["resources"]) == ["Bridge/web"]
