"""Host ports: certain ones as written, the first free of a range, or any free one.

A function of the requests and of what is observed: a port that is in use for the same purpose stays,
the others get the lowest free one, in the order of names, ranges first. None is given twice, and none
that a process listens on, or that the host keeps for itself (``net.ipv4.ip_local_reserved_ports``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.errors import ReconcilerError

PortRange = tuple[int, int]
"""First and last port."""

DEFAULT_RANGE = (32768, 60999)
"""net.ipv4.ip_local_port_range where it cannot be read (ip-sysctl)."""


class PortsExhaustedError(ReconcilerError):
    """No port of the range is free."""


@dataclass(frozen=True, slots=True, order=True)
class PortRequest:
    """One port of one container that wants a port of the host."""

    container: str
    container_port: int
    protocol: str
    host_ip: str
    """Text of an address, or "" for all."""
    number: int = 0
    """Tells several requests for one container port apart. Those that differ by the address alone
    are one wish, and get the same port on each (as Docker gives on 0.0.0.0 and ::)."""

    @property
    def wish(self) -> PortRequest:
        """What the requests have in common that get the same port."""
        return replace(self, host_ip="")


def assign_ports(
    requests: Mapping[PortRequest, PortRange | None],
    current: Mapping[PortRequest, int],
    taken: Mapping[str, Collection[int]],
    local: PortRange = DEFAULT_RANGE,
    reserved: Collection[int] = frozenset(),
) -> dict[PortRequest, int]:
    """Give every request its port.

    Args:
        requests: With the ports that will do; None for any of *local*.
        current: The ports that they have now.
        taken: By protocol, ports that are not to be handed out (written ones are, whatever holds
            them: that is an error for somebody else to find).
        local: Where free ports come from.
        reserved: Ports that are not given to a request that names none; a range may be reserved
            just for the containers that name it, and a port in use stays.

    Raises:
        PortsExhaustedError: A range has no free port left.
    """
    wishes = {request.wish: ports for request, ports in requests.items()}
    had: dict[PortRequest, int] = {}
    for request, port in sorted(current.items()):
        had.setdefault(request.wish, port)
    used = {protocol: set(ports) for protocol, ports in taken.items()}
    given = {wish: ports[0] for wish, ports in wishes.items() if ports and ports[0] == ports[1]}
    for wish, port in given.items():
        used.setdefault(wish.protocol, set()).add(port)
    waiting = [wish for wish in sorted(wishes) if wish not in given]
    for wish in waiting:
        first, last = wishes[wish] or local
        mine = used.setdefault(wish.protocol, set())
        if wish in had and first <= had[wish] <= last and had[wish] not in mine:
            given[wish] = had[wish]
            mine.add(had[wish])
    rest = [wish for wish in waiting if wish not in given]
    handing = _Handing(wishes, used, local)
    given |= handing.out([wish for wish in rest if wishes[wish] is not None])
    for avoided in used.values():
        avoided.update(reserved)
    given |= handing.out([wish for wish in rest if wishes[wish] is None])
    return {request: given[request.wish] for request in requests}


@dataclass(frozen=True, slots=True)
class _Handing:
    """Hands ports out, the lowest free one first."""

    wishes: Mapping[PortRequest, PortRange | None]
    used: Mapping[str, set[int]]
    local: PortRange

    def out(self, waiting: Iterable[PortRequest]) -> dict[PortRequest, int]:
        given = {}
        following: dict[tuple[str, PortRange], int] = {}
        for wish in waiting:
            first, last = ports = self.wishes[wish] or self.local
            place = (wish.protocol, ports)
            used = self.used[wish.protocol]
            free = range(following.get(place, first), last + 1)
            port = next((port for port in free if port not in used), None)
            if port is None:
                raise PortsExhaustedError(
                    f"Container/{wish.container}: no free host port left in {first}-{last} "
                    f"for {wish.container_port}/{wish.protocol}"
                )
            given[wish] = port
            following[place] = port + 1
            used.add(port)
        return given


def parse_ranges(text: str) -> list[PortRange]:
    """Read ``8080,9000-9010``, as ip_local_reserved_ports prints it."""
    found = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit():
            found.append((int(first), int(last) if last.isdigit() else int(first)))
    return found
