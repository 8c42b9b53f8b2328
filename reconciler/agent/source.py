"""Source: the files that manifests are read from.

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

from reconciler.errors import ReconcilerError
from reconciler.kinds import parse_catalog
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.problem import ManifestErrors, Problem
from reconciler.manifest.source_text import ManifestFile

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"
INHERITED = re.compile(r"/dev/(stdin|fd/[0-9]+)")
"""What a shell puts for ``<(kustomize build)``: given on purpose, and waited for, as `-` is."""
FILE_MAX = 8 << 20  # bytes; one more is read, so that the loader sees that there is more
FILES_MAX = 100_000


class NoManifestsError(ReconcilerError):
    """There is nothing to read, and nobody said that this is meant."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One revision of the manifests."""

    catalog: Catalog
    whole: bool
    """Only directories were read: they are the whole truth of their set, so it may be pruned."""
    revision: str
    """A digest of all that was read."""
    paths: tuple[str, ...]


@dataclass(slots=True)
class _Reading:
    files: list[ManifestFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    """Real paths: a link to what is read anyway adds nothing."""

    def first_time(self, path: str) -> bool:
        real = os.path.realpath(path)
        if real in self.seen:
            return False
        self.seen.add(real)
        return True

    def refuse(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(path, 0, 0, "", "", message, hint))


def load(paths: Iterable[str], *, allow_empty: bool = False) -> Loaded:
    """Read and check all manifests under *paths*.

    Raises:
        ManifestErrors: Something cannot be read, or is not valid; with all that is wrong.
        NoManifestsError: Nothing is declared at all, and *allow_empty* does not say so.
    """
    paths = tuple(paths)
    reading = _Reading()
    for path in paths:
        _read_path(path, reading)
    catalog = _parse(reading)
    if not catalog.resources and not allow_empty:
        where = ", ".join(paths)
        raise NoManifestsError(
            f"{where}: no manifests there; if nothing is to exist, say so with --allow-empty"
        )
    whole = all(Path(path).is_dir() for path in paths)
    return Loaded(catalog, whole, _digest(reading.files), paths)


def _parse(reading: _Reading) -> Catalog:
    try:
        catalog = parse_catalog(reading.files)
    except ManifestErrors as errors:
        raise ManifestErrors([*reading.problems, *errors.problems]) from None
    if reading.problems:
        raise ManifestErrors(reading.problems)
    return catalog


def _digest(files: Iterable[ManifestFile]) -> str:
    digest = sha256()
    for file in files:
        digest.update(f"{file.path}\0{len(file.data)}\0".encode())
        digest.update(file.data)
    return digest.hexdigest()


def _read_path(path: str, reading: _Reading) -> None:
    if path == STDIN:
        data = sys.stdin.buffer.read(FILE_MAX + 1) if sys.stdin else b""
        reading.files.append(ManifestFile("<stdin>", data))
        return
    if INHERITED.fullmatch(path):
        _read_inherited(path, reading)
        return
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - as the other calls here
    except OSError as error:
        reading.refuse(path, _reason(error))
        return
    if stat.S_ISDIR(mode):
        for file in _walk(path, os.path.realpath(path), reading):
            _read_file(file, reading)
            if len(reading.files) > FILES_MAX:
                reading.refuse(path, f"more than {FILES_MAX:,} manifests")
                return
    else:
        _read_file(path, reading)


def _read_inherited(path: str, reading: _Reading) -> None:
    try:
        with Path(path).open("rb") as file:
            reading.files.append(ManifestFile(path, file.read(FILE_MAX + 1)))
    except OSError as error:
        reading.refuse(path, _reason(error))


def _walk(folder: str, root: str, reading: _Reading) -> Iterator[str]:
    """List the manifests of a folder in the order of their names, each file once."""
    if not reading.first_time(folder):
        return
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        reading.refuse(folder, _reason(error))
        return
    for entry in found:
        # Hidden entries are an editor's or a version control's; the folders of a Kubernetes
        # ConfigMap (..data) are hidden, too, and reached by the links beside them.
        if entry.name.startswith(".") or not _inside(entry, root, reading):
            continue
        if entry.is_dir():
            yield from _walk(entry.path, root, reading)
        elif entry.name.endswith(SUFFIXES):
            yield entry.path


def _inside(entry: os.DirEntry[str], root: str, reading: _Reading) -> bool:
    """Say whether an entry may be read; one that leads out, or to nothing, is a problem.

    A link to nothing may be half of a checkout: it could have led to a folder of manifests.
    """
    if not entry.is_symlink():
        return True
    target = os.path.realpath(entry.path)
    try:
        folder = stat.S_ISDIR(entry.stat().st_mode)
    except OSError as error:
        reading.refuse(entry.path, f"a symbolic link to {target}, which {_reason(error)}")
        return False
    if os.path.commonpath([root, target]) == root:
        return True
    if folder or entry.name.endswith(SUFFIXES):
        reading.refuse(entry.path, f"a symbolic link that leads out of the directory, to {target}")
    return False


def _read_file(path: str, reading: _Reading) -> None:
    if not reading.first_time(path):
        return
    try:
        # Without waiting: a named pipe would hold everything up.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                reading.refuse(path, "not a regular file")
                return
            reading.files.append(ManifestFile(path, file.read(FILE_MAX + 1)))
    except OSError as error:
        reading.refuse(path, _reason(error))


def _reason(error: OSError) -> str:
    return f"cannot be read: {error.strerror}"
