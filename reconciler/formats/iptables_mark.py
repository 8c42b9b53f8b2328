"""Rule mark: the comment by which a rule of ours is known, and known to be what it should be.

    -m comment --comment "reconciler default Container/web1 8080->80/tcp #q5eqnr2cmlxvzu4a"
                          us         set     resource       what         hash

iptables-save spells a rule differently from how it was written (``-m tcp`` and ``/32`` are added,
0x50 becomes 80), so that text cannot be compared. The hash says what was written: 80 bits over the
chain, the arguments, the other words of the mark, and a number that tells equal rules of a chain
apart.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from reconciler.formats.iptables import Rule
from reconciler.formats.iptables_words import comments, render_words

COMMENT_MAX = 255  # XT_MAX_COMMENT_LEN less the final NUL, linux/netfilter/xt_comment.h
HASH_LENGTH = 16  # characters of five bits each

_PREFIX = "reconciler "
_MARK = re.compile(_PREFIX + r"(\S+) ([A-Za-z]+/\S+)(?: (.*))? #([a-z2-7]{16})")
# The same in a whole rule, where nothing in it had to be escaped: ten times as fast.
_PLAIN_MARK = re.compile(
    f' -m comment --comment "{_PREFIX}'
    r'([^\s"\\]+) ([A-Za-z]+/[^\s"\\]+)(?: ([^"\\\n]*))? #([a-z2-7]{16})"(?= |\Z)'
)
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f]+")


class RuleMark(NamedTuple):
    """Whose a rule is, what for, and the hash of what was written."""

    set: str
    resource: str
    """``Kind/name``."""
    what: str
    """For people, such as ``8080->80/tcp``; may be empty."""
    hash: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.set, self.resource, self.what, f"#{self.hash}")))


def mark_rule(
    chain: str, words: Sequence[str], owner: tuple[str, str], what: str = "", duplicate: int = 0
) -> RuleMark:
    """Make the mark of a rule.

    Args:
        chain: The chain it stands in.
        words: Its arguments as we write them, without the mark.
        owner: Set and resource.
        what: What it is for, in a few words; shortened to what a comment can hold.
        duplicate: How many rules with the same mark stand before it in the chain.
    """
    set_name, resource = owner
    room = COMMENT_MAX - len(_encode(f"{_PREFIX}{set_name} {resource}  #")) - HASH_LENGTH
    what = _shorten(_UNPRINTABLE.sub(" ", what).strip(), room)
    content = "\0".join((chain, *words, "", set_name, resource, what, str(duplicate)))
    digest = b32encode(sha256(_encode(content)).digest())
    return RuleMark(set_name, resource, what, digest[:HASH_LENGTH].decode().lower())


def render_marked(words: Sequence[str], mark: RuleMark) -> str:
    """Write the arguments of a rule with its mark in front of the target.

    Raises:
        ValueError: A word has a line break or a NUL.
    """
    comment = ("-m", "comment", "--comment", _PREFIX + str(mark))
    target = next((at for at, word in enumerate(words) if word in {"-j", "-g"}), len(words))
    return render_words((*words[:target], *comment, *words[target:]))


def parse_rule_mark(rule: Rule) -> RuleMark | None:
    """Read the mark of a rule as saved; None if it carries none of ours."""
    if _PREFIX not in rule.line:
        return None
    if not (found := _PLAIN_MARK.search(rule.line)):
        tried = (_MARK.fullmatch(comment) for comment in comments(rule.spec))
        found = next(filter(None, tried), None)
    return RuleMark(found[1], found[2], found[3] or "", found[4]) if found else None


def identity(rule: Rule) -> str:
    """Give the text by which a rule in a chain of ours is compared: its hash, else all of it."""
    mark = parse_rule_mark(rule)
    return f"#{mark.hash}" if mark else rule.spec


def _shorten(text: str, room: int) -> str:
    encoded = _encode(text)
    if len(encoded) <= room:
        return text
    return encoded[: max(room - 3, 0)].decode(errors="ignore") + "..."


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # any text has a hash


def without_mark(spec: str) -> str:
    """Give the arguments of a rule without its mark, for people."""
    return _PLAIN_MARK.sub("", f" {spec}").strip()
