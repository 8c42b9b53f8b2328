"""Inert: fields that are read and checked, and that nothing acts on yet.

The one list of them. `apply` warns of every one that a manifest writes, so that nobody believes in
a wall that is not there; a feature that lands takes its lines out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from reconciler.manifest.catalog import Catalog
from reconciler.manifest.model import Finding
from reconciler.manifest.problem import Problem
from reconciler.manifest.resource import Resource

ENGINES = "containers of an engine are not looked for"
CHECKS = "nothing is tested"


@dataclass(frozen=True, slots=True)
class Inert:
    """A field without effect.

    Attributes:
        kind: Whose field it is.
        field: Its Python name.
        reason: What is not done.
        holds: Whether a value has no effect; some only ask for what is so without a firewall.
    """

    kind: str
    field: str
    reason: str
    holds: Callable[[object], bool] = lambda _value: True


def _is_engine(value: object) -> bool:
    return value in {"docker", "podman"}


INERT = (
    Inert("Container", "runtime", ENGINES, _is_engine),
    Inert("Container", "image", ENGINES),
    Inert("Container", "command", ENGINES),
    Inert("Container", "env", ENGINES),
    Inert("Container", "volumes", ENGINES),
    Inert("Container", "restart", ENGINES),
    Inert("Container", "user", ENGINES),
    Inert("Check", "to", CHECKS),
)


def inert_fields(catalog: Catalog, inert: Iterable[Inert] = INERT) -> tuple[Problem, ...]:
    """What the manifests ask for and does not happen yet, in the order of the files."""
    by_kind: dict[str, list[Inert]] = {}
    for one in inert:
        by_kind.setdefault(one.kind, []).append(one)
    problems: list[Problem] = []
    for resource in catalog:
        findings = _inert_in(resource, by_kind.get(resource.kind, ()))
        problems += (catalog.problem(resource, finding) for finding in findings)
    return tuple(problems)


def _inert_in(resource: Resource, inert: Iterable[Inert]) -> Iterator[Finding]:
    spec = resource.spec
    for one in inert:
        if spec.is_written(one.field) and one.holds(getattr(spec, one.field)):
            alias = str(type(spec).model_fields[one.field].alias)
            yield Finding((alias,), f"has no effect yet: {one.reason}")
