"""Fixtures for every test, and the promise that the machine is left as it was."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from reconciler.errors import PrivilegeError  # noqa: E402 - found through the line above
from reconciler.host.sandbox import enter_sandbox, sandboxed  # noqa: E402
from tests.world import NAMED, Host, Manifests  # noqa: E402

# Why this user cannot have a throwaway host; workers learn it from the process that starts them.
FORBIDDEN = "RECONCILER_TESTS_FORBIDDEN"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the tests marked nightly too")


def pytest_configure(config: pytest.Config) -> None:
    """Make an ordinary user root of a sandbox: this process, and the workers it starts later."""
    # What the developer has set for the command line is not meant for the tests.
    for name in [name for name in os.environ if name.startswith("RECONCILER_")]:
        if name != FORBIDDEN:
            del os.environ[name]
    if os.geteuid() == 0 or FORBIDDEN in os.environ:
        return
    # pytest names its folder in /tmp after the user, and root's own may be there already.
    os.environ["LOGNAME"] = f"user-{os.geteuid()}"
    try:
        enter_sandbox()
    except PrivilegeError as error:
        os.environ[FORBIDDEN] = str(error)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a kernel, and leave the nightly tests out unless they are asked for."""
    for item in items:
        if "host" in getattr(item, "fixturenames", ()):
            item.add_marker("kernel")
    if not config.getoption("--nightly"):
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        if nightly:
            items[:] = [item for item in items if item not in nightly]
            config.hook.pytest_deselected(items=nightly)


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    """An empty folder for manifests."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    return Manifests(folder)


@pytest.fixture
def host(manifests: Manifests) -> Iterator[Host]:
    """A throwaway host; the test is on it, and all it leaves there ends with it."""
    if reason := os.environ.get(FORBIDDEN):
        pytest.fail(f"this test needs root or user namespaces: {reason}", pytrace=False)
    with sandboxed():
        yield Host(manifests)


@pytest.fixture(scope="session", autouse=True)
def machine() -> Iterator[None]:
    """The machine's own network: whatever the tests do, it must be the same at the end."""
    before = _look_at_the_machine()
    yield
    after = _look_at_the_machine()
    changed = {fact: (before[fact], after[fact]) for fact in before if before[fact] != after[fact]}
    assert not changed, f"the machine's own network has changed meanwhile: {changed}"


def _look_at_the_machine() -> dict[str, object]:
    return {
        "devices": sorted(name for _, name in socket.if_nameindex()),
        "namespaces": sorted(path.name for path in NAMED.iterdir()) if NAMED.is_dir() else [],
        "hostname": socket.gethostname(),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(),
    }
