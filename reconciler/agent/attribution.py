"""Attribution: how a drift came to be known, and who caused it, as far as the kernel tells."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.agent.scopes import SILENT, culprit_of, family_of, told
from reconciler.agent.trigger import Trigger
from reconciler.core.diff import Change
from reconciler.core.drift import Culprit, FoundBy
from reconciler.core.object import Key
from reconciler.host.linux import LinuxHost

Attribution = Callable[[Change], tuple[FoundBy, Culprit | None]]


def attribute(host: LinuxHost, trigger: Trigger) -> Attribution:
    """Tell of a change how it came to be known, and who made it necessary."""
    look = host.look.observed

    def answer(change: Change) -> tuple[FoundBy, Culprit | None]:
        items = [item for item in (change.before, change.after) if item is not None]
        culprits = (culprit_of(item, trigger.heard, look.index) for item in items)
        culprit = next((found for found in culprits if found is not None), None)
        if trigger.cause == "start":
            return FoundBy.START, culprit
        if any(told(item, trigger.heard) for item in items):
            return FoundBy.EVENT, culprit
        if change.key.type in SILENT or _unwatched(host, change.key):
            return FoundBy.TIMER, culprit
        return FoundBy.LOOK if trigger.cause == "look" else FoundBy.EVENT, culprit

    return answer


def _unwatched(host: LinuxHost, key: Key) -> bool:
    """Rules of the legacy backend: nobody tells of them."""
    if key.type not in {"chain", "rule"}:
        return False
    return not host.watched(6 if family_of(key) == 6 else 4)
