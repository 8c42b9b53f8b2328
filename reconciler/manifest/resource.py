"""Resource: one valid manifest, and how the envelope around its spec is read.

    apiVersion: reconciler/v1
    kind: Bridge
    metadata:
      name: web
      labels: {tier: front}
      annotations:
        reconciler/prune: "false"
        reconciler/suspend: "true"
        reconciler/drift: report
    spec: {...}

The name is a DNS label and unique within its kind. Labels and annotations are free, but for the
annotations that begin with `reconciler/`: keep it when its manifest goes away, leave it as it is
for now, and what to do about drift (`heal`, `report`, `suspend`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from reconciler.manifest import json_type
from reconciler.manifest.model import Model, Spec, describe, wrong
from reconciler.manifest.words import did_you_mean, listed, quote

API_VERSION = "reconciler/v1"
NAME_MAX = 63  # RFC 1123: a DNS label

NAME_PATTERN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"

_DNS_LABEL = re.compile(NAME_PATTERN)
_BOOLEAN = ("true", "false")
_ANNOTATIONS = {
    "reconciler/prune": _BOOLEAN,
    "reconciler/suspend": _BOOLEAN,
    "reconciler/drift": ("heal", "report", "suspend"),
}


def parse_name(value: object) -> str:
    """Check the name of a resource.

    Raises:
        PydanticCustomError: It is not a DNS label.
    """
    if not isinstance(value, str):
        raise wrong(f"must be text, and is {describe(value)}")
    if len(value) <= NAME_MAX and _DNS_LABEL.fullmatch(value):
        return str(value)
    better = re.sub(r"[^a-z0-9]+", "-", value.lower())[:NAME_MAX].strip("-")
    rule = f"use a DNS label: a-z, 0-9 and -, {NAME_MAX} characters at most"
    raise wrong(f"{quote(value)} is not a name", f"{rule}, as {quote(better)}" if better else rule)


def _api_version(value: object) -> object:
    if value != API_VERSION:
        raise wrong(f"{quote(value)} is not known", f"write {API_VERSION}")
    return str(value)


def _annotations(annotations: dict[str, str]) -> dict[str, str]:
    for key, value in annotations.items():
        if not key.startswith("reconciler/"):
            continue
        if key not in _ANNOTATIONS:
            known = f"known are {', '.join(_ANNOTATIONS)}"
            hint = did_you_mean(key, list(_ANNOTATIONS)) or known
            raise wrong(f"unknown annotation {quote(key)}", hint)
        if value not in _ANNOTATIONS[key]:
            raise wrong(f"{key} cannot be {quote(value)}", f"write {listed(_ANNOTATIONS[key])}")
    return annotations


_NAME = json_type.scalar("name", NAME_PATTERN, maxLength=NAME_MAX, minimum=0)
_LABELS = json_type.mapping("mapping of text to text", "", json_type.scalar("text"))
_ANNOTATIONS_SCHEMA = _LABELS | {
    "properties": {
        "reconciler/prune": {
            "description": '`"false"` keeps it when its manifest goes away.',
            "enum": ["true", "false", True, False],
        },
        "reconciler/suspend": {
            "description": '`"true"` leaves it exactly as it is on the host.',
            "enum": ["true", "false", True, False],
        },
        "reconciler/drift": {
            "description": "What the loop does about its drift, instead of what `run --drift` says.",
            "enum": ["heal", "report", "suspend"],
        },
    },
    "propertyNames": {"anyOf": [{"enum": list(_ANNOTATIONS)}, {"pattern": "^(?!reconciler/)"}]},
}

Name = Annotated[str, BeforeValidator(parse_name), WithJsonSchema(_NAME)]


class Metadata(Model):
    """What a resource is called."""

    name: Name = Field(description="A DNS label, unique within its kind.", examples=["web"])
    labels: Annotated[dict[str, str], WithJsonSchema(_LABELS)] = Field(
        default={}, description="Free text for selecting and reading.", examples=[{"tier": "front"}]
    )
    annotations: Annotated[
        dict[str, str], AfterValidator(_annotations), WithJsonSchema(_ANNOTATIONS_SCHEMA)
    ] = Field(
        default={},
        description="Free, but for `reconciler/prune`, `…/suspend` and `…/drift`.",
        examples=[{"reconciler/prune": "false"}, {"reconciler/drift": "report"}],
    )


class Envelope(Model):
    """The outermost mapping of a manifest."""

    api_version: Annotated[Literal["reconciler/v1"], BeforeValidator(_api_version)] = Field(
        description="The version of the manifest's form.", examples=[API_VERSION]
    )
    kind: str = Field(description="What is declared.", examples=["Bridge"])
    metadata: Metadata = Field(description="What it is called.", examples=[{"name": "web"}])
    spec: dict[str, object] = Field(default={}, description="The kind's fields.", examples=[{}])


@dataclass(frozen=True, slots=True)
class Source:
    """Where a resource is written: file, and line from 1. Prints as `web.yaml:12`."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Resource:
    """One valid manifest."""

    kind: str
    name: str
    spec: Spec
    source: Source
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    document: int = 0  # its number in the file, by which its places are found

    @property
    def id(self) -> str:
        """`Kind/name`."""
        return f"{self.kind}/{self.name}"

    @property
    def prune(self) -> bool:
        """Whether it may be deleted once its manifest is gone."""
        return self.annotations.get("reconciler/prune") != "false"

    @property
    def suspended(self) -> bool:
        """Whether its objects are to be left as they are for now."""
        return self.annotations.get("reconciler/suspend") == "true"

    @property
    def drift(self) -> str | None:
        """`heal`, `report` or `suspend` where this resource says so itself."""
        return self.annotations.get("reconciler/drift")
