"""Route: a way to a network, in the main table (ip-route(8)).

- Ours after a restart: its protocol number; which resource it belongs to is what its device says.
- Requires its device, and the addresses that make its gateway reachable; dies with the device, and
  when the device goes down. The kernel also drops IPv4 routes with the last IPv4 address.
- The kernel adds the route of every address's prefix by itself: not ours, not compared.
- Key: destination and metric, as the kernel has it. IPv6 without a metric gets 1024 from the
  kernel, so that 1024 is what we say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import ClassVar

from reconciler.core.object import Key, Mark
from reconciler.formats.netlink import Request
from reconciler.formats.route import RouteMessage, RouteSpec, delete_route, replace_route
from reconciler.objects.keys import device_key

IPV6_METRIC = 1024  # IP6_RT_PRIO_USER, linux/ipv6_route.h


@dataclass(frozen=True, slots=True)
class Route:
    """A route to *destination* through *device*, by way of *via* or directly."""

    netns: str
    destination: IPv4Network | IPv6Network
    device: str
    via: IPv4Address | IPv6Address | None = None
    metric: int = 0
    direct: bool | None = None
    """Without a gateway (``scope link``); the counterpart of *via* in a comparison."""
    after: tuple[Key, ...] = field(default=(), compare=False)
    """Addresses that must be there before its gateway can be reached."""

    mark: ClassVar[Mark] = Mark.INHERITED
    compared: ClassVar[tuple[str, ...]] = ("device", "via", "direct")
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False

    @property
    def key(self) -> Key:
        """``route/DESTINATION`` with the metric where it is not the usual one."""
        usual = IPV6_METRIC if self.destination.version == 6 else 0
        name = "default" if self.destination.prefixlen == 0 else str(self.destination)
        if self.destination.version == 6 and name == "default":
            name = "default6"
        return Key(
            "route", self.netns, name if self.metric == usual else f"{name} metric {self.metric}"
        )

    @property
    def parents(self) -> tuple[Key, ...]:
        """Its device."""
        return (device_key(self.netns, self.device),)

    @property
    def requires(self) -> tuple[Key, ...]:
        """What makes its gateway reachable."""
        return self.after


def parse_route(netns: str, device: str, message: RouteMessage) -> Route:
    """Read a route out of its message, through the device of that index."""
    via = message.gateway
    return Route(
        netns,
        message.destination,
        device,
        via=via,
        metric=message.priority,
        direct=via is None,
    )


def render_route(route: Route, ifindex: int, protocol: int) -> Request:
    """Add it, or put it in the place of the one with this destination and metric."""
    return replace_route(_spec(route, ifindex, protocol))


def render_route_removal(route: Route, ifindex: int, protocol: int) -> Request:
    """Delete it, and only it: device, gateway and protocol have to match."""
    return delete_route(_spec(route, ifindex, protocol))


def _spec(route: Route, ifindex: int, protocol: int) -> RouteSpec:
    return RouteSpec(
        route.destination,
        gateway=route.via,
        oif=ifindex,
        metric=route.metric,
        protocol=protocol,
    )
