"""Inert: fields that are read and checked, and that nothing acts on yet.

The one list of them. `apply` warns of every one that a manifest writes, so that nobody believes in
a wall that is not there; a feature that lands takes its lines out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reconciler.manifest.catalog import Catalog
from reconciler.manifest.model import Finding
from reconciler.manifest.problem import Problem
from reconciler.manifest.resource import Resource

FIREWALL = "no firewall rules are written"
NAMES = "no hosts, hostname or resolv.conf files are written"
ENGINES = "containers of an engine are not looked for"
SHAPING = "traffic is not shaped"
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
    Inert("Bridge", "icc", FIREWALL, lambda value: value is False),
    Inert("Bridge", "internal", FIREWALL, lambda value: value is True),
    Inert("Bridge", "masquerade", FIREWALL),
    Inert("Bridge", "mode", FIREWALL),
    Inert("Bridge", "bind_address", FIREWALL),
    Inert("Bridge", "hairpin", FIREWALL, lambda value: value is True),
    Inert("Bridge", "dns", NAMES),
    Inert("Bridge", "dns_search", NAMES),
    Inert("Bridge", "dns_options", NAMES),
    Inert("Container", "expose", FIREWALL),
    Inert("Container", "publish", FIREWALL),
    Inert("Container", "publish_all", FIREWALL, lambda value: value is True),
    Inert("Container", "links", FIREWALL),
    Inert("Container", "hostname", NAMES),
    Inert("Container", "domainname", NAMES),
    Inert("Container", "dns", NAMES),
    Inert("Container", "dns_search", NAMES),
    Inert("Container", "dns_options", NAMES),
    Inert("Container", "extra_hosts", NAMES),
    Inert("Container", "runtime", ENGINES, _is_engine),
    Inert("Container", "image", ENGINES),
    Inert("Container", "command", ENGINES),
    Inert("Container", "env", ENGINES),
    Inert("Container", "volumes", ENGINES),
    Inert("Container", "restart", ENGINES),
    Inert("Container", "user", ENGINES),
    Inert("Link", "rate", SHAPING),
    Inert("Check", "to", CHECKS),
)


def inert_fields(catalog: Catalog) -> tuple[Problem, ...]:
    """What the manifests ask for and does not happen yet, in the order of the files."""
    return tuple(
        catalog.problem(resource, finding)
        for resource in catalog
        for finding in _inert_in(resource)
    )


def _inert_in(resource: Resource) -> Iterator[Finding]:
    spec = resource.spec
    for inert in INERT:
        if inert.kind != resource.kind or not spec.is_written(inert.field):
            continue
        if inert.holds(getattr(spec, inert.field)):
            alias = str(type(spec).model_fields[inert.field].alias)
            yield Finding((alias,), f"has no effect yet: {inert.reason}")
