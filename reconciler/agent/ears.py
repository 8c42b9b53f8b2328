"""Ears: all that a loop hears of, and what it has heard so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from reconciler.agent.wake import Wake
from reconciler.host.monitor import Heard, Monitor
from reconciler.host.names_watch import NamesWatch


class FilesWatch(Protocol):
    """What kicks when manifests change."""

    polling: bool
    why: str
    """Why it polls, if it does."""

    def look_after(self) -> bool:
        """See to it that it still watches; True: it had not, so that a look is due."""


@dataclass(frozen=True, slots=True)
class Ears:
    """What a loop hears of."""

    monitor: Monitor
    """Of changes in the kernel."""
    names: NamesWatch
    """Of names under /run/netns and /etc/netns."""
    files: FilesWatch
    """Of manifests."""
    wake: Wake
    """What it sleeps on meanwhile."""


def merge(old: Heard, new: Heard) -> Heard:
    """Put together what was told before and what was told since."""
    return Heard(
        places=old.places | {p: who or old.places.get(p) for p, who in new.places.items()},
        ours=(old.ours - new.places.keys()) | new.ours,
        names=old.names | new.names,
        devices_changed=old.devices_changed | new.devices_changed,
        families=old.families | new.families,
        spaces=old.spaces or new.spaces,
        overrun=old.overrun or new.overrun,
    )
