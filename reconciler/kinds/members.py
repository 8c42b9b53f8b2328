"""Members: who stands on a bridge, by all the names that the others know it by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath
from typing import cast

from reconciler.allocate.addresses import IPAddress, IPInterface
from reconciler.core.object import HOST, Key
from reconciler.core.state import State
from reconciler.formats.resolver import HostsLine, parse_hosts
from reconciler.kinds.bridge import Bridge
from reconciler.kinds.container import Container
from reconciler.kinds.link import Link
from reconciler.kinds.places import netns_of
from reconciler.manifest.catalog import Catalog
from reconciler.objects import Address, File, Veth
from reconciler.objects.file import file_key

Place = tuple[str, str]
"""Namespace and device name."""


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One container on one bridge."""

    name: str
    lines: tuple[HostsLine, ...]
    shares: bool
    """Its hosts file is the one of everybody else on the bridge."""


def own_names(name: str, spec: Container) -> tuple[str, ...]:
    """What a container is called: fully qualified, by its host name, by its resource."""
    hostname = spec.hostname or name
    qualified = (f"{hostname}.{spec.domainname}",) if spec.domainname else ()
    return (*qualified, hostname, name)


def shares_hosts(spec: Container, bridge: Bridge) -> bool:
    """Tell whether a container's hosts file is that of everybody else on its bridge."""
    return bridge.icc and len(spec.attachments) == 1 and not (spec.extra_hosts or spec.links)


def find_members(
    catalog: Catalog, addresses: Mapping[Place, tuple[IPInterface, ...]]
) -> dict[str, tuple[Member, ...]]:
    """List the declared members of every bridge, in the order of their names."""
    bridges = {r.name: cast("Bridge", r.spec) for r in catalog.of_kind("Bridge")}
    found: dict[str, list[Member]] = {}
    for resource in catalog.of_kind("Container"):
        spec = cast("Container", resource.spec)
        netns = netns_of(spec)
        if netns is None:
            continue
        names = own_names(resource.name, spec)
        for interface in spec.attachments:
            own = addresses[netns, interface.name or ""]
            lines = tuple(HostsLine(address.ip, names) for address in own)
            shares = shares_hosts(spec, bridges[interface.bridge])
            found.setdefault(interface.bridge, []).append(Member(resource.name, lines, shares))
    return {bridge: tuple(sorted(members, key=_by_name)) for bridge, members in found.items()}


def _by_name(member: Member) -> str:
    return member.name


def undeclared_members(
    catalog: Catalog, observed: State, set_name: str, *, partial: bool
) -> Iterator[tuple[str, Member]]:
    """List who stands on our bridges and is not spoken of, but stays.

    A single file (*partial*) does not say it all; a directory does, but for what is to be kept.
    """
    bridges = {cast("Bridge", r.spec).device_name: r.name for r in catalog.of_kind("Bridge")}
    if not partial and not any(owner.keep for owner in observed.owners.values()):
        return
    addresses: dict[Place, list[IPInterface]] = {}
    for item in observed.objects.values():
        if isinstance(item, Address) and not item.interface.is_link_local:
            addresses.setdefault((item.netns, item.device), []).append(item.interface)
    written = dict(_written_hosts(observed, set_name))
    for key, item in observed.objects.items():
        owner = observed.owners.get(key)
        if not isinstance(item, Veth) or owner is None or owner.set != set_name:
            continue
        if not (partial or owner.keep):
            continue
        kind, _, name = owner.resource.partition("/")
        bridge = bridges.get(item.master or "") if item.netns == HOST else None
        if bridge is None or kind != "Container" or catalog.get(kind, name):
            continue
        own = sorted(addresses.get((item.peer_netns or "", item.peer_name or ""), []), key=_order)
        lines = tuple(_line(address, name, written.get(name, {})) for address in own)
        yield bridge, Member(name, lines, shares=True)


def _line(address: IPInterface, name: str, written: _Hosts) -> HostsLine:
    """What a container calls itself, its resource's name at least."""
    said = (line for line in written.get(address.ip, ()) if name in line.names)
    return next(said, HostsLine(address.ip, (name,)))


_Hosts = Mapping[IPAddress, Sequence[HostsLine]]


def _written_hosts(observed: State, set_name: str) -> Iterator[tuple[str, _Hosts]]:
    """Read the hosts files of all containers: where else would their full names be said."""
    read: dict[Key, dict[IPAddress, list[HostsLine]]] = {}
    for key, owner in observed.owners.items():
        kind, _, name = owner.resource.partition("/")
        if key.type != "directory" or kind != "Container" or owner.set != set_name:
            continue
        file = observed.objects.get(file_key(f"{key.name}/hosts"))
        if isinstance(file, File) and file.target:  # a thousand links may lead to one file
            file = observed.objects.get(file_key(normpath(f"{key.name}/{file.target}")))
        if isinstance(file, File) and file.key not in read:
            lines = read.setdefault(file.key, {})
            for line in parse_hosts(file.content or ""):
                lines.setdefault(line.address, []).append(line)
        if isinstance(file, File):
            yield name, read[file.key]


def _order(interface: IPInterface) -> tuple[int, int]:
    return interface.version, int(interface.ip)


def link_addresses(catalog: Catalog) -> dict[str, tuple[IPInterface, ...]]:
    """List the addresses that Links give to containers."""
    found: dict[str, tuple[IPInterface, ...]] = {}
    for resource in catalog.of_kind("Link"):
        for end in cast("Link", resource.spec).endpoints:
            if end.container is not None:
                found[end.container] = found.get(end.container, ()) + tuple(end.addresses)
    return found
