"""Reading manifests in tests: text in, catalog or rendered problems out."""

from __future__ import annotations

from reconciler.kinds import parse_catalog
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.problem import ManifestErrors, Problem
from reconciler.manifest.source_text import ManifestFile

BRIDGE = "apiVersion: reconciler/v1\nkind: Bridge\nmetadata: {name: web}\nspec: {addresses: [10.0.0.1/24]}\n"


def manifest(kind: str, name: str, spec: str, metadata: str = "") -> str:
    """One document; `spec` is YAML in flow style."""
    more = f", {metadata}" if metadata else ""
    return (
        f"apiVersion: reconciler/v1\nkind: {kind}\nmetadata: {{name: {name}{more}}}\nspec: {spec}\n"
    )


def catalog_of(*documents: str | bytes, path: str = "web.yaml") -> Catalog:
    """The catalog of documents that stand in one file."""
    data = b"---\n".join(d if isinstance(d, bytes) else d.encode() for d in documents)
    return parse_catalog([ManifestFile(path, data)])


def problems_of(*documents: str | bytes, path: str = "web.yaml") -> tuple[Problem, ...]:
    """What is wrong with documents that stand in one file; empty where they are valid."""
    try:
        catalog_of(*documents, path=path)
    except ManifestErrors as errors:
        return errors.problems
    return ()


def heads_of(*documents: str | bytes, path: str = "web.yaml") -> list[str]:
    """The first line of each problem, without file, line and column."""
    heads = []
    for problem in problems_of(*documents, path=path):
        head = problem.render().partition("\n")[0]
        place = f"{path}:{problem.line}:{problem.column}: " if problem.line else f"{path}: "
        assert head.startswith(place)
        heads.append(head.removeprefix(place))
    return heads
