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

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar

from reconciler.core.diff import Difference
from reconciler.core.object import Key, Mark
from reconciler.formats.link import LinkMessage, PortAttributes
from reconciler.formats.link_request import LinkSettings, create_veth
from reconciler.formats.netlink import Request
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
    hairpin: bool | None = None
    """May a frame leave through the port it came in by (bridge(8))."""
    isolated: bool | None = None
    """May it not reach other isolated ports of its bridge."""
    after: tuple[Key, ...] = field(default=(), compare=False)
    """What must be there before anything can pass: the walls of its bridge."""

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
        "hairpin",
        "isolated",
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
        if self.master:
            needs = (*needs, device_key(self.netns, self.master))
        return needs + self.after


@dataclass(frozen=True, slots=True)
class End:
    """One end as observed: where it is, what it says, and its master by name."""

    netns: str
    link: LinkMessage
    master: str = ""


def parse_veth(a: End, b: End | None) -> Veth:
    """Read a pair out of its ends; *b* is None where nobody can see the other one."""
    if b is not None and (b.netns, b.link.name) < (a.netns, a.link.name):
        a, b = b, a
    port = (a.link.port if a.master else None) or PortAttributes()
    return Veth(
        a.netns,
        a.link.name,
        b.netns if b else None,
        b.link.name if b else None,
        mtu=a.link.mtu,
        peer_mtu=b.link.mtu if b else None,
        up=a.link.up,
        peer_up=b.link.up if b else None,
        mac=a.link.mac,
        peer_mac=b.link.mac if b else None,
        master=a.master,
        peer_master=b.master if b else None,
        hairpin=bool(port.hairpin),
        isolated=bool(port.isolated),
    )


def render_veth(veth: Veth, group: int, master: int | None, peer_netns_fd: int | None) -> Request:
    """Make the pair, the peer in its own namespace, which then only has to be set up."""
    first = LinkSettings(
        name=veth.name, up=veth.up, mtu=veth.mtu, mac=veth.mac, master=master, group=group
    )
    peer = LinkSettings(
        ifindex=_peer_index(veth),
        name=veth.peer_name,
        mtu=veth.peer_mtu,
        mac=veth.peer_mac,
        group=group,
        netns_fd=peer_netns_fd,
    )
    return create_veth(first, peer)


def _peer_index(veth: Veth) -> int:
    """Choose an index for a peer that would else be likely to get the same one as the first end.

    Two ends with one number hear of each other's carrier up to a second late (net/core/link_watch.c
    treats a change as urgent only if ifindex and iflink differ; Linux 6.18). In two fresh
    namespaces both would be number 2.
    """
    if not veth.netns:
        return 0
    digest = sha256(f"{veth.netns}:{veth.name}".encode()).digest()
    return 1000 + int.from_bytes(digest[:3], "big")


def render_port_settings(veth: Veth) -> PortAttributes | None:
    """What to write on the first end once it is a port; None where the kernel's defaults will do."""
    if not veth.master or veth.hairpin is None or veth.isolated is None:
        return None
    return PortAttributes(hairpin=veth.hairpin, isolated=veth.isolated)


def render_end_changes(
    differences: Iterable[Difference], *, peer: bool, master: int | None
) -> LinkSettings | None:
    """What to write on one end; None if nothing differs there.

    Args:
        differences: Of the pair.
        peer: Which end.
        master: Index of this end's new master; 0 for none; None if it does not change.
    """
    prefix = "peer_" if peer else ""
    names = {f"{prefix}{name}": name for name in ("mtu", "up", "mac", "name")}
    found = {names[d.field]: d.after for d in differences if d.field in names}
    if master is not None:
        found["master"] = master
    return LinkSettings(**found) if found else None  # type: ignore[arg-type]
