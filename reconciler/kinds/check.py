"""Check: a declared expectation, proven with real packets.

    apiVersion: reconciler/v1
    kind: Check
    metadata: {name: web-is-open}
    spec: {from: outside, to: "web1:80/tcp", expect: open, timeout: 3}

It becomes no object of the kernel: `test`, `check` and `apply --confirm` act on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from reconciler.kinds.addresses import IP_PATTERN, Address, parse_address
from reconciler.kinds.fields import parse_name, seconds, text_of
from reconciler.kinds.ports import PORT_MAX, PROTOCOLS
from reconciler.kinds.roles import find_container, not_found
from reconciler.manifest import json_type
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.kind import Claim
from reconciler.manifest.model import Finding, Spec, wrong
from reconciler.manifest.resource import NAME_PATTERN, Resource
from reconciler.manifest.words import did_you_mean, quote

TIMEOUT_DEFAULT = 3.0  # seconds
TIMEOUT_MIN, TIMEOUT_MAX = 0.1, 300.0

_CONTAINER = "Container/"
_PLACES = ("host", "outside")
_TARGET = re.compile(
    r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<name>[^:/]*)):(?P<port>[0-9]{1,5})(?:/(?P<protocol>[a-z]*))?",
    re.ASCII,
)


_FROM = json_type.text("place", f"{'|'.join(_PLACES)}|{_CONTAINER}{NAME_PATTERN}")
_TO = json_type.text(
    "NAME:PORT/tcp, ADDRESS:PORT/tcp or address",
    rf"{IP_PATTERN}|({NAME_PATTERN}|[0-9.]+|\[({IP_PATTERN})\]):[0-9]{{1,5}}"
    rf"(/({'|'.join(PROTOCOLS)})?)?",
)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where packets go: a container or an address, and a port; without one, an echo request."""

    container: str | None
    address: Address | None
    port: int | None = None
    protocol: str = "tcp"

    def __str__(self) -> str:
        host = self.container or str(self.address)
        if self.port is None:
            return host
        return f"{f'[{host}]' if ':' in host else host}:{self.port}/{self.protocol}"


def parse_origin(value: object) -> str:
    """`Container/NAME`, `host` or `outside`."""
    text = text_of(value)
    if text in _PLACES:
        return str(text)
    if text.startswith(_CONTAINER):
        return _CONTAINER + parse_name(text.removeprefix(_CONTAINER))
    hint = did_you_mean(text, _PLACES) or "write Container/NAME, host or outside"
    raise wrong(f"{quote(text)} is not a place", hint)


def parse_to(value: object) -> Destination:
    """`NAME:PORT/tcp`, an address and port, or an address."""
    text = text_of(value)
    match = _TARGET.fullmatch(text)
    if not match:
        return Destination(None, parse_address(text))
    protocol = match["protocol"] or "tcp"
    if protocol not in PROTOCOLS or not 1 <= int(match["port"]) <= PORT_MAX:
        raise wrong(f"{quote(text)} is not a port of a place", "write one as web1:80/tcp")
    host = match["ipv6"] or match["name"]
    if match["ipv6"] or host.replace(".", "").isdigit():
        return Destination(None, parse_address(host), int(match["port"]), protocol)
    return Destination(parse_name(host), None, int(match["port"]), protocol)


class Check(Spec):
    """A declared expectation, proven with real packets."""

    origin: Annotated[str, BeforeValidator(parse_origin), WithJsonSchema(_FROM)] = Field(
        alias="from",
        description="Where the packets come from: `Container/NAME`, `host` or `outside`.",
        examples=["outside", "Container/web1"],
    )
    to: Annotated[
        Destination,
        PlainValidator(parse_to),
        PlainSerializer(str),
        WithJsonSchema(_TO),
    ] = Field(
        description="`NAME:PORT/tcp`, a host address and port, or an address.",
        examples=["web1:80/tcp", "192.0.2.1:8080", "10.0.0.5"],
    )
    expect: Literal["open", "closed", "refused"] = Field(
        default="open",
        description="`open`: it answers. `closed`: nothing comes back. `refused`: it says no.",
        examples=["closed"],
    )
    timeout: Annotated[
        float,
        BeforeValidator(seconds(TIMEOUT_MIN, TIMEOUT_MAX)),
        WithJsonSchema(json_type.number(TIMEOUT_MIN, TIMEOUT_MAX)),
    ] = Field(
        default=TIMEOUT_DEFAULT,
        description="Seconds to wait for an answer.",
        examples=[1.5],
    )


def check_check_spec(_spec: Check) -> Iterator[Finding]:
    """A Check's fields go together in every way."""
    return iter(())


def check_check(resource: Resource, catalog: Catalog) -> Iterator[Finding]:
    """Whether the containers it names are there."""
    spec = cast("Check", resource.spec)
    origin = spec.origin.removeprefix(_CONTAINER) if spec.origin not in _PLACES else None
    for name, field in ((origin, "from"), (spec.to.container, "to")):
        if name and find_container(catalog, name) is None:
            yield not_found(catalog, "Container", name, (field,))


def check_claims(_resource: Resource, _catalog: Catalog) -> Iterator[Claim]:
    """A Check wants nothing for itself."""
    return iter(())
