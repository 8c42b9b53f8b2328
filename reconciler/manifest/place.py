"""Places: where each key and value of the documents of a file is written.

Found by a second walk over the events, because it is needed only when something is wrong and
remembering every place costs as much as reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import yaml
from yaml.events import (
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from reconciler.manifest.document import DEPTH_MAX, Reading
from reconciler.manifest.events import Event, place_of
from reconciler.manifest.source_text import WHOLE_FILE, Place
from reconciler.manifest.words import KEY, Location

Following = Callable[[], Event]
Places = Mapping[Location, Place]


class _TooDeepError(Exception):
    """The reader stopped here too."""


def find_places(reading: Reading) -> list[Places]:
    """The places of each document, by its index in the file.

    A location leads to its value's token where that is a scalar, and to the key where the value is
    a collection or empty. With `KEY` at its end it leads to the key always.
    """
    documents: list[Places] = []
    if reading.events is None:
        return documents
    following = reading.events(reading.source.text)
    try:
        while (event := following()).__class__ is not StreamEndEvent:
            if isinstance(event, DocumentStartEvent):
                places: dict[Location, Place] = {}
                documents.append(places)
                _walk(following, following(), (), places)
    except (yaml.YAMLError, _TooDeepError):
        return documents  # as far as it could be read
    return documents


def look_up(places: Places, location: Location) -> Place:
    """The place of a location, or of the nearest thing around it that is written."""
    if location in places:
        return places[location]
    plain = tuple(step for step in location if step != KEY)
    while plain and plain not in places:
        plain = plain[:-1]
    return places.get(plain, WHOLE_FILE)


def _walk(
    following: Following, event: Event, location: Location, places: dict[Location, Place]
) -> None:
    if len(location) > DEPTH_MAX:
        raise _TooDeepError
    # The first of two equal keys counts, as in the document.
    place = place_of(event)
    if isinstance(event, ScalarEvent) and (event.value or event.style):
        places.setdefault(location, place)
    else:
        places.setdefault(location, places.get((*location, KEY), place))
    if isinstance(event, MappingStartEvent):
        _walk_mapping(following, location, places)
    elif isinstance(event, SequenceStartEvent):
        index = 0
        while not isinstance(event := following(), SequenceEndEvent):
            _walk(following, event, (*location, index), places)
            index += 1


def _walk_mapping(following: Following, location: Location, places: dict[Location, Place]) -> None:
    while not isinstance(event := following(), MappingEndEvent):
        if isinstance(event, ScalarEvent):
            inner = (*location, event.value)
            places.setdefault((*inner, KEY), place_of(event))
        else:
            inner = (*location, KEY)
            _walk(following, event, inner, places)
        _walk(following, following(), inner, places)
