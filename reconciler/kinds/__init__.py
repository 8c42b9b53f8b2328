"""Kinds: what users declare. The explicit list; a new kind is a new module and one entry here."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.kinds.bridge import Bridge
from reconciler.kinds.bridge_checks import bridge_claims, check_bridge, check_bridge_spec
from reconciler.kinds.check import Check, check_check, check_check_spec, check_claims
from reconciler.kinds.container import Container
from reconciler.kinds.container_checks import check_container, container_claims
from reconciler.kinds.container_rules import check_container_spec
from reconciler.kinds.link import Link
from reconciler.kinds.link_checks import check_link, check_link_spec, link_claims
from reconciler.manifest.build import build_catalog
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.kind import Kind
from reconciler.manifest.parsed_file import ParseCache
from reconciler.manifest.source_text import ManifestFile

KINDS = (
    Kind("Bridge", Bridge, check_bridge_spec, check_bridge, bridge_claims),
    Kind("Container", Container, check_container_spec, check_container, container_claims),
    Kind("Link", Link, check_link_spec, check_link, link_claims),
    Kind("Check", Check, check_check_spec, check_check, check_claims),
)


def parse_catalog(files: Iterable[ManifestFile], cache: ParseCache | None = None) -> Catalog:
    """Read and check manifests: all files of one revision, in any order.

    With the cache of an earlier call, files that are as they were then are not parsed again.

    Raises:
        ManifestErrors: With every problem of every file.
    """
    return build_catalog(files, KINDS, cache)


__all__ = [
    "KINDS",
    "Bridge",
    "Catalog",
    "Check",
    "Container",
    "Link",
    "ManifestFile",
    "ParseCache",
    "parse_catalog",
]
