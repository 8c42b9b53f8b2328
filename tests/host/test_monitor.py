"""The monitor on a real kernel: what others do is heard, with where it was and who did it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_interface

import pytest

from reconciler.agent.ears import merge
from reconciler.core.drift import Culprit
from reconciler.core.object import HOST
from reconciler.formats.address import add_address
from reconciler.formats.events import DeviceEvent
from reconciler.host.linux import LinuxHost
from reconciler.host.monitor import Heard, Monitor
from tests.world import HERE, REMOTE, ROOT, Host, Namespace, inside, make_namespace, wait_until


@dataclass
class Ears:
    """A host that is watched, and all that was heard of it since the last `forget`."""

    linux: LinuxHost
    monitor: Monitor
    heard: Heard = field(default_factory=Heard)

    def listen(self) -> Heard:
        self.heard = merge(self.heard, new := self.monitor.read())
        self.heard.own_families |= new.own_families
        return self.heard

    def forget(self) -> None:
        self.listen()
        self.heard = Heard()

    def hear(self, fact: Callable[[Heard], object]) -> Heard:
        """Listen until this was heard; gives all that was."""
        wait_until(lambda: fact(self.listen()))
        return self.heard

    def index(self, name: str) -> int:
        """The number of a device that was there when it was looked at last."""
        return self.linux.look.observed.index(name)


@contextmanager
def watching(**options: int) -> Iterator[Ears]:
    """Watch this host, and know all that is there already."""
    linux = LinuxHost()
    monitor = linux.watch(**options)
    try:
        linux.observe()
        linux.rest()
        ears = Ears(linux, monitor)
        ears.forget()
        yield ears
    finally:
        monitor.close()
        linux.close()


@pytest.fixture
def c1(host: Host) -> Namespace:
    return host.add_netns("c1")


@pytest.fixture
def ears(host: Host) -> Iterator[Ears]:
    """A host with a bridge, watched. The bridge is down: the kernel does nothing by itself then."""
    host.ip("link add br0 type bridge")
    with watching() as found:
        yield found


@contextmanager
def batch(where: Namespace = HERE) -> Iterator[Callable[[str], int]]:
    """An `ip` that lives; gives what tells it to do something and returns its number."""
    argv = ["ip", "-batch", "-"]
    with inside(where):
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, bufsize=1)
    with process:

        def do(line: str) -> int:
            print(line, file=process.stdin, flush=True)
            return process.pid

        yield do


# --------------------------------------------------------------------------- where


def test_on_a_quiet_host_nothing_is_heard(ears: Ears):
    assert not ears.monitor.read()


def test_a_change_on_a_device_of_the_host_is_heard_with_its_index(host: Host, ears: Ears):
    index = ears.index("br0")
    host.ip("addr add 10.1.0.1/24 dev br0")

    heard = ears.hear(lambda heard: heard.places)

    assert set(heard.places) == {(HOST, index)}
    assert not heard.devices_changed, "only what is on it"


@pytest.mark.parametrize("deed", ["set br0 mtu 1400", "set br0 name br1", "del br0"])
def test_a_change_of_a_device_itself_is_heard_as_one(host: Host, ears: Ears, deed: str):
    index = ears.index("br0")
    host.ip(f"link {deed}")

    heard = ears.hear(lambda heard: heard.places)

    assert set(heard.places) == {(HOST, index)}
    assert heard.devices_changed == {HOST}


def test_a_change_in_a_container_is_heard_with_the_containers_name(host: Host, c1: Namespace):
    with watching() as ears:
        c1.ip("addr add 10.9.0.1/32 dev lo")

        heard = ears.hear(lambda heard: heard.places)

    assert set(heard.places) == {("c1", 0)}
    assert heard.names == {}


def test_a_namespace_without_a_cable_gets_a_number_by_being_looked_at(host: Host, c1: Namespace):
    assert "c1" not in {line.split("name: ")[-1] for line in _numbered(host)}
    with watching() as ears:
        c1.ip("link add d0 type bridge")
        heard = ears.hear(lambda heard: ("c1", 0) in heard.places)

    assert "c1" in heard.devices_changed


def _numbered(host: Host) -> list[str]:
    """The namespaces that have a number: `nsid 0 (iproute2 netns name: c1)`."""
    return [line.rstrip(")") for line in host.ip("netns list-id").splitlines()]


def test_a_name_that_was_given_to_another_namespace_is_known_after_a_look(
    host: Host, c1: Namespace
):
    with watching() as ears:
        host.delete_netns("c1")
        again = host.add_netns("c1")
        ears.linux.observe()
        ears.linux.rest()
        ears.forget()

        again.ip("addr add 10.9.0.1/32 dev lo")
        heard = ears.hear(lambda heard: heard.places)

    assert set(heard.places) == {("c1", 0)}


def test_that_namespaces_come_and_go_is_heard(host: Host, c1: Namespace):
    with watching() as ears:
        host.delete_netns("c1")

        ears.hear(lambda heard: heard.spaces)


def test_a_nameless_stranger_asks_for_the_list_of_namespaces_once(host: Host, ears: Ears):
    stray = make_namespace(REMOTE / "stray")
    host.ip(f"link add v0 type veth peer name v1 netns {stray.path}")
    ears.hear(lambda heard: heard.spaces)
    stray.ip("link set v1 mtu 1400")
    wait_until(lambda: not ears.monitor.read())
    ears.forget()

    stray.ip("link set v1 mtu 1300")
    host.ip("addr add 10.1.0.1/24 dev br0")
    heard = ears.hear(lambda heard: (HOST, ears.index("br0")) in heard.places)

    assert not heard.spaces
    assert {netns for netns, _ in heard.places} == {HOST}


# --------------------------------------------------------------------------- who


def test_a_process_that_lives_is_named_with_its_program(host: Host, ears: Ears):
    with batch() as ip:
        pid = ip("addr add 10.1.0.1/24 dev br0")
        heard = ears.hear(lambda heard: heard.places)

    assert heard.places == {(HOST, ears.index("br0")): Culprit(pid, "ip")}


def test_a_process_in_a_container_is_named_too(host: Host, c1: Namespace):
    with watching() as ears, batch(c1) as ip:
        pid = ip("addr add 10.9.0.1/32 dev lo")
        heard = ears.hear(lambda heard: heard.places)

    assert heard.places == {("c1", 0): Culprit(pid, "ip")}


def test_of_a_process_that_has_ended_the_number_is_known(host: Host, ears: Ears):
    process = subprocess.Popen(["ip", "addr", "add", "10.1.0.1/24", "dev", "br0"])
    process.wait()

    heard = ears.hear(lambda heard: heard.places)

    assert heard.places == {(HOST, ears.index("br0")): Culprit(process.pid)}


def test_who_changed_a_device_itself_is_known_by_its_name(host: Host, ears: Ears):
    """Linux 6.18 does not say who; where a kernel does, the name outlives the device."""
    told = DeviceEvent(7, os.getppid(), "br0", link=True)
    ears.monitor._take(told, None, ears.heard)

    assert ears.heard.names["br0"].pid == os.getppid()


TWO_SOCKETS = """
import sys
from ipaddress import ip_interface
from reconciler.formats.address import add_address
from reconciler.host.netlink_socket import NetlinkSocket
first, second = NetlinkSocket(), NetlinkSocket()
second.request([add_address(int(sys.argv[1]), ip_interface("10.1.0.1/24"))])
sys.stdin.read()
"""


def test_who_used_a_second_socket_is_found_by_it(host: Host, ears: Ears):
    """The kernel gives the first socket of a process the process' number, the others any."""
    argv = [sys.executable, "-c", TWO_SOCKETS, str(ears.index("br0"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=environment) as process:
        heard = ears.hear(lambda heard: heard.places)
        process.communicate()

    (culprit,) = heard.places.values()
    assert culprit is not None
    assert (culprit.pid, culprit.program.startswith("python")) == (process.pid, True)


def test_what_we_do_ourselves_is_ours_and_nobodys_fault(host: Host, ears: Ears):
    index = ears.index("br0")
    ears.linux._kernel.request(HOST, [add_address(index, ip_interface("10.1.0.1/24"))])

    heard = ears.hear(lambda heard: heard.places)

    assert heard.places == {(HOST, index): None}
    assert heard.ours == {(HOST, index)}


def test_what_somebody_does_after_us_is_not_ours(host: Host, ears: Ears):
    index = ears.index("br0")
    ears.linux._kernel.request(HOST, [add_address(index, ip_interface("10.1.0.1/24"))])
    host.ip("addr add 10.2.0.1/24 dev br0")

    heard = ears.hear(lambda heard: heard.places.get((HOST, index)))

    assert heard.ours == set()


def test_what_we_do_after_somebody_is_still_somebodys(host: Host, ears: Ears):
    index = ears.index("br0")
    host.ip("addr add 10.2.0.1/24 dev br0")
    ears.linux._kernel.request(HOST, [add_address(index, ip_interface("10.1.0.1/24"))])

    heard = ears.hear(lambda heard: heard.places)

    assert heard.places[HOST, index] is not None
    assert heard.ours == set()


# --------------------------------------------------------------------------- rules


@pytest.mark.parametrize(("program", "family"), [("iptables-nft", 4), ("ip6tables-nft", 6)])
def test_who_writes_rules_is_named(host: Host, ears: Ears, program: str, family: int):
    process = subprocess.Popen([program, "-A", "FORWARD", "-j", "ACCEPT"])
    assert process.wait() == 0

    heard = ears.hear(lambda heard: heard.families)

    assert heard.families == {family: Culprit(process.pid, program)}


def test_what_we_write_with_iptables_restore_is_not_a_strangers(host: Host, ears: Ears):
    text = "*filter\n:RC-USER - [0:0]\nCOMMIT\n"
    done = ears.linux._firewall._programs.run(["iptables-nft-restore", "--noflush"], text)
    assert done.code == 0, done.stderr

    heard = ears.hear(lambda heard: heard.own_families)

    assert (heard.own_families, heard.families) == ({4}, {})


def test_what_a_stranger_writes_beside_us_is_the_strangers(host: Host, ears: Ears):
    text = "*filter\n:RC-USER - [0:0]\nCOMMIT\n"
    ears.linux._firewall._programs.run(["iptables-nft-restore", "--noflush"], text)
    host.run("iptables-nft", "-A", "FORWARD", "-j", "ACCEPT")

    heard = ears.hear(lambda heard: heard.families)

    assert heard.families[4].program == "iptables-nft"


def test_a_look_writes_no_rules(host: Host, ears: Ears):
    """Else a pass would hear itself, and look again for ever."""
    ears.linux.observe()
    ears.forget()
    ears.linux.observe()

    assert not ears.listen()


# --------------------------------------------------------------------------- overruns


def flood(host: Host) -> None:
    """More news than a few pages hold."""
    lines = (f"addr add 10.1.{n // 200}.{n % 200 + 1}/32 dev br0" for n in range(400))
    host.run("ip", "-batch", "-", stdin="\n".join(lines))


def test_news_that_did_not_fit_are_noticed_and_the_next_are_heard(host: Host):
    host.ip("link add br0 type bridge")
    with watching(receive_buffer=4096) as ears:
        flood(host)
        ears.hear(lambda heard: heard.overrun)
        wait_until(lambda: not ears.monitor.read())
        ears.forget()

        host.ip("link set br0 mtu 1400")
        heard = ears.hear(lambda heard: heard.places)

    assert not heard.overrun
    assert set(heard.places) == {(HOST, ears.index("br0"))}


def test_the_usual_buffer_holds_a_flood(host: Host, ears: Ears):
    index = ears.index("br0")
    flood(host)

    heard = ears.hear(lambda heard: (HOST, index) in heard.places)

    assert not heard.overrun


def test_what_is_no_message_counts_as_missed(host: Host, ears: Ears, monkeypatch):
    monkeypatch.setattr(Monitor, "_datagrams", lambda *_: iter([(b"\1\2\3", None)]))

    assert ears.monitor.read().overrun


def test_another_process_cannot_pretend_to_be_the_kernel(host: Host, ears: Ears):
    """Whoever may send to our port is not believed."""
    port = ears.monitor.sockets[0].getsockname()[0]
    script = (
        "import socket, sys; s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); "
        f"s.sendto(b'x' * 20, ({port}, 0))"
    )
    subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)

    assert not ears.listen()


def test_a_closed_monitor_has_no_descriptors_left(host: Host):
    linux = LinuxHost()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    monitor = linux.watch()
    sockets = monitor.sockets
    assert len(sockets) == 2

    monitor.close()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
