"""JSON events: RFC 8259 text as the events that a YAML parser would give.

YAML 1.2 meant to contain JSON, but libyaml refuses some of it: keys longer than 1,024 characters,
surrogate pairs, a tab before the first brace. Such a text is read here, with the same positions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
    (?P<punctuation>[\[\]{},:]) |
    (?P<text>"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*") |
    (?P<plain>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?![0-9A-Za-z.])|true|false|null)
    )""",
    re.VERBOSE,
)
_BLANK = re.compile(r"[ \t\r\n]*")


class _Mark(NamedTuple):
    """What events need of a `yaml.Mark`; lines and columns count from 0."""

    line: int
    column: int


class _Tokens:
    """The tokens of a JSON text, one ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self._line = 0
        self._line_start = 0
        self.advance()

    def advance(self) -> None:
        """Step to the next token; `kind` is empty at the end of the text."""
        match = _TOKEN.match(self._text, self._end)
        if match:
            self.kind = match.lastgroup or ""
            self.value = match[self.kind]
            begin, end = match.span(self.kind)
        else:
            self.kind = self.value = ""
            blank = _BLANK.match(self._text, self._end)
            begin = end = blank.end() if blank else self._end
        self._count_lines(begin)
        self._end = end
        self.begin: Any = _Mark(self._line, begin - self._line_start)
        self.end: Any = _Mark(self._line, end - self._line_start)
        if not match and begin < len(self._text):
            raise self.error(f"found {self._text[begin]!r} where no token begins")

    def _count_lines(self, begin: int) -> None:
        # Line breaks are in the blank before a token only: text may not hold them.
        breaks = self._text.count("\n", self._end, begin)
        if breaks:
            self._line += breaks
            self._line_start = self._text.rindex("\n", self._end, begin) + 1

    def take(self, punctuation: str) -> None:
        """Step over this character.

        Raises:
            yaml.MarkedYAMLError: Something else stands here.
        """
        if self.value != punctuation or self.kind != "punctuation":
            raise self.error(f"expected {punctuation!r}")
        self.advance()

    def at(self, punctuation: str) -> bool:
        """Whether this character is next."""
        return self.kind == "punctuation" and self.value == punctuation

    def error(self, message: str) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(problem=f"{message} (JSON)", problem_mark=self.begin)


def json_events(text: str) -> Iterator[Event]:
    """The events of one JSON text.

    Raises:
        yaml.MarkedYAMLError: It is not JSON.
    """
    tokens = _Tokens(text)
    yield DocumentStartEvent(tokens.begin, tokens.begin)
    yield from _value(tokens)
    if tokens.kind:
        raise tokens.error("something follows the end of the value")
    yield DocumentEndEvent(tokens.begin, tokens.begin)
    yield StreamEndEvent(tokens.begin, tokens.begin)


def _value(tokens: _Tokens) -> Iterator[Event]:
    # Recursion is bounded by whoever consumes the events and stops at its depth limit.
    if tokens.at("{"):
        yield from _mapping(tokens)
    elif tokens.at("["):
        yield from _sequence(tokens)
    else:
        yield _scalar(tokens)


def _mapping(tokens: _Tokens) -> Iterator[Event]:
    yield MappingStartEvent(None, None, True, tokens.begin, tokens.end)
    tokens.take("{")
    while not tokens.at("}"):
        if tokens.kind != "text":
            raise tokens.error("expected a key in double quotes")
        yield _scalar(tokens)
        tokens.take(":")
        yield from _value(tokens)
        if not tokens.at("}"):
            tokens.take(",")
            if tokens.at("}"):
                raise tokens.error("expected a key after the comma")
    yield MappingEndEvent(tokens.begin, tokens.end)
    tokens.take("}")


def _sequence(tokens: _Tokens) -> Iterator[Event]:
    yield SequenceStartEvent(None, None, True, tokens.begin, tokens.end)
    tokens.take("[")
    while not tokens.at("]"):
        yield from _value(tokens)
        if not tokens.at("]"):
            tokens.take(",")
            if tokens.at("]"):
                raise tokens.error("expected a value after the comma")
    yield SequenceEndEvent(tokens.begin, tokens.end)
    tokens.take("]")


def _scalar(tokens: _Tokens) -> ScalarEvent:
    plain = tokens.kind == "plain"
    if not plain and tokens.kind != "text":
        raise tokens.error("expected a value")
    value = tokens.value if plain else _unescape(tokens)
    event = ScalarEvent(
        None, None, (plain, not plain), value, tokens.begin, tokens.end, style="" if plain else '"'
    )
    tokens.advance()
    return event


def _unescape(tokens: _Tokens) -> str:
    try:
        value = str(json.loads(tokens.value))
        value.encode()
    except ValueError as error:  # a wrong escape, or half of a surrogate pair
        raise tokens.error("expected text with valid escapes") from error
    return value
