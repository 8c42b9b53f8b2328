"""Bridge device: a switch in the kernel (linux/if_bridge.h, bridge(8)).

- Ours after a restart: its alias names set and resource; its group (set in the creating request,
  which ignores the alias) says "ours, this set" in the moment between the two.
- Requires its namespace. Its ports survive it and lose their master.
- The kernel derives the address from the ports unless one was set, so we always set one.
- Nothing is fixed. Times are centiseconds (USER_HZ), as in the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reconciler.core.object import Key, Mark
from reconciler.objects.keys import device_key, netns_needs


@dataclass(frozen=True, slots=True)
class BridgeDevice:
    """A bridge; with `external` it is somebody else's and only has to be there."""

    netns: str
    name: str
    mtu: int | None = None
    up: bool | None = None
    mac: str | None = None
    stp: bool | None = None
    forward_delay: int | None = None
    """Centiseconds."""
    ageing_time: int | None = None
    """Centiseconds."""
    external: bool = False

    mark: ClassVar[Mark] = Mark.WORDS
    compared: ClassVar[tuple[str, ...]] = (
        "mtu",
        "up",
        "mac",
        "stp",
        "forward_delay",
        "ageing_time",
    )
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    parents: ClassVar[tuple[Key, ...]] = ()

    @property
    def key(self) -> Key:
        """``device/NAME``."""
        return device_key(self.netns, self.name)

    @property
    def requires(self) -> tuple[Key, ...]:
        """Its namespace."""
        return netns_needs(self.netns)
