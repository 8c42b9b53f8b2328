"""Edits: the fewest positional changes that lead from one ordered list to another.

    have a b c d        want a x c d e
    replace 2 by x, append e                 a, c and d are never touched: their counters live

Rules of a chain are such a list. As many of them are kept as can be kept in one order (a longest
common subsequence), so no other list of deletes and inserts is shorter; a delete and an insert at the
same place become one replace. Numbers count from one and run: they are right when the edits are
carried out one after the other, as iptables-restore does.

Hooks are our rules among strangers' rules. Numbers may have moved since they were read, and a delete
by number would then hit a stranger: hooks are deleted by their whole text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

PAIRS_MAX = 4_000_000
"""Beyond so many pairs of equal items the search is given up and the list written anew."""

Pairs = Sequence[tuple[int, int]]
"""Which of `have` is kept as which of `want`; both rise."""


class Verb(Enum):
    """What an edit does; the value is the option of iptables(8)."""

    DELETE = "-D"
    INSERT = "-I"
    REPLACE = "-R"
    APPEND = "-A"
    FLUSH = "-F"


class Edit(NamedTuple):
    """One change of a list."""

    verb: Verb
    number: int
    """Where, from one, at the moment when its turn comes; 0 for APPEND and FLUSH."""
    item: int | None = None
    """Which of `want` comes there, from zero; None for DELETE and FLUSH."""


class Hooked(NamedTuple):
    """One rule of a chain that is not ours alone."""

    text: str
    """All of it, as saved."""
    ours: bool


def edits(have: Sequence[str], want: Sequence[str]) -> Sequence[Edit]:
    """Find the fewest edits that lead from *have* to *want*.

    A whole rewrite (FLUSH and APPEND) is given only where nothing can be kept and it is shorter, or
    where equal items are so many that looking for the fewest edits would take too long.
    """
    kept = _longest_common(have, want)
    if kept is None:
        return _rewrite(want)
    found = tuple(_edits_around(kept, len(have), len(want)))
    return _rewrite(want) if not kept and len(found) > len(want) + 1 else found


def hook_edits(
    have: Sequence[Hooked], want: Sequence[str], same: Sequence[str], after: str | None = None
) -> Sequence[str]:
    """Put our hooks where they belong in a chain of strangers; nothing, where they are there.

    Args:
        have: The rules of the chain.
        want: Our hooks as we write them, in order.
        same: How each of them is printed when it is there; the two may differ.
        after: The stranger's rule, as saved, that they follow; None, or no such rule: they are first.

    Returns:
        Lines without the chain: ``-D TEXT`` for each of ours, then ``-I NUMBER TEXT``.
    """
    foreign = [rule.text for rule in have if not rule.ours]
    start = foreign.index(after) + 1 if after in foreign else 0
    right = [*foreign[:start], *same, *foreign[start:]]
    if [rule.text for rule in have] == right:
        return ()
    gone = [f"-D {rule.text}" for rule in have if rule.ours]
    return (*gone, *(f"-I {start + number} {text}" for number, text in enumerate(want, 1)))
