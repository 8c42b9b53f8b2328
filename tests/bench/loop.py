"""What the loop costs: idle, a pass, a drift, one container more. `python -m tests.bench.loop`

Prints a table for 100 and 1,000 containers. Times are of this machine; only run it on an idle one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from reconciler.host.sandbox import sandboxed
from tests.kernel import facts
from tests.kernel.daemon import Daemon, running
from tests.kernel.manifests import bridge, container
from tests.probes import ping
from tests.world import Host, Manifests, wait_until

IDLE_SECONDS = 60.0
ROUNDS = 40
FORWARD_DELAY = 15.0


def cpu(pid: int) -> float:
    """Seconds of processor that a process has used, its children's included."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Resident memory of a process, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise AssertionError(pid)


def quantiles(values: list[float]) -> str:
    """The median and the 99th percentile, in milliseconds."""
    ordered = sorted(values)
    last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"median {statistics.median(ordered) * 1000:7.1f} ms   p99 {last * 1000:7.1f} ms"


def until(fact: Callable[[], object]) -> float:
    """Seconds until a fact is one."""
    begin = time.perf_counter()
    while not fact():
        if time.perf_counter() - begin > 20:
            raise AssertionError("not within 20 s")
        time.sleep(0.0005)
    return time.perf_counter() - begin


def heal_times(host: Host, daemon: Daemon, count: int) -> dict[str, list[float]]:
    """Break one thing of many kinds, over and over, and measure until the kernel has it again."""
    found: dict[str, list[float]] = {"route": [], "address": [], "device": [], "rule": []}
    for number in range(ROUNDS):
        name = f"c{(number * 7) % count}"
        c = host.netns(name)
        c.ip("route del default")
        found["route"].append(until(lambda c=c: "default" in c.ip("route show default")))
        address = next(iter(facts.addresses("eth0", c)))
        c.ip(f"addr del {address} dev eth0")
        found["address"].append(until(lambda c=c, a=address: a in facts.addresses("eth0", c)))
        c.ip("link del eth0")
        found["device"].append(
            until(lambda c=c: "eth0" in facts.links(c) and "default" in c.ip("route"))
        )
        time.sleep(0.3)
    for _ in range(4):  # of one rule: more would be taken for a fight
        host.run("iptables", "-F", "RC-OUT")
        found["rule"].append(until(lambda: "-A" in host.run("iptables", "-S", "RC-OUT").stdout))
        time.sleep(0.3)
    return found


def add_times(host: Host, daemon: Daemon, count: int) -> list[float]:
    """From the file to a container that reaches its gateway."""
    found = []
    for number in range(10):
        name = f"new{number}"
        host.manifests.write(f"{name}.yaml", container(name=name))
        begin = time.perf_counter()
        wait_until(lambda n=name: (Path("/run/netns") / n).exists(), 20)
        wait_until(lambda n=name: ping(host.netns(n), "10.1.0.1"), 20)
        found.append(time.perf_counter() - begin)
        daemon.wait_in_sync()
        time.sleep(1.2)
    return found


def measure(count: int) -> None:
    """One size."""
    with sandboxed(), tempfile.TemporaryDirectory() as folder:
        manifests = Manifests(Path(folder) / "m")
        manifests.folder.mkdir()
        host = Host(manifests)
        # Two bridges: a broadcast on one of a thousand ports overruns net.core.netdev_max_backlog
        # (1000), and the kernel drops the answer (ARP to the gateway fails; Linux 6.18).
        second = bridge("addresses: [10.2.0.1/16]", "br1")
        manifests.write("bridge.yaml", bridge("addresses: [10.1.0.1/16]") + second)
        for number in range(count):
            manifests.write(f"c{number}.yaml", container(f"bridge: br{number % 2}", f"c{number}"))
        begin = time.perf_counter()
        with running(host, Path(folder) / "d") as daemon:
            pid = daemon.process.pid
            print(f"{count} containers: built in {time.perf_counter() - begin:.1f} s")
            # The kernel tells of every port once more when its forward delay is over.
            time.sleep(FORWARD_DELAY + 5)
            before, clock = cpu(pid), time.perf_counter()
            time.sleep(IDLE_SECONDS)
            used = (cpu(pid) - before) / (time.perf_counter() - clock)
            print(
                f"  idle for {IDLE_SECONDS:.0f} s      {used * 100:.2f} % of one core, {memory(pid)} MiB"
            )
            for kind, times in heal_times(host, daemon, count).items():
                print(f"  {kind + ' healed':20} {quantiles(times)}")
            print(f"  {'container added':20} {quantiles(add_times(host, daemon, count))}")
            phases = daemon.metrics()
            for name in ("observe", "compare", "execute", "expand", "total"):
                total = phases.get(f'reconciler_pass_seconds_sum{{phase="{name}"}}', 0.0)
                number = phases.get(f'reconciler_pass_seconds_count{{phase="{name}"}}', 1.0)
                print(f"    phase {name:10} {total / max(number, 1) * 1000:8.2f} ms on average")
            print(f"    missed {daemon.metric('reconciler_missed_events_total'):.0f}")
            print(f"  after all of it      {memory(pid)} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("counts", nargs="*", type=int, default=[100, 1000])
    for size in parser.parse_args().counts:
        measure(size)
