r"""Words of a rule: how iptables quotes its arguments, and how it reads them back.

    -m comment --comment "a \"b\" c" -j LOG --log-prefix in
    ['-m', 'comment', '--comment', 'a "b" c', '-j', 'LOG', '--log-prefix', 'in']

A string that needs it is printed in double quotes, and in these a backslash before ``"``, ``'`` and
``\`` (libxtables, xtables_save_string). Names of chains, sets and devices are printed as they are,
whatever they hold: a quote means something only at the beginning of a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"(?=[ \t\n]|\Z)|([^ \t\n]+)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_QUOTES = re.compile(r'[ \t"\']|\A\Z')
_SPECIAL = re.compile(r"[\"'\\]")


def split_words(text: str) -> Sequence[str]:
    """Split the arguments of a rule as saved; any text has words."""
    if '"' not in text and "\t" not in text and "\n" not in text:
        words = text.split(" ")
        return [word for word in words if word] if "" in words else words
    return [bare or _unquote(quoted) for quoted, bare in _WORD.findall(text)]


def comments(text: str) -> Sequence[str]:
    """Find the texts of all comment matches in the arguments of a rule."""
    if " --comment " not in text:
        return ()
    words = split_words(text)
    head = ["-m", "comment", "--comment"]
    # All three: a log prefix may be "--comment" as well.
    return tuple(words[at + 3] for at in range(len(words) - 3) if words[at : at + 3] == head)


def quote(word: str) -> str:
    """Write one argument so that iptables-restore reads it as one word.

    Raises:
        ValueError: It has a line break or a NUL, which iptables-restore cannot read.
    """
    if "\n" in word or "\0" in word:
        raise ValueError(f"a word of a rule with a line break or a NUL: {word!r}")
    if not _NEEDS_QUOTES.search(word):
        return word
    return '"' + _SPECIAL.sub(r"\\\g<0>", word) + '"'


def render_words(words: Iterable[str]) -> str:
    """Write the arguments of a rule; `split_words` reads them back.

    Raises:
        ValueError: A word has a line break or a NUL.
    """
    return " ".join(map(quote, words))


def _unquote(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
