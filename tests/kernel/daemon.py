"""Daemon: a running loop of the test's host, asked over its socket as anybody would ask it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.agent.client import SOCKET, NoLoopError, get
from tests.world import Host, Result, wait_until

Record = dict[str, Any]


@dataclass(slots=True)
class Daemon:
    """`reconciler run` as a process of its own."""

    host: Host
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    @property
    def log(self) -> list[Record]:
        """What it has logged, a line each; the last line may be torn."""
        found = []
        for line in (self.folder / "log").read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"event": line})
        return found

    def ask(self, target: str) -> Record:
        return get(self.run_dir / SOCKET, target)

    def status(self) -> Record:
        return self.ask("/status")

    def history(self) -> list[Record]:
        """The drifts that have ended, or changed their fate, newest last."""
        return self.ask("/drift?history=10000")["history"]

    def metric(self, name: str) -> float:
        """The sum of all series of a metric; a counter's name ends in `_total`."""
        found = self.metrics()
        return sum(value for key, value in found.items() if key.partition("{")[0] == name)

    def metrics(self) -> dict[str, float]:
        text = _text(self.run_dir / SOCKET, "/metrics")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines)}

    def wait(self, fact: Callable[[], object], deadline: float = 10.0) -> Any:
        """Wait for a fact; a daemon that has died meanwhile is the better complaint."""

        def alive_and_so() -> object:
            assert self.process.poll() is None, self.log[-5:]
            return fact()

        return wait_until(alive_and_so, deadline)

    def wait_in_sync(self, deadline: float = 20.0) -> Record:
        return self.wait(lambda: (s := self.status())["inSync"] and s, deadline)

    def healed(self, count: int, deadline: float = 10.0) -> list[Record]:
        """What has healed since there were *count* records; waits until something has."""

        def new() -> list[Record]:
            return [r for r in self.history()[count:] if r["fate"] == "healed"]

        return self.wait(new, deadline)

    def command(self, *arguments: str) -> Result:
        """A command of the program that asks this loop."""
        dirs = ("--run-dir", str(self.run_dir), "--state-dir", str(self.folder / "state"))
        return self.host.reconciler(*arguments, *dirs)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, deadline: float = 10.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(deadline)


PATCHED = "{}; import sys; from reconciler.cli.main import run; sys.exit(run(sys.argv[1:]))"
"""A program that is ours but for what a statement has changed in it."""


def start(host: Host, folder: Path, *options: str, patch: str = "") -> Daemon:
    """Start one; it has not necessarily begun.

    *patch* is Python that runs before it: to make it deaf, where the kernel never is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dirs = ("--run-dir", folder / "run", "--state-dir", folder / "state")
    argv = host.command("run", host.manifests, *dirs, *options)
    if patch:
        argv[1:3] = ["-c", PATCHED.format(patch)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=host.subprocess_environment(),
            cwd=os.sep,
        )
    return Daemon(host, folder, process)


@contextmanager
def running(
    host: Host, folder: Path, *options: str, in_sync: bool = True, patch: str = ""
) -> Iterator[Daemon]:
    """A loop that has made its first pass; it ends with the test."""
    daemon = start(host, folder, *options, patch=patch)
    try:
        daemon.wait(lambda: is_ready(daemon), 60)
        if in_sync:
            daemon.wait_in_sync()
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
        daemon.process.wait(10)


def is_ready(daemon: Daemon) -> bool:
    """Tell whether a first pass has ended."""
    try:
        return bool(daemon.status()["ready"])
    except NoLoopError:
        return False


def _text(path: Path, target: str) -> str:
    from reconciler.agent.client import _UnixConnection

    connection = _UnixConnection(path, 5)
    try:
        connection.request("GET", target)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
