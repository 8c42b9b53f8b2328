"""What the loop sleeps on: it wakes for sockets, kicks and signals, and not before its time."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from reconciler.agent.wake import SIGNALS, Wake

LONG = 10.0
"""Seconds that no test waits for: it is woken."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a socket; the loop sleeps on the first."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.fixture
def wake(pair) -> Iterator[Wake]:
    found = Wake([pair[0]])
    yield found
    found.close()


def slept(wake: Wake, seconds: float = LONG) -> float:
    begin = time.monotonic()
    wake.sleep(seconds)
    return time.monotonic() - begin


def test_it_sleeps_for_as_long_as_it_is_told_and_never_less(wake):
    """A sleeper that wakes a moment too early would find nothing to do, and spin."""
    for seconds in (0.001, 0.0104, 0.02):
        assert slept(wake, seconds) >= seconds


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_when_it_is_time_already_it_does_not_sleep(wake, seconds):
    assert slept(wake, seconds) < LONG / 2


def test_a_kick_before_it_sleeps_is_not_lost(wake):
    wake.kick()

    assert slept(wake) < LONG / 2


def test_a_kick_wakes_once(wake):
    for _ in range(10):
        wake.kick()
    wake.sleep(LONG)

    assert slept(wake, 0.02) >= 0.02


def test_a_kick_of_another_thread_wakes(wake):
    thread = threading.Thread(target=wake.kick)
    thread.start()

    assert slept(wake) < LONG / 2
    thread.join()


def test_more_kicks_than_a_pipe_holds_are_no_error(wake):
    for _ in range(100_000):
        wake.kick()
    wake.sleep(LONG)

    assert slept(wake, 0.02) >= 0.02, "all of them were taken"


def test_a_readable_socket_wakes_for_as_long_as_nobody_reads_it(wake, pair):
    pair[1].send(b"news")
    assert slept(wake) < LONG / 2
    assert slept(wake) < LONG / 2

    pair[0].recv(100)
    assert slept(wake, 0.02) >= 0.02


def test_that_files_may_have_changed_is_told_once_and_wakes(wake):
    assert not wake.take_files()
    wake.kick_files()

    assert slept(wake) < LONG / 2
    assert wake.take_files()
    assert not wake.take_files()


def test_a_kick_says_nothing_of_files(wake):
    wake.kick()
    wake.sleep(LONG)

    assert not wake.take_files()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_wakes_is_told_once_and_kills_nobody(wake, number):
    with wake.listening():
        os.kill(os.getpid(), number)

        assert slept(wake) < LONG / 2
        assert wake.take_signals() == [number]
        assert wake.take_signals() == []


def test_a_signal_wakes_a_sleeper_even_at_the_moment_at_which_it_falls_asleep(wake):
    """Python runs a handler only between two steps of its own: the kernel's wait is one step."""
    ready = threading.Barrier(2)

    def send() -> None:
        for _ in range(300):
            ready.wait(LONG)
            os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    with wake.listening():
        for _ in range(300):
            ready.wait(LONG)
            while not wake.take_signals():
                assert slept(wake) < LONG / 2
        thread.join()


def test_signals_are_told_in_the_order_in_which_they_came(wake):
    with wake.listening():
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
            os.kill(os.getpid(), number)
            wake.sleep(LONG)

        assert wake.take_signals() == [signal.SIGHUP, signal.SIGUSR1, signal.SIGINT]


def test_afterwards_signals_do_what_they_did_before(wake):
    before = [signal.getsignal(number) for number in SIGNALS]
    with wake.listening():
        assert [signal.getsignal(number) for number in SIGNALS] != before

    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_its_descriptors_are_given_back_and_not_inherited():
    found = Wake([])
    mine = (found._read, found._write)
    assert not any(os.get_inheritable(fd) for fd in mine)

    found.close()

    for fd in mine:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_a_kick_after_the_end_is_no_error():
    """A thread that watches files may be a moment late."""
    found = Wake([])
    found.close()

    found.kick()
