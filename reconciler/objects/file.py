"""File: resolv.conf, hosts or hostname of a container, in a folder of ours (resolv.conf(5), hosts(5)).

- Ours after a restart: its folder is (`Directory`), and it has one of the three names, unless the
  mark of the folder says that it was there before.
- Requires its folder and dies with it.
- Compared are content and link: what somebody edits is drift. A file that is there is written in
  place, because ip-netns(8) bind-mounts it: a new file would not be seen by who runs already.
- The hosts file that many containers of a bridge share is one file, to which theirs are links.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from posixpath import normpath
from typing import ClassVar

from reconciler.core.object import HOST, Key, Mark
from reconciler.objects.keys import directory_key

NAMES = ("hostname", "hosts", "resolv.conf")
"""What ip-netns(8) puts in place of the same file in /etc, as far as we write it."""


@dataclass(frozen=True, slots=True)
class File:
    """A file with *content*, or a symbolic link to *target* (then it has no content of its own)."""

    directory: str
    name: str
    content: str | None = None
    target: str = ""

    mark: ClassVar[Mark] = Mark.INHERITED
    compared: ClassVar[tuple[str, ...]] = ("content", "target")
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False

    @property
    def key(self) -> Key:
        """``file/PATH``."""
        return file_key(f"{self.directory}/{self.name}")

    @property
    def parents(self) -> tuple[Key, ...]:
        """Its folder."""
        return (directory_key(self.directory),)

    @property
    def requires(self) -> tuple[Key, ...]:
        """What it is a link to."""
        if not self.target:
            return ()
        return (file_key(normpath(f"{self.directory}/{self.target}")),)


def file_key(path: str) -> Key:
    """Key of a file."""
    return Key("file", HOST, path)


@dataclass(frozen=True, slots=True)
class FolderDump:
    """What a folder holds: the text of its marker, if any, and its files of our names."""

    path: str
    mark: str | None = None
    files: Mapping[str, File] = field(default_factory=dict)
