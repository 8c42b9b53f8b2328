"""iptables-restore: the text that edits tables, and which line of it a failure speaks of.

    *nat                                         a table begins; what it holds stays (--noflush)
    :RC-PREROUTING - -                           a new chain; one that is there would be emptied
    -I RC-PREROUTING 3 -d 203.0.113.2/32 ...     lines, carried out in order
    COMMIT                                       the table changes as a whole, or not at all

Messages differ between the backends and by what was wrong; these were seen (1.8.9):

    Error occurred at line: 3                                   what both cannot read: an option
    iptables-restore: line 6 failed                             legacy: a chain or rule is missing
    line 3: RULE_APPEND failed (Invalid argument): rule in ...  nft: the kernel refused

Where the legacy backend's kernel refuses, the line is that of COMMIT: the table is known, no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# In the order of trust: an argument that the message repeats may read like the others.
_LINES = (
    re.compile(r"^Error occurred at line: (\d+)$", re.MULTILINE),
    re.compile(r"^line (\d+): ", re.MULTILINE),
    re.compile(r"^\S+: line (\d+) failed", re.MULTILINE),
)
_NOISE = re.compile(r"^(?:Error occurred at line: \d+|Try `.*|# Warning: .*|)$", re.MULTILINE)


class TableEdit(NamedTuple):
    """What to do in one table."""

    table: str
    lines: Sequence[str]
    """In order; each without a line break."""
    undo: Sequence[str] = ()
    """What leads back, for when a later table fails."""


class Culprit(NamedTuple):
    """Where a restore failed."""

    edit: int
    """Which of the edits, from zero."""
    line: int | None
    """Which of its lines, from zero; None: the table as a whole."""


def render_restore(edits: Sequence[TableEdit]) -> str:
    """Write the input of ``iptables-restore --noflush``; a table without lines is left out.

    Raises:
        ValueError: A line has a line break or a NUL.
    """
    lines = []
    for edit in edits:
        if not edit.lines:
            continue
        for line in edit.lines:
            if "\n" in line or "\0" in line:
                raise ValueError(f"a line with a line break or a NUL: {line!r}")
        lines += [f"*{edit.table}", *edit.lines, "COMMIT"]
    return "".join(f"{line}\n" for line in lines)


def find_culprit(edits: Sequence[TableEdit], stderr: str) -> Culprit | None:
    """Find the line that iptables-restore complains of; None if it names none."""
    found = next(filter(None, (pattern.search(stderr) for pattern in _LINES)), None)
    if found is None:
        return None
    numbered = enumerate(_places(edits), 1)
    return next((place for number, place in numbered if number == int(found[1])), None)


def explain_failure(stderr: str) -> str:
    """Keep of what iptables-restore printed the words that say what is wrong."""
    return " ".join(_NOISE.sub("", stderr).split())


def _places(edits: Sequence[TableEdit]) -> Iterator[Culprit]:
    """Say for each line of the rendered text where it comes from."""
    for number, edit in enumerate(edits):
        if not edit.lines:
            continue
        yield Culprit(number, None)
        for line in range(len(edit.lines)):
            yield Culprit(number, line)
        yield Culprit(number, None)
