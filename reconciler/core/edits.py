"""Edits: the fewest positional changes that lead from one ordered list to another.

    have a b c d        want a x c d e
    replace 2 by x, append e                 a, c and d are never touched: their counters live

Rules of a chain are such a list. As many of them are kept as can be kept in one order (a longest
common subsequence), so no other list of deletes and inserts is shorter; a delete and an insert at
the same place become one replace. Numbers count from one and run: they are right when the edits
are carried out one after the other, as iptables-restore does.

Hooks are our rules among strangers' rules. Numbers may have moved since they were read, and a
delete by number would then hit a stranger: hooks are deleted by their whole text.
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


class Present(NamedTuple):
    """A rule that stands in a chain which is not ours alone."""

    text: str
    """All of it, as saved."""
    identity: str | None
    """What tells a hook of ours from another one; None for a stranger's rule."""


class Hook(NamedTuple):
    """A rule of ours that is wanted in such a chain."""

    identity: str
    text: str
    """As we write it; it may be saved in other words."""


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


def render_edits(chain: str, changes: Sequence[Edit], texts: Sequence[str]) -> Sequence[str]:
    """Write edits as lines for iptables-restore; *texts* are the wanted rules without the chain."""
    return tuple(
        " ".join(
            (
                change.verb.value,
                chain,
                *([str(change.number)] if change.number else []),
                *([texts[change.item]] if change.item is not None else []),
            )
        )
        for change in changes
    )


def hook_edits(
    chain: str, have: Sequence[Present], want: Sequence[Hook], after: str | None = None
) -> Sequence[str]:
    """Put our hooks where they belong in a stranger's chain: lines for iptables-restore, or none.

    Our hooks stand together, in order. If they do not, all are deleted and written again: a delete
    by text takes the first of several equal rules, and that may be the one in the right place.

    Args:
        chain: Its name.
        have: What stands in it.
        want: Our hooks, in order.
        after: The stranger's rule, as saved, that they follow; None, or no such rule: they are
            the first.
    """
    foreign = [rule.text for rule in have if rule.identity is None]
    start = foreign.index(after) + 1 if after in foreign else 0
    right = [hook.identity for hook in want]
    if [rule.identity for rule in have[start:]] == right + [None] * (len(foreign) - start):
        return ()
    gone = [f"-D {chain} {rule.text}" for rule in have if rule.identity is not None]
    put = [f"-I {chain} {number} {hook.text}" for number, hook in enumerate(want, start + 1)]
    return (*gone, *put)


def _rewrite(want: Sequence[str]) -> Sequence[Edit]:
    return (Edit(Verb.FLUSH, 0), *(Edit(Verb.APPEND, 0, item) for item in range(len(want))))


def _edits_around(kept: Pairs, have: int, want: int) -> Iterator[Edit]:
    """Walk the gaps between what is kept, from the first to the last."""
    old = new = 0
    for keep_old, keep_new in kept:
        yield from _fill_gap(keep_old - old, new, keep_new, at_end=False)
        old, new = keep_old + 1, keep_new + 1
    yield from _fill_gap(have - old, new, want, at_end=True)


def _fill_gap(surplus: int, start: int, stop: int, *, at_end: bool) -> Iterator[Edit]:
    """Put the wanted items from *start* to *stop* in place of *surplus* others.

    All before the gap is as wanted already, so the place of a wanted item is its own number.
    """
    replaced = min(surplus, stop - start)
    for item in range(start, start + replaced):
        yield Edit(Verb.REPLACE, item + 1, item)
    for _ in range(surplus - replaced):
        yield Edit(Verb.DELETE, stop + 1)
    for item in range(start + replaced, stop):
        yield Edit(Verb.APPEND, 0, item) if at_end else Edit(Verb.INSERT, item + 1, item)


def _longest_common(have: Sequence[str], want: Sequence[str]) -> Pairs | None:
    """Find a longest common subsequence; None if there are too many pairs of equal items."""
    shorter = min(len(have), len(want))
    head = next((at for at in range(shorter) if have[at] != want[at]), shorter)
    rest = shorter - head
    tail = next((at for at in range(rest) if have[-1 - at] != want[-1 - at]), rest)
    places: defaultdict[str, list[int]] = defaultdict(list)
    for new in range(len(want) - tail - 1, head - 1, -1):
        places[want[new]].append(new)
    middle = range(head, len(have) - tail)
    if sum(len(places.get(have[old], ())) for old in middle) > PAIRS_MAX:
        return None
    kept = _rising((old, new) for old in middle for new in places.get(have[old], ()))
    ends = zip(range(len(have) - tail, len(have)), range(len(want) - tail, len(want)), strict=True)
    return [*((at, at) for at in range(head)), *kept, *ends]


class _Link(NamedTuple):
    pair: tuple[int, int]
    before: _Link | None


def _rising(pairs: Iterator[tuple[int, int]]) -> Pairs:
    """Choose as many pairs as possible of which both numbers rise.

    The method of Hunt and Szymanski (1977): pairs come by rising first and falling second number;
    `ends[n]` is the smallest second number at which a chain of n + 1 pairs can end. It takes
    O(pairs · log) and not O(len²): where all items are different, pairs are no more than items.
    """
    ends: list[int] = []
    links: list[_Link] = []
    for pair in pairs:
        length = bisect_left(ends, pair[1])
        link = _Link(pair, links[length - 1] if length else None)
        if length == len(ends):
            ends.append(pair[1])
            links.append(link)
        else:
            ends[length], links[length] = pair[1], link
    chosen = []
    last = links[-1] if links else None
    while last:
        chosen.append(last.pair)
        last = last.before
    return chosen[::-1]
