"""The world of a kernel test: a throwaway host, namespaces on it, and hosts beyond its uplink.

A test gets a `Host` from the fixture `host`. The test's own thread is on that host: what it does
with sockets, `ip` or the reconciler happens there, and ends with the test.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
NAMED = Path("/run/netns")  # where `ip netns` keeps its names
REMOTE = Path("/run/remote-hosts")  # namespaces that stand for other hosts: `ip netns` sees none

_CLONE_NEWNET = 0x40000000  # linux/sched.h
# linux/mount.h, umount2(2)
_MS_BIND, _MS_REC, _MS_SHARED, _MNT_DETACH = 0x1000, 0x4000, 0x100000, 0x2
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


def wait_until(fact: Callable[[], T], deadline: float = 5.0) -> T:
    """Ask until the answer is true, and give it; fail when it is not within `deadline` seconds."""
    end = time.monotonic() + deadline
    pause = 0.002
    while not (answer := fact()):
        if time.monotonic() > end:
            name = getattr(fact, "__name__", repr(fact))
            raise AssertionError(f"not true within {deadline} s: {name}, last answer {answer!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return answer


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace, known by a path that can be opened."""

    name: str
    path: Path

    def run(
        self, *argv: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in it. Files stay the host's: `ip netns exec` would change those too."""
        with inside(self):
            return _run(argv, check=check, stdin=stdin)

    def ip(self, arguments: str) -> str:
        """Run `ip` with these arguments, divided by spaces, and give what it printed."""
        return self.run("ip", *arguments.split()).stdout


HERE = Namespace("", Path("/proc/thread-self/ns/net"))


@contextmanager
def inside(namespace: Namespace) -> Iterator[None]:
    """Be in a network namespace: for sockets, /proc/sys/net, and programs started meanwhile."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    target = os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("setns", target, _CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", home, _CLONE_NEWNET)
    finally:
        os.close(target)
        os.close(home)


def make_namespace(path: Path) -> Namespace:
    """Make a network namespace, with lo up, that can be found at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _share(path.parent)
    path.touch(exist_ok=False)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("unshare", _CLONE_NEWNET)
        try:
            source = b"/proc/thread-self/ns/net"
            _call("mount", source, os.fsencode(path), None, _MS_BIND, None)
        finally:
            _call("setns", home, _CLONE_NEWNET)
    finally:
        os.close(home)
    namespace = Namespace(path.name, path)
    namespace.ip("link set lo up")
    return namespace


def _share(folder: Path) -> None:
    # As `ip netns add` does, so that deleting a name is seen in other mount namespaces. Were this
    # left to a later `ip netns add`, the names made before it could not be deleted any more.
    try:
        _call("mount", None, os.fsencode(folder), None, _MS_SHARED | _MS_REC, None)
    except OSError:
        _call("mount", os.fsencode(folder), os.fsencode(folder), None, _MS_BIND | _MS_REC, None)
        _call("mount", None, os.fsencode(folder), None, _MS_SHARED | _MS_REC, None)


def without_dad(namespace: Namespace, device: str) -> None:
    """Let IPv6 addresses of a device be usable at once, not after a second of looking for twins."""
    with inside(namespace):
        Path(f"/proc/sys/net/ipv6/conf/{device}/accept_dad").write_text("0")


def remove_namespace(namespace: Namespace) -> None:
    """Take its name away, as `ip netns delete` does; it ends with the last process in it."""
    _call("umount2", os.fsencode(namespace.path), _MNT_DETACH)
    namespace.path.unlink()


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of the command line gave."""

    stdout: str
    stderr: str
    code: int


@dataclass(frozen=True, slots=True)
class Manifests:
    """A folder of manifests."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        """Write one file, in the way an editor does: whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text)
        return fresh.rename(path)

    def remove(self, name: str) -> None:
        """Delete one file."""
        (self.folder / name).unlink()

    def __fspath__(self) -> str:
        return str(self.folder)


@dataclass(frozen=True, slots=True)
class Uplink:
    """Another host on the machine's uplink, which also plays the internet.

    It has no route to any container: an answer proves masquerading, or a route that a test adds.
    """

    remote: Namespace
    device: str = "uplink0"
    host4: str = "203.0.113.2"
    host6: str = "2001:db8:113::2"
    remote4: str = "203.0.113.1"
    remote6: str = "2001:db8:113::1"
    internet4: str = "198.51.100.1"  # not on the uplink's subnet: reached by the default route
    internet6: str = "2001:db8:1::1"


@dataclass(frozen=True, slots=True)
class Host:
    """The throwaway host that the test is on."""

    manifests: Manifests
    here: Namespace = HERE
    environment: dict[str, str] = field(default_factory=dict)

    def run(
        self, *argv: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on this host."""
        return _run(argv, check=check, stdin=stdin)

    def ip(self, arguments: str) -> str:
        """Run `ip` with these arguments, divided by spaces, and give what it printed."""
        return self.run("ip", *arguments.split()).stdout

    def command(self, *arguments: str | os.PathLike[str]) -> list[str]:
        """The argument list of the reconciler's command line, for a `subprocess.Popen`."""
        return [sys.executable, "-m", "reconciler", *map(os.fspath, arguments)]

    def reconciler(
        self, *arguments: str | os.PathLike[str], stdin: str | None = None, deadline: float = 120
    ) -> Result:
        """Run the reconciler's command line; it may fail, so look at the code."""
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
            text=True,
            timeout=deadline,
            env=self.subprocess_environment(),
        )
        return Result(done.stdout, done.stderr, done.returncode)

    def subprocess_environment(self) -> dict[str, str]:
        """The environment of the command line's runs; `environment` has the last word."""
        return {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **self.environment}

    def add_netns(self, name: str) -> Namespace:
        """Make a named namespace, as `ip netns add` does."""
        return make_namespace(NAMED / name)

    def netns(self, name: str) -> Namespace:
        """A named namespace that exists, whoever made it."""
        return Namespace(name, NAMED / name)

    def delete_netns(self, name: str) -> None:
        """Delete a named namespace, as `ip netns delete` does."""
        remove_namespace(self.netns(name))

    def uplink(self) -> Uplink:
        """Join this host to another one by a cable, and make that the default route."""
        uplink = Uplink(make_namespace(REMOTE / "remote"))
        remote, device = uplink.remote, uplink.device
        # The kernel tells a device at once that its peer came up, but only when the two have
        # different numbers; else after up to a second (net/core/link_watch.c, urgent events).
        self.ip(f"link add {device} index 1001 type veth peer name eth0 netns {remote.path}")
        without_dad(HERE, device)
        without_dad(remote, "eth0")
        self.ip(f"addr add {uplink.host4}/24 dev {device}")
        self.ip(f"addr add {uplink.host6}/64 dev {device}")
        self.ip(f"link set {device} up")
        remote.ip(f"addr add {uplink.remote4}/24 dev eth0")
        remote.ip(f"addr add {uplink.remote6}/64 dev eth0")
        remote.ip(f"addr add {uplink.internet4}/32 dev lo")
        remote.ip(f"addr add {uplink.internet6}/128 dev lo")
        remote.ip("link set eth0 up")
        self.ip(f"route add default via {uplink.remote4} dev {device}")
        self.ip(f"-6 route add default via {uplink.remote6} dev {device}")
        for namespace in (HERE, remote):
            wait_until(lambda namespace=namespace: not namespace.ip("-6 addr show tentative"))
        return uplink


def _run(
    argv: tuple[str, ...], *, check: bool, stdin: str | None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        argv,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def _call(name: str, *arguments: int | bytes | None) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
