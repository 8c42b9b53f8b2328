"""Explain as text: a kind, a field or a topic, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

import rich_click as click

from reconciler.cli.topics import SUMMARIES, TOPICS
from reconciler.kinds.reference import Entry
from reconciler.manifest.flow import render_flow

WIDTH = 80
_INDENT = "    "


def render_overview(kinds: Iterable[Entry]) -> Iterator[str]:
    """Yield what can be explained."""
    yield _bold("Kinds")
    yield from _table((kind.name, kind.description) for kind in kinds)
    yield ""
    yield _bold("Topics")
    yield from _table(SUMMARIES.items())
    yield ""
    for topic in ("exit-codes", "sets", "ownership"):
        yield from render_topic(topic)
        yield ""
    yield "reconciler explain KIND, KIND.FIELD or TOPIC says more."


def render_topic(topic: str) -> Iterator[str]:
    """Yield a topic's heading and text."""
    yield _bold(topic.replace("-", " ").capitalize())
    yield from (f"{_INDENT}{line}" if line else "" for line in TOPICS[topic].splitlines())


def render_entry(entry: Entry) -> Iterator[str]:
    """Yield all that is known of a kind or a field."""
    yield f"{_bold(entry.path)}  {entry.type}".rstrip()
    yield from _wrapped(entry.description)
    if entry.type:
        yield from _facts(entry)
    if entry.manifest:
        yield ""
        yield from entry.manifest.splitlines()
    if entry.fields:
        yield ""
        yield _bold("Fields")
        for field in entry.fields:
            yield from _field(field)
    if not entry.type:
        yield ""
        yield f"Name, labels and annotations: reconciler explain {entry.path}.metadata"


def _facts(entry: Entry) -> Iterator[str]:
    if entry.effect:
        yield from _wrapped(entry.effect)
    if entry.required:
        yield f"{_INDENT}Required."
    if entry.default is not None:
        yield f"{_INDENT}Default: {render_flow(entry.default)}"
    if entry.docker:
        yield f"{_INDENT}Docker: {entry.docker}"
    for number, example in enumerate(entry.examples):
        head = "Example: " if number == 0 else "         "
        yield f"{_INDENT}{head}{entry.name}: {render_flow(example)}"


def _field(field: Entry) -> Iterator[str]:
    notes = [field.type, "required" if field.required else ""]
    if field.default is not None:
        notes.append(f"default {render_flow(field.default)}")
    if field.docker:
        notes.append(f"Docker: {field.docker}")
    yield f"  {_bold(field.name)}  {'; '.join(note for note in notes if note)}"
    yield from _wrapped(f"{field.description} {field.effect}".strip())


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    rows = tuple(rows)
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        yield f"  {name.ljust(width)}  {text}"


def _wrapped(text: str) -> list[str]:
    width = WIDTH - len(_INDENT)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [f"{_INDENT}{line}" for line in lines]


def _bold(text: str) -> str:
    return click.style(text, bold=True)
