"""Folders: the names under /etc/netns on disk, read and written so that a kill leaves no ruin."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from reconciler.host.kernel import OperationError
from reconciler.objects.directory import (
    MARKER_SUFFIX,
    NETNS_NAMES,
    marker_path,
    parse_marker,
    render_marker,
)
from reconciler.objects.file import NAMES, File, FolderDump
from reconciler.objects.marks import parse_mark

_CONTENT_MAX = 16 << 20  # bytes
FRESH = ".new"
_HOSTS_RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
"""The host's own, and the one behind it where the first only names the local stub resolver."""


def list_folders() -> list[str]:
    """Name all folders under /etc/netns, whoever made them, and marks without a folder."""
    try:
        with os.scandir(NETNS_NAMES) as entries:
            found = list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    marked = {
        f"{NETNS_NAMES}/{entry.name[1 : -len(MARKER_SUFFIX)]}"
        for entry in found
        if entry.name.startswith(".") and entry.name.endswith(MARKER_SUFFIX)
    }
    folders = {entry.path for entry in found if entry.is_dir(follow_symlinks=False)}
    return sorted(marked | folders)


def read_folder(path: str) -> FolderDump | None:
    """Read a folder of names and its mark; None where there is neither."""
    mark = _read_text(marker_path(path))
    files = {name: file for name in NAMES if (file := _read_file(path, name)) is not None}
    if mark is None and not files and not os.path.isdir(path):  # noqa: PTH112 - one system call
        return None
    return FolderDump(path, mark, files)


def folder_stamp(path: str) -> tuple[tuple[int, int, int] | None, ...]:
    """Say in numbers when what a folder holds was written last: equal, and nobody has since."""
    return tuple(map(_stamp, (marker_path(path), *(f"{path}/{name}" for name in NAMES))))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns, found.st_size


def read_resolvers() -> Iterator[FolderDump]:
    """Read the host's own resolv.conf, of which containers get theirs unless they say otherwise."""
    for path in _HOSTS_RESOLVERS:
        content = _read_text(path)
        if content is not None:
            folder, _, name = path.rpartition("/")
            yield FolderDump(folder, None, {name: File(folder, name, content)})


def _read_file(folder: str, name: str) -> File | None:
    path = f"{folder}/{name}"
    try:
        return File(folder, name, target=os.readlink(path))  # noqa: PTH115 - one system call
    except OSError:
        content = _read_text(path)
        return None if content is None else File(folder, name, content)


def _read_text(path: str) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.read(fd, _CONTENT_MAX).decode("utf-8", "surrogateescape")
    except OSError:  # a directory
        return None
    finally:
        os.close(fd)


def make_folder(path: str, mark: str) -> None:
    """Make a folder ours; one that is there keeps what is in it, and that stays somebody else's.

    Raises:
        OperationError: It cannot be made.
    """
    try:
        Path(NETNS_NAMES).mkdir(mode=0o755, parents=True, exist_ok=True)
        _replace(marker_path(path), render_marker(mark, _others(path)))
        Path(path).mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise _refusal(path, error) from error


def remove_folder(path: str) -> None:
    """Take our files out of a folder, and the folder if nothing else is in it.

    The marker goes last: a kill in between leaves a folder that is still known as ours.

    Raises:
        OperationError: Something cannot be removed.
    """
    folder, marker = Path(path), Path(marker_path(path))
    try:
        others = _others(path)
        for name in NAMES:
            (folder / f"{name}{FRESH}").unlink(missing_ok=True)  # of a run that was killed
            if name not in others:
                (folder / name).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        marker.with_name(f"{marker.name}{FRESH}").unlink(missing_ok=True)
        marker.unlink(missing_ok=True)
    except OSError as error:
        raise _refusal(path, error) from error


def _others(path: str) -> frozenset[str]:
    """Name the files of our names that are somebody else's: those that were there before us."""
    words, others = parse_marker(_read_text(marker_path(path)) or "")
    if parse_mark(words) is not None:
        return others
    return frozenset(name for name in NAMES if os.path.lexists(f"{path}/{name}"))


def _take_over(file: File) -> None:
    """Note that a file is ours from now on, before it is: a kill in between leaves no stranger."""
    marker = marker_path(file.directory)
    words, others = parse_marker(_read_text(marker) or "")
    if file.name in others:
        _replace(marker, render_marker(words, others - {file.name}))


def write_file(file: File) -> None:
    """Write a file in place if it is one, so that who has it mounted sees it; else make it.

    Raises:
        OperationError: It cannot be written.
    """
    path = f"{file.directory}/{file.name}"
    try:
        Path(file.directory).mkdir(mode=0o755, exist_ok=True)  # somebody may have deleted it
        _take_over(file)
        if file.target:
            _link(path, file.target)
        elif os.path.islink(path) or not _write_in_place(path, file.content or ""):  # noqa: PTH114
            _replace(path, file.content or "")
    except OSError as error:
        raise _refusal(path, error) from error


def remove_file(file: File) -> None:
    """Delete a file; one that is gone is no error.

    Raises:
        OperationError: It cannot be deleted.
    """
    path = Path(file.directory, file.name)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _refusal(str(path), error) from error


def _write_in_place(path: str, content: str) -> bool:
    """Write a plain file that has this one name; say whether there was one.

    A pipe would hold us up, and what has a second name is also somebody else's.
    """
    data = content.encode("utf-8", "surrogateescape")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENXIO}:  # ENXIO: a pipe that nobody reads
            return False
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            return False
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)
    return True


def _replace(path: str, content: str) -> None:
    """Put a new file in place in one step. Nothing is synced: what a crash loses is made again."""
    fresh = f"{path}{FRESH}"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, content.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)
    os.rename(fresh, path)  # noqa: PTH104 - one system call


def _link(path: str, target: str) -> None:
    fresh = f"{path}{FRESH}"
    Path(fresh).unlink(missing_ok=True)
    os.symlink(target, fresh)  # noqa: PTH211 - one system call
    os.rename(fresh, path)  # noqa: PTH104


def _refusal(path: str, error: OSError) -> OperationError:
    return OperationError(f"{path}: {error.strerror}")
