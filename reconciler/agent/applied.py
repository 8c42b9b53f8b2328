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
        now = {resource.id: _digest(resource) for resource in catalog}
        ids = now.keys() | self.resources.keys()
        return frozenset(one for one in ids if now.get(one) != self.resources.get(one))


class AppliedRecord:
    """The note of one set."""

    def __init__(self, state_dir: Path, set_name: str) -> None:
        self._path = state_dir / "applied" / f"{set_name}.json"

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
        resources = {resource.id: _digest(resource) for resource in loaded.catalog}
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


def _digest(resource: Resource) -> str:
    said = (resource.prune, resource.suspended, resource.spec)
    return sha256(repr(said).encode()).hexdigest()[:16]
