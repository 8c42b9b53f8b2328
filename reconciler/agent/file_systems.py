"""File systems: which of them tell of every change, and which must be asked again and again.

inotify(7) tells of what this kernel changes. What another host changes on a network file system, or
a hypervisor on a shared folder, it does not.
"""

from __future__ import annotations

import re
from pathlib import Path

REMOTE = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
})  # fmt: skip
"""Types as /proc/self/mountinfo names them; all of fuse, too."""

_ESCAPE = re.compile(r"\\([0-7]{3})")


def remote_type(path: str, mounts: str | None = None) -> str:
    """The type of a path's file system if others may change it unseen, else an empty text.

    Args:
        path: Absolute, without symbolic links; it need not exist.
        mounts: The text of /proc/self/mountinfo, proc_pid_mountinfo(5).
    """
    type_ = _type_of(path, _read_mounts() if mounts is None else mounts)
    return type_ if type_ in REMOTE or type_.partition(".")[0].startswith("fuse") else ""


def _read_mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return ""  # without /proc there is nothing to know, and inotify is tried


def _type_of(path: str, mounts: str) -> str:
    """The type of the deepest mount on the way to a path; of two on one spot, the later hides."""
    deepest, found = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        words = before.split(" ")
        if len(words) < 5 or not after:
            continue
        point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), words[4]).rstrip("/")
        if len(point) >= deepest and f"{path}/".startswith(f"{point}/"):
            deepest, found = len(point), after.partition(" ")[0]
    return found
