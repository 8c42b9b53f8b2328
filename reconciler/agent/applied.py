"""Applied: which revision of its manifests a set was brought to last, for telling drift from change.

A difference between manifests and kernel is drift if these manifests were in force already. The
kernel does not know, so it is written down; where the note is lost, a resource of which something is
there counts as applied, and nothing else is different.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from reconciler.agent.source import Loaded
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.model import Spec
from reconciler.manifest.resource import Resource


@dataclass(frozen=True, slots=True)
class Applied:
    """What was applied."""

    revision: str = ""
    """Of a whole directory; empty where only files were."""
    resources: Mapping[str, str] = field(default_factory=dict)
    """A digest of each resource, by ``Kind/name``."""

    def changed(self, catalog: Catalog) -> frozenset[str]:
        """Name the resources that are not as they were applied, those that are gone included."""
        known = digests(catalog, {})
        now = {resource.id: _digest(resource, known) for resource in catalog}
        ids = now.keys() | self.resources.keys()
        return frozenset(one for one in ids if now.get(one) != self.resources.get(one))


class AppliedRecord:
    """The note of one set."""

    def __init__(self, state_dir: Path, set_name: str) -> None:
        self._path = state_dir / "applied" / f"{set_name}.json"
        self._known: dict[int, tuple[Spec, str]] = {}

    def read(self) -> Applied | None:
        """What is noted; None where nothing is, or nothing that can be read."""
        try:
            found = json.loads(self._path.read_text())
            resources = {str(k): str(v) for k, v in found["resources"].items()}
            return Applied(str(found["revision"]), resources)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def is_applied(self, loaded: Loaded) -> bool:
        """Tell whether this revision was in force before."""
        known = self.read()
        return known is not None and loaded.whole and known.revision == loaded.revision

    def remember(self, loaded: Loaded) -> None:
        """Note that it is in force now; where that cannot be kept, it is not."""
        if self.is_applied(loaded):
            return
        self._known = digests(loaded.catalog, self._known)
        resources = {one.id: _digest(one, self._known) for one in loaded.catalog}
        if not loaded.whole and (known := self.read()) is not None:
            resources = {**known.resources, **resources}
        record = {"revision": loaded.revision if loaded.whole else "", "resources": resources}
        text = json.dumps(record)
        with suppress(OSError):
            if self._path.is_file() and self._path.read_text() == text:
                return
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            fresh = self._path.with_suffix(".new")
            fresh.write_text(text)
            os.replace(fresh, self._path)  # noqa: PTH105 - one system call

    def forget(self) -> None:
        """Nothing is applied any more."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def digests(catalog: Catalog, known: Mapping[int, tuple[Spec, str]]) -> dict[int, tuple[Spec, str]]:
    """Digest every spec, by its identity; those that are known already are not read again."""
    found = {}
    for resource in catalog:
        spec = resource.spec
        before = known.get(id(spec))
        if before is None or before[0] is not spec:
            before = spec, sha256(repr(spec).encode()).hexdigest()[:16]
        found[id(spec)] = before
    return found


def _digest(resource: Resource, known: Mapping[int, tuple[Spec, str]]) -> str:
    words = (" keep" * (not resource.prune), " suspended" * resource.suspended)
    return known[id(resource.spec)][1] + "".join(words)
