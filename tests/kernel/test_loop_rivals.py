"""The loop among others: who did it, who fights, what gets lost, and what nobody is told of."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel import facts
from tests.kernel.daemon import Daemon, running
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import diff
from tests.world import Host, wait_until

SITE = bridge() + container() + container(name="c2")


def started(host: Host, *arguments: str) -> int:
    """Run a program and give its process' number."""
    with subprocess.Popen(arguments) as process:
        assert process.wait(10) == 0
    return process.pid


@contextmanager
def rival(script: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that does something over and over, until the block ends."""
    argv = ["sh", "-c", f"while :; do {script}; sleep 0.05; done"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def in_sync_and_quiet(daemon: Daemon) -> bool:
    status = daemon.status()
    return status["inSync"] and not status["drift"]


def test_every_edit_by_iptables_is_attributed_to_its_process(host: Host, tmp_path: Path):
    host.manifests.write("site.yaml", bridge() + "".join(
        container(f"bridge: br0, publish: ['{8000 + n}:80']", f"c{n}") for n in range(20)))  # fmt: skip
    with running(host, tmp_path / "d") as daemon:
        rules = [
            line.split(" ", 1)[1]
            for line in host.run("iptables", "-t", "nat", "-S").stdout.splitlines()
            if "DNAT --to-destination" in line
        ]
        assert len(rules) == 20
        for number, rule in enumerate(rules):
            chain, _, rest = rule.partition(" ")
            script = f"exec iptables -t nat -D {chain} {rest}"
            pid = started(host, "sh", "-c", script)
            found = daemon.wait(lambda n=number: daemon.history()[n:])
            assert found[0]["by"] == {"pid": pid, "program": "iptables"}, found
            assert found[0]["fate"] == "healed"
            assert found[0]["owner"].startswith("Container/c")


def test_a_program_that_keeps_undoing_us_is_named_and_backed_off_from(host: Host, tmp_path: Path):
    host.manifests.write("site.yaml", SITE)
    with running(host, tmp_path / "d") as daemon:
        with rival("iptables -F RC-OUT"):
            fights = daemon.wait(
                lambda: [r for r in daemon.history() if r["fate"] == "fight"], deadline=20
            )
            assert fights[0]["times"] == 5
            assert "iptables (pid " in fights[0]["message"]
            assert fights[0]["object"].startswith("rule/filter/RC-OUT/")

            # Left alone: nothing is written any more, and looking takes little.
            done = daemon.metric("reconciler_operations_total")
            passes, begin = daemon.metric("reconciler_passes_total"), time.monotonic()
            wait_until(lambda: time.monotonic() - begin > 4)
            rate = (daemon.metric("reconciler_passes_total") - passes) / (time.monotonic() - begin)
            assert daemon.metric("reconciler_operations_total") == done
            assert rate <= 15

            states = {r["name"]: r for r in daemon.status()["resources"]}
            assert states["br0"]["state"] == "Degraded"
            assert "undid it" in states["br0"]["message"]
            # Everybody else's drift is healed meanwhile.
            host.netns("c1").ip("route del default")
            daemon.wait(lambda: "default" in host.netns("c1").ip("route show default"))
            assert daemon.command("status").code == 2
        # The rival is gone: after its pause we have the last word.
        daemon.wait(lambda: in_sync_and_quiet(daemon), 30)
    assert diff(host).in_sync


def test_events_that_are_lost_lead_to_a_full_look(host: Host, tmp_path: Path):
    host.manifests.write("site.yaml", SITE)
    host.ip("link add noise0 type veth peer name noise1")
    flaps = "".join(f"link set noise0 {'up' if n % 2 else 'down'}\n" for n in range(500))
    options = ("--receive-buffer", "2304", "--full-look", "3600", "--poll", "3600")
    with running(host, tmp_path / "d", *options) as daemon:
        for _ in range(3):
            before = daemon.metric("reconciler_overruns_total")
            # Held for a moment, as on a busy machine: on an idle one it may keep up with all of them.
            daemon.signal(signal.SIGSTOP)
            host.run("ip", "-batch", "-", stdin=flaps)
            host.netns("c1").ip("route del default")
            daemon.signal(signal.SIGCONT)

            wait_until(lambda: "default" in host.netns("c1").ip("route show default"), 5)
            daemon.wait(lambda b=before: daemon.metric("reconciler_overruns_total") > b)
            daemon.wait(lambda: in_sync_and_quiet(daemon), 5)


def deaf(condition: str) -> str:
    """A loop to which the kernel says some things in vain."""
    return (
        "import reconciler.host.monitor as m; take = m.Monitor._take; "
        f"m.Monitor._take = lambda s, e, n, h: None if ({condition}) else take(s, e, n, h)"
    )


_IS_DEVICE = "isinstance(e, m.DeviceEvent)"
DEAF_TO_RULES = "import reconciler.host.monitor as m; m.Monitor._take_rules = lambda *_: None"
DEAF_TO_ALL = (
    f"{deaf('True')}; m.Monitor._take_rules = lambda *_: None; "
    "import reconciler.host.names_watch as w; w.NamesWatch.note = lambda *_: None"
)


def delete_namespace(host: Host) -> None:
    index = facts.peer("eth0", host.netns("c2"))["ifindex"]
    host.delete_netns("c2")
    wait_until(lambda: index not in {link["ifindex"] for link in facts.links().values()}, 20)


UNHEARD = {
    "link": (deaf(f"{_IS_DEVICE} and e.link"),
             lambda host: host.netns("c1").ip("link set eth0 mtu 1300"), "device"),
    "address": (deaf(f"{_IS_DEVICE} and not e.link"),
                lambda host: host.netns("c1").ip("addr del 10.1.0.2/24 dev eth0"), "address"),
    "route": (deaf(f"{_IS_DEVICE} and not e.link"),
              lambda host: host.netns("c1").ip("route del default"), "route"),
    "rules": (DEAF_TO_RULES, lambda host: host.run("iptables", "-F", "RC-OUT"), "rule"),
    "namespace": (DEAF_TO_ALL, delete_namespace, "netns"),
    "bridge": (DEAF_TO_ALL, lambda host: host.ip("link del br0"), "device"),
}  # fmt: skip
"""What the loop is deaf to, what is done then, and the type of object that is found missed."""


@pytest.mark.parametrize(("patch", "deed", "kind"), UNHEARD.values(), ids=UNHEARD)
def test_what_no_event_told_is_found_healed_and_counted_by_the_full_look(
    host: Host, tmp_path: Path, patch: str, deed: object, kind: str
):
    host.manifests.write("site.yaml", SITE)
    options = ("--full-look", "1", "--poll", "3600")
    with running(host, tmp_path / "d", *options, patch=patch) as daemon:
        deed(host)  # type: ignore[operator]

        daemon.wait(lambda: [r for r in daemon.healed(0) if r["foundBy"] == "look"])
        daemon.wait(lambda: in_sync_and_quiet(daemon))
        found = daemon.metrics()[f'reconciler_missed_events_total{{type="{kind}"}}']
        assert found >= 1
    assert diff(host).in_sync
