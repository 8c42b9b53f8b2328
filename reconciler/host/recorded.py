"""RecordedHost: a host as a snapshot holds it, for a diff in a pipeline and for bug reports.

A snapshot is one JSON object. Parameters (sysctls) are most of it and nearly the same in every
namespace, so what most namespaces have is written once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.core.execute import Outcome
from reconciler.core.object import KernelObject, Owner
from reconciler.core.plan import Plan
from reconciler.core.state import State, StateConflictError
from reconciler.errors import HostError
from reconciler.host.base import EVERYTHING, Interest, Scope
from reconciler.objects import Sysctl
from reconciler.objects.marks import UNKNOWN, group_number
from reconciler.objects.serial import SerialError, from_dict, to_dict

VERSION = 1

_MALFORMED = (
    *(ValueError, KeyError, TypeError, AttributeError, RecursionError),
    *(SerialError, StateConflictError),
)
"""What reading and putting together anything at all may end in."""


@dataclass(frozen=True, slots=True)
class RecordedHost:
    """Can be looked at, not changed."""

    state: State
    path: str

    @classmethod
    def load(cls, path: Path, set_name: str = "default") -> RecordedHost:
        """Read a snapshot.

        Raises:
            HostError: It cannot be read, or is none, or of a version that we do not know.
        """
        try:
            found = json.loads(path.read_text())
            if not isinstance(found, dict) or found.get("version") != VERSION:
                raise HostError(f"{path}: not a snapshot of version {VERSION}")
            return cls(State.of(_entries(found, set_name)), str(path))
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error
        except _MALFORMED as error:
            raise HostError(f"{path}: not a snapshot: {error}") from error

    def observe(self, interest: Interest = Interest(), scope: Scope = EVERYTHING) -> State:
        """Give what was recorded."""
        return self.state

    def execute(self, plan: Plan) -> Iterator[Outcome]:
        """Refuse: a recording does not change.

        Raises:
            HostError: Always.
        """
        raise HostError(f"{self.path} is a recording: {len(plan.operations)} operations refused")


def render_snapshot(state: State, about: Mapping[str, str]) -> dict[str, Any]:
    """Turn what was observed into a snapshot.

    Args:
        state: All of it, every parameter included.
        about: Facts about the host for whoever reads it (kernel release, host name).
    """
    others = [item for item in state.objects.values() if not isinstance(item, Sysctl)]
    common, namespaces = _fold_sysctls(state)
    return {
        "version": VERSION,
        "about": dict(about),
        "objects": [
            to_dict(item) | _owned(state.owners.get(item.key))
            for item in sorted(others, key=lambda item: item.key)
        ],
        "sysctls": {"common": common, "namespaces": namespaces},
    }


def _owned(owner: Owner | None) -> dict[str, Any]:
    if owner is None:
        return {}
    said: dict[str, Any] = {"set": owner.set, "resource": owner.resource}
    return {"owner": said | {"keep": True} if owner.keep else said}


def _fold_sysctls(state: State) -> tuple[dict[str, str], dict[str, dict[str, str | None]]]:
    """Find what most namespaces have, and for each where it differs; null is "not there"."""
    found: dict[str, dict[str, str]] = {}
    for item in state.objects.values():
        if isinstance(item, Sysctl):
            found.setdefault(item.netns, {})[item.name] = item.value
    names = sorted({name for values in found.values() for name in values})
    common: dict[str, str] = {}
    for name in names:
        counts = Counter(v[name] for v in found.values() if name in v)
        value, count = max(counts.items(), key=lambda pair: (pair[1], pair[0]))
        if 2 * count > len(found):
            common[name] = value
    namespaces: dict[str, dict[str, str | None]] = {}
    for netns, values in sorted(found.items()):
        own: dict[str, str | None] = {n: v for n, v in values.items() if common.get(n) != v}
        own |= dict.fromkeys((name for name in common if name not in values), None)
        namespaces[netns] = dict(sorted(own.items()))
    return common, namespaces


def _entries(found: dict[str, Any], set_name: str) -> Iterator[tuple[KernelObject, Owner | None]]:
    for values in found["objects"]:
        rest = dict(values)
        owner = rest.pop("owner", None)
        yield from_dict(rest), _owner(owner, set_name)
    common = found["sysctls"]["common"]
    for netns, own in found["sysctls"]["namespaces"].items():
        for name, value in (common | own).items():
            if value is not None:
                yield Sysctl(netns, str(name), str(value)), None


def _owner(values: dict[str, str] | None, set_name: str) -> Owner | None:
    if values is None:
        return None
    keep = bool(values.get("keep", False))
    owner = Owner(str(values["set"]), str(values["resource"]), keep)
    unnamed = f"#{group_number(set_name) & 0xFFFF:04x}"
    return Owner(set_name, UNKNOWN) if owner.set == unnamed else owner
