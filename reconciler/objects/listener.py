"""Listener: a socket of the host on which a process waits (sock_diag(7)). Observed, never made.

- Ours after a restart: never. Requires nothing, nothing is compared, nothing is fixed.
- It is looked for only where ports are published: a port that somebody listens on cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar

from reconciler.core.object import HOST, Key, Mark


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening or, with UDP, bound socket; *inode* finds its process."""

    protocol: str
    address: IPv4Address | IPv6Address
    port: int
    inode: int = 0

    mark: ClassVar[Mark] = Mark.NONE
    compared: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    parents: ClassVar[tuple[Key, ...]] = ()
    requires: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False

    @property
    def key(self) -> Key:
        """``listener/tcp/0.0.0.0:80``."""
        return Key("listener", HOST, f"{self.protocol}/{self.address}:{self.port}/{self.inode}")
