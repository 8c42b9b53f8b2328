"""Drift without a loop: what differs from the manifests although they were applied as they are.

A loop knows what was wanted before, and so tells drift from change. Without one, what was applied
last is on record (`reconciler.agent.applied`). Where nothing of the set is there at all, the host was
started anew or torn down, and nothing has drifted.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from reconciler.agent.applied import AppliedRecord
from reconciler.agent.reconcile import Preview
from reconciler.agent.status import drift_to_dict
from reconciler.cli.session import Options, Session, open_session
from reconciler.core.diff import Change
from reconciler.core.drift import Drift, Fate, FoundBy, Mode
from reconciler.core.guard import count_owned
from reconciler.core.policy import SHARED
from reconciler.manifest.resource import Resource

INFLUENCE = {
    ("Container", "Bridge"): frozenset({"sysctl", "directory", "file", "rule", "chain"}),
    ("Container", "Container"): frozenset({"file"}),
    ("Link", "Container"): frozenset({"sysctl", "file"}),
}
"""What an edit of the first kind may change in a resource of the second: the names that it has for
others, and whether somebody on a bridge publishes ports."""


def find_drift(paths: tuple[str, ...], set_name: str, state_dir: Path) -> list[dict[str, Any]]:
    """Look at this host; gives the drifts as a loop would say them.

    Raises:
        ReconcilerError: The manifests are not valid, or the host cannot be looked at.
    """
    with open_session(Options(paths, set_name)) as session:
        found = session.preview()
        if not count_owned(found.observed, set_name):
            return []
        asked = _asked_for(session, found, AppliedRecord(state_dir, set_name))
        now = time.time()
        return [
            drift_to_dict(_drift(change, session, now), session.source_of)
            for change in found.changes
            if change.owner.resource not in asked and not _follows(change, asked)
        ]


def _drift(change: Change, session: Session, now: float) -> Drift:
    resource = session.loaded.catalog.resources.get(change.owner.resource)
    mode = Mode(resource.drift) if resource is not None and resource.drift else Mode.HEAL
    return Drift(change, now, FoundBy.LOOK, mode, fate=Fate.OPEN)


def _asked_for(session: Session, found: Preview, record: AppliedRecord) -> frozenset[str]:
    """Name the resources that are to become other than they were: their changes are no drift."""
    catalog, applied = session.loaded.catalog, record.read()
    if record.is_applied(session.loaded):
        return frozenset()
    if applied is None:
        owners = found.observed.owners.values()
        there = {owner.resource for owner in owners if owner.set == session.options.set_name}
        changed = frozenset(catalog.resources) - there
    else:
        changed = applied.changed(catalog)
    if not changed:
        return changed
    related = {resource.id for resource in catalog if _refers(resource, changed)}
    shared = {c.owner.resource for c in found.changes if c.owner.resource.startswith(SHARED)}
    return changed | related | shared


def _follows(change: Change, asked: frozenset[str]) -> bool:
    """Whether a change may be what the edit of another resource brings about."""
    kind = _kind(change.owner.resource)
    return any(change.key.type in INFLUENCE.get((_kind(one), kind), ()) for one in asked)


def _kind(resource: str) -> str:
    return resource.partition("/")[0]


def _refers(resource: Resource, changed: frozenset[str]) -> bool:
    """A bridge's edit changes its containers' interfaces; a container's the links to it."""
    spec: Any = resource.spec
    names = {f"Bridge/{one.bridge}" for one in getattr(spec, "attachments", ())}
    names |= {f"Container/{one.container}" for one in getattr(spec, "endpoints", ())}
    return bool(names & changed)
