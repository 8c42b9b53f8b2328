"""Sysctl: a kernel parameter of a network namespace (sysctl(8), ip-sysctl in the kernel's docs).

- Ours after a restart: it cannot carry a mark. It is set where a manifest wants it, and stays as it
  is when none does any more.
- Requires its namespace; one of a device requires and dies with the device (`device`).
- Values are compared as text, the way the kernel prints them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from reconciler.core.object import Key, Mark
from reconciler.objects.keys import device_key, netns_needs, sysctl_key


@dataclass(frozen=True, slots=True)
class Sysctl:
    """The parameter *name*, dotted (``net.ipv4.ip_forward``), with its value as text."""

    netns: str
    name: str
    value: str
    device: str | None = field(default=None, compare=False)

    mark: ClassVar[Mark] = Mark.NONE
    compared: ClassVar[tuple[str, ...]] = ("value",)
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False

    @property
    def key(self) -> Key:
        """``sysctl/NAME``."""
        return sysctl_key(self.netns, self.name)

    @property
    def parents(self) -> tuple[Key, ...]:
        """Its device, if it is one of a device."""
        return () if self.device is None else (device_key(self.netns, self.device),)

    @property
    def requires(self) -> tuple[Key, ...]:
        """Its namespace."""
        return netns_needs(self.netns)
