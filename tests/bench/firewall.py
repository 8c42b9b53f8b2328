"""The firewall's cost: of a new connection, and of writing the rules.

    python -m tests.bench.firewall [--quick] [--json FILE]

Connections are made one after the other from another host through published ports, on throwaway
hosts; every figure is the median of several rounds after one to warm up. `flat` is the same with
one rule for each port in one chain, as Docker and most others write them: what a new connection
costs there grows with the ports.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from reconciler.core.object import KernelObject
from reconciler.core.plan import Operation, Verb
from reconciler.core.state import State
from reconciler.formats.iptables import parse
from reconciler.formats.iptables_restore import TableEdit, render_restore
from reconciler.host.firewall.apply import HostFirewall
from reconciler.host.firewall.edit import make_target, plan_edits
from reconciler.host.sandbox import sandboxed
from reconciler.kinds.expand import expand_catalog
from reconciler.objects import FirewallChain, FirewallJump, FirewallRule
from tests.kernel.passes import apply
from tests.manifest.reading import catalog_of, manifest
from tests.netfilter import Packet, Router, rules_of
from tests.world import Host, Manifests, Namespace, Uplink, inside

COUNTS = (10, 1000, 5000)
ON_ONE = 50
"""Published ports of each container; a bridge takes no more than 1,023 of them."""


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int = 5
    connections: int = 2000
    """In a round."""


@dataclass(frozen=True)
class Connections:
    """New connections at a number of published ports."""

    ports: int
    rules_walked: int
    """By a new connection, of the ports the worst."""
    a_second: float
    flat_a_second: float


@dataclass(frozen=True)
class Writing:
    """Rules written at once."""

    what: str
    lines: int
    seconds: float
    """All of it: looking, planning, testing and writing."""
    restore_seconds: float
    """The floor: one iptables-restore of the same lines."""
    processes: int
    writing_processes: int


# ---------------------------------------------------------------- new connections


def documents(ports: Sequence[int]) -> list[str]:
    """Containers that share the ports, all of which lead to port 80."""
    texts = [manifest("Bridge", "br0", "{addresses: [10.1.0.1/16], forwardDelay: 0}")]
    for number, start in enumerate(range(0, len(ports), ON_ONE)):
        own = ", ".join(f"'{port}:80'" for port in ports[start : start + ON_ONE])
        address = f"10.1.{number >> 7}.{(number & 127) + 10}"
        fields = f"bridge: br0, addresses: [{address}], publish: [{own}]"
        texts.append(manifest("Container", f"c{number:04}", f"{{{fields}}}"))
    return texts


def measure_connections(count: int, effort: Effort) -> Connections:
    """Publish so many ports, and connect by those of the last container."""
    ports = sorted(random.Random(count).sample(range(1024, 32768), count))
    last = ports[(count - 1) // ON_ONE * ON_ONE :]
    with throwaway_host() as host:
        uplink = host.uplink()
        texts = documents(ports)
        host.manifests.write("a.yaml", "---\n".join(texts))
        report = apply(host)
        assert report.converged, report.failures
        with serving(host.netns(f"c{(count - 1) // ON_ONE:04}"), 80):
            ours = rate(uplink, last, effort)
            flatten(host, ports)
            flat = rate(uplink, last, effort)
    return Connections(count, walked(texts, ports, uplink), ours, flat)


def flatten(host: Host, ports: Sequence[int]) -> None:
    """Put one chain with a rule for each port before ours, in the order of their containers."""
    targets = (
        f"10.1.{n >> 7}.{(n & 127) + 10}" for n in (at // ON_ONE for at in range(len(ports)))
    )
    lines = [
        f"-A FLAT -p tcp --dport {port} -j DNAT --to-destination {target}:80"
        for port, target in zip(ports, targets, strict=True)
    ]
    hook = "-I PREROUTING 1 -m addrtype --dst-type LOCAL -j FLAT"
    text = render_restore([TableEdit("nat", [":FLAT - [0:0]", *lines, hook])])
    host.run("iptables-restore", "--noflush", stdin=text)


def walked(texts: Sequence[str], ports: Sequence[int], uplink: Uplink) -> int:
    """Count the rules that a new connection is compared with, by whichever port is the worst."""
    desired = expand_catalog(catalog_of(*texts), State(), "default")
    routes = {"10.1.0.0/16": "br0", "0.0.0.0/0": "uplink0"}
    router = Router(rules_of(desired.objects.values(), 4), {uplink.host4}, routes)
    packets = (Packet(uplink.remote4, uplink.host4, "tcp", port, "uplink0") for port in ports)
    return max(router.forward(packet).rules for packet in packets)


def rate(uplink: Uplink, ports: Sequence[int], effort: Effort) -> float:
    """Connections a second: made, and cut off at once, so that none is left in any table."""
    found = []
    with inside(uplink.remote):
        for _ in range(effort.rounds + 1):
            begin = time.perf_counter()
            for number in range(effort.connections):
                connect(uplink.host4, ports[number % len(ports)])
            found.append(effort.connections / (time.perf_counter() - begin))
    return median(found[1:])


CUT_OFF = struct.pack("ii", 1, 0)  # struct linger: close sends RST, and no TIME_WAIT stays


def connect(address: str, port: int) -> None:
    """Make a connection; there is no retry in it that would take a second."""
    with socket.socket() as sock:
        sock.settimeout(2)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT_OFF)
        sock.connect((address, port))


@contextmanager
def serving(namespace: Namespace, port: int) -> Iterator[None]:
    """Accept connections there, as fast as can be."""
    with inside(namespace):
        listening = socket.create_server(("", port), backlog=4096)
    ended = threading.Event()
    thread = threading.Thread(target=accept_all, args=(listening, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        listening.close()


def accept_all(listening: socket.socket, ended: threading.Event) -> None:
    """Take every connection, and let it go."""
    listening.settimeout(0)
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        while not ended.is_set():
            for _ in selector.select(0.1):
                try:
                    listening.accept()[0].close()
                except OSError:
                    continue  # cut off already


# ---------------------------------------------------------------- writing rules


def measure_writing(what: str, containers: int, each: int, effort: Effort) -> Iterator[Writing]:
    """Write the rules of so many containers with so many ports, on a host without any; and away."""
    ports = range(20000, 20000 + containers * each)
    texts = [
        manifest("Bridge", f"br{n}", f"{{addresses: [10.{n}.0.1/16]}}")
        for n in range(-(-containers // 1000))
    ]
    for number in range(containers):
        own = ", ".join(f"'{ports[number * each + n]}:{80 + n}'" for n in range(each))
        fields = f"bridge: br{number // 1000}, publish: [{own}]"
        texts.append(manifest("Container", f"c{number:04}", f"{{{fields}}}"))
    desired = expand_catalog(catalog_of(*texts), State(), "default")
    items = [
        item
        for item in desired.objects.values()
        if isinstance(item, FirewallChain | FirewallRule | FirewallJump)
    ]
    up = [write(items, desired, Verb.ADD) for _ in range(effort.rounds + 1)][1:]
    yield summarize(f"{what}: up", up)
    down = [write(items, desired, Verb.DELETE) for _ in range(effort.rounds + 1)][1:]
    yield summarize(f"{what}: down", down)


def summarize(what: str, found: Sequence[Writing]) -> Writing:
    return Writing(
        what,
        found[0].lines,
        median(one.seconds for one in found),
        median(one.restore_seconds for one in found),
        found[0].processes,
        found[0].writing_processes,
    )


def write(items: Sequence[KernelObject], desired: State, verb: Verb) -> Writing:
    """Make all of it, or take all of it away, on a throwaway host of its own."""
    made = [Operation(Verb.ADD, item, desired.owners[item.key]) for item in items]
    gone = [Operation(Verb.DELETE, item, desired.owners[item.key]) for item in items]
    with throwaway_host() as host:
        floor = time_floor(host, made, gone, desired, verb)
        counters: Counter[str] = Counter()
        firewall = HostFirewall("default", counters)
        if verb is Verb.DELETE:
            must(firewall.perform(made, desired))
        else:
            must(firewall.perform([], desired))
        list(firewall.observe(needed=True))  # as a pass does, before it writes
        counters.clear()
        batch, wanted = (made, desired) if verb is Verb.ADD else (gone, State())
        seconds = timed(lambda: must(firewall.perform(batch, wanted)))
        return Writing(
            "", floor[0], seconds, floor[1], counters["processes"], counters["writing processes"]
        )


def time_floor(
    host: Host, made: Sequence[Operation], gone: Sequence[Operation], desired: State, verb: Verb
) -> tuple[int, float]:
    """Time one iptables-restore of the lines, and count them; the host is empty afterwards."""
    up = lines_of(host, made, desired)
    seconds = timed(lambda: host.run("iptables-restore", "--noflush", stdin=up))
    down = lines_of(host, gone, State())
    down_seconds = timed(lambda: host.run("iptables-restore", "--noflush", stdin=down))
    text, found = (up, seconds) if verb is Verb.ADD else (down, down_seconds)
    return text.count("\n"), found


def lines_of(host: Host, batch: Sequence[Operation], desired: State) -> str:
    saved = parse(host.run("iptables-save").stdout)
    return render_restore([edit for edit, _ in plan_edits(saved, make_target(4, batch, desired))])


def must(errors: Sequence[str | None]) -> None:
    """Fail where anything was refused."""
    assert not any(errors), next(filter(None, errors))


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


@contextmanager
def throwaway_host() -> Iterator[Host]:
    """A host of its own, with nothing on it."""
    with tempfile.TemporaryDirectory() as folder, sandboxed():
        yield Host(Manifests(Path(folder)))


# ---------------------------------------------------------------- the table


def print_connections(found: Sequence[Connections]) -> None:
    """Show what a new connection costs."""
    print("published ports   rules walked   connections/s   of those at 10   flat/s   times flat")
    for one in found:
        of_first = one.a_second / found[0].a_second
        times = one.a_second / one.flat_a_second
        print(
            f"{one.ports:>15,}   {one.rules_walked:>12}   {one.a_second:>13,.0f}"
            f"   {of_first:>14.0%}   {one.flat_a_second:>6,.0f}   {times:>10.1f}"
        )


def print_writing(found: Sequence[Writing]) -> None:
    """Show what it costs to write rules."""
    print(
        "rules written                  lines   in all (ms)   one restore (ms)   times   restores"
    )
    for one in found:
        print(
            f"{one.what:<28}  {one.lines:>6,}   {one.seconds * 1000:>11,.0f}"
            f"   {one.restore_seconds * 1000:>16,.0f}   {one.seconds / one.restore_seconds:>5.1f}"
            f"   {one.writing_processes:>8}"
        )


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.firewall", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a look")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there")
    options = parser.parse_args(arguments)
    effort = Effort(3, 500) if options.quick else Effort()
    connections = [measure_connections(count, effort) for count in COUNTS]
    print_connections(connections)
    print()
    writing = [
        *measure_writing("206 ports on 1 container", 1, 206, effort),
        *measure_writing("32 ports on 500 containers", 500, 32, effort),
    ]
    print_writing(writing)
    if options.json:
        figures = {
            "connections": [asdict(one) for one in connections],
            "writing": [asdict(one) for one in writing],
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
