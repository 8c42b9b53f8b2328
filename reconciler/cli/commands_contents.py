"""Commands for what lives on devices and beside them: addresses, routes, queues, names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Interface

from reconciler.cli.shell import DELETE, MARKED, TRY, ip, line, sysctl, tc, write
from reconciler.core.object import KernelObject, Owner
from reconciler.objects import Address, Directory, File, Qdisc, Route
from reconciler.objects.address import PROTOCOL
from reconciler.objects.directory import NETNS_NAMES, marker_path, other_line, render_marker
from reconciler.objects.file import NAMES
from reconciler.objects.keys import device_parameter
from reconciler.objects.marks import render_mark
from reconciler.objects.qdisc import HANDLE


def write_address(address: Address) -> Iterator[str]:
    """Put an address there; an IPv6 one is usable at once, as Docker's are."""
    interface = address.interface
    words: list[object] = [interface, "dev", address.device]
    if not isinstance(interface, IPv4Interface):
        words.append("nodad")
    elif interface.network.prefixlen <= 30:
        words += ["broadcast", interface.network.broadcast_address]
    yield ip(address.netns, "address", "replace", *words, before=MARKED)


def delete_address(address: Address) -> Iterator[str]:
    """Take an address away; without the switch the others of its subnet would go along."""
    if address.interface.version == 4:
        name = device_parameter("ipv4", address.device, "promote_secondaries")
        yield sysctl(address.netns, name, "1")
    yield ip(
        address.netns, "address", "delete", address.interface, "dev", address.device, before=DELETE
    )


def write_route(route: Route, before: KernelObject | None = None) -> Iterator[str]:
    """Put a route in the place of the one with its destination and metric.

    IPv6 replaces only a route through the same device, so the old one is deleted there.
    """
    yield ip(route.netns, *_route("replace", route), "proto", PROTOCOL)
    elsewhere = isinstance(before, Route) and before.device != route.device
    if isinstance(before, Route) and elsewhere and route.destination.version == 6:
        yield from delete_route(before)


def delete_route(route: Route) -> Iterator[str]:
    """Delete a route, and only it."""
    yield ip(route.netns, *_route("delete", route), before=DELETE)


def _route(verb: str, route: Route) -> list[object]:
    family = ["-6"] if route.destination.version == 6 else []
    to = route.destination if route.destination.prefixlen else "default"
    via = [] if route.via is None else ["via", route.via]
    metric = ["metric", route.metric] if route.metric else []
    return [*family, "route", verb, to, *via, "dev", route.device, *metric]


def write_qdisc(qdisc: Qdisc) -> Iterator[str]:
    """Put a token bucket at the root of a device, in place of whatever is there."""
    rate, burst, limit = f"{qdisc.rate}bit", f"{qdisc.burst}b", f"{qdisc.limit}b"
    numbers = ("rate", rate, "burst", burst, "limit", limit)
    yield tc(qdisc.netns, "qdisc", "replace", *_root(qdisc), qdisc.kind, *numbers)


def delete_qdisc(qdisc: Qdisc) -> Iterator[str]:
    """Take the token bucket away, if it is ours."""
    yield tc(qdisc.netns, "qdisc", "delete", *_root(qdisc), before=DELETE)


def _root(qdisc: Qdisc) -> tuple[str, ...]:
    return "dev", qdisc.device, "root", "handle", f"{HANDLE >> 16:x}:"


def write_directory(directory: Directory, owner: Owner, others: Collection[str]) -> Iterator[str]:
    """Make a folder ours: a file beside it says so, and which files in it are not."""
    yield line("mkdir", "-p", NETNS_NAMES)
    yield write(marker_path(directory.path), render_marker(render_mark(owner), others))
    yield line("mkdir", "-p", directory.path)


def delete_directory(directory: Directory, others: Collection[str]) -> Iterator[str]:
    """Take our files out of a folder, and the folder if nothing else is in it."""
    yield line("rm", "-f", *(f"{directory.path}/{name}" for name in NAMES if name not in others))
    yield line(TRY, "rmdir", directory.path)
    yield line("rm", "-f", marker_path(directory.path))


def write_file(file: File, before: KernelObject | None, adopts: bool) -> Iterator[str]:
    """Write a file in place, because ip-netns(8) has mounted it somewhere, or make a link."""
    path = f"{file.directory}/{file.name}"
    yield line("mkdir", "-p", file.directory)  # somebody may have deleted it
    if adopts:
        yield line("sed", "-i", f"/^{other_line(file.name)}$/d", marker_path(file.directory))
    if file.target:
        yield line("ln", "-sfn", file.target, path)
        return
    if isinstance(before, File) and before.target:
        yield line("rm", "-f", path)
    yield write(path, file.content or "")


def delete_file(file: File) -> Iterator[str]:
    """Delete a file."""
    yield line("rm", "-f", f"{file.directory}/{file.name}")
