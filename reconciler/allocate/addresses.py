"""Automatic addresses: what is there and still valid stays; the others get the lowest free one.

A function of the requests alone: no history, no clock, no chance. A new container never renumbers
another, because what is observed is honoured before anything is handed out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
)
from typing import NamedTuple

from reconciler.errors import ReconcilerError

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network


class PoolExhaustedError(ReconcilerError):
    """No address of the range is free."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Where the automatic addresses of one bridge and family come from."""

    subnet: IPNetwork
    """The prefix length of every address, and whose network and broadcast are not handed out."""
    range: IPNetwork
    """Within *subnet*: where to choose from."""
    excluded: frozenset[IPAddress] = frozenset()
    """The gateway, the reserved, and those that manifests name."""

    def offers(self, address: IPAddress) -> bool:
        """Tell whether *address* may be handed out."""
        return (
            address.version == self.range.version
            and address in self.range
            and address not in self.excluded
            and address not in _edges(self.subnet)
        )

    def candidates(self) -> Iterator[IPAddress]:
        """List what may be handed out, lowest first."""
        edges = _edges(self.subnet)
        return (a for a in self.range if a not in self.excluded and a not in edges)


class Request(NamedTuple):
    """One interface that wants an address out of one pool. Sorted by the thousand."""

    container: str
    interface: str
    pool: str


def assign(
    pools: Mapping[str, Pool],
    requests: Iterable[Request],
    current: Mapping[Request, Iterable[IPAddress]],
) -> dict[Request, IPInterface]:
    """Give every request an address of its pool.

    Args:
        pools: By the name that requests use.
        requests: In any order; the answer does not depend on it.
        current: Addresses that the interfaces have now.

    Raises:
        PoolExhaustedError: A range has fewer free addresses than requests.
    """
    wanted = sorted(requests)
    given: dict[Request, IPAddress] = {}
    taken: dict[str, set[IPAddress]] = {name: set() for name in pools}
    for request in wanted:
        pool = pools[request.pool]
        for address in sorted(current.get(request, ()), key=int):
            if pool.offers(address) and address not in taken[request.pool]:
                given[request] = address
                taken[request.pool].add(address)
                break
    _hand_out(pools, [r for r in wanted if r not in given], taken, given)
    return {
        request: _interface(address, pools[request.pool].subnet.prefixlen)
        for request, address in given.items()
    }


@lru_cache(maxsize=1 << 15)  # ipaddress takes 20 µs, and passes repeat
def _interface(address: IPAddress, prefix_length: int) -> IPInterface:
    return ip_interface((address, prefix_length))


def _hand_out(
    pools: Mapping[str, Pool],
    waiting: Iterable[Request],
    taken: Mapping[str, set[IPAddress]],
    given: dict[Request, IPAddress],
) -> None:
    free = {name: pool.candidates() for name, pool in pools.items()}
    for request in waiting:
        used = taken[request.pool]
        address = next((a for a in free[request.pool] if a not in used), None)
        if address is None:
            raise PoolExhaustedError(
                f"{request.pool}: no free address left in {pools[request.pool].range} "
                f"for Container/{request.container} {request.interface}"
            )
        given[request] = address
        used.add(address)


@lru_cache(maxsize=256)
def _edges(subnet: IPNetwork) -> tuple[IPAddress, ...]:
    """The network's own address and, in IPv4, its broadcast; /31 (RFC 3021) and /127 have none."""
    if subnet.max_prefixlen - subnet.prefixlen <= 1:
        return ()
    if subnet.version == 4:
        return (subnet.network_address, subnet.broadcast_address)
    return (subnet.network_address,)  # the subnet-router anycast address, RFC 4291
