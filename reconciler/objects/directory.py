"""Directory: a folder of names under /etc/netns, where ip-netns(8) looks for them.

- Ours after a restart: a file beside it, ``.NAME.reconciler``, holds the same words as a device's
  alias. (Not in it: ip-netns(8) would try to put that in place of one in /etc.) It is written before
  the folder is made and deleted after it; a folder that was there before keeps what is in it, and
  its files of our names, which the mark lists as not ours until they are taken over.
- Requires the namespace of its name, where we make that: with it, it is blocked. Our files in it go
  with it; whatever else is in it stays, and the folder too.
- Nothing is compared, nothing is fixed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from reconciler.core.object import Key, Mark
from reconciler.objects.keys import directory_key, netns_needs

NETNS_NAMES = "/etc/netns"
MARKER_SUFFIX = ".reconciler"
_OTHERS = "not ours: "


def marker_path(folder: str) -> str:
    """Say where the mark of a folder lies."""
    parent, _, name = folder.rpartition("/")
    return f"{parent}/.{name}{MARKER_SUFFIX}"


def render_marker(words: str, others: Collection[str] = ()) -> str:
    """Write a mark: whose the folder is, and which of its files were there before."""
    return "".join(f"{line}\n" for line in (words, *map(other_line, sorted(others))))


def other_line(name: str) -> str:
    """Say in a mark that a file was there before."""
    return f"{_OTHERS}{name}"


def parse_marker(text: str) -> tuple[str, frozenset[str]]:
    """Read a mark: the words, and the names of the files that are not ours."""
    words, *more = text.splitlines() or [""]
    found = (line.removeprefix(_OTHERS) for line in more if line.startswith(_OTHERS))
    return words, frozenset(found)


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder with the names of one container, or those that the containers of a bridge share."""

    path: str

    mark: ClassVar[Mark] = Mark.WORDS
    compared: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    parents: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False

    @property
    def key(self) -> Key:
        """``directory/etc/netns/NAME``."""
        return directory_key(self.path)

    @property
    def requires(self) -> tuple[Key, ...]:
        """The namespace of its name: where that one is somebody else's, so are its names."""
        return netns_needs(self.path.rpartition("/")[2])
