"""Start-up: what asking for help or checking a file costs, in imports and in time."""

import os
import subprocess
import sys

import pytest

from tests.cli.calls import BRIDGE
from tests.world import ROOT

HEAVY = {"pydantic", "pydantic_core", "pyroute2", "structlog", "asyncio", "watchdog", "yaml"}


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def imported(*arguments):
    """The modules that a run of the command line imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "reconciler", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


def cost(*arguments):
    """Seconds of processor time of the cheapest of a few runs: other programs do not count."""

    def run():
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *map(str, arguments)],
            environment(),
            file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
        )
        _, status, usage = os.wait4(pid, 0)
        assert status == 0
        return usage.ru_utime + usage.ru_stime

    return min(run() for _ in range(7))


@pytest.fixture(scope="module")
def python():
    return cost("-c", "pass")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_asking_imports_nothing_heavy(option):
    assert not HEAVY & imported(option)


def test_the_version_needs_no_drawing():
    assert "rich.console" not in imported("--version")


def test_checking_a_file_imports_nothing_that_speaks_to_a_kernel(manifests):
    found = imported("validate", manifests.write("web.yaml", BRIDGE))

    assert not {"pyroute2", "structlog", "asyncio", "watchdog", "rich.console"} & found
    assert not {name for name in found if name.startswith("reconciler.host")}


def test_help_is_there_at_once(python):
    """The budget is 150 ms where Python alone takes 15; pydantic alone would take 60 more."""
    assert cost("-m", "reconciler", "--help") < 15 * python


def test_a_file_is_checked_in_a_moment(python, manifests):
    """The budget is 350 ms where Python alone takes 15."""
    path = manifests.write("web.yaml", BRIDGE)

    assert cost("-m", "reconciler", "validate", path) < 32 * python
