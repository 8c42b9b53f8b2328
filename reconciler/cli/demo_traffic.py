"""The demo's traffic: who should reach whom, whether they do, and what an accident breaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import rich_click as click

from reconciler.formats.address import delete_address, dump_addresses, parse_address
from reconciler.formats.link_request import LinkSettings, set_link
from reconciler.host.kernel import Kernel
from reconciler.host.linux import LinuxHost
from reconciler.host.probe import tcp_probe
from reconciler.objects.topology import Bridge, Interface, Topology, draw

_WAYS_MAX = 12
"""Packets from everybody to everybody are quadratic; a few show it as well."""
_TIMEOUT = 0.5  # seconds; on one machine an answer takes less than a millisecond


@dataclass(frozen=True, slots=True)
class Way:
    """From one namespace to an address in another."""

    source: str
    target: str
    address: str

    def __str__(self) -> str:
        return f"{self.source or 'host':>8} → {self.target or 'host':<8} {self.address:<16}"


def find_ways() -> list[Way]:
    """Find who should reach whom: those on one bridge, and the two ends of a cable."""
    topology = _topology()
    found = [way for bridge in topology.bridges for way in _on_bridge(bridge)]
    found += [way for a, b in topology.cables for way in (*_to(a, b), *_to(b, a))]
    return found[:_WAYS_MAX]


def try_ways(ways: Sequence[Way], *, only_lost: bool = False) -> list[Way]:
    """Send something along every way, print what became of it, and give those that lost it."""
    lost = []
    for way in ways:
        milliseconds = tcp_probe(way.source, way.target, way.address, _TIMEOUT)
        if milliseconds is None:
            lost.append(way)
            click.echo(f"{way} {click.style('no answer', fg='red')}")
        elif not only_lost:
            click.echo(f"{way} {milliseconds:.2f} ms")
    if only_lost and len(lost) < len(ways):
        click.echo(f"  the other {len(ways) - len(lost)} ways still work")
    return lost


def break_something() -> list[str]:
    """Do what administrators and their programs do by accident; give the commands for it."""
    bridge = next((b for b in _topology().bridges if len(b.ports) > 1), None)
    if bridge is None:
        return []
    kernel = Kernel()
    try:
        return [_unplug(kernel, bridge.ports[0]), _forget_address(kernel, bridge.ports[1])]
    finally:
        kernel.close()


def _unplug(kernel: Kernel, end: Interface) -> str:
    netns, name = end.peer or ("", "")
    kernel.request(netns, [set_link(kernel.index(netns, name), LinkSettings(master=0))])
    return f"ip link set {name} nomaster"


def _forget_address(kernel: Kernel, end: Interface) -> str:
    index = kernel.index(end.netns, end.name)
    sock = kernel.at(end.netns).socket
    found = sock.dump(dump_addresses(), parse_address)
    sock.request([delete_address(index, a.interface) for a in found if a.ifindex == index])
    return f"ip -n {end.netns} addr flush dev {end.name}"


def _topology() -> Topology:
    host = LinuxHost()
    try:
        return draw(host.observe())
    finally:
        host.close()


def _on_bridge(bridge: Bridge) -> Iterator[Way]:
    for here, there in permutations(bridge.ports, 2):
        yield from _to(here, there)


def _to(here: Interface, there: Interface) -> Iterator[Way]:
    families = {":" in address for address in here.addresses}
    for address in there.addresses:
        if (":" in address) in families:
            yield Way(here.netns, there.netns, address.partition("/")[0])
