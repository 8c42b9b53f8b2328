"""Scan: finds the files of manifests, and reads those that have changed.

A directory is read whole, sub-folders included, hidden entries and whatever is no manifest left
out. Symbolic links are followed inside the directory only: a checkout must not reach for
/etc/shadow. What cannot be read is a problem, never a file that is not there.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from reconciler.agent.file_cache import FileCache
from reconciler.manifest.problem import Problem
from reconciler.manifest.source_text import ManifestFile

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"
INHERITED = re.compile(r"/dev/(stdin|fd/[0-9]+)")
"""What a shell puts for ``<(kustomize build)``: given on purpose, and waited for, as `-` is."""
FILE_MAX = 8 << 20  # bytes; one more is read, so that the loader sees that there is more
FILES_MAX = 100_000
FOLDERS_MAX = 64
"""How deep folders may lie in each other: as deep as what is written in a manifest."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What lay under the paths at one moment. Two are equal where every byte of them is."""

    files: tuple[ManifestFile, ...]
    problems: tuple[Problem, ...]
    """What could not be read."""
    whole: bool
    """All of the paths are directories."""
    real: tuple[str, ...]
    """For each file, its path without symbolic links; empty for what is no file."""

    def digest(self) -> str:
        """A hash of the files' paths and contents."""
        digest = sha256()
        for file in self.files:
            digest.update(os.fsencode(file.path) + b"\0%d\0" % len(file.data))
            digest.update(file.data)
        return digest.hexdigest()


@dataclass(slots=True)
class _Reading:
    cache: FileCache
    files: list[ManifestFile] = field(default_factory=list)
    real: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    whole: bool = True
    seen: set[str] = field(default_factory=set)
    """Real paths: a link to what is read anyway adds nothing."""

    def first_time(self, real: str) -> bool:
        if real in self.seen:
            return False
        self.seen.add(real)
        return True

    def add(self, file: ManifestFile, real: str = "") -> None:
        self.files.append(file)
        self.real.append(real)

    def refuse(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(path, 0, 0, "", "", message, hint))


def scan(paths: Iterable[str], cache: FileCache | None = None) -> Scan:
    """Read all manifests under *paths*; nothing is raised.

    With the cache of an earlier scan of the same paths, a file that is as it was then is not opened.
    """
    reading = _Reading(cache or FileCache())
    for path in paths:
        _read_path(path, reading)
    reading.cache.forget_others()
    files, problems = tuple(reading.files), tuple(reading.problems)
    return Scan(files, problems, reading.whole, tuple(reading.real))


def _read_path(path: str, reading: _Reading) -> None:
    if path == STDIN:
        reading.whole = False
        data = sys.stdin.buffer.read(FILE_MAX + 1) if sys.stdin else b""
        reading.add(ManifestFile("<stdin>", data))
        return
    if INHERITED.fullmatch(path):
        reading.whole = False
        _read_inherited(path, reading)
        return
    real = os.path.realpath(path)
    try:
        folder = stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - as the other calls here
    except OSError as error:
        reading.refuse(path, reason(error))
        return
    if not folder:
        reading.whole = False
        _read_file(path, real, reading)
        return
    for file, where in _walk(path, real, real, reading):
        _read_file(file, where, reading)
        if len(reading.files) > FILES_MAX:
            reading.refuse(path, f"more than {FILES_MAX:,} manifests")
            return


def _read_inherited(path: str, reading: _Reading) -> None:
    try:
        with Path(path).open("rb") as file:
            reading.add(ManifestFile(path, file.read(FILE_MAX + 1)))
    except OSError as error:
        reading.refuse(path, reason(error))


def _walk(
    folder: str, real: str, root: str, reading: _Reading, depth: int = 0
) -> Iterator[tuple[str, str]]:
    """List the manifests of a folder in the order of their names, with their real paths."""
    if not reading.first_time(real):
        return
    if depth > FOLDERS_MAX:
        reading.refuse(folder, f"lies deeper than {FOLDERS_MAX} folders")
        return
    try:
        for entry in _list(folder):
            where = os.path.join(real, entry.name)  # noqa: PTH118 - a Path for each would be slow
            if entry.is_symlink():
                where = os.path.realpath(entry.path)
                if not _inside(entry, where, root, reading):
                    continue
            if entry.is_dir():
                yield from _walk(entry.path, where, root, reading, depth + 1)
            elif entry.name.endswith(SUFFIXES):
                yield entry.path, where
    except OSError as error:
        reading.refuse(folder, reason(error))


def _list(folder: str) -> list[os.DirEntry[str]]:
    # Hidden entries are an editor's or a version control's; the folders of a Kubernetes ConfigMap
    # (..data) are hidden, too, and reached by the links beside them.
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(visible, key=lambda entry: entry.name)


def _inside(entry: os.DirEntry[str], target: str, root: str, reading: _Reading) -> bool:
    """Say whether a link may be followed; one that leads out, or to nothing, is a problem.

    A link to nothing may be half of a checkout: it could have led to a folder of manifests.
    """
    try:
        folder = stat.S_ISDIR(entry.stat().st_mode)
    except OSError as error:
        reading.refuse(entry.path, f"a symbolic link to {target}, which {reason(error)}")
        return False
    if os.path.commonpath([root, target]) == root:
        return True
    if folder or entry.name.endswith(SUFFIXES):
        reading.refuse(entry.path, f"a symbolic link that leads out of the directory, to {target}")
    return False


def _read_file(path: str, real: str, reading: _Reading) -> None:
    if not reading.first_time(real):
        return
    try:
        file = reading.cache.find(path) or _open(path, reading)
    except OSError as error:
        reading.refuse(path, reason(error))
        return
    if file:
        reading.add(file, real)


def _open(path: str, reading: _Reading) -> ManifestFile | None:
    # Without waiting: a named pipe would hold everything up.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as opened:
        # Looked at before it is read: what is written meanwhile makes it another next time.
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            reading.refuse(path, "not a regular file")
            return None
        file = ManifestFile(path, opened.read(FILE_MAX + 1))
    reading.cache.keep(file, status)
    return file


def reason(error: OSError) -> str:
    """What the kernel says, in the words of a problem."""
    return f"cannot be read: {error.strerror}"
