"""Parsed file: all that one file says by itself, and a memory of it between two revisions.

What is wrong with a file alone does not depend on any other file. So a loop that reads a thousand
files again because one has changed need parse only that one; what they mean together is checked
anew each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.manifest.document import Reading, read_file
from reconciler.manifest.kind import Kind
from reconciler.manifest.parse import Parsed, parse_document
from reconciler.manifest.source_text import ManifestFile


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """One file, how it is written, and what became of each of its documents."""

    file: ManifestFile
    reading: Reading
    documents: tuple[Parsed, ...]


class ParseCache:
    """The files of the last revision, as they were parsed; for one list of kinds.

    It is never asked whether a file is new, only whether it is equal: the path and every byte.
    What is not in the newest revision is forgotten. For use by one thread.
    """

    def __init__(self) -> None:
        self._files: dict[str, ParsedFile] = {}

    def parse(self, files: Iterable[ManifestFile], kinds: Mapping[str, Kind]) -> list[ParsedFile]:
        """As `parse_files`, where those that are as before are not parsed again."""
        parsed = [self._known(file) or parse_file(file, kinds) for file in files]
        self._files = {one.file.path: one for one in parsed}
        return parsed

    def _known(self, file: ManifestFile) -> ParsedFile | None:
        known = self._files.get(file.path)
        return known if known and known.file == file else None


def parse_file(file: ManifestFile, kinds: Mapping[str, Kind]) -> ParsedFile:
    """Read one file and its documents. Any bytes give a result; nothing is raised."""
    reading = read_file(file)
    documents = (parse_document(reading, document, kinds) for document in reading.documents)
    return ParsedFile(file, reading, tuple(documents))
