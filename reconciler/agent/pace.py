"""Pace: when to act on kicks that come singly, in bursts, or for ever. Pure: the caller has the clock.

The first kick after a quiet time is acted on almost at once. After that more are waited for: until
nobody kicks for a moment, but not longer than a limit, so that a storm costs a few passes and an end
of it is never needed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """One source of kicks. Times are seconds of a clock that only goes forward."""

    settle: float
    """To wait after a kick when it was quiet: what belongs together comes together."""
    quiet: float
    """To wait for quiet when it was not."""
    longest: float
    """To wait at most; and how long ago the last act was when it counts as quiet."""
    budget: int = 1
    """How many acts in a row are as fast as the first."""

    _first: float | None = None
    _last: float = 0.0
    _acts: tuple[float, ...] = ()

    def kick(self, now: float) -> None:
        """Somebody kicks."""
        if self._first is None:
            self._first = now
        self._last = now

    @property
    def pending(self) -> bool:
        """Whether there was a kick that nobody has acted on yet."""
        return self._first is not None

    def due(self) -> float | None:
        """When to act; None: nobody has kicked."""
        if self._first is None:
            return None
        recent = [act for act in self._acts if self._first - act < self.longest]
        wait = self.settle if len(recent) < self.budget else self.quiet
        return min(self._last + wait, self._first + self.longest)

    def act(self, now: float) -> None:
        """All kicks so far are acted on."""
        self._first = None
        self._acts = (*self._acts[-self.budget + 1 :], now) if self.budget > 1 else (now,)
