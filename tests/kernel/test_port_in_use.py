"""A host port that a process listens on: an error that names it, before anything is changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kernel import facts
from tests.kernel.manifests import DUAL, bridge, container
from tests.kernel.passes import assert_settled, converge, diff
from tests.probes import Listener, ask
from tests.witness import QuietKernel
from tests.world import HERE, Host, wait_until

SERVE = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
kind = socket.SOCK_STREAM if sys.argv[3] == "tcp" else socket.SOCK_DGRAM
sock = socket.socket(family, kind)
sock.bind((sys.argv[1], int(sys.argv[2])))
if sys.argv[3] == "tcp":
    sock.listen()
open("/proc/self/comm", "w").write("my-web-server")
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def server(address: str, port: int, protocol: str = "tcp") -> Iterator[int]:
    """A program of somebody's that listens on this host; gives its process id."""
    argv = [sys.executable, "-c", SERVE, address, str(port), protocol]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


def write(host: Host, publish: str, more: str = "") -> None:
    text = bridge(f"{DUAL}{more}") + container("bridge: br0, expose: [81]", "c0")
    text += "---\napiVersion: reconciler/v1\nkind: Container\nmetadata: {name: c1}\n"
    host.manifests.write("a.yaml", f"{text}spec:\n  bridge: br0\n  publish:\n{publish}")


@pytest.mark.parametrize(
    ("command", "address", "protocol", "written"),
    [
        ("diff", "0.0.0.0", "tcp", "8080:80"),
        ("apply", "0.0.0.0", "tcp", "8080:80"),
        ("apply", "::", "tcp", "8080:80"),
        ("apply", "127.0.0.1", "tcp", "8080:80"),
        ("apply", "::1", "tcp", "8080:80"),
        ("apply", "0.0.0.0", "udp", "8080:80/udp"),
        ("apply", "::", "udp", "8080:80/udp"),
        ("apply", "0.0.0.0", "tcp", "127.0.0.1:8080:80"),
        ("apply", "::", "tcp", "127.0.0.1:8080:80"),
        ("apply", "127.0.0.1", "tcp", "127.0.0.1:8080:80"),
        ("apply", "::1", "tcp", "[::1]:8080:80"),
    ],
)
def test_a_port_in_use_is_an_error_that_names_process_and_line(
    host: Host, command: str, address: str, protocol: str, written: str
):
    host.ip("link set lo up")
    write(host, f'    - "9090:90"\n    - "{written}"\n')
    with server(address, 8080, protocol) as pid, QuietKernel() as quiet:
        done = host.reconciler(command, host.manifests)

    assert done.code == 1
    lines = done.stderr.splitlines()
    assert lines[0].endswith(
        f"a.yaml:19:7: Container/c1: spec.publish[1]: host port 8080/{protocol} is in use: "
        f"process {pid} (my-web-server) listens on it; choose another host port, or free this one"
    )
    assert f'- "{written}"' in lines[1]
    assert done.stdout == ""
    # The lock of an apply is not the network's.
    assert [change for change in quiet.changes() if "/run/reconciler" not in change] == []


def test_all_ports_in_use_are_told_at_once(host: Host):
    host.ip("link set lo up")
    write(host, "    - 8080:80\n    - 8081:81\n    - 8082:82/udp\n")
    with server("::", 8080) as one, server("0.0.0.0", 8082, "udp") as other:
        done = host.reconciler("apply", host.manifests)

    assert done.code == 1
    assert f"8080/tcp is in use: process {one} " in done.stderr
    assert f"8082/udp is in use: process {other} " in done.stderr
    assert "8081/tcp" not in done.stderr
    assert facts.links() == {}


@pytest.mark.parametrize(
    ("address", "protocol", "written"),
    [
        ("0.0.0.0", "udp", "8080:80"),
        ("0.0.0.0", "tcp", "8081:8080"),
        ("127.0.0.2", "tcp", "127.0.0.1:8080:80"),
        ("::1", "tcp", "127.0.0.1:8080:80"),
    ],
)
def test_what_does_not_clash_is_published(host: Host, address: str, protocol: str, written: str):
    host.ip("link set lo up")
    write(host, f'    - "{written}"\n')
    with server(address, 8080, protocol):
        converge(host)


def test_a_port_is_published_as_soon_as_its_process_has_ended(host: Host):
    write(host, "    - 8080:80\n")
    with server("0.0.0.0", 8080):
        assert host.reconciler("apply", host.manifests).code == 1

    converge(host)


def test_what_is_published_stays_though_a_process_listens_there_later(host: Host):
    """It is in sync, and the packets go where they went: nothing gets worse by another apply."""
    uplink = host.uplink()
    write(host, "    - 8080:80\n    - 5353:53/udp\n")
    converge(host)
    with (
        server("0.0.0.0", 8080),
        server("::", 5353, "udp"),
        Listener(host.netns("c1"), 80),
    ):
        assert_settled(host)
        assert host.reconciler("diff", host.manifests).code == 0
        assert wait_until(lambda: ask(uplink.remote, uplink.host4, 8080))

        # Another port of the same container is another matter.
        write(host, "    - 8080:80\n    - 5353:53/udp\n    - 7070:70\n")
        with server("0.0.0.0", 7070):
            assert host.reconciler("apply", host.manifests).code == 1
        converge(host)


def test_a_process_in_a_container_is_nobody_on_the_host(host: Host):
    write(host, "    - 9090:90\n")
    converge(host)
    write(host, "    - 9090:90\n    - 8080:80\n")
    with Listener(host.netns("c1"), 8080), Listener(host.netns("c0"), 8080):
        converge(host)


def test_free_ports_are_those_on_which_nobody_listens(host: Host):
    host.ip("link set lo up")
    facts.set_sysctl("net.ipv4.ip_local_port_range", "40000 40003")
    write(host, '    - "80"\n    - "40000-40002:81"\n    - "53/udp"\n')
    with (
        server("127.0.0.1", 40000),
        server("::1", 40001),
        server("0.0.0.0", 40000, "udp"),
        Listener(HERE, 40002),
    ):
        done = host.reconciler("diff", host.manifests)
        assert done.code == 1
        assert "no free host port left in 40000-40002 for 81/tcp" in done.stderr

        write(host, '    - "80"\n    - "53/udp"\n')
        made = [
            str(c.after.what) for c in diff(host).changes if "->" in getattr(c.after, "what", "")
        ]
    assert sorted(set(made)) == ["40001->53/udp", "40003->80/tcp"]


def test_a_host_without_published_ports_is_not_searched_for_processes(host: Host):
    """A process on a port that nobody asks for is no matter of ours."""
    host.manifests.write("a.yaml", bridge(DUAL) + container("bridge: br0, expose: [80]"))
    with server("0.0.0.0", 80):
        converge(host)
