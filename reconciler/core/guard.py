"""Guard: stops a pass that would delete suspiciously much of what is ours.

A wrong directory, a half-finished checkout or a misspelt set look like "nothing is declared any
more". Without a limit more than half of what is ours, and more than ten objects, may not go away
unasked; a limit that somebody gave (`--max-deletes 5`, `--max-deletes 20%`) is kept to the letter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.core.diff import Action, Change
from reconciler.core.object import Mark
from reconciler.core.policy import SHARED
from reconciler.core.state import State
from reconciler.errors import ReconcilerError

FREE_DELETES = 10
"""So many objects may always go: one container is made of about as many."""
NAMED_MAX = 3


class LimitError(ReconcilerError):
    """A text that is no limit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many objects may be deleted."""

    number: int
    percent: bool = False
    """Whether *number* is a percentage of what is ours."""

    def allows(self, deletes: int, owned: int) -> bool:
        """Tell whether so many deletes of so many objects that are ours are within it."""
        return deletes * 100 <= self.number * owned if self.percent else deletes <= self.number

    def __str__(self) -> str:
        return f"{self.number}{'%' if self.percent else ''}"


def parse_limit(text: str) -> Limit:
    """Read ``N`` or ``P%``.

    Raises:
        LimitError: It is neither, or more than 100 %.
    """
    found = re.fullmatch(r"([0-9]{1,9})(%?)", text.strip(), re.ASCII)
    if not found:
        raise LimitError(f"{text!r} is not a number of objects, as 25, nor a share, as 60%")
    limit = Limit(int(found[1]), bool(found[2]))
    if limit.percent and limit.number > 100:
        raise LimitError(f"{text!r} is more than all; write 100% at most")
    return limit


def count_owned(observed: State, set_name: str) -> int:
    """Count the objects of a set that belong to a resource and could be deleted.

    Kernel parameters never are; what several resources share goes with the last of them.
    """
    return sum(
        owner.set == set_name
        and observed.objects[key].mark is not Mark.NONE
        and not owner.resource.startswith(SHARED)
        for key, owner in observed.owners.items()
    )


def check_deletes(changes: Iterable[Change], owned: int, limit: Limit | None) -> str | None:
    """Say why these changes delete too much, or None if they don't.

    What is replaced, or makes room for something else, does not count: something stands there
    afterwards. Nor does what its resource gets another one of, such as an address.

    Args:
        changes: To be made.
        owned: How many objects are ours now, see `count_owned`.
        limit: What the user allowed; None for the limit above.
    """
    gone = _deleted(tuple(changes))
    deletes = len(gone)
    if limit is not None:
        if limit.allows(deletes, owned):
            return None
        return f"{_too_many(gone, owned)}, and --max-deletes allows {limit}"
    if deletes <= FREE_DELETES or deletes * 2 <= owned:
        return None
    hint = f"if that is meant, say --max-deletes {deletes}, or --max-deletes 100%"
    return f"{_too_many(gone, owned)}, more than half; {hint}"


def _deleted(changes: tuple[Change, ...]) -> list[Change]:
    displaced = {key for change in changes for key in change.displaces}
    # What a change of its key makes of an address, a route or a rule: one goes, another comes.
    successors = Counter(_kind(c) for c in changes if c.action is Action.CREATE)
    gone = []
    for change in changes:
        if change.action is not Action.DELETE or change.key in displaced:
            continue
        if successors[_kind(change)] > 0:
            successors[_kind(change)] -= 1
        else:
            gone.append(change)
    return gone


def _kind(change: Change) -> tuple[str, str, str]:
    return change.owner.set, change.owner.resource, change.key.type


def _too_many(gone: list[Change], owned: int) -> str:
    names = sorted({change.owner.resource for change in gone})
    more = len(names) - NAMED_MAX
    said = ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
    return f"{len(gone)} of the {owned} objects that are ours would be deleted ({said})"
