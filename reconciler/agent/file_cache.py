"""File cache: what files held when they were last read, so that only changed ones are read again.

Whether a file has changed is asked of its inode: device, number, size, and the times of the last
change of content and of inode. The clock that stamps files ticks every 1 to 10 ms (the kernel's
CONFIG_HZ), so that two changes within one tick look alike: a file that was changed a moment before
it was read is not remembered.
"""

from __future__ import annotations

import os
import time

from reconciler.manifest.parsed_file import ParseCache
from reconciler.manifest.source_text import ManifestFile

YOUNG = 50_000_000
"""Nanoseconds: how long after a change a second one may go unseen; ample, for the clock's tick and
what a file server's clock is behind."""

StatKey = tuple[int, int, int, int, int]


class FileCache:
    """The files of the last scan, and what they were parsed into.

    For one set of paths, and one thread.
    """

    def __init__(self) -> None:
        self.parsed = ParseCache()
        self._before: dict[str, tuple[StatKey, ManifestFile]] = {}
        self._now: dict[str, tuple[StatKey, ManifestFile]] = {}

    def find(self, path: str) -> ManifestFile | None:
        """The file, if it is as it was when it was last read.

        Raises:
            OSError: It cannot be looked at.
        """
        known = self._before.get(path)
        if known is None or known[0] != _key(os.stat(path)):  # noqa: PTH116 - a Path would be slow
            return None
        self._now[path] = known
        return known[1]

    def keep(self, file: ManifestFile, status: os.stat_result) -> None:
        """Remember a file that was read just now; *status* is of the moment before."""
        now = time.time_ns()
        # A content's time may be set to anything, also to what is yet to come; an inode's cannot.
        changed_lately = now - status.st_ctime_ns < YOUNG or abs(now - status.st_mtime_ns) < YOUNG
        if not changed_lately:
            self._now[file.path] = (_key(status), file)

    def forget_others(self) -> None:
        """End a scan: what it did not find is not remembered."""
        self._before, self._now = self._now, {}


def _key(status: os.stat_result) -> StatKey:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
