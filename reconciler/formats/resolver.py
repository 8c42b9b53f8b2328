"""Resolver files: resolv.conf(5) and hosts(5), text to values and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

IPAddress = IPv4Address | IPv6Address

FALLBACK = tuple(map(ip_address, ("8.8.8.8", "8.8.4.4")))
"""Where the host names no server that a container could reach: Docker's choice, too."""
FALLBACK_IPV6 = tuple(map(ip_address, ("2001:4860:4860::8888", "2001:4860:4860::8844")))


@dataclass(frozen=True, slots=True)
class Resolver:
    """What a resolv.conf says."""

    servers: tuple[IPAddress, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def reachable(self) -> tuple[IPAddress, ...]:
        """The servers that are not on a loopback address, which in a container is another host."""
        return tuple(server for server in self.servers if not server.is_loopback)


def parse_resolver(text: str) -> Resolver:
    """Read a resolv.conf; what cannot be understood is passed over, as the C library does.

    Of several search lines the last counts, and `domain` is a search list of one.
    """
    servers: list[IPAddress] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        word, *values = line.split("#", 1)[0].split(";", 1)[0].split() or [""]
        if word == "nameserver" and values:
            servers += _address(values[0])
        elif word in {"search", "domain"} and values:
            search = tuple(values)
        elif word == "options":
            options += values
    return Resolver(tuple(servers), search, tuple(options))


def _address(text: str) -> list[IPAddress]:
    try:
        return [ip_address(text)]
    except ValueError:
        return []


def render_resolver(resolver: Resolver, comment: str) -> str:
    """Write a resolv.conf that begins with a comment."""
    lines = [f"# {comment}", *(f"nameserver {server}" for server in resolver.servers)]
    if resolver.search:
        lines.append(f"search {' '.join(resolver.search)}")
    if resolver.options:
        lines.append(f"options {' '.join(resolver.options)}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class HostsLine:
    """One address and its names, the canonical one first."""

    address: IPAddress
    names: tuple[str, ...]


_LOCAL = "127.0.0.1\tlocalhost"
_LOCAL_IPV6 = (
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
)


def render_hosts(lines: Iterable[HostsLine], comment: str, *, ipv6: bool) -> str:
    """Write a hosts file as Docker does: localhost, then the lines, names that repeat left out."""
    local: Sequence[str] = (_LOCAL, *_LOCAL_IPV6) if ipv6 else (_LOCAL,)
    found = [f"{line.address}\t{' '.join(dict.fromkeys(line.names))}" for line in lines]
    return "\n".join([f"# {comment}", *local, *dict.fromkeys(found)]) + "\n"


def parse_hosts(text: str) -> tuple[HostsLine, ...]:
    """Read a hosts file; what cannot be understood is passed over, as the C library does."""
    found = []
    for line in text.splitlines():
        address, *names = line.split("#", 1)[0].split() or [""]
        found += [HostsLine(known, tuple(names)) for known in _address(address)]
    return tuple(found)
