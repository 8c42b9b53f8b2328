"""Build: files to a catalog, or to every problem of every file at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reconciler.manifest.catalog import Catalog
from reconciler.manifest.claims import find_clashes
from reconciler.manifest.kind import Kind
from reconciler.manifest.model import Finding
from reconciler.manifest.parse import Parsed
from reconciler.manifest.parsed_file import ParseCache
from reconciler.manifest.problem import ManifestErrors, Problem
from reconciler.manifest.source_text import ManifestFile
from reconciler.manifest.words import quote


def build_catalog(
    files: Iterable[ManifestFile], kinds: Sequence[Kind], cache: ParseCache | None = None
) -> Catalog:
    """Read, check and collect all resources, in the order of paths and lines.

    Args:
        files: All of one revision, in any order.
        kinds: Those that may be declared.
        cache: What is known of the files before; the result is the same with and without.

    Raises:
        ManifestErrors: With all that is wrong.
    """
    known = {kind.name: kind for kind in kinds}
    ordered = sorted(files, key=lambda file: file.path)
    parsed_files = (cache or ParseCache()).parse(ordered, known)
    readings = [one.reading for one in parsed_files]
    parsed = [document for one in parsed_files for document in one.documents]
    unique, duplicates = _split_duplicates(parsed)
    catalog = Catalog((one.resource for one in unique if one.resource), readings)
    problems = [problem for reading in readings for problem in reading.problems]
    problems += _own_problems(parsed, catalog)
    problems += _duplicate_problems(duplicates, catalog)
    complete = all(reading.complete for reading in readings)
    problems += _cross_problems(catalog, parsed, known, complete=complete)
    if problems:
        raise ManifestErrors(problems)
    return catalog


def _cross_problems(
    catalog: Catalog, parsed: list[Parsed], kinds: dict[str, Kind], *, complete: bool
) -> Iterator[Problem]:
    # A reference into what could not be read is not a reference to nowhere.
    broken = {one.id for one in parsed if not one.resource}
    unread = not complete or any("/" not in written for written in broken)
    subjects = [resource for one in parsed if (resource := one.resource or one.partial)]
    found = [(one, finding) for one in subjects for finding in kinds[one.kind].check(one, catalog)]
    for resource, finding in (*found, *find_clashes(catalog, kinds)):
        if not finding.missing or not (unread or finding.missing in broken):
            yield catalog.problem(resource, finding)


def _split_duplicates(parsed: list[Parsed]) -> tuple[list[Parsed], list[tuple[Parsed, Parsed]]]:
    """The first of each id; and each later one with the first."""
    first: dict[str, Parsed] = {}
    duplicates: list[tuple[Parsed, Parsed]] = []
    for one in parsed:
        if "/" in one.id and one.id in first:
            duplicates.append((one, first[one.id]))
        else:
            first.setdefault(one.id, one)
    return list(first.values()), duplicates


def _duplicate_problems(
    duplicates: list[tuple[Parsed, Parsed]], catalog: Catalog
) -> Iterator[Problem]:
    for one, first in duplicates:
        kind, _, name = one.id.partition("/")
        where = f"{first.reading.source.path}:{first.document.line}"
        message = f"there is another {kind} {quote(name)} at {where}"
        finding = Finding(("metadata", "name"), message, "names are unique within their kind")
        yield _problem(one, finding, catalog)


def _own_problems(parsed: list[Parsed], catalog: Catalog) -> Iterator[Problem]:
    for one in parsed:
        for finding in one.findings:
            yield _problem(one, finding, catalog)


def _problem(one: Parsed, finding: Finding, catalog: Catalog) -> Problem:
    source = one.reading.source
    place = catalog.locate_in(source.path, one.document.index, finding.location)
    return source.problem(
        place, finding.message, finding.hint, resource=one.id, location=finding.location
    )
