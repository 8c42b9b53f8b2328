"""Link: a point-to-point connection between two namespaces, without a bridge.

    apiVersion: reconciler/v1
    kind: Link
    metadata: {name: web1-db1}
    spec:
      endpoints:
        - {container: web1, interface: db0, addresses: [10.9.0.0/31]}
        - {container: db1, interface: web0, addresses: [10.9.0.1/31]}
      rate: 10mbit

One end may be on the host: `{host: true, addresses: [10.9.0.1/31]}`.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, PlainValidator, WithJsonSchema

from reconciler.kinds.addresses import Interfaces
from reconciler.kinds.fields import DeviceName, Flag, Mac, Mtu, ResourceName, text_of
from reconciler.kinds.interface import Route
from reconciler.manifest import json_type
from reconciler.manifest.model import Model, Spec, wrong
from reconciler.manifest.words import quote

RATE_MAX = 2**64 // 8  # bytes a second, TCA_TBF_RATE64 of linux/pkt_sched.h

# tc(8), "RATES": decimal and binary units, bits and (with the suffix bps) bytes a second.
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(k|m|g|t|ki|mi|gi|ti)?(bit|bps)?", re.ASCII)
_RATE_TYPE = {
    **json_type.text("rate", "[0-9]+([.][0-9]+)?([kKmMgGtT][iI]?)?([bB]([iI][tT]|[pP][sS]))?"),
    "type": ["string", "number"],
    "minimum": 8,
}
_FACTORS = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
    "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40,
}  # fmt: skip


def parse_rate(value: object) -> int:
    """Bits a second from tc's notation: `10mbit`, `1.5gbit`, `100kbps` (bytes), `64000`."""
    text = text_of(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    match = _RATE.fullmatch(text.lower())
    if not match:
        raise wrong(f"{quote(text)} is not a rate", "write one as 10mbit, 1.5gbit or 500kbit")
    number, factor, unit = match.groups(default="")
    rate = int(float(number) * _FACTORS[factor]) * (8 if unit == "bps" else 1)
    if not 8 <= rate < RATE_MAX * 8:
        raise wrong(f"{quote(text)} is out of range", "write one as 10mbit")
    return rate


class Endpoint(Model):
    """One end of a Link."""

    container: ResourceName | None = Field(
        default=None, description="The Container whose namespace it is in.", examples=["web1"]
    )
    host: Flag = Field(
        default=False, description="It is in the host's own namespace.", examples=[True]
    )
    interface: DeviceName | None = Field(
        default=None,
        description="Its name in the namespace; required in a container, on the host it follows "
        "from the Link's name.",
        examples=["db0"],
    )
    addresses: Interfaces = Field(
        default=(),
        description="With prefix length; /32 and /128 get a host route to the other end.",
        examples=[["10.9.0.0/31"], ["10.9.0.1/32", "fd00:9::1/128"]],
    )
    mac: Mac | None = Field(
        default=None,
        description="Where not written it follows from the names, and is stable.",
        examples=["02:42:0a:09:00:00"],
    )
    mtu: Mtu | None = Field(default=None, description="The Link's.", examples=[1400])
    routes: Annotated[tuple[Route, ...], Field(strict=False)] = Field(
        default=(),
        description="Routes through this end; without `via` straight to the other.",
        examples=[[{"to": "10.1.0.0/16"}]],
    )


class Link(Spec):
    """A point-to-point connection between two namespaces, without a bridge."""

    endpoints: Annotated[tuple[Endpoint, ...], Field(strict=False)] = Field(
        description="Exactly two; one may be on the host.",
        examples=[
            [
                {"container": "web1", "interface": "db0", "addresses": ["10.9.0.0/31"]},
                {"host": True, "addresses": ["10.9.0.1/31"]},
            ]
        ],
    )
    mtu: Mtu | None = Field(
        default=None, description="Of both ends; 1500 where not written.", examples=[9000]
    )
    rate: Annotated[int, PlainValidator(parse_rate), WithJsonSchema(_RATE_TYPE)] | None = Field(
        default=None,
        description="Shaping of each direction, in the notation of tc(8). Bits a second.",
        examples=["10mbit"],
    )

    def mtu_of(self, endpoint: Endpoint) -> int | None:
        """The MTU of one end, or None for the kernel's default."""
        return endpoint.mtu if endpoint.mtu is not None else self.mtu
