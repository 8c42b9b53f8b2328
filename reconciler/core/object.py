"""Kernel object: one thing the kernel holds, with the relations that order all work.

Desired and observed objects are the same type. On the desired side ``None`` in a field means "not
managed": whatever the kernel has is right.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

HOST = ""
"""The name of the host's own network namespace in a `Key`."""


class Key(NamedTuple):
    """Identity of a kernel object: what the kernel itself keeps unique."""

    type: str
    netns: str
    """"" is the host; a bare word a name under /run/netns; an absolute path a namespace file."""
    name: str

    def __str__(self) -> str:
        """Print as ``address/web1:eth0/10.1.0.2/24``; the host's namespace has no prefix."""
        if self.netns:
            return f"{self.type}/{self.netns}:{self.name}"
        # A path begins with its own slash: ``file/etc/netns/web1/hosts``.
        return f"{self.type}{'' if self.name.startswith('/') else '/'}{self.name}"


class Owner(NamedTuple):
    """Whose an object is: the set of manifests and the resource in it."""

    set: str
    resource: str
    """``Kind/name``; ``?`` where the mark survived without its words (killed in between)."""
    keep: bool = False
    """It stays when nothing declares it any more (annotation ``reconciler/prune: "false"``)."""

    def __str__(self) -> str:
        return self.resource


class Mark(Enum):
    """How an object of a type carries its owner in the kernel."""

    WORDS = "words"
    """An alias names set and resource; comparing it is part of the diff."""
    INHERITED = "inherited"
    """A protocol number says "ours"; which resource is what its parent says."""
    SHARED = "shared"
    """Every set that needs it wants the same; it is of the set that is left as the last."""
    NONE = "none"
    """It cannot carry one (a sysctl): set where wanted, never created, deleted or adopted."""


class Stage(Enum):
    """In which part of a plan an object is made, and in which it is deleted."""

    NORMAL = "normal"
    """Made by its relations, deleted last."""
    OPENS = "opens"
    """A way in: made and deleted before all devices, so that nobody inherits it."""
    CLOSES = "closes"
    """A wall: made before all devices, deleted after them."""


@runtime_checkable
class KernelObject(Protocol):
    """What every class in ``reconciler.objects`` offers."""

    mark: ClassVar[Mark]
    compared: ClassVar[tuple[str, ...]]
    """The fields that a diff compares, in the order in which it prints them."""
    fixed: ClassVar[frozenset[str]]
    """Those of them that cannot change in place: a difference means replace."""

    @property
    def key(self) -> Key:
        """Its identity."""

    @property
    def claims(self) -> tuple[Key, ...]:
        """Keys it occupies besides its own: the other end of a veth pair."""

    @property
    def parents(self) -> tuple[Key, ...]:
        """What it lives in: when one of them is deleted, the kernel deletes this at once."""

    @property
    def requires(self) -> tuple[Key, ...]:
        """What must be there before it is made. Keys that nothing desires are not waited for."""

    @property
    def external(self) -> bool:
        """Somebody else's: it must be there, and is never made, changed or deleted."""


def stage_of(item: KernelObject) -> Stage:
    """Tell an object's stage: its attribute ``stage``, or NORMAL where it has none."""
    return getattr(item, "stage", Stage.NORMAL)
