"""Host: the only door to a kernel, real or pretended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from reconciler.core.execute import Outcome
from reconciler.core.object import HOST
from reconciler.core.plan import Plan
from reconciler.core.state import State
from reconciler.objects.keys import PORT_PARAMETERS


@dataclass(frozen=True, slots=True)
class Interest:
    """What an observation must look at although no mark leads there."""

    namespaces: frozenset[str] = frozenset()
    """Namespaces to look into, by name or path, whoever made them."""
    sysctls: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Parameters to read, by namespace: there are hundreds in each, and none carries a mark."""
    firewall: bool = False
    """Rules are wanted, so that a host without iptables is an error."""
    listeners: bool = False
    """Ports are wanted that nobody may listen on."""
    everything: bool = False
    """Look into every namespace and read every parameter: for a snapshot."""

    @classmethod
    def of(cls, desired: State) -> Interest:
        """Find what *desired* speaks about."""
        namespaces: set[str] = set()
        sysctls: dict[str, list[str]] = {}
        firewall = publishes = False
        for kind, netns, name in desired.objects:
            if kind == "netns":
                namespaces.add(name)
            elif kind == "sysctl":
                sysctls.setdefault(netns, []).append(name)
            elif kind == "rule":
                firewall = True
                publishes = publishes or "RC-DNAT-" in name
        if publishes:
            sysctls.setdefault(HOST, []).extend(PORT_PARAMETERS)
        return cls(
            frozenset(namespaces),
            {netns: sorted(names) for netns, names in sysctls.items()},
            firewall=firewall,
            listeners=publishes,
        )

    def sysctls_of(self, netns: str) -> Sequence[str]:
        """Name the parameters to read in one namespace."""
        return self.sysctls.get(netns, ())


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a host is to be looked at again; the rest is as it was seen last."""

    everything: bool = False
    host: bool = False
    """All devices of the host's own namespace."""
    devices: frozenset[int] = frozenset()
    """Devices of the host's own namespace, by index."""
    names: frozenset[str] = frozenset()
    """The same, by name."""
    spaces: bool = False
    """Which namespaces there are."""
    namespaces: frozenset[str] = frozenset()
    """Namespaces to look into, by name or path."""
    sysctls: frozenset[str] = frozenset()
    """Namespaces of which to read the parameters that somebody wants."""
    families: frozenset[int] = frozenset()
    """IPv4, IPv6: whose rules to read."""
    folders: frozenset[str] = frozenset()
    """Folders of names, by path."""
    all_folders: bool = False
    listeners: bool = False

    def __or__(self, other: Scope) -> Scope:
        """Both."""
        return Scope.union((self, other))

    @classmethod
    def union(cls, scopes: Iterable[Scope]) -> Scope:
        """All of them, in one go: of a thousand, two at a time would copy a thousand sets."""
        found: dict[str, Any] = {}
        for scope in scopes:
            for name in _FIELDS:
                value = getattr(scope, name)
                if value is True:
                    found[name] = True
                elif value:
                    found.setdefault(name, set()).update(value)
        return cls(**{n: v if v is True else frozenset(v) for n, v in found.items()})  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        """Whether there is anything to look at."""
        return any(getattr(self, name) for name in _FIELDS)


_FIELDS = tuple(field.name for field in fields(Scope))
EVERYTHING, NOWHERE = Scope(everything=True), Scope()


class Host(Protocol):
    """A kernel that can be looked at and changed."""

    def observe(self, interest: Interest = Interest(), scope: Scope = EVERYTHING) -> State:
        """Read what *scope* names; changes nothing."""

    def execute(self, plan: Plan) -> Iterator[Outcome]:
        """Carry out *plan*; a refusal is an outcome, not an exception."""
