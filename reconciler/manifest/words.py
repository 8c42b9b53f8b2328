"""Words: how messages quote values, name fields and guess at what was meant."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence

QUOTE_MAX = 60  # characters of a value that a message repeats
WORD_MAX = 64  # nobody misspells a longer word by one letter
CANDIDATES_MAX = 5000  # looking for the nearest of more would hold up the report

KEY = "\0key"  # ends a location that means the key itself; no key in a document can be equal to it

Location = tuple[str | int, ...]


def quote(value: object) -> str:
    """A value as it would be written in JSON, cut to a readable length."""
    text = json.dumps(str(value), ensure_ascii=False)
    return text if len(text) <= QUOTE_MAX else text[: QUOTE_MAX - 2] + '…"'


def listed(words: Iterable[str]) -> str:
    """`a, b or c`."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def nearest(word: str, candidates: Sequence[str]) -> str:
    """The candidate that was probably meant, or an empty string."""
    if len(word) > WORD_MAX or len(candidates) > CANDIDATES_MAX:
        return ""
    lowered = {candidate.lower(): candidate for candidate in reversed(candidates)}
    found = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else ""


def did_you_mean(word: str, candidates: Sequence[str]) -> str:
    """A hint with the nearest candidate, or an empty string."""
    guess = nearest(word, candidates)
    return f"did you mean {quote(guess)}?" if guess else ""


def field_path(location: Location) -> str:
    """A location in a document as users write it: `spec.publish[0]`, `metadata.labels["a.b"]`."""
    text = ""
    for step in location:
        if step == KEY:
            continue
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("-", "").replace("_", "").isalnum() and step.isascii():
            text += f".{step}" if text else step
        else:
            text += f"[{quote(step)}]"
    return text
