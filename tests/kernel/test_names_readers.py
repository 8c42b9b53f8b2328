"""Who reads the files of names: `ip netns exec`, and a process that runs in a container."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reconciler.core.guard import Limit
from tests.kernel.manifests import SUBNET, bridge, container
from tests.kernel.names import (
    HOSTS_OWN,
    NAMES,
    OF_BRIDGE,
    set_resolver,
)
from tests.kernel.passes import converge
from tests.world import Host


def netns_exec(host: Host, name: str, *command: str) -> str:
    done = host.run("ip", "netns", "exec", name, *command)
    assert done.stderr == ""
    return done.stdout


def test_ip_netns_exec_shows_them_and_complains_of_nothing(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge(f"{SUBNET}, {OF_BRIDGE}")
        + container()
        + container("bridge: br0, hostname: db, links: [c1]", "c2"),
    )
    converge(host)

    for name in ("c1", "c2"):
        for file in ("hosts", "resolv.conf", "hostname"):
            shown = netns_exec(host, name, "cat", f"/etc/{file}")
            assert shown == (NAMES / name / file).read_text()
    assert netns_exec(host, "c2", "getent", "hosts", "c1").split() == ["10.1.0.2", "c1"]
    assert netns_exec(host, "c1", "getent", "hosts", "db").split() == ["10.1.0.3", "db", "c2"]


@contextmanager
def reader(name: str) -> Iterator[Callable[[str], str]]:
    """A process in a container that has been there for long: it reads files when it is asked to."""
    argv = [
        "ip",
        "netns",
        "exec",
        name,
        "sh",
        "-c",
        "while read file; do cat $file; echo END; done",
    ]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def read(file: str) -> str:
            print(file, file=process.stdin, flush=True)
            return "".join(iter(process.stdout.readline, "END\n"))

        yield read
        process.stdin.close()


def test_who_runs_in_a_container_sees_the_change(host: Host):
    """The file is mounted where it reads it: only one that is written in place reaches it."""
    set_resolver(HOSTS_OWN)
    own = container("bridge: br0, links: ['c1:front']", "c2")
    host.manifests.write("all.yaml", bridge() + container() + own)
    converge(host)

    with reader("c1") as one, reader("c2") as two:
        assert "10.1.0.4" not in one("/etc/hosts")
        set_resolver("nameserver 192.0.2.99\n")
        host.manifests.write("all.yaml", bridge() + container() + own + container(name="c3"))
        converge(host)

        for read in (one, two):
            assert "10.1.0.4\tc3\n" in read("/etc/hosts")
            assert "nameserver 192.0.2.99\n" in read("/etc/resolv.conf")
            assert "192.0.2.53" not in read("/etc/resolv.conf")


def test_a_shorter_text_leaves_nothing_of_the_longer_one(host: Host):
    more = "".join(container(name=f"d{number}") for number in range(20))
    host.manifests.write("all.yaml", bridge() + container() + more)
    converge(host)

    with reader("c1") as read:
        assert len(read("/etc/hosts").splitlines()) == 23
        host.manifests.write("all.yaml", bridge() + container())
        converge(host, max_deletes=Limit(100, percent=True))
        assert read("/etc/hosts").splitlines()[1:] == ["127.0.0.1\tlocalhost", "10.1.0.2\tc1"]
