"""Reads: what an expansion has read of its assignment, so that it is made anew only when that changed.

An expansion is a function of its resource and of what it reads. Everything it reads goes through
these wrappers, which write it down; an answer that is the same the next time gives the same objects.
What cannot be written down piece by piece (a walk through all of a mapping) is written down whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from reconciler.kinds.assignment import Assignment
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.resource import Resource

T = TypeVar("T")

_MISSING = object()
_ALL = object()
"""The key that stands for a whole mapping, or the whole catalog."""

Read = tuple[str, Any, Any]
"""Of what, which key, and what the answer was."""

MAPPINGS = ("addresses", "gateways", "members", "link_addresses", "ports", "walls")


class _Mapping(Mapping[Any, Any]):
    """A mapping that notes what is asked of it."""

    def __init__(self, name: str, inner: Mapping[Any, Any], log: _Log) -> None:
        self._name, self._inner, self._log = name, inner, log

    def __getitem__(self, key: Any) -> Any:
        value = self._inner.get(key, _MISSING)
        self._log.reads.append((self._name, key, value))
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[Any]:
        self._log.reads.append((self._name, _ALL, self._inner))
        return iter(self._inner)

    def __len__(self) -> int:
        self._log.reads.append((self._name, _ALL, self._inner))
        return len(self._inner)


class _Catalog(Catalog):
    """A catalog that notes what is asked of it; what it is asked beyond names is all of it."""

    def __init__(self, inner: Catalog, log: _Log) -> None:
        super().__init__(())
        self._inner, self._log = inner, log
        self.resources = _Mapping("resources", inner.resources, log)

    def get(self, kind: str, name: str) -> Resource | None:
        """The resource, or None."""
        found = self._inner.get(kind, name)
        self._log.reads.append(
            ("resources", f"{kind}/{name}", _MISSING if found is None else found)
        )
        return found

    def of_kind(self, kind: str) -> tuple[Resource, ...]:
        """All resources of a kind, in the order of the files."""
        found = self._inner.of_kind(kind)
        self._log.reads.append(("kind", kind, found))
        return found

    def index(self, build: Callable[[Catalog], T]) -> T:
        """What `build` makes of all of it."""
        self._log.reads.append(("catalog", _ALL, self._inner))
        return self._inner.index(build)


class _Log:
    def __init__(self) -> None:
        self.reads: list[Read] = []


class Reads:
    """An assignment that notes what is read of it, and knows whether that is still so."""

    def __init__(self, assignment: Assignment) -> None:
        self._plain, self._log = assignment, _Log()
        mappings: dict[str, Any] = {
            n: _Mapping(n, getattr(assignment, n), self._log) for n in MAPPINGS
        }
        catalog = _Catalog(assignment.catalog, self._log)
        # What is one text for all is read by all.
        self.assignment = replace(assignment, catalog=catalog, **mappings)
        self._now: dict[str, Mapping[Any, Any]] = {n: getattr(assignment, n) for n in MAPPINGS}
        self._now["resources"] = assignment.catalog.resources

    def note(self, make: Callable[[Assignment], T]) -> tuple[T, tuple[Read, ...]]:
        """Make something of the assignment, and say what was read for it."""
        self._log.reads = []
        made = make(self.assignment)
        resolver: Read = ("resolver", None, self._plain.host_resolver)
        once = {(name, key): (name, key, value) for name, key, value in self._log.reads}
        return made, (resolver, *once.values())

    def still(self, reads: tuple[Read, ...]) -> bool:
        """Tell whether all that was read would be read again."""
        return all(self._same(*read) for read in reads)

    def _same(self, name: str, key: Any, value: Any) -> bool:
        if name == "resolver":
            return bool(value == self._plain.host_resolver)
        if name == "catalog":
            return value is self._plain.catalog
        if name == "kind":
            now: Any = self._plain.catalog.of_kind(key)
            return len(now) == len(value) and all(a is b for a, b in zip(now, value, strict=True))
        now = self._now[name] if key is _ALL else self._now[name].get(key, _MISSING)
        if name == "resources" and key is not _ALL:
            return now is value
        return now is value or bool(now == value)
