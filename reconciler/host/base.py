"""Host: the only door to a kernel, real or pretended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from reconciler.core.execute import Outcome
from reconciler.core.object import Key
from reconciler.core.plan import Plan
from reconciler.core.state import State


@dataclass(frozen=True, slots=True)
class Interest:
    """What an observation must look at although no mark leads there."""

    namespaces: frozenset[str] = frozenset()
    """Namespaces to look into, by name or path, whoever made them."""
    sysctls: frozenset[Key] = frozenset()
    """Parameters to read: there are hundreds in every namespace, and none carries a mark."""

    @classmethod
    def of(cls, desired: State) -> Interest:
        """Find what *desired* speaks about."""
        keys = desired.objects.keys()
        return cls(
            frozenset(key.name for key in keys if key.type == "netns"),
            frozenset(key for key in keys if key.type == "sysctl"),
        )


class Host(Protocol):
    """A kernel that can be looked at and changed."""

    def observe(self, interest: Interest = Interest()) -> State:
        """Read everything; changes nothing."""

    def execute(self, plan: Plan) -> Iterator[Outcome]:
        """Carry out *plan*; a refusal is an outcome, not an exception."""
