"""Events: what a YAML or JSON parser saw, in order, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from yaml.events import AliasEvent, ScalarEvent

from reconciler.manifest.json_events import json_events
from reconciler.manifest.source_text import Place, UnreadableError

# A `yaml.events.Event`; its stubs leave open what the parsers always give.
Event = Any

# Opens a text: every call of what it returns gives the next event.
EventSource = Callable[[str], Callable[[], Event]]


def open_yaml(text: str) -> Callable[[], Event]:
    """The events of libyaml's parser; a call raises `yaml.YAMLError` where the text is not YAML."""
    return yaml.CSafeLoader(text).get_event


def open_json(text: str) -> Callable[[], Event]:
    """The events of JSON text; a call raises `yaml.YAMLError` where the text is not JSON."""
    return json_events(text).__next__


def place_of(event: Event) -> Place:
    """Where an event stands. A token of several lines is marked to the end of its first."""
    start, end = event.start_mark, event.end_mark
    length = end.column - start.column if end.line == start.line else 2**20
    if isinstance(event, ScalarEvent | AliasEvent):
        return Place(start.line + 1, start.column + 1, length)
    return Place(start.line + 1, start.column + 1)


def explain(error: yaml.YAMLError) -> UnreadableError:
    """A syntax error of the parser in our form."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error)
    context = getattr(error, "context", None)
    hint = ""
    if "tab character" in problem or "cannot start any token" in problem:
        hint = "indent with spaces, and quote text that begins with a tab, @, ` or %"
    if "mapping values are not allowed" in problem:
        hint = 'quote text that contains ": "'
    message = f"not valid YAML: {context}, {problem}" if context else f"not valid YAML: {problem}"
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(0, 0)
    return UnreadableError(message, place, hint)
