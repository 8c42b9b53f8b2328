"""Slices: a full look, spread over a minute, so that it is never felt.

What an event missed is found here. Each round begins with what all share (which namespaces there
are, the host's own devices, rules, folders) and goes through the namespaces in small portions.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.core.object import HOST
from reconciler.host.base import Scope

PERIOD = 60.0
"""Seconds for a round, give or take a tenth."""
PORTION = 20
"""Namespaces that are looked into at once: a few milliseconds."""
FOLDERS_EVERY = 5
"""Rounds between two looks at all folders of names, of which inotify tells."""
SPREAD = 0.2
"""How much of the period is left to chance, so that a thousand hosts do not look at once."""


class Slices:
    """Where the full look is, and when it goes on."""

    def __init__(self, now: float, period: float = PERIOD) -> None:
        """Begin a round one period from now: a pass has just looked at everything.

        Args:
            now: Seconds of a clock that only goes forward.
            period: Seconds for a round.
        """
        self._period = period
        self._left: list[str] = []
        self._pause = period
        self.due = now + period
        self.rounds = 0
        """How many rounds have begun."""

    def restart(self, now: float) -> None:
        """Everything has just been looked at for another reason."""
        self._left = []
        self.due = now + self._period

    def next(self, namespaces: Iterable[str], now: float, chance: float) -> Scope:
        """Give the next slice.

        Args:
            namespaces: All that are known.
            now: As above.
            chance: In [0, 1).
        """
        if self._left:
            portion = frozenset(self._left[:PORTION])
            del self._left[:PORTION]
            scope = Scope(namespaces=portion, sysctls=portion)
        else:
            self.rounds += 1
            self._left = sorted(set(namespaces) - {HOST})
            slices = 1 + -(-len(self._left) // PORTION)
            self._pause = self._period * (1 - SPREAD / 2 + SPREAD * chance) / slices
            scope = Scope(
                host=True,
                spaces=True,
                families=frozenset({4, 6}),
                all_folders=self.rounds % FOLDERS_EVERY == 1,
                sysctls=frozenset({HOST}),
            )
        self.due = now + self._pause
        return scope
