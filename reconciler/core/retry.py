"""Retry: when an object that could not be put right, or that somebody fights over, is tried again.

Each object waits for itself, so that a permanent failure holds up nothing else. Pauses grow, and
are spread at random, so that many failures do not come back together. Pure: time and chance are
given by whoever asks, in seconds by any clock that only goes forward, and in [0, 1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from reconciler.core.object import Key

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 60.0
"""Seconds before the second attempt (mostly the kernel had not finished what somebody had begun),
and between attempts that have failed for long."""
FIGHT_TIMES, FIGHT_WINDOW = 5, 600.0
"""An object that drifts so often within so many seconds is fought over."""
FIGHT_FIRST, FIGHT_LONGEST = 10.0, 600.0
"""Seconds to leave it to the other program: after it was recognised, and after long fighting."""


def pause(attempt: int, first: float, longest: float, chance: float) -> float:
    """Say how long to wait before the next attempt: twice as long each time, give or take a third.

    Args:
        attempt: How many there were, from 1.
        first: Seconds after the first.
        longest: Seconds at most, before chance.
        chance: In [0, 1).
    """
    grown = min(first * 2.0 ** min(attempt - 1, 32), longest)
    return grown * (2 + chance) / 3 if attempt > 1 else grown


@dataclass(slots=True)
class _Trouble:
    failures: int = 0
    until: float = 0.0
    drifts: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    rounds: int = 0
    """How often it was left alone since the fight over it was recognised; 0: there is none."""

    def is_quiet(self, now: float) -> bool:
        """Tell whether it has not drifted for a window since it could be put right last.

        While it is left alone it cannot drift again, so that this is no quiet.
        """
        return not self.drifts or now - max(self.drifts[-1], self.until) > FIGHT_WINDOW


class Retries:
    """The objects that wait."""

    def __init__(self) -> None:
        self._troubles: dict[Key, _Trouble] = {}

    def failed(self, key: Key, now: float, chance: float) -> float:
        """Note that an attempt failed; gives the seconds until the next."""
        trouble = self._troubles.setdefault(key, _Trouble())
        trouble.failures += 1
        wait = pause(trouble.failures, FIRST_PAUSE, LONGEST_PAUSE, chance)
        trouble.until = max(trouble.until, now + wait)
        return wait

    def worked(self, key: Key) -> None:
        """Note that it is as it should be; whether it stays so is another matter."""
        trouble = self._troubles.get(key)
        if trouble is None:
            return
        trouble.failures = 0
        if not trouble.drifts:
            del self._troubles[key]

    def drifted(self, key: Key, now: float, chance: float) -> int:
        """Note that it became other than it should be; gives how often it has within the window.

        From the fifth time on it is left alone for a while, longer each time.
        """
        trouble = self._troubles.setdefault(key, _Trouble())
        if trouble.is_quiet(now):
            trouble.rounds = 0
        while trouble.drifts and now - trouble.drifts[0] > FIGHT_WINDOW:
            trouble.drifts.popleft()
        trouble.drifts.append(now)
        if not trouble.rounds and len(trouble.drifts) < FIGHT_TIMES:
            return len(trouble.drifts)
        trouble.rounds += 1
        wait = pause(trouble.rounds, FIGHT_FIRST, FIGHT_LONGEST, chance)
        trouble.until = max(trouble.until, now + wait)
        return len(trouble.drifts)

    def fought_over(self, key: Key) -> bool:
        """Tell whether somebody keeps undoing what is done to it."""
        trouble = self._troubles.get(key)
        return trouble is not None and trouble.rounds > 0

    def waiting(self, now: float) -> frozenset[Key]:
        """Name what is not to be tried yet."""
        return frozenset(key for key, one in self._troubles.items() if one.until > now)

    def next_due(self, keys: Iterable[Key]) -> float | None:
        """Say when the first of *keys*, which all wait, may be tried again; may be past already."""
        return min((self._troubles[k].until for k in keys if k in self._troubles), default=None)

    def forgive(self, keys: Iterable[Key]) -> None:
        """Try these again at once: what is wanted of them has changed, or somebody asks."""
        for key in keys:
            self._troubles.pop(key, None)

    def forgive_all(self) -> None:
        """Try everything again at once: other things are wanted now."""
        self._troubles.clear()

    def tidy(self, now: float) -> None:
        """Forget what has been quiet for a whole window."""
        for key, one in list(self._troubles.items()):
            if one.is_quiet(now) and not one.failures and one.until <= now:
                del self._troubles[key]
