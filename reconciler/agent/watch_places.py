"""Watch places: where a change may change what lies under the paths of manifests.

That is every directory with all below it. And, because a directory may be deleted, made again or
swapped by turning a symbolic link (git-sync, Kubernetes), the folders in which the path's links and
its last name stand. Where a path leads nowhere yet, it is the folder that is there so far.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LINKS_MAX = 40  # as the kernel follows, path_resolution(7)

Identity = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where to watch. Two are equal where the very same folders are there."""

    trees: tuple[str, ...]
    """Real directories, to be watched with all below them."""
    names: Mapping[str, frozenset[str]]
    """Real folders, of which only these names matter."""
    identities: Mapping[str, Identity | None]
    """What was there when this was found out, before anything is watched."""


def find_places(paths: Iterable[str]) -> Places:
    """Find where to watch for a change of *paths*; nothing is raised."""
    trees: set[str] = set()
    names: dict[str, set[str]] = {}
    for path in paths:
        real = os.path.realpath(path)
        if Path(real).is_dir():
            trees.add(real)
        for folder, name in _steps(path):
            if name and Path(folder).is_dir():
                names.setdefault(folder, set()).add(name)
    outermost = tuple(sorted(tree for tree in trees if not _is_below(tree, trees)))
    return Places(
        trees=outermost,
        names={folder: frozenset(found) for folder, found in names.items()},
        identities={folder: _identity(folder) for folder in (*outermost, *names)},
    )


def _is_below(tree: str, trees: Iterable[str]) -> bool:
    return any(other != tree and f"{tree}/".startswith(f"{other.rstrip('/')}/") for other in trees)


def _identity(folder: str) -> Identity | None:
    try:
        status = os.stat(folder)  # noqa: PTH116 - as the other calls here
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _steps(path: str) -> Iterator[tuple[str, str]]:
    """The names, each with its real folder, that decide where a path leads."""
    here, links = "/", 0
    waiting = os.path.abspath(path).split("/")[::-1]  # noqa: PTH100 - a Path keeps the dots
    while waiting and links <= LINKS_MAX:
        name = waiting.pop()
        if name in {"", ".", ".."}:
            here = os.path.dirname(here) if name == ".." else here  # noqa: PTH120
            continue
        full = os.path.join(here, name)  # noqa: PTH118
        try:
            target = os.readlink(full)  # noqa: PTH115
        except OSError as error:
            if error.errno == errno.EINVAL:  # it is there, and no link
                here = full
                continue
            yield here, name
            break
        yield here, name
        links += 1
        here = "/" if target.startswith("/") else here
        waiting += target.split("/")[::-1]
    yield os.path.dirname(here), os.path.basename(here)  # noqa: PTH119, PTH120
