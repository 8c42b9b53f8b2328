"""Bridge: a layer 2 network on the host, with a gateway address and a way out.

    apiVersion: reconciler/v1
    kind: Bridge
    metadata: {name: web}
    spec:
      addresses: [10.0.0.1/24, "fd00:10::1/64"]
      ipRange: 10.0.0.128/25
      mtu: 1500

Only `addresses` is required, and not even that where the device is somebody else's (`external`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from reconciler.kinds.addresses import (
    Address,
    Interface,
    Interfaces,
    IPAddresses,
    Network,
    OneOrMoreIPAddresses,
    OneOrMoreNetworks,
)
from reconciler.kinds.fields import DeviceName, Domain, Flag, Mtu, Word, seconds
from reconciler.manifest import json_type
from reconciler.manifest.model import Model, Spec, describe, wrong
from reconciler.manifest.words import did_you_mean, quote

MTU_DEFAULT = 1500
FORWARD_DELAY_MAX = 30  # seconds: BR_MAX_FORWARD_DELAY of net/bridge/br_private_stp.h
AGEING_TIME_MAX = 1_000_000  # seconds, as IEEE 802.1D, table 7-5

Mode = Literal["nat", "nat-unprotected", "routed"]
MODES = ("nat", "nat-unprotected", "routed")


class Modes(Model):
    """How a Bridge's containers are reached from outside, by family (Docker's gateway modes)."""

    ipv4: Mode = Field(default="nat", description="For IPv4.", examples=["routed"])
    ipv6: Mode = Field(default="nat", description="For IPv6.", examples=["routed"])


def _both_families(value: object) -> object:
    if isinstance(value, dict | Modes):
        return value
    if not isinstance(value, str):
        raise wrong(f"must be text or a mapping, and is {describe(value)}", "write nat or routed")
    if value not in MODES:
        hint = did_you_mean(value, MODES) or "write nat, nat-unprotected or routed"
        raise wrong(f"{quote(value)} is not known", hint)
    return {"ipv4": value, "ipv6": value}


class Bridge(Spec):
    """A layer 2 network on the host, with a gateway address and a way out."""

    device: DeviceName | None = Field(
        default=None,
        description="Name of the kernel device, 15 bytes at most; the resource's name where not "
        "written.",
        examples=["br-web"],
    )
    external: Flag = Field(
        default=False,
        description="The device belongs to somebody else: use it, never make, change or delete it.",
        examples=[True],
    )
    addresses: Interfaces = Field(
        default=(),
        description="Gateway address with prefix length; at most one IPv4 and one IPv6. Required "
        "unless external.",
        examples=[["10.0.0.1/24"], ["10.0.0.1/24", "fd00:10::1/64"]],
    )
    ip_range: OneOrMoreNetworks = Field(
        default=(),
        description="Where automatic addresses come from: one subnet, or one a family. The whole "
        "subnet where not written.",
        examples=["10.0.0.128/25", ["10.0.0.128/25", "fd00:10::100/120"]],
    )
    reserved: IPAddresses = Field(
        default=(), description="Addresses never handed out.", examples=[["10.0.0.2"]]
    )
    mtu: Mtu = Field(
        default=MTU_DEFAULT,
        description="Of the bridge and of every interface attached to it, in bytes.",
        examples=[9000],
    )
    icc: Flag = Field(
        default=True, description="May containers on it talk to each other.", examples=[False]
    )
    masquerade: Flag = Field(
        default=True,
        description="Source-NAT what leaves through another device.",
        examples=[False],
    )
    internal: Flag = Field(
        default=False, description="No way in or out, no default route.", examples=[True]
    )
    mode: Annotated[
        Modes,
        BeforeValidator(_both_families, json_schema_input_type=Mode | Modes),
    ] = Field(
        default=Modes.model_construct(),
        description="`nat`: published ports only. `nat-unprotected`: every port of a container "
        "that somebody routes to. `routed`: no NAT, published ports. May differ by family.",
        examples=["routed", {"ipv6": "routed"}],
    )
    iptables: Flag = Field(
        default=True, description="false: not one firewall rule for this bridge.", examples=[False]
    )
    ip_forward: Flag = Field(
        default=True,
        description="Switch forwarding on where it is off; false: leave the sysctl alone.",
        examples=[False],
    )
    bind_address: OneOrMoreIPAddresses = Field(
        default=(),
        description="Host address of a published port that names none; 0.0.0.0 and :: where not "
        "written.",
        examples=["192.0.2.1", ["192.0.2.1", "2001:db8::1"]],
    )
    dns: IPAddresses = Field(
        default=(),
        description="Name servers of its containers; the host's where not written.",
        examples=[["9.9.9.9"]],
    )
    dns_search: Annotated[tuple[Domain, ...], Field(strict=False)] = Field(
        default=(),
        description="Search domains of its containers; `.` clears the host's.",
        examples=[["example.com"]],
    )
    dns_options: Annotated[tuple[Word, ...], Field(strict=False)] = Field(
        default=(),
        description="Resolver options of its containers, resolv.conf(5).",
        examples=[["ndots:2"]],
    )
    ports: Annotated[tuple[DeviceName, ...], Field(strict=False)] = Field(
        default=(),
        description="Host devices that are ports of this bridge.",
        examples=[["eth1"]],
    )
    stp: Flag | None = Field(
        default=None,
        description="Spanning tree protocol; the kernel's default (off) where not written.",
        examples=[True],
    )
    forward_delay: (
        Annotated[
            float,
            BeforeValidator(seconds(0, FORWARD_DELAY_MAX)),
            WithJsonSchema(json_type.number(0, FORWARD_DELAY_MAX)),
        ]
        | None
    ) = Field(
        default=None,
        description="Seconds a port listens and learns before it forwards; 2 to 30 with STP.",
        examples=[4],
    )
    ageing_time: (
        Annotated[
            float,
            BeforeValidator(seconds(0, AGEING_TIME_MAX)),
            WithJsonSchema(json_type.number(0, AGEING_TIME_MAX)),
        ]
        | None
    ) = Field(
        default=None,
        description="Seconds after which an unheard MAC address is forgotten.",
        examples=[300],
    )
    hairpin: Flag | None = Field(
        default=None,
        description="Whether ports send frames back where they came from; as needed where not "
        "written.",
        examples=[True],
    )

    @cached_property
    def device_name(self) -> str:
        """The kernel device's name."""
        return self.device or self.name

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The bridge's own addresses."""
        return tuple(interface.ip for interface in self.addresses)

    @property
    def subnets(self) -> tuple[Network, ...]:
        """The subnets that its containers are in; none where an external device decides."""
        return tuple(interface.network for interface in self.addresses)

    def address_of(self, family: int) -> Interface | None:
        """The bridge's address of family 4 or 6."""
        found = (interface for interface in self.addresses if interface.version == family)
        return next(found, None)

    def automatic_range(self, family: int) -> Network | None:
        """Where automatic addresses of family 4 or 6 come from."""
        found = (network for network in self.ip_range if network.version == family)
        own = self.address_of(family)
        return next(found, own.network if own else None)
