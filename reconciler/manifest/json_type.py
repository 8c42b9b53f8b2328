"""JSON type: what a field accepts, as a fragment of JSON Schema beside its parser.

A fragment's `title` is what users call such a value; `explain` prints it. A field that wants text
takes any plain scalar as it is written (`hostname: 123`), so where a number or a boolean can be
written like its text, the schema allows that, too. Patterns are whole-text expressions that Python
and ECMA 262 read alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reconciler.manifest.words import listed

Fragment = dict[str, Any]


def text(title: str, pattern: str = "", **more: object) -> Fragment:
    """Text that no number can be written like: an address, a MAC."""
    return {**_title(title), "type": "string", **_pattern(pattern), **more}


def scalar(title: str, pattern: str = "", **more: object) -> Fragment:
    """Text that a number or a boolean can be written like, as it is written."""
    scalars = ["string", "number", "boolean"]
    return {**_title(title), "type": scalars, **_pattern(pattern), **more}


def whole(low: int, high: int) -> Fragment:
    """A whole number."""
    return {"type": "integer", "minimum": low, "maximum": high}


def number(low: float, high: float) -> Fragment:
    """A number, whole or not."""
    return {"type": "number", "minimum": low, "maximum": high}


def listing(item: Mapping[str, object]) -> Fragment:
    """A list of such values."""
    return {"type": "array", "items": item}


def one_or_more(item: Mapping[str, object]) -> Fragment:
    """One such value, or a list of them."""
    return {"anyOf": [item, listing(item)]}


def mapping(title: str, keys: str, value: Mapping[str, object]) -> Fragment:
    """A mapping whose keys follow a pattern."""
    names = {"propertyNames": _pattern(keys)} if keys else {}
    return {**_title(title), "type": "object", **names, "additionalProperties": value}


def in_words(schema: Mapping[str, Any]) -> str:
    """What a value is, in the words of users: `whole number from 68 to 65535`."""
    if "title" in schema:
        return str(schema["title"])
    if "anyOf" in schema:
        return ", or ".join(dict.fromkeys(in_words(part) for part in schema["anyOf"]))
    if "enum" in schema:
        return listed(dict.fromkeys(str(value).lower() for value in schema["enum"]))
    return _type_in_words(schema)


def _type_in_words(schema: Mapping[str, Any]) -> str:
    match schema.get("type"):
        case "boolean":
            return "true or false"
        case "array":
            parts = schema["items"].get("anyOf", [schema["items"]])
            return f"list of {' or '.join(_plural(in_words(part)) for part in parts)}"
        case "integer" | "number" as kind:
            word = "whole number" if kind == "integer" else "number"
            return f"{word} from {schema['minimum']:g} to {schema['maximum']:.10g}"
        case _:
            return "mapping"


def _plural(words: str) -> str:
    """Of the noun in front; what is spelt in capitals is a form and not a word."""
    noun, *rest = re.split("(?= with | or )", words, maxsplit=1)
    if not noun.islower():
        return words
    return f"{noun}{'es' if noun.endswith('s') else 's'}{''.join(rest)}"


def _title(title: str) -> Fragment:
    return {"title": title} if title else {}


def _pattern(pattern: str) -> Fragment:
    return {"pattern": f"^({pattern})$"} if pattern else {}
