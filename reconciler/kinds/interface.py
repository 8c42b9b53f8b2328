"""Interface: what both Containers and Links say of one network interface, and its routes."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from reconciler.kinds.addresses import (
    IP_PATTERN,
    AddressRequests,
    IPAddressField,
    Network,
    parse_address,
    parse_network,
)
from reconciler.kinds.fields import DeviceName, Flag, Mac, Mtu, ResourceName, text_of, whole_number
from reconciler.manifest import json_type
from reconciler.manifest.model import Model

METRIC_MAX = 2**32 - 1  # RTA_PRIORITY is a u32, rtnetlink(7)
DEFAULT = "default"


def parse_destination(value: object) -> Network | None:
    """A subnet, a single address, or None for `default`."""
    text = text_of(value)
    if text == DEFAULT:
        return None
    if "/" in text:
        return parse_network(text)
    return ipaddress.ip_network(parse_address(text))


def _destination_text(destination: Network | None) -> str:
    return DEFAULT if destination is None else str(destination)


_TO = json_type.text("subnet, address or default", rf"{DEFAULT}|({IP_PATTERN})(/[0-9]{{1,3}})?")


class Route(Model):
    """A route inside the namespace, beside the ones that come with addresses."""

    to: Annotated[
        Network | None,
        PlainValidator(parse_destination),
        PlainSerializer(_destination_text),
        WithJsonSchema(_TO),
    ] = Field(
        description="A subnet, an address, or `default`.",
        examples=["10.1.0.0/16", "default"],
    )
    via: IPAddressField | None = Field(
        default=None,
        description="The next hop; on a Link without one, the other end.",
        examples=["10.0.0.254"],
    )
    metric: (
        Annotated[
            int,
            PlainValidator(whole_number(0, METRIC_MAX)),
            WithJsonSchema(json_type.whole(0, METRIC_MAX)),
        ]
        | None
    ) = Field(
        default=None,
        description="Of several routes to one destination, the lowest wins.",
        examples=[100],
    )

    def family(self) -> int | None:
        """4 or 6, or None for `default` without a next hop."""
        if self.to is not None:
            return self.to.version
        return self.via.version if self.via is not None else None


class InterfaceSpec(Model):
    """One interface of a container on a Bridge."""

    name: DeviceName | None = Field(
        default=None,
        description="Its name in the namespace; the lowest free of eth0, eth1 … where not written.",
        examples=["eth0"],
    )
    bridge: ResourceName = Field(description="The Bridge that it is on.", examples=["web"])
    addresses: AddressRequests = Field(
        default=(),
        description="With or without prefix length; `auto` takes a free one in each family of the "
        "bridge that has none here. Not written: automatic.",
        examples=[["10.0.0.5"], ["10.0.0.5/24", "auto"]],
    )
    mac: Mac | None = Field(
        default=None,
        description="Where not written it follows from the address or the name, and is stable.",
        examples=["02:42:0a:00:00:05"],
    )
    mtu: Mtu | None = Field(default=None, description="The bridge's.", examples=[1400])
    gateway: Flag | None = Field(
        default=None,
        description="Whether the default route leads here; where no interface says so, the first "
        "whose bridge is not internal.",
        examples=[True],
    )
