"""Fixtures of the command line's tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from tests.world import Host, Result


@pytest.fixture
def without_privilege(host: Host) -> Callable[..., Result]:
    """Run the command line without any capability, as every ordinary user does.

    The user's number stays: an ordinary user of the machine may not be able to read the checkout.
    """

    def run(*arguments: str | os.PathLike[str], stdin: str | None = None) -> Result:
        done = subprocess.run(
            ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *host.command(*arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=host.subprocess_environment(),
        )
        return Result(done.stdout, done.stderr, done.returncode)

    return run
