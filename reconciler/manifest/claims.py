"""Claims: finds two resources that want the same address, MAC, device, port or network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network

from reconciler.manifest.catalog import Catalog
from reconciler.manifest.kind import Claim, Kind
from reconciler.manifest.model import Finding
from reconciler.manifest.resource import Resource

Held = tuple[Resource, Claim]
Network = IPv4Network | IPv6Network


def find_clashes(catalog: Catalog, kinds: Mapping[str, Kind]) -> Iterator[tuple[Resource, Finding]]:
    """Every claim that somebody else has made before, in the order of the catalog."""
    spaces: defaultdict[Hashable, list[Held]] = defaultdict(list)
    for resource in catalog:
        for claim in kinds[resource.kind].claims(resource, catalog):
            spaces[claim.space].append((resource, claim))
    for held in spaces.values():
        if len(held) > 1:
            networks = [one for one in held if one[1].network]
            yield from _equal_items([one for one in held if not one[1].network], catalog)
            yield from _overlaps(networks, catalog)


def _equal_items(held: list[Held], catalog: Catalog) -> Iterator[tuple[Resource, Finding]]:
    first: dict[Hashable, Held] = {}
    for resource, claim in held:
        if claim.item is None:
            other = next(iter(first.values()), None)
        else:
            other = first.get(claim.item) or first.get(None)
        if other:
            yield _clash((resource, claim), other, "is claimed", catalog)
        first.setdefault(claim.item, (resource, claim))


def _overlaps(held: list[Held], catalog: Catalog) -> Iterator[tuple[Resource, Finding]]:
    # Two networks are apart or one holds the other: each can only lie in the last outermost.
    order = {id(claim): number for number, (_, claim) in enumerate(held)}
    outermost: Held | None = None
    for one in sorted(held, key=lambda one: _extent(one[1].network)):
        if outermost and _overlap(one[1].network, outermost[1].network):
            later, earlier = sorted((one, outermost), key=lambda x: -order[id(x[1])])
            yield _clash(later, earlier, "overlaps", catalog)
        else:
            outermost = one


def _extent(network: Network | None) -> tuple[int, int, int]:
    if network is None:
        return (0, 0, 0)
    return (network.version, int(network.network_address), network.prefixlen)


def _overlap(one: Network | None, other: Network | None) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


def _clash(one: Held, other: Held, verb: str, catalog: Catalog) -> tuple[Resource, Finding]:
    (resource, claim), (owner, owned) = one, other
    place = catalog.locate(owner.id, ("spec", *owned.location))
    where = f"{owner.source.path}:{place.line or owner.source.line}"
    if verb == "overlaps":
        message = f"{claim.text} overlaps {owned.text} of {owner.id} ({where})"
    elif owner is resource:
        message = f"{claim.text} is claimed twice, here and in line {place.line}"
    else:
        message = f"{claim.text} is claimed by {owner.id} already ({where})"
    return resource, Finding(claim.location, message)
