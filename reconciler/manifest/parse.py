"""Parse: one document to a resource, or to all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from reconciler.manifest.document import Document, Reading
from reconciler.manifest.kind import Kind
from reconciler.manifest.messages import findings_of
from reconciler.manifest.model import Finding, Spec, describe
from reconciler.manifest.resource import Envelope, Resource, Source
from reconciler.manifest.words import did_you_mean, listed, quote

Kinds = Mapping[str, Kind]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What became of a document.

    Attributes:
        reading: Of the file.
        document: As it is written.
        id: `Kind/name` as far as it is written.
        resource: None where something is wrong.
        partial: What is right of a wrong one, so that its references can be checked all the same.
        findings: What is wrong, located from the document's root.
    """

    reading: Reading
    document: Document
    id: str
    resource: Resource | None = None
    partial: Resource | None = None
    findings: tuple[Finding, ...] = ()


def parse_document(reading: Reading, document: Document, kinds: Kinds) -> Parsed:
    """Read one document as a resource of one of the kinds."""
    parsed = Parsed(reading, document, _written_id(document.value))
    if not document.sound:
        return parsed  # the reading holds the problems
    if not isinstance(document.value, dict):
        message = f"a manifest must be a mapping, and is {describe(document.value)}"
        hint = "write apiVersion, kind, metadata and spec"
        return replace(parsed, findings=(Finding((), message, hint),))
    envelope, findings = _envelope(document.value)
    kind, unknown = _kind(document.value.get("kind"), kinds)
    findings += unknown
    spec = None
    if kind:
        name = envelope.metadata.name if envelope else ""
        spec, wrong = _spec(kind, name, document.value.get("spec"))
        findings += wrong
    if envelope is None or spec is None:
        return replace(parsed, findings=tuple(findings))
    resource = _resource(reading, document, envelope, spec)
    if findings:
        return replace(parsed, partial=resource, findings=tuple(findings))
    return replace(parsed, id=resource.id, resource=resource)


def _resource(reading: Reading, document: Document, envelope: Envelope, spec: Spec) -> Resource:
    return Resource(
        kind=envelope.kind,
        name=envelope.metadata.name,
        spec=spec,
        source=Source(reading.source.path, document.line),
        labels=envelope.metadata.labels,
        annotations=envelope.metadata.annotations,
        document=document.index,
    )


def _envelope(value: dict[str, object]) -> tuple[Envelope | None, list[Finding]]:
    try:
        return Envelope.model_validate(value), []
    except ValidationError as error:
        return None, list(findings_of(error, Envelope))


def _kind(value: object, kinds: Kinds) -> tuple[Kind | None, list[Finding]]:
    if not isinstance(value, str):
        return None, []  # the envelope says that it is missing, or not text
    kind = kinds.get(value)
    if kind:
        return kind, []
    hint = did_you_mean(value, list(kinds)) or f"write {listed(kinds)}"
    return None, [Finding(("kind",), f"unknown kind {quote(value)}", hint)]


def _spec(kind: Kind, name: str, written: object) -> tuple[Spec | None, list[Finding]]:
    """The spec, or what is right of it, and what is wrong."""
    value = {} if written is None else written
    if not isinstance(value, dict):
        return None, []  # the envelope says so
    context = {"name": name}
    try:
        spec = kind.model.model_validate(value, context=context)
    except ValidationError as error:
        findings = list(findings_of(error, kind.model))
        bad = {finding.location[0] for finding in findings if finding.location}
        right = {key: item for key, item in value.items() if key not in bad}
        try:
            return kind.model.model_validate(right, context=context), _below_spec(findings)
        except ValidationError:
            return None, _below_spec(findings)
    return spec, _below_spec(kind.check_spec(spec))


def _below_spec(findings: Iterable[Finding]) -> list[Finding]:
    return [replace(finding, location=("spec", *finding.location)) for finding in findings]


def _written_id(value: object) -> str:
    if not isinstance(value, dict):
        return ""
    kind, metadata = value.get("kind"), value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(kind, str):
        return ""
    return f"{kind}/{name}" if isinstance(name, str) else kind
