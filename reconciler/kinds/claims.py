"""Claims: the spaces in which kinds exclude each other, so that all name them alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from reconciler.kinds.addresses import Address
from reconciler.kinds.ports import PublishedPort
from reconciler.manifest.kind import Claim
from reconciler.manifest.words import Location

HOST = ""  # the host's own namespace, where containers have their names
ANY: tuple[Address, ...] = (IPv4Address(0), IPv6Address(0))


def namespace_text(namespace: str) -> str:
    """A namespace as messages call it."""
    return f"Container/{namespace}" if namespace else "the host"


def device_claim(device: str, location: Location) -> Claim:
    """A device of the host belongs to one resource."""
    return Claim(("device",), f"device {device} of the host", location, device)


def interface_claim(namespace: str, interface: str, location: Location) -> Claim:
    """An interface name is used once in a container."""
    if namespace == HOST:
        return device_claim(interface, location)
    text = f"interface {interface} of {namespace_text(namespace)}"
    return Claim(("interface", namespace), text, location, interface)


def host_port_claims(
    ports: Sequence[PublishedPort], default: Sequence[Address], location: Location
) -> Iterator[Claim]:
    """A host port belongs to one container on an address; 0.0.0.0 and :: clash with all of theirs.

    Args:
        ports: What one entry of `publish` stands for.
        default: The host addresses of a port that names none; empty for 0.0.0.0 and ::.
        location: Of the entry.
    """
    for port in ports:
        if port.host_port is None:
            continue
        for ip in (port.host_ip,) if port.host_ip else tuple(default) or ANY:
            space = ("host port", ip.version, port.protocol, port.host_port)
            text = f"host port {port.host_port}/{port.protocol}"
            yield Claim(space, text, location, None if ip.is_unspecified else ip)
