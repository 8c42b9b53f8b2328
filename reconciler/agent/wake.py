"""Wake: what the loop sleeps on. Sockets of the kernel, kicks of other threads, signals, a time."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Wake:
    """Sleeps until there is a reason not to."""

    def __init__(self, sockets: Iterable[socket.socket]) -> None:
        """Wait for these and for kicks."""
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        for readable in (self._read, *(sock.fileno() for sock in sockets)):
            self._poll.register(readable, select.POLLIN)
        self._signals: list[int] = []
        self._files = False

    def kick_files(self) -> None:
        """Say that manifests may have changed; from any thread."""
        self._files = True
        self.kick()

    def take_files(self) -> bool:
        """Tell, and forget, whether manifests may have changed."""
        found, self._files = self._files, False
        return found

    def kick(self) -> None:
        """Wake the sleeper; from any thread."""
        with suppress(BlockingIOError, OSError):  # full: it wakes anyway
            os.write(self._write, b"k")

    def sleep(self, seconds: float) -> None:
        """Sleep until something is readable, somebody kicks, or the time is over."""
        # Milliseconds, rounded up: a sleeper that wakes too early would spin.
        for fd, _ in self._poll.poll(max(0, int(seconds * 1000 + 0.999))):
            if fd == self._read:
                with suppress(BlockingIOError):
                    while os.read(self._read, 4096):
                        pass

    def take_signals(self) -> list[int]:
        """Give and forget the signals that have come."""
        found, self._signals = self._signals, []
        return found

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals instead of dying of them."""

        def note(number: int, _frame: FrameType | None) -> None:
            self._signals.append(number)

        before = {number: signal.signal(number, note) for number in SIGNALS}
        # A handler in Python runs too late for a sleeper that falls asleep at this very moment.
        woken = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._read)
        os.close(self._write)
