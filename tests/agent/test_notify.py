"""What systemd is told, over a real socket of its kind (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from reconciler.agent.notify import notify, watchdog_interval


@pytest.fixture
def systemd() -> Iterator[socket.socket]:
    """A socket that hears; whoever uses it binds it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        yield sock


def test_a_message_arrives_at_a_socket_with_a_path(systemd, tmp_path: Path, monkeypatch):
    systemd.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

    assert notify("READY=1\nSTATUS=watching")
    assert systemd.recv(4096) == b"READY=1\nSTATUS=watching"


def test_a_message_arrives_at_a_socket_in_the_abstract_namespace(systemd, monkeypatch):
    name = f"reconciler-test-{uuid4()}"
    systemd.bind(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")

    assert notify("WATCHDOG=1")
    assert systemd.recv(4096) == b"WATCHDOG=1"


def test_where_nobody_wants_to_know_nothing_is_sent(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    assert not notify("READY=1")


def test_a_socket_that_nobody_hears_is_no_error(systemd, tmp_path: Path, monkeypatch):
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    assert not notify("READY=1"), "it is not there"

    systemd.bind(str(path))
    systemd.close()
    assert not notify("READY=1"), "nobody has it open"


def test_a_path_that_is_too_long_is_no_error(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/" + "x" * 200)

    assert not notify("READY=1")


def test_signs_of_life_come_twice_as_often_as_systemd_waits(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)

    assert watchdog_interval() == 15.0


def test_a_watchdog_of_this_process_counts_and_of_another_does_not(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_interval() == 15.0

    monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))
    assert watchdog_interval() is None


@pytest.mark.parametrize("value", [None, "", "soon", "-1", "0"])
def test_without_a_number_nobody_waits(monkeypatch, value):
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if value is not None:
        monkeypatch.setenv("WATCHDOG_USEC", value)

    assert watchdog_interval() is None
