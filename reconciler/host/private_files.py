"""Private files: what a throwaway host must not share with its machine in /run, /etc and /sys.

For a process that has just got its own mount namespace; see `sandbox` for what it gets, and why.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from contextlib import suppress
from pathlib import Path

# linux/mount.h
_BIND, _REC, _PRIVATE = 0x1000, 0x4000, 0x40000

_RUN, _ETC, _SYS = Path("/run"), Path("/etc"), Path("/sys")
_PRIVATE_FOLDER = _RUN / "reconciler-sandbox"
_DEFAULT_STATE = Path("/var/lib/reconciler")

_libc = ctypes.CDLL(None, use_errno=True)


def make_files_private() -> None:
    """Hide /run, /etc and the state behind private ones, and show the new network in /sys.

    Sets RECONCILER_RUN_DIR and RECONCILER_STATE_DIR.

    Raises:
        OSError: A mount was refused; `strerror` says which.
    """
    _mount("none", Path("/"), "", _REC | _PRIVATE)
    _make_run_private()
    _make_etc_private()
    if _DEFAULT_STATE.is_dir():
        _mount("tmpfs", _DEFAULT_STATE, "tmpfs", data="mode=755")
    for name, folder in (("RUN", _RUN / "reconciler"), ("STATE", _PRIVATE_FOLDER / "state")):
        folder.mkdir(exist_ok=True)
        os.environ[f"RECONCILER_{name}_DIR"] = str(folder)
    with suppress(OSError):  # forbidden where the machine's own /sys is partly hidden
        _mount_sysfs()


def _make_run_private() -> None:
    links = [(entry, entry.readlink()) for entry in _RUN.iterdir() if entry.is_symlink()]
    resolver = (_ETC / "resolv.conf").resolve()
    servers = resolver.read_bytes() if resolver.is_file() else b""
    _mount("tmpfs", _RUN, "tmpfs", data="mode=755")
    for folder in (_RUN / "netns", _RUN / "lock", _PRIVATE_FOLDER):
        folder.mkdir()
    for link, target in links:
        with suppress(FileExistsError):
            link.symlink_to(target)
    if resolver.is_relative_to(_RUN):
        resolver.parent.mkdir(parents=True, exist_ok=True)
        resolver.write_bytes(servers)


def _make_etc_private() -> None:
    upper, work = _PRIVATE_FOLDER / "etc", _PRIVATE_FOLDER / "work"
    upper.mkdir()
    work.mkdir()
    # Container engines mount single files there (/etc/hosts): they stay visible.
    mounts = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in _mounts_below(_ETC)]
    try:
        options = f"lowerdir={_ETC},upperdir={upper},workdir={work}"
        _mount("overlay", _ETC, "overlay", data=options)
    except OSError:
        _copy_readable(_ETC, upper)
        _mount(str(upper), _ETC, "", _BIND)
    for path, descriptor in mounts:
        with suppress(OSError):
            _mount(f"/proc/self/fd/{descriptor}", path, "", _BIND | _REC)
        os.close(descriptor)
    netns = _ETC / "netns"
    netns.mkdir(exist_ok=True)
    _mount("tmpfs", netns, "tmpfs", data="mode=755")


def _mounts_below(folder: Path) -> list[Path]:
    lines = Path("/proc/thread-self/mountinfo").read_text().splitlines()
    points = (Path(line.split()[4]) for line in lines)  # proc_pid_mountinfo(5)
    return sorted({point for point in points if point != folder and folder in point.parents})


def _copy_readable(source: Path, target: Path) -> None:
    # What this user may not read (shadow) stays out. The copy is finished all the same.
    with suppress(shutil.Error):
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _mount_sysfs() -> None:
    control_groups = _SYS / "fs/cgroup"
    descriptor = os.open(control_groups, os.O_PATH | os.O_CLOEXEC)
    try:
        _mount("sysfs", _SYS, "sysfs")
        # Container runtimes need them, and a fresh sysfs hides them.
        _mount(f"/proc/self/fd/{descriptor}", control_groups, "", _BIND | _REC)
    finally:
        os.close(descriptor)


def _mount(source: str, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    texts = [text.encode() for text in (source, os.fspath(target), kind)]
    result = _libc.mount(*texts, ctypes.c_ulong(flags), data.encode() or None)
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind or source} on {target}: {os.strerror(number)}")
