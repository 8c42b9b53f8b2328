"""Passes: apply and diff without a process for each, and proof that one did nothing.

It is the code behind the command line (`reconciler.cli.session`), run on the test's own thread,
twenty times faster than a program's start. What the commands add to it is tested through them.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.agent.reconcile import Preview, Report
from reconciler.agent.source import load
from reconciler.cli import main
from reconciler.cli.session import Options, Session
from reconciler.host.linux import LinuxHost
from tests.world import Host

_STARTS = {
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system",
    "subprocess.Popen",
}  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGING = {
    "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate",
    "os.chmod", "os.utime",
}  # fmt: skip

_heard: list[str] | None = None


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if _heard is None:
        return
    if event == "subprocess.Popen" and _only_reads(arguments[1]):
        return
    if event in _STARTS or event in _CHANGING:
        _heard.append(f"{event} {arguments}")
    elif event == "open" and _writes(arguments[0], arguments[2]):
        _heard.append(f"opened for writing: {arguments[0]}")


def _writes(path: object, flags: object) -> bool:
    """Whether a file is opened for writing; by number it is one that is open, such as a pipe."""
    return not isinstance(path, int) and isinstance(flags, int) and bool(flags & _WRITING)


def _only_reads(argv: object) -> bool:
    """Whether a process only looks: the product promises none in a dry run but `…-save`.

    `iptables --version` says which of the two backends this host has.
    """
    if not isinstance(argv, list):
        return False
    program = str(argv[0])
    return program.endswith("-save") or (program.endswith("tables") and argv[1:] == ["--version"])


sys.addaudithook(_hear)  # PEP 578: it stays for the life of the process, and listens on demand


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect what this process does to files, and which processes it starts."""
    global _heard  # noqa: PLW0603 - an audit hook cannot be taken away, only told to look away
    _heard = heard = []
    try:
        yield heard
    finally:
        _heard = None


@contextmanager
def session(
    host: Host, counters: Counter[str] | None = None, *paths: os.PathLike[str], **options: object
) -> Iterator[Session]:
    """A revision of the manifests and this host."""
    chosen = tuple(map(os.fspath, paths or (host.manifests,)))
    given = Options(chosen, **options)  # type: ignore[arg-type]
    linux = LinuxHost(given.set_name, counters)
    try:
        yield Session(load(chosen, allow_empty=given.allow_empty), given, linux)
    finally:
        linux.close()


def apply(host: Host, *paths: os.PathLike[str], **options: object) -> Report:
    """One pass, as `reconciler apply`."""
    with session(host, None, *paths, **options) as given:
        return given.reconcile()


def diff(host: Host, *paths: os.PathLike[str], **options: object) -> Preview:
    """One look, as `reconciler diff`."""
    with session(host, None, *paths, **options) as given:
        return given.preview()


def converge(host: Host, *paths: os.PathLike[str], **options: object) -> Report:
    """One pass that must converge without a failure, to a state in which nothing is left to do."""
    report = apply(host, *paths, **options)
    assert not report.failures, [f"{o.operation}: {o.error}" for o in report.failures]
    assert report.converged, describe(report.after)
    assert_settled(host, *paths, **options)
    return report


def assert_settled(host: Host, *paths: os.PathLike[str], **options: object) -> None:
    """An empty diff, and an apply that sends nothing, writes nothing and starts nothing."""
    counters: Counter[str] = Counter()
    with session(host, counters, *paths, **options) as given, listening() as heard:
        preview = given.preview()
        report = given.reconcile()
    assert preview.in_sync, describe(preview)
    assert report.converged
    assert report.outcomes == ()
    assert heard == [], heard
    silent = ("changes", "files", "writing processes", "retries")
    assert not any(counters[name] for name in silent), counters


def describe(preview: Preview) -> str:
    """The changes of a preview, one a line, for a failing test."""
    return "\n".join(
        f"{change.action} {change.key} {change.differences} {change.reason}"
        for change in preview.changes
    )


def run(host: Host, *arguments: str) -> int:
    """A command of the program on this host's manifests, in this process; gives its exit code."""
    return main.run([*arguments, os.fspath(host.manifests)])
