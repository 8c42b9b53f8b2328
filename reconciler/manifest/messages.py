"""Messages: pydantic's errors in our words, with the nearest known word for a misspelt one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.manifest.model import WRONG, Finding, Model, describe
from reconciler.manifest.words import KEY, Location, did_you_mean, listed, quote

FIELDS_LISTED_MAX = 8  # a longer list of fields does not help anybody

_EXPECTED = {
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def findings_of(error: ValidationError, model: type[Model]) -> Iterator[Finding]:
    """Every error as a finding, located relative to what was validated."""
    for details in error.errors(include_url=False):
        yield _finding(details, model)


def _finding(details: ErrorDetails, model: type[Model]) -> Finding:
    location: Location = details["loc"]
    value, kind, context = details["input"], details["type"], details.get("ctx", {})
    if kind == WRONG:
        return Finding(location, context["message"], context["hint"])
    if kind == "missing":
        return Finding(location, "is required", _example(model, location))
    if kind == "extra_forbidden":
        return Finding((*location, KEY), "unknown field", _known_fields(model, location))
    if kind == "literal_error":
        return _not_one_of(location, value, context["expected"])
    if kind in _EXPECTED:
        return _wrong_type(location, value, _EXPECTED[kind])
    return Finding(location, f"{quote(value)} is not valid: {details['msg']}")


def _not_one_of(location: Location, value: object, expected: str) -> Finding:
    words = re.findall(r"'([^']*)'", expected)
    if not isinstance(value, str):
        return Finding(location, f"must be {listed(words)}, and is {describe(value)}")
    hint = did_you_mean(value, words) or f"write {listed(words)}"
    return Finding(location, f"{quote(value)} is not known", hint)


def _wrong_type(location: Location, value: object, expected: str) -> Finding:
    message = f"must be {expected}, and is {describe(value)}"
    if expected == "a list" and isinstance(value, str):
        return Finding(location, message, f"write [{quote(value)}]")
    return Finding(location, message)


def _known_fields(model: type[Model], location: Location) -> str:
    around = _model_at(model, location[:-1])
    if around is None:
        return ""
    names = [str(field.alias) for field in around.model_fields.values()]
    guess = did_you_mean(str(location[-1]), names)
    if guess or len(names) > FIELDS_LISTED_MAX:
        return guess
    return f"known here: {', '.join(names)}"


def _example(model: type[Model], location: Location) -> str:
    around = _model_at(model, location[:-1])
    for field in around.model_fields.values() if around else ():
        if field.alias == location[-1] and field.examples:
            example = field.examples[0]
            shown = example if isinstance(example, str) else str(example).replace("'", "")
            return f"for example {field.alias}: {shown}"
    return ""


def _model_at(model: type[Model], location: Location) -> type[Model] | None:
    """The model that describes the mapping at this location, if one does."""
    current: type[Model] | None = model
    for step in location:
        if isinstance(step, int):
            continue
        fields = {field.alias: field for field in current.model_fields.values()} if current else {}
        current = _model_in(fields[step].annotation) if step in fields else None
    return current


def _model_in(annotation: Any) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)
