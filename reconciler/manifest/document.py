"""Document: one YAML document as plain values, read strictly.

Mappings become `dict`, sequences `list`, scalars `str` (or a `Scalar`, which remembers its written
text) and null `None`. What YAML allows and nobody needs in a manifest is a problem: duplicate keys,
keys that are not text, anchors and aliases (so that none can explode), tags, merge keys. Reading
goes over the events of the parser, because a loader would build YAML 1.1 values (a MAC address
becomes a number) and lose duplicates.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from reconciler.manifest.events import Event, EventSource, explain, open_json, open_yaml, place_of
from reconciler.manifest.problem import Problem
from reconciler.manifest.scalar import Scalar, parse_plain
from reconciler.manifest.source_text import (
    ManifestFile,
    SourceText,
    UnreadableError,
    decode,
)
from reconciler.manifest.words import quote

DEPTH_MAX = 64
DOCUMENTS_MAX = 10_000  # of one file

Value = object  # dict[str, Value] | list[Value] | str | None


@dataclass(frozen=True, slots=True)
class Document:
    """One document that is not empty.

    Attributes:
        value: What it says.
        index: Its number in the file, from 0, empty ones counted.
        line: Where it begins, from 1.
        sound: False where part of the value had to be left out; problems say which.
    """

    value: Value
    index: int
    line: int
    sound: bool = True


@dataclass(frozen=True)
class Reading:
    """What a file holds: its documents, and what is wrong with how they are written."""

    source: SourceText
    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    events: EventSource | None = field(default=None, repr=False)
    complete: bool = True  # False: there may be documents that could not be read


def read_file(file: ManifestFile) -> Reading:
    """Read one file. Any bytes give a reading; nothing is raised."""
    try:
        source = SourceText(file.path, decode(file.data))
    except UnreadableError as error:
        source = SourceText(file.path, file.data.decode(errors="replace"))
        problem = source.problem(error.place, error.message, error.hint)
        return Reading(source, problems=(problem,), complete=False)
    reading = _Reader(source, open_yaml).read()
    if reading.complete or not source.text.lstrip().startswith(("{", "[")):
        return reading
    # libyaml refuses some valid JSON; whoever wrote YAML shall still see what YAML says.
    as_json = _Reader(source, open_json).read()
    return as_json if as_json.complete or file.path.endswith(".json") else reading


class _Reader:
    """Builds the documents of one file from its events."""

    def __init__(self, source: SourceText, events: EventSource) -> None:
        self._source = source
        self._events = events
        self._next = events(source.text)
        self._problems: list[Problem] = []
        self._documents: list[Document] = []
        self._sound = True

    def read(self) -> Reading:
        complete = True
        try:
            self._read_documents()
        except yaml.YAMLError as error:
            self._report(explain(error))
            complete = False
        except UnreadableError as error:
            self._report(error)
            complete = False
        documents, problems = tuple(self._documents), tuple(self._problems)
        return Reading(self._source, documents, problems, self._events, complete)

    def _read_documents(self) -> None:
        number = 0
        while (event := self._next()).__class__ is not StreamEndEvent:
            if event.__class__ is DocumentStartEvent:
                self._read_document(number, event)
                number += 1

    def _read_document(self, number: int, start: Event) -> None:
        first = self._next()
        if number >= DOCUMENTS_MAX:
            message = f"the file has more than {DOCUMENTS_MAX} documents"
            raise UnreadableError(message, place_of(start), "split it into several files")
        self._sound = True
        value = self._value(first, 0)
        if value is not None or not self._sound:
            line = first.start_mark.line + 1
            self._documents.append(Document(value, number, line, self._sound))

    def _value(self, event: Event, depth: int) -> Value:
        kind = event.__class__
        if kind is ScalarEvent and event.tag is None and event.anchor is None:
            return self._scalar(event)
        if kind is AliasEvent:
            self._refuse(event, "aliases are not allowed", "write the value out")
            return None
        if event.anchor is not None:
            self._refuse(event, "anchors are not allowed", "write the value out where it is used")
        if event.tag is not None:
            self._refuse(event, f"tags are not allowed: {quote(event.tag)}", "leave the tag out")
        if kind is ScalarEvent:
            return None
        self._limit(event, depth + 1)
        if kind is MappingStartEvent:
            return self._mapping(depth + 1)
        return self._sequence(depth + 1)

    def _scalar(self, event: Event) -> Value:
        value: str = event.value
        if event.implicit[0] and not event.style:
            return parse_plain(value)
        if "\0" in value:
            self._refuse(event, "text with a NUL character", "no program accepts one")
            return None
        return value

    def _sequence(self, depth: int) -> list[Value]:
        items: list[Value] = []
        while True:
            event = self._next()
            if event.__class__ is SequenceEndEvent:
                return items
            items.append(self._value(event, depth))

    def _mapping(self, depth: int) -> dict[str, Value]:
        mapping: dict[str, Value] = {}
        lines: dict[str, int] = {}
        while True:
            event = self._next()
            if event.__class__ is MappingEndEvent:
                return mapping
            key = self._key(event, depth)
            value = self._value(self._next(), depth)
            if key is None:
                continue
            if key in mapping:
                self._duplicate(event, key, lines[key])
                continue
            mapping[key] = value
            lines[key] = event.start_mark.line + 1

    def _key(self, event: Event, depth: int) -> str | None:
        if event.__class__ is not ScalarEvent:
            self._refuse(event, "a key must be text", "lists and mappings are not keys")
            self._skip(event, depth)
            return None
        key = self._value(event, depth)
        if not isinstance(key, str) or isinstance(key, Scalar):
            hint = f"write {quote(event.value)} in quotes"
            self._refuse(event, f"a key must be text, and {event.value or 'null'} is not", hint)
            return None
        if key == "<<" and not event.style:
            self._refuse(event, "merge keys are not allowed", "write the fields out")
            return None
        return key

    def _skip(self, event: Event, depth: int) -> None:
        outside = depth
        while True:
            depth += isinstance(event, CollectionStartEvent)
            depth -= isinstance(event, CollectionEndEvent)
            if depth == outside:
                return
            self._limit(event, depth)
            event = self._next()

    def _limit(self, event: Event, depth: int) -> None:
        # libyaml's time grows with the square of the depth, so no path may go around this.
        if depth > DEPTH_MAX:
            raise UnreadableError(f"nested deeper than {DEPTH_MAX} levels", place_of(event))

    def _duplicate(self, event: Event, key: str, line: int) -> None:
        message = f"duplicate key {quote(key)}"
        hint = f"it stands in line {line} already"
        self._problems.append(self._source.problem(place_of(event), message, hint))

    def _refuse(self, event: Event, message: str, hint: str = "") -> None:
        self._sound = False
        self._problems.append(self._source.problem(place_of(event), message, hint))

    def _report(self, error: UnreadableError) -> None:
        self._problems.append(self._source.problem(error.place, error.message, error.hint))
