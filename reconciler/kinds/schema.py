"""Schema: the manifest's form as JSON Schema (draft 2020-12), made from the models.

    {"properties": {"kind": {"enum": ["Bridge", …]}, …},
     "allOf": [{"if": {"properties": {"kind": {"const": "Bridge"}}}, "then": {… spec of Bridge …}}]}

`if` and `then` rather than `oneOf`, so that an editor complains about the wrong field and not about
every kind. The schema accepts whatever the loader accepts. It is laxer where a rule lies between
fields or resources (a Bridge's `addresses` are required unless `external`, an address must lie in
its subnet): `reconciler validate` knows them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from reconciler.kinds import KINDS
from reconciler.kinds.docker_names import DOCKER_NAMES
from reconciler.kinds.inert import INERT
from reconciler.manifest.kind import Kind
from reconciler.manifest.resource import API_VERSION, Metadata
from reconciler.manifest.words import listed

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_REF = "#/$defs/"

Schema = dict[str, Any]


def manifest_schema() -> Schema:
    """The schema of one manifest of any kind."""
    defs = definitions()
    rules = []
    for kind in KINDS:
        condition = {"properties": {"kind": {"const": kind.name}}, "required": ["kind"]}
        rules.append({"if": condition, "then": _spec_rule(kind, defs)})
    kinds = [kind.name for kind in KINDS]
    root = _envelope(
        "reconciler manifest", "One document of a reconciler manifest.", {"enum": kinds}
    )
    return root | {"allOf": rules, "$defs": _for_editors(defs)}


def kind_schema(kind: Kind) -> Schema:
    """The schema of a manifest of one kind."""
    defs = definitions()
    about = str(defs[kind.name]["description"])
    root = _envelope(kind.name, about, {"const": kind.name})
    rule = _spec_rule(kind, defs)
    root["properties"] |= rule["properties"]
    root["required"] = [*root["required"], *rule.get("required", ())]
    used = set(_reached({"properties": root["properties"]}, defs))
    return root | {"$defs": {n: s for n, s in _for_editors(defs).items() if n in used}}


def definitions() -> dict[str, Schema]:
    """The schema of every model by its name, with what a field is, and nothing else."""
    models = [(kind.model, "validation") for kind in KINDS] + [(Metadata, "validation")]
    _, found = models_json_schema(
        models,  # type: ignore[arg-type]  # a list of pairs is what it wants
        schema_generator=_Generator,
        ref_template=_REF + "{model}",
    )
    return dict(found["$defs"])


def find_definition(schema: Schema, defs: dict[str, Schema]) -> Schema:
    """The schema that a reference leads to, or the schema itself."""
    reference = str(schema.get("$ref", ""))
    return defs[reference.removeprefix(_REF)] if reference else schema


def effect_of(kind: str, field: str, schema: Schema) -> str:
    """What is missing where a field does not act yet, else an empty text.

    Args:
        kind: The kind's name.
        field: The field as users write it.
        schema: Of the field: some fields only lack the effect of some of their values.
    """
    model = next(one.model for one in KINDS if one.name == kind)
    for inert in INERT:
        if inert.kind != kind or model.model_fields[inert.field].alias != field:
            continue
        values = schema.get("enum") or ([True, False] if schema.get("type") == "boolean" else [])
        idle = [value for value in values if inert.holds(value)]
        if idle == values:
            return f"No effect yet: {inert.reason}."
        words = listed(f"`{str(value).lower()}`" for value in idle)
        return f"{words}: no effect yet, {inert.reason}."
    return ""


class _Generator(GenerateJsonSchema):
    """Pydantic's, less what says nothing to users: titles made of names, empty defaults, null."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        return value

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if found.get("default") in (None, [], {}):
            found.pop("default", None)
        return found


def _envelope(title: str, about: str, kind: Schema) -> Schema:
    return {
        "$schema": DIALECT,
        "title": title,
        "description": about,
        "type": "object",
        "properties": {
            "apiVersion": {
                "const": API_VERSION,
                "description": "The version of the manifest's form.",
            },
            "kind": {**kind, "description": "What is declared."},
            "metadata": {"$ref": f"{_REF}Metadata", "description": "What it is called."},
            "spec": {"type": ["object", "null"], "description": "The kind's fields."},
        },
        "required": ["apiVersion", "kind", "metadata"],
        "additionalProperties": False,
    }


def _spec_rule(kind: Kind, defs: dict[str, Schema]) -> Schema:
    """What `spec` is; a kind all of whose fields have defaults may leave it out."""
    rule: Schema = {"properties": {"spec": {"$ref": _REF + kind.name}}}
    return rule | ({"required": ["spec"]} if "required" in defs[kind.name] else {})


def _for_editors(defs: dict[str, Schema]) -> dict[str, Schema]:
    """The definitions with all that a field's description tells, and empty fields allowed."""
    told = dict(defs)
    for kind in KINDS:
        fields = {
            name: {**field, "description": _describe(kind.name, name, field)}
            for name, field in defs[kind.name]["properties"].items()
        }
        told[kind.name] = {**defs[kind.name], "properties": fields}
        if "required" not in told[kind.name]:
            told[kind.name] = _or_null(told[kind.name])
    return {name: _allow_empty(schema) for name, schema in told.items()}


def _describe(kind: str, field: str, schema: Schema) -> str:
    docker = DOCKER_NAMES.get(f"{kind}.{field}", "")
    notes = (
        str(schema["description"]),
        f"Docker: {docker}." if docker else "",
        effect_of(kind, field, schema),
    )
    return " ".join(note for note in notes if note)


def _allow_empty(schema: Any) -> Any:
    """A field that is written but empty counts as not written, as the models say."""
    if isinstance(schema, list):
        return [_allow_empty(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _allow_empty(item) for key, item in schema.items() if key != "examples"}
    if "examples" in schema:
        found["examples"] = schema["examples"]
    if schema.get("additionalProperties") is False:  # of a mapping of free keys none is empty
        required = schema.get("required", ())
        for name, field in found["properties"].items():
            found["properties"][name] = field if name in required else _or_null(field)
    return found


def _or_null(schema: Schema) -> Schema:
    found = dict(schema)
    if "anyOf" in schema:
        found["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    if "enum" in schema:
        found["enum"] = [*schema["enum"], None]
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        found["type"] = [*kinds, "null"]
    return found


def _reached(schema: Any, defs: dict[str, Schema], seen: tuple[str, ...] = ()) -> Iterator[str]:
    """Names of the definitions that a schema needs."""
    if isinstance(schema, list):
        for item in schema:
            yield from _reached(item, defs, seen)
    if not isinstance(schema, dict):
        return
    for key, item in schema.items():
        if key == "$ref" and (name := str(item).removeprefix(_REF)) not in seen:
            yield name
            yield from _reached(defs[name], defs, (*seen, name))
        else:
            yield from _reached(item, defs, seen)
