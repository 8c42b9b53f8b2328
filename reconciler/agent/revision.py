"""Revision: what a state of the manifests is called, the commit where they are in a git checkout.

Whether the files are those of the commit is decided here, by git's own hashes of their contents
(gitformat-pack(5), gitglossary(7) "object name"), and not by `git status`: that would run what the
checkout's configuration says, filters and a file system monitor, which may be a stranger's. Git only
reads its own store, with every way out of it shut.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import new as new_hash
from pathlib import Path

from reconciler.agent.scan import SUFFIXES, Scan
from reconciler.errors import ReconcilerError

TIMEOUT = 5.0  # seconds, of one run of git
DIRTY = "-dirty"

_LINK = "120000"  # modes of tree entries, git-fast-import(1)
_OPTIONS = (
    "--no-pager",
    "--literal-pathspecs",
    "-c", "safe.directory=*",  # the checkout may be another user's: nothing of it is run
    "-c", "safe.bareRepository=explicit",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
)  # fmt: skip
_ENVIRONMENT = {
    "LC_ALL": "C",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    # What a partial clone lacks is not fetched: not by older gits, nor by newer ones.
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
}


class _NoCheckoutError(ReconcilerError):
    """There is no git, no checkout, or none that can be read."""


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    id: str


def name_revision(found: Scan, paths: Sequence[str], digest: str) -> str:
    """Name what a scan of *paths* has found.

    The commit that is checked out where the first of the paths is, with ``-dirty`` behind it where
    a file is not as in the commit; *digest* where there is no commit that knows any of the files.
    """
    try:
        top, commit = _find_checkout(paths[0])
        tracked = _read_tree(top, commit, paths)
    except (_NoCheckoutError, OSError):
        return digest
    own = [_below(real, top) for real in found.real]
    if not tracked.keys() & set(own):
        return digest
    clean = _same_files(found, own, tracked) and _same_links(top, tracked)
    return commit if clean and _complete(set(own), tracked, top, paths) else commit + DIRTY


def _find_checkout(path: str) -> tuple[str, str]:
    """The top folder of the checkout that the path is in, and its commit."""
    folder = path if Path(path).is_dir() else os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    printed = _git(folder, "rev-parse", "--show-toplevel", "HEAD^{commit}")
    top, _, commit = os.fsdecode(printed).removesuffix("\n").rpartition("\n")
    return top, commit


def _read_tree(top: str, commit: str, paths: Sequence[str]) -> dict[str, _Entry]:
    """What the commit holds under the paths, by path from the top."""
    below = [_below(os.path.realpath(path), top) for path in paths]
    wanted = [] if "." in below else [path for path in below if path]
    printed = _git(top, "ls-tree", "-r", "-z", "--full-tree", commit, "--", *wanted)
    tree = {}
    for line in os.fsdecode(printed).split("\0")[:-1]:
        facts, _, path = line.partition("\t")
        mode, _, name = facts.split(" ")
        tree[path] = _Entry(mode, name)
    return tree


def _below(path: str, top: str) -> str:
    """A path as seen from the top, `.` for itself, or empty where it is not below."""
    if path == top:
        return "."
    prefix = top.rstrip("/") + "/"
    return path.removeprefix(prefix) if path.startswith(prefix) else ""


def _same_files(found: Scan, own: Sequence[str], tracked: Mapping[str, _Entry]) -> bool:
    return all(
        (entry := tracked.get(path)) and entry.id == _blob_id(file.data, len(entry.id))
        for path, file in zip(own, found.files, strict=True)
    )


def _same_links(top: str, tracked: Mapping[str, _Entry]) -> bool:
    links = [(os.path.join(top, p), e.id) for p, e in tracked.items() if e.mode == _LINK]  # noqa: PTH118
    return all(
        Path(path).is_symlink() and id_ == _blob_id(os.fsencode(os.readlink(path)), len(id_))  # noqa: PTH115
        for path, id_ in links
    )


def _complete(own: set[str], tracked: Mapping[str, _Entry], top: str, paths: Sequence[str]) -> bool:
    """Whether every manifest of the commit is there."""
    roots = [_below(os.path.realpath(path), top) for path in paths]
    return all(
        path in own
        for path, entry in tracked.items()
        if entry.mode != _LINK and path.endswith(SUFFIXES) and _is_visible(path, roots)
    )


def _is_visible(path: str, roots: Sequence[str]) -> bool:
    """Whether a scan of one of the roots comes by there: hidden entries are left out."""
    return any(not any(part.startswith(".") for part in rest) for rest in _rests(path, roots))


def _rests(path: str, roots: Sequence[str]) -> Iterator[list[str]]:
    for root in roots:
        if root == ".":
            yield path.split("/")
        elif root and (path + "/").startswith(root + "/"):
            yield path.removeprefix(root).strip("/").split("/")


def _blob_id(data: bytes, length: int) -> str:
    """The name of a content in git's store, in hexadecimal digits: 40 are SHA-1, 64 are SHA-256."""
    name = "sha1" if length == 40 else "sha256"
    return new_hash(name, b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _git(folder: str, *arguments: str) -> bytes:
    """Run git in a folder, without a word of its caller's environment.

    Raises:
        _NoCheckoutError: It failed, took too long, or is not installed.
    """
    try:
        done = subprocess.run(
            ["git", *_OPTIONS, "-C", folder, *arguments],
            env={**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=TIMEOUT,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _NoCheckoutError(str(error)) from error
    return done.stdout
