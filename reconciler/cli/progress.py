"""Progress: how far an apply has got, on a terminal, once it takes longer than a second."""

from __future__ import annotations

import sys
import time
from typing import Self

from reconciler.core.execute import Outcome

PATIENCE = 1.0  # seconds
_INTERVAL = 0.1


class Progress:
    """One line on standard error that counts, and is gone in the end."""

    def __init__(self) -> None:
        """Show nothing yet; where standard error is no terminal, never."""
        self._terminal = sys.stderr.isatty()
        self._start = self._shown = time.monotonic()
        self._done = self._expected = 0
        self._visible = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._visible:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def expect(self, operations: int) -> None:
        """Take note of how many there will be."""
        self._expected = operations

    def count(self, _: Outcome) -> None:
        """Count one operation that was done or refused."""
        self._done += 1
        now = time.monotonic()
        if self._terminal and now - self._start > PATIENCE and now - self._shown > _INTERVAL:
            self._shown = now
            self._visible = True
            sys.stderr.write(f"\r\x1b[K{self._done} of {self._expected} operations")
            sys.stderr.flush()
