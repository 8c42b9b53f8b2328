"""Trigger: why a pass is made and what it has to look at; and how a run behaves."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.agent.source import Loaded
from reconciler.core.drift import Mode
from reconciler.core.guard import Limit
from reconciler.host.base import NOWHERE, Scope
from reconciler.host.monitor import Heard


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run behaves."""

    set_name: str = "default"
    mode: Mode = Mode.HEAL
    prune: bool | None = None
    adopt: bool = False
    max_deletes: Limit | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why a pass is made, and what it has to look at."""

    cause: str
    scope: Scope = NOWHERE
    heard: Heard = field(default_factory=Heard)
    loaded: Loaded | None = None
    since: float = 0.0
    """When the first of it was told, by the monotonic clock."""
