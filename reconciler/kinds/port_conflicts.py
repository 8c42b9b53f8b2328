"""Port conflicts: host ports that manifests name and that somebody else has.

A process that listens there would never hear of a packet again, and of two sets that publish one
port only the first would. What is published already is left alone: nothing gets worse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from reconciler.allocate.addresses import IPAddress
from reconciler.allocate.ports import PortRequest
from reconciler.core.object import Owner
from reconciler.core.state import State
from reconciler.errors import ReconcilerError
from reconciler.objects import FirewallRule, Listener


@dataclass(frozen=True, slots=True)
class Publication:
    """A published port, as the comment of an observed rule says it: ``8080->80/tcp``."""

    container: str
    """Empty if the comment does not say whose it is."""
    container_port: int
    protocol: str
    host_ip: str
    """Text of an address, or "" for all."""
    host_port: int
    owner: Owner | None


@dataclass(frozen=True, slots=True)
class PortConflict:
    """A host port that a manifest names and somebody else has."""

    container: str
    port: int
    protocol: str
    holder: Listener | Owner
    """Who: a process that listens, or a resource that publishes it."""


class PortsInUseError(ReconcilerError):
    """Ports that manifests name are in use on the host."""

    def __init__(self, conflicts: Iterable[PortConflict]) -> None:
        """Take note of all of them."""
        self.conflicts = tuple(conflicts)
        ports = ", ".join(f"{c.port}/{c.protocol}" for c in self.conflicts)
        super().__init__(f"in use on this host: {ports}")


def read_publications(observed: State) -> Iterator[Publication]:
    """Read the published ports of all sets off the comments of their rules."""
    for key, item in observed.objects.items():
        if not isinstance(item, FirewallRule) or item.table != "nat" or "->" not in item.what:
            continue
        owner = observed.owners.get(key)
        host, _, rest = item.what.partition("->")
        port, _, protocol = rest.partition("/")
        host_ip, _, host_port = host.rpartition(":")
        if host_port.isdigit() and port.isdigit():
            container = owner.resource.partition("/")[2] if owner else ""
            yield Publication(container, int(port), protocol, host_ip, int(host_port), owner)


def find_conflicts(
    certain: Mapping[PortRequest, int],
    listeners: Iterable[Listener],
    kept: Collection[Publication],
    foreign: Iterable[Publication],
) -> Iterator[PortConflict]:
    """Find for each request that names its host port whether somebody else has it.

    Args:
        certain: The ports that are named.
        listeners: Sockets of processes.
        kept: What is published and ours.
        foreign: What is published and stays, whatever becomes of ours.
    """
    there = {(p.protocol, p.host_port, p.host_ip) for p in kept}
    holders: dict[tuple[str, int], list[tuple[str, Listener | Owner]]] = {}
    for publication in foreign:
        if publication.owner is not None:
            place = (publication.protocol, publication.host_port)
            holders.setdefault(place, []).append((publication.host_ip, publication.owner))
    for listener in listeners:
        place = (listener.protocol, listener.port)
        holders.setdefault(place, []).append((str(listener.address), listener))
    for request, port in sorted(certain.items()):
        if (request.protocol, port, request.host_ip) in there:
            continue
        for address, holder in holders.get((request.protocol, port), ()):
            if _overlap(request.host_ip, address, bound=isinstance(holder, Listener)):
                yield PortConflict(request.container, port, request.protocol, holder)
                break


def _overlap(wanted: str, held: str, *, bound: bool) -> bool:
    """Whether a packet could be meant for both; "" is every address of both families.

    A socket that is *bound* to :: hears IPv4 as well (ipv6(7), IPV6_V6ONLY), so it is taken for one
    that does.
    """
    if not wanted or not held:
        return True
    one, other = _plain(wanted), _plain(held)
    if bound and isinstance(other, IPv6Address) and other.is_unspecified:
        return True
    if one.version != other.version:
        return False
    return one.is_unspecified or other.is_unspecified or one == other


def _plain(text: str) -> IPAddress:
    """An address, as IPv4 where it is IPv4 in the clothes of IPv6 (``::ffff:192.0.2.1``)."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
