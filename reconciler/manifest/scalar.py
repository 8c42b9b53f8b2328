"""Scalar: a plain YAML value that keeps its written text beside what it means.

Types follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema): `true`,
`false`, whole numbers, floats and null. YAML 1.1's `yes`, `on`, `22:22`, `1_000` and dates are
text here. A field that wants text takes any plain scalar as it is written, so that the label `1.10`
does not become `1.1`; a field that wants a number takes its value.
"""

from __future__ import annotations

import re

_INTEGER = re.compile(r"[-+]?[0-9]{1,40}|0x[0-9a-fA-F]{1,32}|0o[0-7]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BOOLEANS = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NUMBER_START = frozenset("0123456789+-.")


class Scalar(str):
    """The written text of a plain scalar that YAML does not regard as text."""

    __slots__ = ()


class Boolean(Scalar):
    """`true` or `false`."""

    __slots__ = ()

    @property
    def value(self) -> bool:
        """What it means."""
        return _BOOLEANS[self]


class Integer(Scalar):
    """A whole number: decimal, `0x…` or `0o…`."""

    __slots__ = ()

    @property
    def value(self) -> int:
        """What it means. As in YAML 1.2, a leading zero does not make a number octal."""
        if self.startswith(("0x", "0o")):
            return int(self, 0)
        return int(self)


class Float(Scalar):
    """A number with a decimal point or an exponent, an infinity or not a number."""

    __slots__ = ()

    @property
    def value(self) -> float:
        """What it means."""
        return float(self.lower().replace(".inf", "inf").replace(".nan", "nan"))


def parse_plain(text: str) -> str | None:
    """What an unquoted scalar is: text, a `Scalar`, or None for null."""
    if text in _BOOLEANS:
        return Boolean(text)
    if text in _NULLS:
        return None
    if text[0] not in _NUMBER_START:
        return text
    if _INTEGER.fullmatch(text):
        return Integer(text)
    if _FLOAT.fullmatch(text) or _SPECIAL.fullmatch(text):
        return Float(text)
    return text
