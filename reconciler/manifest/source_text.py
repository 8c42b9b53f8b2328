"""Source text: the bytes of a manifest file, checked and decoded, and its lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from reconciler.manifest.problem import Problem, excerpt
from reconciler.manifest.words import Location, field_path

FILE_BYTES_MAX = 8 * 1024 * 1024

# What YAML calls a line break (libyaml still counts those of YAML 1.1).
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
# YAML 1.2.2, 5.1: the characters that a stream may not hold.
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file as it was found: the path by which users know it, and its bytes."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token stands: line and column from 1, and how many characters it has."""

    line: int
    column: int
    length: int = 1


WHOLE_FILE = Place(0, 0)


class UnreadableError(Exception):
    """A text that cannot be read on, with the place. Becomes a `Problem` before users see it."""

    def __init__(self, message: str, place: Place = WHOLE_FILE, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.place, self.hint = message, place, hint


@dataclass(frozen=True)
class SourceText:
    """A decoded manifest file that can show its lines."""

    path: str
    text: str = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """The lines as YAML counts them, without their breaks."""
        return _LINE_BREAK.split(self.text)

    def problem(
        self,
        place: Place,
        message: str,
        hint: str = "",
        *,
        resource: str = "",
        location: Location = (),
    ) -> Problem:
        """A problem at this place, with the line and the caret."""
        source_line, caret_line = "", ""
        if 0 < place.line <= len(self.lines):
            source_line, caret_line = excerpt(
                self.lines[place.line - 1], place.column, place.length
            )
        return Problem(
            path=self.path,
            line=place.line,
            column=place.column,
            resource=resource,
            field=field_path(location),
            message=message,
            hint=hint,
            source_line=source_line,
            caret_line=caret_line,
        )


def decode(data: bytes) -> str:
    """Decode a file's bytes; a UTF-8 byte order mark at the start is dropped.

    Raises:
        UnreadableError: The file is too large, not UTF-8, or holds control characters.
    """
    if len(data) > FILE_BYTES_MAX:
        raise UnreadableError(
            f"the file has {len(data)} bytes, more than {FILE_BYTES_MAX} (8 MiB)",
            hint="split it into several files",
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableError("the file is UTF-16", hint="save it as UTF-8")
    text = _decode_utf8(data).removeprefix("\ufeff")
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        raise UnreadableError(
            f"the file holds the character U+{ord(forbidden[0]):04X}, which YAML forbids",
            _place_of(text[: forbidden.start()]),
            "remove it, or write it as an escape in double quotes",
        )
    return text


def _decode_utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode().removeprefix("\ufeff")
        line = _place_of(before).line
        raise UnreadableError(
            f"the file is not UTF-8: byte 0x{data[error.start]:02x} in line {line}",
            hint="save it as UTF-8",
        ) from error


def _place_of(before: str) -> Place:
    lines = _LINE_BREAK.split(before)
    return Place(len(lines), len(lines[-1]) + 1)
