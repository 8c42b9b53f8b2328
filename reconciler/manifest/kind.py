"""Kind: what a manifest kind contributes to reading and checking manifests."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any

from reconciler.manifest.model import Finding, Spec
from reconciler.manifest.words import Location

if TYPE_CHECKING:
    from reconciler.manifest.catalog import Catalog
    from reconciler.manifest.resource import Resource


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that only one resource can have.

    Attributes:
        space: Equal for two claims that exclude each other, as `("host port", 4, "tcp", 8080)`.
        item: Within the space, claims with different items go together; None clashes with all.
        text: What is claimed, as messages say it: `host port 8080/tcp`.
        location: The field that claims it, relative to `spec`.
        network: Where given, claims of one space exclude each other when their networks overlap.
    """

    space: tuple[Hashable, ...]
    text: str
    location: Location
    item: Hashable = ""
    network: IPv4Network | IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """One manifest kind.

    Attributes:
        name: As in `kind: Bridge`.
        model: What its spec is read into.
        check_spec: What is wrong between the fields of a spec; needs no other resource.
        check: What is wrong with a resource's references to others.
        claims: What the resource wants for itself alone.
    """

    name: str
    model: type[Spec]
    check_spec: Callable[[Any], Iterable[Finding]]
    check: Callable[[Resource, Catalog], Iterable[Finding]]
    claims: Callable[[Resource, Catalog], Iterable[Claim]]
