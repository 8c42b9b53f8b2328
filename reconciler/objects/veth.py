"""Veth pair: two devices that the kernel makes and deletes as one (veth(4)).

The end with the smaller (namespace, name) stands for the pair, so that both sides of a comparison
choose the same one; the host's end, where there is one, is always it.

- Ours after a restart: the alias of the first end names set and resource; the group of both ends
  (set in the creating request) says "ours, this set" before the alias is there.
- Requires both namespaces, the master of its first end, and the IPv6 switch of the namespaces (an
  interface that arrives before IPv6 is off costs every other container of its bridge, see design).
- The kernel brings neither the peer up nor the alias over in the creating request.
- Fixed: the peer's namespace. A peer that is renamed, moved into a bridge or down is put right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reconciler.core.object import Key, Mark
from reconciler.objects.keys import device_key, ipv6_switch_key, netns_needs


@dataclass(frozen=True, slots=True)
class Veth:
    """A veth pair. ``peer_netns`` is None where the peer is in a namespace that we cannot see."""

    netns: str
    name: str
    peer_netns: str | None
    peer_name: str | None
    mtu: int | None = None
    peer_mtu: int | None = None
    up: bool | None = None
    peer_up: bool | None = None
    mac: str | None = None
    peer_mac: str | None = None
    master: str | None = None
    """Device name of the bridge of the first end; "" for none."""
    peer_master: str | None = None

    mark: ClassVar[Mark] = Mark.WORDS
    compared: ClassVar[tuple[str, ...]] = (
        "peer_netns",
        "peer_name",
        "mtu",
        "peer_mtu",
        "up",
        "peer_up",
        "mac",
        "peer_mac",
        "master",
        "peer_master",
    )
    fixed: ClassVar[frozenset[str]] = frozenset({"peer_netns"})
    parents: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False

    @property
    def key(self) -> Key:
        """``device/NAME`` of the first end."""
        return device_key(self.netns, self.name)

    @property
    def claims(self) -> tuple[Key, ...]:
        """The peer's name in the peer's namespace."""
        if self.peer_netns is None or self.peer_name is None:
            return ()
        return (device_key(self.peer_netns, self.peer_name),)

    @property
    def requires(self) -> tuple[Key, ...]:
        """Namespaces, IPv6 switches and the master."""
        spaces = tuple(n for n in (self.netns, self.peer_netns) if n)
        needs = netns_needs(*spaces) + tuple(ipv6_switch_key(n) for n in spaces)
        return (*needs, device_key(self.netns, self.master)) if self.master else needs


def first_end(a: tuple[str, str], b: tuple[str, str]) -> bool:
    """Tell whether the end *a*, as (namespace, name), stands for the pair with *b*."""
    return a <= b
