"""Resources: how each declared resource is, and since when."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from reconciler.agent.drifts import differing
from reconciler.agent.reconcile import Preview
from reconciler.agent.status import ResourceState, ResourceStatus
from reconciler.core.diff import Action, Change
from reconciler.core.drift import Drift, Fate, Mode
from reconciler.core.object import Key
from reconciler.core.policy import SHARED
from reconciler.manifest.catalog import Catalog

Found = tuple[ResourceState, str]

_READY: Found = (ResourceState.READY, "")
_RANK = {
    ResourceState.READY: 0,
    ResourceState.PROGRESSING: 1,
    ResourceState.BLOCKED: 2,
    ResourceState.DEGRADED: 3,
    ResourceState.SUSPENDED: 4,
}
"""Of several things to say about one resource the gravest is said; suspended outweighs all."""


class ResourceBook:
    """The states of all declared resources, kept so that each knows since when it is in its own."""

    def __init__(self) -> None:
        self._known: dict[str, ResourceStatus] = {}
        self._all: tuple[ResourceStatus, ...] = ()
        self._last: tuple[Catalog, Mapping[str, Found]] | None = None

    @property
    def all(self) -> tuple[ResourceStatus, ...]:
        """In the order of the manifests."""
        return self._all

    def update(self, catalog: Catalog, found: Mapping[str, Found], now: float) -> None:
        """Take what is said of resources; those of which nothing is said are ready.

        Args:
            catalog: All resources.
            found: State and message by ``Kind/name``.
            now: Seconds since the epoch.
        """
        if self._last is not None and self._last[0] is catalog and self._last[1] == found:
            return
        self._last = catalog, dict(found)
        known, changed = {}, len(catalog) != len(self._known)
        for resource in catalog:
            state, message = found.get(resource.id, _READY)
            before = self._known.get(resource.id)
            source = str(resource.source)
            if before is None or (before.state, before.message, before.source) != (
                state,
                message,
                source,
            ):
                same = before is not None and before.state is state
                since = before.since if before is not None and same else now
                before = ResourceStatus(resource.kind, resource.name, state, message, since, source)
                changed = True
            known[resource.id] = before
        if changed:
            self._known, self._all = known, tuple(known.values())


def judge(
    preview: Preview,
    drifts: Iterable[Drift],
    failures: Mapping[Key, str],
    working: Collection[Key] = (),
) -> dict[str, Found]:
    """Say of every resource that is not simply ready how it is, and why.

    Args:
        preview: The last comparison.
        drifts: What is open.
        failures: What the kernel refused last, by object.
        working: What a pass is about to do.
    """
    found: dict[str, Found] = {}

    def say(resource: str, state: ResourceState, message: str) -> None:
        if _RANK[state] > _RANK[found.get(resource, _READY)[0]]:
            found[resource] = state, message

    for resource in preview.policy.suspended:
        say(resource, ResourceState.SUSPENDED, "it is to be left as it is")
    changes = differing(preview).items()
    # What is in the way says more than what has to wait because of it.
    for key, change in sorted(changes, key=lambda item: not item[1].in_the_way):
        say(change.owner.resource, *_of_change(key, change, failures, working))
    for drift in drifts:
        if (one := _of_drift(drift)) is not None:
            say(drift.change.owner.resource, *one)
    return {name: one for name, one in found.items() if not name.startswith(SHARED)}


def _of_change(
    key: Key, change: Change, failures: Mapping[Key, str], working: Collection[Key]
) -> Found:
    if key in failures:
        return ResourceState.DEGRADED, f"{key}: {failures[key]}"
    if change.action is Action.BLOCKED:
        return ResourceState.BLOCKED, change.reason
    doing = f"{change.action.value} {key}" if key in working else f"{key} waits to be tried again"
    return ResourceState.PROGRESSING, doing


def _of_drift(drift: Drift) -> Found | None:
    key = drift.change.key
    if drift.mode is Mode.SUSPEND:
        return ResourceState.SUSPENDED, f"{key} has drifted and is left as it is"
    if drift.fate in {Fate.REPORTED, Fate.FIGHT, Fate.FAILED}:
        return ResourceState.DEGRADED, f"{key}: {drift.message}"
    return None
