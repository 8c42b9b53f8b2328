"""The README's tour: its commands, what the page says they print, and what they do print.

``python -m tests.tour`` writes the real output into the page.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from reconciler.host.sandbox import HOSTNAME, call_in_sandbox
from tests.world import ROOT

README = ROOT / "README.md"
TOUR = re.compile(r"(?<=^## A tour\n).*?(?=^## )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def take_tour(page: str, folder: Path) -> str:
    """Run every command of the tour in `folder`, on this throwaway host; give the page anew."""
    assert socket.gethostname() == HOSTNAME, "not on a throwaway host"
    # A new network has this from the machine, where Docker may have switched it on.
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    run = _shell(folder)
    return TOUR.sub(lambda tour: BLOCK.sub(lambda found: _block(found, run), tour[0]), page)


def without_chance(text: str) -> str:
    """Leave out what every run measures anew, and what every machine has otherwise."""
    text = re.sub(r"resolv.conf  [0-9]+ lines", "resolv.conf  N lines", text)
    text = re.sub(r"time=[0-9.]+ ms", "time=T ms", text)
    text = re.sub(r"time [0-9]+ms", "time Tms", text)
    text = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}", "DATE", text)
    text = re.sub(r"(process|number) [0-9]+", r"\1 N", text)
    text = re.sub(r"by .* \(pid [0-9]+\)", "by PROCESS", text)
    text = re.sub(r"[0-9.]+ m?s\b|\b[0-9]+s\b", "TIME", text)
    return re.sub(r"mdev = .*", "mdev = T", text)


def _block(found: re.Match[str], run: Callable[[str], str]) -> str:
    language, text = found.groups()
    if language == "sh":
        run(text)
        return found[0]
    commands = [line for line in text.splitlines() if line.startswith("$ ")]
    output = "".join(f"{command}\n{run(command[2:])}" for command in commands)
    return f"```{language}\n{output}```\n"


def _shell(folder: Path) -> Callable[[str], str]:
    """A shell in the folder, in which `reconciler` is the one of this checkout."""
    programs = folder / ".bin"
    programs.mkdir()
    command = programs / "reconciler"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m reconciler "$@"\n')
    command.chmod(0o755)
    environment = {name: v for name, v in os.environ.items() if not name.startswith("RECONCILER_")}
    environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def run(script: str) -> str:
        done = subprocess.run(
            ["bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            cwd=folder,
            env=environment,
        )
        return done.stdout

    return run


def _rewrite() -> int:
    with tempfile.TemporaryDirectory() as folder:
        page = take_tour(README.read_text(), Path(folder))
    if "Traceback (most recent call last)" in page:
        sys.exit("a command of the tour has died; the page is left as it is")
    README.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(call_in_sandbox(_rewrite))
