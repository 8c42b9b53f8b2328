"""Journal: history that is bounded, and that nothing which goes wrong with it can stop."""

import errno
import os
from pathlib import Path

import pytest

from reconciler.agent import journal as module
from reconciler.agent.journal import RECORD_MAX, SIZE_MAX, Journal, journal_path, read_records
from reconciler.errors import HostError


@pytest.fixture
def journal(tmp_path):
    return Journal(journal_path(tmp_path, "default"))


def numbers(journal, limit=10_000):
    return [record["n"] for record in journal.read(limit)]


def test_it_lies_by_set_in_the_state_directory():
    assert journal_path(Path("/s"), "blue") == Path("/s/journal/blue/drift.jsonl")


def test_what_was_appended_is_read_newest_last(journal):
    for n in range(5):
        assert journal.append({"n": n, "text": "ä\n\udc80"}) == ""

    assert numbers(journal) == [0, 1, 2, 3, 4]
    assert numbers(journal, 2) == [3, 4]
    assert journal.read(1)[0]["text"] == "ä\n\udc80"


def test_nothing_was_written_yet(journal):
    assert journal.read(10) == []
    assert read_records(journal.path, 10) == []


def test_others_may_not_read_it(journal):
    before = os.umask(0)
    try:
        journal.append({"n": 1})
    finally:
        os.umask(before)

    assert journal.path.stat().st_mode & 0o777 == 0o640
    assert journal.path.parent.stat().st_mode & 0o777 == 0o750


def test_it_is_bounded_and_keeps_one_older_file(journal):
    text = "x" * 10_000
    for n in range(250):
        journal.append({"n": n, "text": text})

    files = sorted(path.name for path in journal.path.parent.iterdir())
    assert files == ["drift.1.jsonl", "drift.jsonl"]
    assert all(path.stat().st_size <= SIZE_MAX for path in journal.path.parent.iterdir())
    found = numbers(journal)
    assert len(found) > 100
    assert found == list(range(250 - len(found), 250))


def test_reading_goes_on_into_the_older_file(journal):
    journal.append({"n": 1})
    journal.path.rename(journal.path.with_name("drift.1.jsonl"))
    journal.append({"n": 2})

    assert numbers(journal) == [1, 2]
    assert numbers(journal, 1) == [2]


def test_garbage_and_a_torn_last_line_are_skipped(journal):
    journal.append({"n": 1})
    with journal.path.open("ab") as file:
        file.write(b"\xff\xfe\n[1, 2]\n\n" + b"[" * 100_000 + b'\n{"n": 2')

    assert numbers(journal) == [1]


def test_a_record_after_a_torn_line_stands_on_a_line_of_its_own(journal):
    journal.append({"n": 1})
    with journal.path.open("ab") as file:
        file.write(b'{"n": 2, "te')

    journal.append({"n": 3})

    assert numbers(journal) == [1, 3]


def test_half_a_line_that_a_full_disk_took_is_taken_back(journal, monkeypatch):
    journal.append({"n": 1})
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda fd, data: write(fd, data[:4]))

    problem = journal.append({"n": 2})
    monkeypatch.undo()

    assert problem.endswith("drift.jsonl: the disk is full")
    assert journal.path.read_bytes() == b'{"n":1}\n'


def test_a_problem_is_told_once_and_forgotten_when_it_has_gone(journal, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    told = [journal.append({"n": 1}), journal.append({"n": 2})]
    lasting = journal.problem
    monkeypatch.undo()
    journal.append({"n": 3})

    assert told == [f"{journal.path}: No space left on device", ""]
    assert lasting == told[0]
    assert journal.problem == ""
    assert numbers(journal) == [3]


def test_a_directory_that_cannot_be_made_stops_nothing(tmp_path):
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file" / "drift.jsonl")

    assert journal.append({"n": 1}) == f"{journal.path}: File exists"
    assert journal.read(5) == []


def test_a_directory_that_was_deleted_is_made_again(journal):
    journal.append({"n": 1})
    journal.path.unlink()
    journal.path.parent.rmdir()

    assert journal.append({"n": 2}) == ""
    assert numbers(journal) == [2]


def test_a_link_under_its_name_is_a_problem_and_not_followed(journal, tmp_path):
    journal.path.parent.mkdir(parents=True)
    journal.path.symlink_to(tmp_path / "precious")

    assert journal.append({"n": 1})
    assert not (tmp_path / "precious").exists()


def test_values_that_json_does_not_have_are_kept_as_text(journal):
    journal.append({"n": 1, "path": Path("/x")})

    assert journal.read(1) == [{"n": 1, "path": "/x"}]


def test_a_record_that_would_fill_the_file_loses_its_differences(journal):
    journal.append({"n": 1, "differences": [{"after": "x" * RECORD_MAX}]})

    assert journal.read(1) == [{"n": 1, "differences": [], "shortened": True}]


def test_a_record_that_is_too_long_all_the_same_is_a_problem(journal):
    assert "too long" in journal.append({"n": 1, "message": "x" * RECORD_MAX})
    assert journal.read(1) == []


def test_a_record_that_contains_itself_is_a_problem(journal):
    record = {"n": 1}
    record["self"] = record

    assert journal.append(record)


def test_asking_directly_tells_what_cannot_be_read(journal):
    journal.path.mkdir(parents=True)

    with pytest.raises(HostError, match="Is a directory"):
        read_records(journal.path, 5)
    assert journal.read(5) == []
