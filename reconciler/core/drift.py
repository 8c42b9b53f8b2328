"""Drift: a difference that no change of the manifests asked for, and what became of it.

Pure: whoever looks says when it was. A drift begins when it is seen and ends when the object is as
declared again, whoever did that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.diff import Change


class Mode(StrEnum):
    """What is done about drift: of a whole run, or of one resource (``reconciler/drift``)."""

    HEAL = "heal"
    """Put it right at once."""
    REPORT = "report"
    """Say so, and leave it; a change of the manifests puts it right in passing."""
    SUSPEND = "suspend"
    """Leave it, and say nothing but that it is suspended."""


class FoundBy(StrEnum):
    """How a drift came to be known."""

    EVENT = "event"
    """The kernel told."""
    TIMER = "timer"
    """It is of a kind that the kernel does not tell of: legacy rules, parameters, files."""
    LOOK = "look"
    """The full look found what an event should have told: a missed event."""
    START = "start"
    """It was there before the loop was."""


class Fate(StrEnum):
    """What became of a drift."""

    OPEN = "open"
    """Seen, and being worked on."""
    HEALED = "healed"
    """As declared again, by us."""
    GONE = "gone"
    """As declared again, without us."""
    REPORTED = "reported"
    """Left on purpose: its mode is to report."""
    BLOCKED = "blocked"
    """It cannot be put right: something that is not ours is in the way."""
    FAILED = "failed"
    """The kernel refused; it is tried again."""
    FIGHT = "fight"
    """Somebody undoes what we do: it is tried again ever more rarely."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """Which process changed the kernel, as far as the kernel tells."""

    pid: int
    program: str = ""
    """Its name, up to 15 bytes; empty where it had ended before anybody could ask."""

    def __str__(self) -> str:
        return f"{self.program or 'a process that has ended'} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Drift:
    """One object that became other than declared."""

    change: Change
    """What is wanted and what was found; its action is what puts it right."""
    seen: float
    """When, in seconds since the epoch."""
    found_by: FoundBy
    mode: Mode
    culprit: Culprit | None = None
    fate: Fate = Fate.OPEN
    settled: float | None = None
    """When it ended, in seconds since the epoch; None while it lasts."""
    message: str = ""
    """Why it lasts: the kernel's refusal, what is in the way, who fights."""
    times: int = 1
    """How often this object has drifted lately, this time included."""
