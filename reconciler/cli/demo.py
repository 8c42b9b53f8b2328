"""``reconciler demo``: the whole story on a throwaway host.

Every step is a command that a user can type; what it prints is what it prints anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import rich_click as click

from reconciler.cli import exit_codes, main, options
from reconciler.formats.address import delete_address, dump_addresses, parse_address
from reconciler.formats.link_request import LinkSettings, set_link
from reconciler.host.kernel import Kernel
from reconciler.host.linux import LinuxHost
from reconciler.host.probe import tcp_probe
from reconciler.host.sandbox import call_in_sandbox
from reconciler.objects.topology import Bridge, Interface, Topology, draw

_PROBES_MAX = 12
"""Packets from everybody to everybody are quadratic; a few show it as well."""


class _Story:
    """The steps in order; remembers whether all went as told."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._paths = paths
        self._as_told = True
        self._expected: list[tuple[Interface, Interface, str]] = []

    def tell(self) -> int:
        """Run all steps."""
        self._heading("What would be done (nothing is, yet)")
        self._run(exit_codes.CHANGES, "diff", *self._paths)
        self._heading("Do it")
        self._run(exit_codes.OK, "apply", *self._paths)
        self._heading("What there is now")
        self._run(exit_codes.OK, "show")
        self._heading("Packets from container to container")
        self._expected = _ways(_topology())
        self._send_packets(expected=True)
        self._heading("Somebody breaks it")
        self._break()
        self._send_packets(expected=False)
        self._heading("The drift")
        self._run(exit_codes.CHANGES, "diff", *self._paths)
        self._heading("Converge")
        self._run(exit_codes.OK, "apply", *self._paths)
        self._send_packets(expected=True)
        self._heading("Once more: nothing to do")
        self._run(exit_codes.OK, "apply", *self._paths)
        self._heading("And away with it")
        self._run(exit_codes.OK, "teardown")
        click.echo()
        click.echo("All went as told." if self._as_told else "Something went otherwise, see above.")
        return exit_codes.OK if self._as_told else exit_codes.ERROR

    def _heading(self, text: str) -> None:
        click.echo()
        click.secho(f"── {text} ".ljust(78, "─"), bold=True)

    def _run(self, expected: int, *arguments: str) -> None:
        click.secho(f"$ reconciler {' '.join(arguments)}", fg="cyan")
        code = main.run(arguments)
        if code != expected:
            self._as_told = False
            click.secho(f"exit code {code}, expected {expected}", fg="red")

    def _send_packets(self, *, expected: bool) -> None:
        """Send packets along every declared way; all arrive, or after the fault some do not."""
        results = [
            (here, there, address, tcp_probe(here.netns, there.netns, address))
            for here, there, address in self._expected
        ]
        for here, there, address, milliseconds in results:
            answer = "no answer" if milliseconds is None else f"{milliseconds:.2f} ms"
            names = f"{here.netns or 'host'} → {there.netns or 'host'}"
            click.echo(f"  {names:<24} tcp {address:<16} {answer}")
        if expected != all(result[3] is not None for result in results):
            self._as_told = False

    def _break(self) -> None:
        """Do what administrators and their programs do by accident."""
        bridge = next((b for b in _topology().bridges if len(b.ports) > 1), None)
        if bridge is None:
            return
        port, other = bridge.ports[:2]
        kernel = Kernel()
        try:
            _unplug(kernel, port)
            _forget_address(kernel, other)
        finally:
            kernel.close()


def _unplug(kernel: Kernel, end: Interface) -> None:
    netns, name = end.peer or ("", "")
    click.secho(f"$ ip link set {name} nomaster", fg="cyan")
    kernel.request(netns, [set_link(kernel.index(netns, name), LinkSettings(master=0))])


def _forget_address(kernel: Kernel, end: Interface) -> None:
    click.secho(f"$ ip -n {end.netns} addr flush dev {end.name}", fg="cyan")
    index = kernel.index(end.netns, end.name)
    sock = kernel.at(end.netns).socket
    found = sock.dump(dump_addresses(), parse_address)
    sock.request([delete_address(index, a.interface) for a in found if a.ifindex == index])


def _topology() -> Topology:
    host = LinuxHost()
    try:
        return draw(host.observe())
    finally:
        host.close()


def _ways(topology: Topology) -> list[tuple[Interface, Interface, str]]:
    """Find who should reach whom: those on one bridge, and the two ends of a cable."""
    found = [way for bridge in topology.bridges for way in _on_bridge(bridge)]
    found += [way for pair in topology.cables for way in _between(*pair)]
    return found[:_PROBES_MAX]


def _on_bridge(bridge: Bridge) -> Iterator[tuple[Interface, Interface, str]]:
    for here, there in permutations(bridge.ports, 2):
        yield from _to(here, there)


def _between(a: Interface, b: Interface) -> Iterator[tuple[Interface, Interface, str]]:
    yield from _to(a, b)
    yield from _to(b, a)


def _to(here: Interface, there: Interface) -> Iterator[tuple[Interface, Interface, str]]:
    families = {":" in address for address in here.addresses}
    for address in there.addresses:
        if (":" in address) in families:
            yield here, there, address.partition("/")[0]


@click.command("demo")
@options.paths
def command(paths: tuple[str, ...]) -> int:
    """Show the whole story on a throwaway host: apply, packets through it, a fault, and healing.

    Needs no root and touches nothing of this machine. PATH is what to apply; manifests/ by default.
    """
    return call_in_sandbox(lambda: _Story(paths).tell())
