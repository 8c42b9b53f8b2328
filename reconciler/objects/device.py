"""Other device: one of a type that we never make. It is observed because it can be in the way.

- Ours after a restart: never, unless somebody copied our mark onto it.
- Requires its namespace; nothing is compared, nothing is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reconciler.core.object import Key, Mark
from reconciler.formats.link import LinkMessage
from reconciler.objects.keys import device_key, netns_needs


@dataclass(frozen=True, slots=True)
class OtherDevice:
    """A device that is neither a bridge nor a veth pair; *kind* as ip-link(8) names it."""

    netns: str
    name: str
    kind: str | None = None
    master: str | None = None
    mtu: int | None = None
    up: bool | None = None
    external: bool = False

    mark: ClassVar[Mark] = Mark.WORDS
    compared: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    parents: ClassVar[tuple[Key, ...]] = ()
    any_kind: ClassVar[bool] = True
    """Where it is only required (`external`), a device of whatever type will do."""

    @property
    def key(self) -> Key:
        """``device/NAME``."""
        return device_key(self.netns, self.name)

    @property
    def requires(self) -> tuple[Key, ...]:
        """Its namespace."""
        return netns_needs(self.netns)


def parse_device(netns: str, link: LinkMessage, master: str) -> OtherDevice:
    """Read a device out of its link message."""
    return OtherDevice(
        netns, link.name, kind=link.kind or None, master=master, mtu=link.mtu, up=link.up
    )
