"""Host ports: certain ones as written, the first free of a range, or any free one.

A function of the requests and of what is observed: a port that is in use for the same purpose stays,
the others get the lowest free one, in the order of names, ranges first. None is given twice, and none
that a process listens on, or that the host keeps for itself (``net.ipv4.ip_local_reserved_ports``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

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
    """Tells several requests for one container port apart."""


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
    given: dict[PortRequest, int] = {}
    used = {protocol: set(ports) for protocol, ports in taken.items()}
    for request, ports in sorted(requests.items()):
        if ports is not None and ports[0] == ports[1]:
            given[request] = ports[0]
            used.setdefault(request.protocol, set()).add(ports[0])
    waiting = [request for request in sorted(requests) if request not in given]
    for request in waiting:
        port = current.get(request)
        first, last = requests[request] or local
        mine = used.setdefault(request.protocol, set())
        if port is not None and first <= port <= last and port not in mine:
            given[request] = port
            mine.add(port)
    rest = [request for request in waiting if request not in given]
    _hand_out([r for r in rest if requests[r] is not None], requests, used, local, given)
    for avoided in used.values():
        avoided.update(reserved)
    _hand_out([r for r in rest if requests[r] is None], requests, used, local, given)
    return given


def _hand_out(
    waiting: Iterable[PortRequest],
    requests: Mapping[PortRequest, PortRange | None],
    used: Mapping[str, set[int]],
    local: PortRange,
    given: dict[PortRequest, int],
) -> None:
    following: dict[tuple[str, PortRange], int] = {}
    for request in waiting:
        ports = requests[request] or local
        place = (request.protocol, ports)
        mine = used[request.protocol]
        candidates = range(following.get(place, ports[0]), ports[1] + 1)
        port = next((p for p in candidates if p not in mine), None)
        if port is None:
            raise PortsExhaustedError(
                f"Container/{request.container}: no free host port left in {ports[0]}-{ports[1]} "
                f"for {request.container_port}/{request.protocol}"
            )
        given[request] = port
        following[place] = port + 1
        mine.add(port)


def parse_ranges(text: str) -> list[PortRange]:
    """Read ``8080,9000-9010``, as ip_local_reserved_ports prints it."""
    found = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit():
            found.append((int(first), int(last) if last.isdigit() else int(first)))
    return found
