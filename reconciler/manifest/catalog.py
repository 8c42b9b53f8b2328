"""Catalog: all resources of one revision, valid by themselves and together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar, cast

from reconciler.manifest.document import Reading
from reconciler.manifest.model import Finding
from reconciler.manifest.place import Places, find_places, look_up
from reconciler.manifest.problem import Problem
from reconciler.manifest.resource import Resource, Source
from reconciler.manifest.source_text import WHOLE_FILE, Place
from reconciler.manifest.words import Location

T = TypeVar("T")


class Catalog:
    """An immutable collection of resources, by `Kind/name`, that knows where each is written."""

    def __init__(self, resources: Iterable[Resource], readings: Iterable[Reading] = ()) -> None:
        self.resources: Mapping[str, Resource] = MappingProxyType(
            {resource.id: resource for resource in resources}
        )
        self._readings = {reading.source.path: reading for reading in readings}
        self._places: dict[str, list[Places]] = {}
        self._indexes: dict[object, object] = {}

    def __len__(self) -> int:
        return len(self.resources)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self.resources.values())

    def get(self, kind: str, name: str) -> Resource | None:
        """The resource, or None."""
        return self.resources.get(f"{kind}/{name}")

    def of_kind(self, kind: str) -> tuple[Resource, ...]:
        """All resources of a kind, in the order of the files."""
        return self._by_kind.get(kind, ())

    def names(self, kind: str) -> list[str]:
        """The names that exist, for guessing at what was meant."""
        return [resource.name for resource in self.of_kind(kind)]

    def index(self, build: Callable[[Catalog], T]) -> T:
        """What `build` makes of this catalog, made once, for checks that look things up."""
        if build not in self._indexes:
            self._indexes[build] = build(self)
        return cast("T", self._indexes[build])

    def source(self, resource_id: str) -> Source:
        """Where the resource is written.

        Raises:
            KeyError: There is no such resource.
        """
        return self.resources[resource_id].source

    def locate(self, resource_id: str, location: Location) -> Place:
        """The line and column of a field, as `("spec", "mtu")`, or of the nearest that is written.

        Raises:
            KeyError: There is no such resource.
        """
        resource = self.resources[resource_id]
        return self.locate_in(resource.source.path, resource.document, location)

    def locate_in(self, path: str, document: int, location: Location) -> Place:
        """As `locate`, for a document of a file that need not be a valid resource."""
        if path not in self._places:
            reading = self._readings.get(path)
            self._places[path] = find_places(reading) if reading else []
        places = self._places[path]
        return look_up(places[document], location) if document < len(places) else WHOLE_FILE

    def problem(self, resource: Resource, finding: Finding, root: Location = ("spec",)) -> Problem:
        """A finding about a resource, relative to its `spec` or `root`, with its place and line."""
        location = (*root, *finding.location)
        place = self.locate_in(resource.source.path, resource.document, location)
        reading = self._readings.get(resource.source.path)
        if reading is None:
            path, line = resource.source.path, resource.source.line
            return Problem(path, line, 1, resource.id, "", finding.message, finding.hint)
        return reading.source.problem(
            place, finding.message, finding.hint, resource=resource.id, location=location
        )

    @cached_property
    def _by_kind(self) -> dict[str, tuple[Resource, ...]]:
        kinds: dict[str, list[Resource]] = {}
        for resource in self:
            kinds.setdefault(resource.kind, []).append(resource)
        return {kind: tuple(resources) for kind, resources in kinds.items()}
