"""Journal: the drifts of the past, as JSON lines that may be lost at any time without harm.

It is history, not state: nothing is decided by it. So nothing that goes wrong with it stops the
loop; a line that was torn by a kill is skipped when read, and nothing waits for the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler.errors import HostError

SIZE_MAX = 1 << 20
"""Bytes of the newest file; one older file of that size is kept beside it."""

RECORD_MAX = SIZE_MAX // 4
"""Bytes of one line; a longer one loses its differences (a file's text, mostly)."""

_MODE = 0o640
_FOLDER_MODE = 0o750


def journal_path(state_dir: Path, set_name: str) -> Path:
    """Where the journal of a set lies."""
    return state_dir / "journal" / set_name / "drift.jsonl"


class Journal:
    """One set's drifts; the loop's thread appends, others may read meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        """Why the last record was not kept; empty: it was."""

    def append(self, record: Mapping[str, Any]) -> str:
        """Keep a record, if that can be done.

        Returns:
            Why it could not, the first time in a row; empty otherwise. It never raises.
        """
        before = self.problem
        try:
            self._append(_line(record))
            self.problem = ""
        except (OSError, ValueError, TypeError, RecursionError) as error:
            self.problem = f"{self.path}: {getattr(error, 'strerror', None) or error}"
        return "" if before else self.problem

    def read(self, limit: int) -> list[dict[str, Any]]:
        """The newest records, at most *limit*, newest last; none where they cannot be read."""
        try:
            return read_records(self.path, limit)
        except HostError:
            return []

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        fd = self._open()
        try:
            size = os.fstat(fd).st_size
            if size and size + len(line) > SIZE_MAX:
                os.replace(self.path, _older(self.path))  # noqa: PTH105 - as the other calls here
                os.close(fd)
                fd = self._open()
                size = 0
            _write(fd, size, line)
        finally:
            os.close(fd)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self.path, flags, _MODE)


def _line(record: Mapping[str, Any]) -> bytes:
    # Escaped to ASCII: names in a kernel need not be UTF-8.
    line = json.dumps(record, default=str, separators=(",", ":")).encode() + b"\n"
    if len(line) > RECORD_MAX:
        short = {**record, "differences": [], "shortened": True}
        line = json.dumps(short, default=str, separators=(",", ":")).encode() + b"\n"
    if len(line) > RECORD_MAX:
        raise ValueError(f"a record of {len(line):,} bytes is too long")
    return line


def _write(fd: int, size: int, line: bytes) -> None:
    """Write a line at the end; half a line is taken back, and one that a kill left is ended."""
    if size and os.pread(fd, 1, size - 1) != b"\n":
        line = b"\n" + line
    written = os.write(fd, line)
    if written < len(line):
        os.ftruncate(fd, size)
        raise OSError(None, "the disk is full")


def _older(path: Path) -> Path:
    return path.with_suffix(".1.jsonl")


def read_records(path: Path, limit: int) -> list[dict[str, Any]]:
    """Read the newest records of a journal, at most *limit*, newest last.

    What is not a JSON object (a torn line, garbage) is skipped; a file that is not there is empty.

    Raises:
        HostError: A file is there and cannot be read.
    """
    found: list[dict[str, Any]] = []
    for file in (path, _older(path)):
        for record in _backwards(file):
            if len(found) >= limit:
                break
            found.append(record)
    return found[::-1]


def _backwards(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
