"""Addresses: IP values in manifests, as `ipaddress` types from here inwards."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from reconciler.kinds.fields import text_of
from reconciler.manifest import json_type
from reconciler.manifest.model import wrong
from reconciler.manifest.words import quote

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

AUTO = "auto"
IP_PATTERN = r"[0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]*"

_PREFIXED = re.compile(r"[^/]+/[0-9]{1,3}")


def parse_address(value: object) -> Address:
    """An address without prefix length."""
    text = text_of(value)
    address = _ip(text)
    if address is None:
        hint = f"write {text.partition('/')[0]}" if "/" in text else "write one as 10.0.0.5"
        raise wrong(f"{quote(text)} is not an address", hint)
    return address


def parse_interface(value: object) -> Interface:
    """An address with its prefix length, that a device can have."""
    text = text_of(value)
    interface = _prefixed(text)
    if interface is None:
        message = f"{quote(text)} is not an address with prefix length"
        address = _ip(text)
        if address is None:
            raise wrong(message, "write one as 10.0.0.1/24 or fd00::1/64")
        length = 24 if address.version == 4 else 64
        raise wrong(message, f"write {address}/{length}, or the prefix length you mean")
    return _usable(interface)


def parse_network(value: object) -> Network:
    """A subnet, without host bits."""
    text = text_of(value)
    interface = _prefixed(text)
    if interface is None:
        raise wrong(f"{quote(text)} is not a subnet", "write one as 10.0.0.128/25")
    if interface.ip != interface.network.network_address:
        raise wrong(f"{quote(text)} has host bits set", f"write {interface.network}")
    return interface.network


def _ip(text: str) -> Address | None:
    try:
        return None if "%" in text else ipaddress.ip_address(str(text))
    except ValueError:
        return None


def _prefixed(text: str) -> Interface | None:
    # ipaddress would take a netmask behind the slash, too.
    try:
        if "%" in text or not _PREFIXED.fullmatch(text):
            return None
        return ipaddress.ip_interface(str(text))
    except ValueError:
        return None


def _usable(interface: Interface) -> Interface:
    """Refuse what cannot be a host's own address."""
    problem = unusable(interface.ip, interface.network)
    if not problem:
        return interface
    first = first_host(interface.network)
    hint = f"write one inside, as {first}/{interface.network.prefixlen}"
    raise wrong(f"{interface} is {problem}", "" if unusable(first, interface.network) else hint)


def unusable(address: Address, network: Network) -> str:
    """Why a host on this network cannot have this address, or an empty string.

    RFC 919 and RFC 3021 for IPv4; RFC 4291, 2.6.1 and RFC 6164 for IPv6's network address.
    """
    room = network.max_prefixlen - network.prefixlen
    reasons = {
        "a multicast address": address.is_multicast,
        "the unspecified address": address.is_unspecified,
        "a loopback address": address.is_loopback,
        "the address of the network itself": room > 1 and address == network.network_address,
        "the broadcast address of its network": room > 1
        and network.version == 4
        and address == network.broadcast_address,
        "not a unicast address": network.version == 4
        and (address.is_reserved or int(address) >> 24 == 0),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def first_host(network: Network) -> Address:
    """The address that a gateway has by custom."""
    return network.network_address + (1 if network.max_prefixlen - network.prefixlen > 1 else 0)


def contains(networks: tuple[Network, ...], address: Address) -> Network | None:
    """The network that the address lies in, or None."""
    return next((network for network in networks if address in network), None)


@dataclass(frozen=True, slots=True)
class AddressRequest:
    """An address that an interface wants: a certain one, or a free one (`auto`).

    Attributes:
        address: None for `auto`.
        prefix_length: As far as it was written; must then be the bridge's.
    """

    address: Address | None
    prefix_length: int | None = None

    @property
    def automatic(self) -> bool:
        """Whether any free address will do."""
        return self.address is None

    def __str__(self) -> str:
        if self.address is None:
            return AUTO
        suffix = "" if self.prefix_length is None else f"/{self.prefix_length}"
        return f"{self.address}{suffix}"


def parse_address_request(value: object) -> AddressRequest:
    """`auto`, or an address with or without its prefix length."""
    text = text_of(value)
    if text == AUTO:
        return AddressRequest(None)
    address, interface = _ip(text), _prefixed(text)
    if address is not None:
        return AddressRequest(address)
    if interface is not None:
        return AddressRequest(interface.ip, interface.network.prefixlen)
    raise wrong(f"{quote(text)} is not an address", "write one as 10.0.0.5, or auto")


def one_or_more(value: object) -> object:
    """A list, where a single value stands for a list of one."""
    return value if isinstance(value, list | tuple) else [value]


_LENGTH = "/[0-9]{1,3}"
_ADDRESS = json_type.text("address", IP_PATTERN)
_INTERFACE = json_type.text("address with prefix length", f"({IP_PATTERN}){_LENGTH}")
_NETWORK = json_type.text("subnet", f"({IP_PATTERN}){_LENGTH}")
_REQUEST = json_type.text("address or auto", f"{AUTO}|({IP_PATTERN})({_LENGTH})?")
_TEXT = PlainSerializer(str)
IPAddressField = Annotated[Address, PlainValidator(parse_address), _TEXT, WithJsonSchema(_ADDRESS)]
InterfaceField = Annotated[
    Interface, PlainValidator(parse_interface), _TEXT, WithJsonSchema(_INTERFACE)
]
NetworkField = Annotated[Network, PlainValidator(parse_network), _TEXT, WithJsonSchema(_NETWORK)]
AddressRequestField = Annotated[
    AddressRequest,
    PlainValidator(parse_address_request),
    _TEXT,
    WithJsonSchema(_REQUEST),
]

_LIST = Field(strict=False)  # lists of YAML become tuples
IPAddresses = Annotated[tuple[IPAddressField, ...], _LIST]
OneOrMoreIPAddresses = Annotated[
    tuple[IPAddressField, ...],
    _LIST,
    BeforeValidator(one_or_more),
    WithJsonSchema(json_type.one_or_more(_ADDRESS)),
]
Interfaces = Annotated[tuple[InterfaceField, ...], _LIST]
OneOrMoreNetworks = Annotated[
    tuple[NetworkField, ...],
    _LIST,
    BeforeValidator(one_or_more),
    WithJsonSchema(json_type.one_or_more(_NETWORK)),
]
AddressRequests = Annotated[tuple[AddressRequestField, ...], _LIST]
