"""Reference: what there is to say about kinds and their fields, by their dotted paths.

    Bridge                  the kind, an annotated manifest, its fields
    Container.publish       a field
    Link.endpoints.routes   a field of what a field holds

It is read from the same definitions as the JSON Schema, so the two cannot differ.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.errors import ReconcilerError
from reconciler.kinds import KINDS
from reconciler.kinds.docker_names import DOCKER_NAMES
from reconciler.kinds.schema import Schema, definitions, effect_of, find_definition
from reconciler.manifest import json_type
from reconciler.manifest.kind import Kind
from reconciler.manifest.words import did_you_mean, listed, quote


class UnknownNameError(ReconcilerError):
    """There is no kind or field of this name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind, or one field.

    Attributes:
        path: `Container.interfaces.mac`.
        type: What a value is, in words; empty for a kind.
        description: What it means.
        required: Whether it must be written.
        default: What holds where it is not written and the description does not say it; None for
            nothing.
        docker: What Docker calls it.
        effect: What is missing, where it does not act yet.
        examples: Values as in JSON.
        manifest: Of a kind: an annotated manifest, and notes on it.
        fields: What is in it.
    """

    path: str
    type: str
    description: str
    required: bool = False
    default: object = None
    docker: str = ""
    effect: str = ""
    examples: tuple[object, ...] = ()
    manifest: str = ""
    fields: tuple[Entry, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path, as it stands in a manifest."""
        return self.path.rpartition(".")[2]


def list_kinds() -> tuple[Entry, ...]:
    """All kinds, in the order of their list."""
    defs = definitions()
    return tuple(_kind_entry(kind, defs) for kind in KINDS)


def find_kind(name: str) -> Kind:
    """The kind of this name, in upper or lower case, one or many.

    Raises:
        UnknownNameError: With the nearest one.
    """
    for kind in KINDS:
        if name.lower() in {kind.name.lower(), f"{kind.name.lower()}s"}:
            return kind
    names = [kind.name for kind in KINDS]
    hint = did_you_mean(name, names) or f"kinds are {listed(names).replace(' or ', ' and ')}"
    raise UnknownNameError(f"there is no kind {quote(name)}; {hint}")


def find_entry(path: str) -> Entry:
    """What a path leads to; `spec` and positions in lists may be in it, as messages have them.

    Raises:
        UnknownNameError: With the nearest kind or field.
    """
    first, *steps = re.sub(r"\[[0-9]*\]", "", path).split(".")
    defs = definitions()
    kind = find_kind(first)
    entry = _kind_entry(kind, defs)
    if steps and steps[0] == "metadata":
        entry = _metadata_entry(kind, defs)
    if steps and steps[0] in {"spec", "metadata"}:
        steps = steps[1:]
    root = entry
    for step in steps:
        found = _get_field(entry, step)
        if found is None:
            raise UnknownNameError(_no_field(entry, step, root))
        entry = found
    return entry


def _get_field(entry: Entry, name: str) -> Entry | None:
    wanted = {name.lower(), name.replace("_", "").replace("-", "").lower()}
    return next((field for field in entry.fields if field.name.lower() in wanted), None)


def _no_field(entry: Entry, name: str, root: Entry) -> str:
    """Say that there is none, and the one that was probably meant: here, or elsewhere."""
    names = [field.name for field in entry.fields]
    elsewhere = next((field.path for field in _walk(root) if field.name == name), "")
    guess = f"did you mean {elsewhere}?" if elsewhere else did_you_mean(name, names)
    hint = guess or (f"fields are {', '.join(names)}" if names else "it holds no fields")
    return f"{entry.path} has no field {quote(name)}; {hint}"


def _walk(entry: Entry) -> Iterator[Entry]:
    for field in entry.fields:
        yield field
        yield from _walk(field)


def _kind_entry(kind: Kind, defs: dict[str, Schema]) -> Entry:
    schema = defs[kind.name]
    return Entry(
        path=kind.name,
        type="",
        description=str(schema["description"]),
        manifest=_annotated_manifest(kind),
        fields=tuple(_fields(kind.name, kind.name, schema, defs)),
    )


def _metadata_entry(kind: Kind, defs: dict[str, Schema]) -> Entry:
    schema = defs["Metadata"]
    path = f"{kind.name}.metadata"
    fields = tuple(_fields(kind.name, path, schema, defs))
    return Entry(path, "mapping", str(schema["description"]), required=True, fields=fields)


def _annotated_manifest(kind: Kind) -> str:
    """The docstring of the kind's module, less its first line, which is the description."""
    text = inspect.cleandoc(sys.modules[kind.model.__module__].__doc__ or "")
    return text.partition("\n")[2].strip("\n")


def _fields(kind: str, path: str, schema: Schema, defs: dict[str, Schema]) -> Iterator[Entry]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}"
        yield Entry(
            path=inner,
            type=json_type.in_words(field),
            description=str(field.get("description", "")),
            required=name in required,
            default=field.get("default"),
            docker=DOCKER_NAMES.get(inner, ""),
            effect=effect_of(kind, name, field) if path == kind else "",
            examples=tuple(field.get("examples", ())),
            fields=tuple(_fields(kind, inner, _inside(field, defs), defs)),
        )


def _inside(schema: Schema, defs: dict[str, Schema]) -> Schema:
    """The mapping that a field holds, alone, in a list, or as one of its forms; else nothing."""
    found = find_definition(schema, defs)
    if "properties" in found:
        return found
    parts = [found["items"]] if "items" in found else found.get("anyOf", [])
    return next((inner for part in parts if (inner := _inside(part, defs))), {})
