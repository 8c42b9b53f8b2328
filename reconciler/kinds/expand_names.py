"""What a container's names become: hostname, hosts and resolv.conf where ip-netns(8) looks for them.

Containers that stand on one bridge and say nothing special would all get the same hosts file, and a
new one would change a thousand. So they share one, a link away.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import cast

from reconciler.core.object import KernelObject
from reconciler.formats.resolver import (
    FALLBACK,
    FALLBACK_IPV6,
    HostsLine,
    Resolver,
    parse_resolver,
    render_hosts,
    render_resolver,
)
from reconciler.kinds.assignment import Assignment
from reconciler.kinds.bridge import Bridge
from reconciler.kinds.container import Container
from reconciler.kinds.members import own_names, shares_hosts
from reconciler.kinds.places import netns_of
from reconciler.manifest.resource import Resource
from reconciler.objects import Directory, File
from reconciler.objects.directory import NETNS_NAMES

_NAMED = ("/run/netns", "/var/run/netns")


def expand_names(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    """Say which files hold a container's names."""
    spec = cast("Container", resource.spec)
    netns = netns_of(spec)
    if netns is None:
        return
    folder = f"{NETNS_NAMES}/{folder_name(resource.name, spec)}"
    ipv6 = assignment.has_ipv6(resource.name, spec, netns)
    yield Directory(folder)
    yield File(folder, "hostname", f"{spec.hostname or resource.name}\n")
    yield File(folder, "resolv.conf", _resolver(resource, spec, assignment, ipv6=ipv6))
    if _shares(spec, assignment):
        bridge = spec.attachments[0].bridge
        yield File(folder, "hosts", target=f"../{_shared_folder(bridge, assignment)}/hosts")
    else:
        yield File(folder, "hosts", _hosts(resource, spec, netns, assignment, ipv6=ipv6))


def expand_shared_names(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    """Say which file the containers of a bridge share, if any of them does."""
    bridge = cast("Bridge", resource.spec)
    members = assignment.members.get(resource.name, ())
    if not bridge.icc or not any(member.shares for member in members):
        return
    folder = f"{NETNS_NAMES}/{_shared_folder(resource.name, assignment)}"
    lines = [line for member in members for line in member.lines]
    ipv6 = any(gateway.version == 6 for gateway in assignment.gateways[resource.name])
    comment = f"reconciler: the containers of {resource.id}, set {assignment.set_name}"
    yield Directory(folder)
    yield File(folder, "hosts", render_hosts(lines, comment, ipv6=ipv6))


def folder_name(name: str, spec: Container) -> str:
    """Name the folder under /etc/netns: the namespace's name, where it has one."""
    if spec.runtime == "netns":
        return spec.target_name
    path = PurePath(spec.target_name)
    named = spec.runtime == "path" and str(path.parent) in _NAMED
    return path.name if named else name


def _shared_folder(bridge: str, assignment: Assignment) -> str:
    return f".{assignment.set_name}-bridge-{bridge}"


def _shares(spec: Container, assignment: Assignment) -> bool:
    if not spec.attachments:
        return False
    return shares_hosts(spec, assignment.bridge(spec.attachments[0].bridge))


# ------------------------------------------------------------------------------ hosts


def _hosts(
    resource: Resource, spec: Container, netns: str, assignment: Assignment, *, ipv6: bool
) -> str:
    lines = [
        *_own(resource, spec, netns, assignment),
        *_extra(spec, assignment),
        *_linked(spec, assignment),
        *_neighbours(resource.name, spec, assignment),
    ]
    comment = f"reconciler: {resource.id}, set {assignment.set_name}"
    return render_hosts(lines, comment, ipv6=ipv6)


def _own(
    resource: Resource, spec: Container, netns: str, assignment: Assignment
) -> Iterator[HostsLine]:
    names = own_names(resource.name, spec)
    found = [
        address
        for interface in spec.attachments
        for address in assignment.addresses[netns, interface.name or ""]
    ]
    for address in found or assignment.link_addresses.get(resource.name, ()):
        yield HostsLine(address.ip, names)


def _extra(spec: Container, assignment: Assignment) -> Iterator[HostsLine]:
    for extra in spec.extra_hosts:
        if extra.address is not None:
            yield HostsLine(extra.address, (extra.name,))
            continue
        for interface in spec.attachments[:1]:  # host-gateway: the host, as this container sees it
            for gateway in assignment.gateways[interface.bridge]:
                yield HostsLine(gateway.ip, (extra.name,))


def _linked(spec: Container, assignment: Assignment) -> Iterator[HostsLine]:
    """As Docker's --link: the alias first, then what the other calls itself."""
    mine = {interface.bridge for interface in spec.attachments}
    for link in spec.links:
        for bridge in sorted(mine):
            for member in assignment.members.get(bridge, ()):
                if member.name == link.container:
                    for line in member.lines:
                        yield HostsLine(line.address, (link.alias, *line.names))


def _neighbours(name: str, spec: Container, assignment: Assignment) -> Iterator[HostsLine]:
    """The others of its bridges, where they may talk to each other, but for those named by a link."""
    known = {name, *(link.container for link in spec.links)}
    for interface in spec.attachments:
        if assignment.bridge(interface.bridge).icc:
            for member in assignment.members.get(interface.bridge, ()):
                if member.name not in known:
                    yield from member.lines


# ------------------------------------------------------------------------------ resolv.conf


def _resolver(resource: Resource, spec: Container, assignment: Assignment, *, ipv6: bool) -> str:
    """Each part from the container, else its bridge, else the host, else Docker's fallback."""
    bridges = [assignment.bridge(interface.bridge) for interface in spec.attachments]
    host = parse_resolver(assignment.host_resolver)
    servers = spec.dns or next((b.dns for b in bridges if b.dns), ())
    if not servers:
        reachable = tuple(s for s in host.reachable if ipv6 or s.version == 4)
        servers = reachable or (FALLBACK + FALLBACK_IPV6 if ipv6 else FALLBACK)
    search = spec.dns_search or next((b.dns_search for b in bridges if b.dns_search), host.search)
    options = spec.dns_options or next(
        (b.dns_options for b in bridges if b.dns_options), host.options
    )
    found = Resolver(servers, tuple(s for s in search if s != "."), options)
    comment = f"reconciler: {resource.id}, set {assignment.set_name}"
    return render_resolver(found, comment)
