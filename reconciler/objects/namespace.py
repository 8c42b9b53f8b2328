"""Namespace: a network namespace, named under /run/netns or somebody else's file.

- Ours after a restart: the alias of its ``lo`` names set and resource. It is set before the name
  becomes visible, so there is no moment in which the namespace exists without its mark.
- Requires nothing and lives in nothing. What is in it dies with it, but not at once: the kernel
  cleans up in the background, so that devices are deleted before their namespace.
- The kernel sets nothing that we compare: ``lo`` is down in a new namespace, and we set it up.
- Fixed: ``mounted``. A mount point without its mount (killed in between) is made again.

A namespace file of a process or of an engine (`external`) is only required to be there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reconciler.core.object import Key, Mark


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace; *name* is a word under /run/netns, or an absolute path."""

    name: str
    loopback: bool | None = None
    """Is ``lo`` up."""
    mounted: bool | None = True
    external: bool = False

    mark: ClassVar[Mark] = Mark.WORDS
    compared: ClassVar[tuple[str, ...]] = ("mounted", "loopback")
    fixed: ClassVar[frozenset[str]] = frozenset({"mounted"})
    claims: ClassVar[tuple[Key, ...]] = ()
    parents: ClassVar[tuple[Key, ...]] = ()
    requires: ClassVar[tuple[Key, ...]] = ()

    @property
    def key(self) -> Key:
        """``netns/NAME``."""
        return netns_key(self.name)


def netns_key(name: str) -> Key:
    """Key of the namespace *name*; the namespaces are the host's."""
    return Key("netns", "", name)
