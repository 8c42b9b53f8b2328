"""The lock of a host: one at a time, with a name on it, and none that outlives its holder."""

import os
import signal
import subprocess
import sys

import pytest

from reconciler.errors import HostError, LockedError
from reconciler.host.lock import FILE, host_lock
from tests.world import ROOT

HOLDER = """
import sys, time
from pathlib import Path
from reconciler.host.lock import host_lock
with host_lock(Path(sys.argv[1]), "reconciler apply"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until its standard input ends.

    It comes after one that was killed, and whose longer name is still in the file.
    """
    (tmp_path / FILE).write_text(f"4194304 reconciler {'teardown ' * 9}\n")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_it_is_free_again_afterwards(tmp_path):
    for _ in range(2):
        with host_lock(tmp_path / "deep" / "down", "test"):
            pass


def test_the_second_learns_who_is_first(tmp_path, holder):
    with pytest.raises(LockedError) as refused, host_lock(tmp_path, "test"):
        pass

    message = str(refused.value)
    assert message.startswith(f"process {holder.pid} (reconciler apply) works on this host")
    assert str(tmp_path / FILE) in message
    assert "teardown" not in message


def test_whoever_is_refused_leaves_the_holders_name(tmp_path, holder):
    for _ in range(2):
        with pytest.raises(LockedError, match=str(holder.pid)), host_lock(tmp_path, "test"):
            pass


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_holder_holds_nothing(tmp_path, holder, end):
    holder.send_signal(end)
    holder.wait()

    with host_lock(tmp_path, "test"):
        pass


def test_it_is_let_go_of_when_the_work_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), host_lock(tmp_path, "test"):
        _ = 1 // 0

    with host_lock(tmp_path, "test"):
        pass


def test_a_child_does_not_keep_it(tmp_path):
    """A program that is started while it is held and goes on does not inherit it."""
    with host_lock(tmp_path, "test"):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with host_lock(tmp_path, "test"):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(HostError, match=os.fspath(tmp_path / "file")):
        host_lock(tmp_path / "file", "test").__enter__()
