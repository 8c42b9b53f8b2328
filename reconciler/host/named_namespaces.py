"""Named namespaces: network namespaces as ip-netns(8) makes, lists and finds them.

A name is a file under /run/netns with a namespace mounted on it. Our file has its mark as content
before it can be seen, and is mounted on afterwards: whoever finds a file without a mount, because
its maker was killed in between, can tell whose it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import HostError
from reconciler.host.namespaces import HERE, NETNS_DIR, host_error, inside_new_namespace
from reconciler.host.syscalls import MS_BIND, MS_REC, MS_SHARED, mount, unmount

_MARK_BYTES = 512


@dataclass(frozen=True, slots=True)
class NamedNamespace:
    """A name under /run/netns."""

    name: str
    mounted: bool
    """False: it is a plain file, see leftovers."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A name without a namespace: its maker was killed, or somebody put a file there."""

    name: str
    mark: str
    """What the file says; ours say what make_namespace was given."""


def make_namespace(name: str, prepare: Callable[[], None], *, mark: str) -> None:
    """Make a namespace, prepare it, and only then give it its name.

    Args:
        name: The name for ip-netns(8); it must be free.
        prepare: Called in the new namespace, while nobody else can see it.
        mark: What the mount point says, so that a leftover is recognised.

    Raises:
        HostError: The name is taken, or the kernel refused. Nothing is left then.
    """
    path = _path(name)
    try:
        share_directory()
        with inside_new_namespace():
            prepare()
            _make_mount_point(path, mark)
            try:
                mount(HERE, str(path), MS_BIND)
            except OSError:
                path.unlink()
                raise
    except FileExistsError:
        raise HostError(f"{path} exists already") from None
    except OSError as error:
        raise host_error(f"cannot make network namespace {name}", error) from error


def remove_namespace(name: str) -> None:
    """Take a name away, whether it is mounted or a leftover; one that is gone is no error.

    The namespace itself lives as long as a process, socket or other mount holds it. Its devices go
    a moment after it, not at once.

    Raises:
        HostError: The kernel refused.
    """
    path = _path(name)
    try:
        while _unmounted(path):  # somebody may have mounted on it again
            pass
        path.unlink(missing_ok=True)
    except OSError as error:
        raise host_error(f"cannot remove network namespace {name}", error) from error


def list_namespaces() -> list[NamedNamespace]:
    """All names, in order; whether each is a namespace is told by the file system it is on."""
    try:
        with os.scandir(NETNS_DIR) as entries:
            names = sorted(entry.name for entry in entries)
    except FileNotFoundError:
        return []
    nsfs = _device(HERE)
    devices = ((name, _device(f"{NETNS_DIR}/{name}")) for name in names)
    return [NamedNamespace(name, device == nsfs) for name, device in devices if device is not None]


def is_mounted(name: str) -> bool:
    """Tell whether there is a namespace of this name now."""
    return bool(name) and "/" not in name and _device(f"{NETNS_DIR}/{name}") == _device(HERE)


def leftovers() -> list[Leftover]:
    """The names that are no namespaces, each with what its file says."""
    names = [entry.name for entry in list_namespaces() if not entry.mounted]
    return [Leftover(name, _read_mark(NETNS_DIR / name)) for name in names]


def share_directory() -> None:
    """Make /run/netns a shared mount, as ip-netns(8) does: other mount namespaces see new names.

    Raises:
        OSError: The kernel refused.
    """
    NETNS_DIR.mkdir(mode=0o755, parents=True, exist_ok=True)
    directory = str(NETNS_DIR)
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `ip netns add` takes it too: two would mount twice
        try:
            mount("", directory, MS_SHARED | MS_REC)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: it is not a mount yet
                raise
            mount(directory, directory, MS_BIND | MS_REC)
            mount("", directory, MS_SHARED | MS_REC)
    finally:
        os.close(lock)


def _path(name: str) -> Path:
    if not name or "/" in name or name in {".", ".."}:
        raise HostError(f"{name!r} cannot be the name of a network namespace")
    return NETNS_DIR / name


def _make_mount_point(path: Path, mark: str) -> None:
    content = mark.encode()
    try:
        file = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o444)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}:
            raise
        # A file system without nameless files. Killed right here, it would leave an empty one.
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o444)
        os.write(file, content)
        os.close(file)
        return
    try:
        os.write(file, content)
        # With a directory given, Python calls linkat(2), which follows the link in /proc.
        os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file, follow_symlinks=True)
    finally:
        os.close(file)


def _unmounted(path: Path) -> bool:
    try:
        unmount(str(path))
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOENT}:  # not a mount; not there
            return False
        raise
    return True


def _device(path: str) -> int | None:
    try:
        return os.stat(path).st_dev  # noqa: PTH116
    except FileNotFoundError:
        return None  # it went away in between


def _read_mark(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MARK_BYTES).decode("utf-8", "replace").strip()
    except (FileNotFoundError, IsADirectoryError):
        return ""
