"""Model: the base of what a `spec` is read into, and how a field says that its value is wrong.

Models are strict, frozen and know no other fields than theirs. Names are `camelCase` in manifests
and `snake_case` in code. A field that is written but empty (`mtu:`) counts as not written, as with
kubectl.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, PrivateAttr, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from reconciler.manifest.scalar import Boolean, Float, Integer
from reconciler.manifest.words import Location

WRONG = "wrong"  # the type of the errors that `wrong` makes


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a resource, before it has a place in a file.

    Attributes:
        location: Which field; kinds give it relative to `spec`.
        message: What is wrong.
        hint: What would be right, or empty.
        missing: `Kind/name` that is referred to and not there, so that the finding can be dropped
            where that resource is there and only could not be read.
    """

    location: Location
    message: str
    hint: str = ""
    missing: str = ""


class Model(BaseModel):
    """A mapping in a manifest."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        arbitrary_types_allowed=True,
        defer_build=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_written(cls, value: object) -> object:
        if not isinstance(value, dict) or None not in value.values():
            return value
        known = {field.alias for field in cls.model_fields.values()}
        return {key: item for key, item in value.items() if item is not None or key not in known}


class Spec(Model):
    """The `spec` of a resource. It knows the resource's name, which is the default of fields."""

    _name: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """`metadata.name` of the resource."""
        return self._name

    def model_post_init(self, context: object, /) -> None:
        """Take the name from the context that the resource's reader gives."""
        self._name = context["name"] if isinstance(context, dict) else ""

    def is_written(self, field: str) -> bool:
        """Whether the manifest says this field (its Python name), be it the default."""
        return field in self.model_fields_set


def wrong(message: str, hint: str = "") -> PydanticCustomError:
    """The error that a validator raises: what is wrong, what would be right."""
    return PydanticCustomError(WRONG, "{message}", {"message": message, "hint": hint})


def describe(value: object) -> str:
    """What a value read from YAML is, in the words of messages."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Boolean | bool):
        return "a boolean"
    if isinstance(value, Integer | Float | int | float):
        return "a number"
    return "text"
