"""Source: what files of manifests say, as one revision that is valid as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.agent.file_cache import FileCache
from reconciler.agent.scan import Scan, scan
from reconciler.errors import ReconcilerError
from reconciler.kinds import parse_catalog
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.problem import ManifestErrors


class NoManifestsError(ReconcilerError):
    """There is nothing to read, and nobody said that this is meant."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Say where nothing is."""
        self.paths = ", ".join(paths)
        self.problem = "no manifests there"
        self.hint = "if nothing is to exist, say so with --allow-empty"
        super().__init__(f"{self.paths}: {self.problem}; {self.hint}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """One revision of the manifests."""

    catalog: Catalog
    whole: bool
    """Only directories were read: they are the whole truth of their set, so it may be pruned."""
    revision: str
    """A digest of all that was read."""
    paths: tuple[str, ...]


def load(
    paths: Iterable[str], *, allow_empty: bool = False, cache: FileCache | None = None
) -> Loaded:
    """Read and check all manifests under *paths*.

    Args:
        paths: Files and directories, `-` for standard input.
        allow_empty: It is meant that nothing is declared.
        cache: Of an earlier load of the same paths, so that only what has changed is read again.

    Raises:
        ManifestErrors: Something cannot be read, or is not valid; with all that is wrong.
        NoManifestsError: Nothing is declared at all, and *allow_empty* does not say so.
    """
    paths = tuple(paths)
    return check_scan(scan(paths, cache), paths, allow_empty=allow_empty, cache=cache)


def check_scan(
    found: Scan, paths: tuple[str, ...], *, allow_empty: bool, cache: FileCache | None
) -> Loaded:
    """Check what a scan of *paths* has found; raises what `load` does."""
    catalog = _parse(found, cache)
    if not catalog.resources and not allow_empty:
        raise NoManifestsError(paths)
    return Loaded(catalog, found.whole, found.digest(), paths)


def _parse(found: Scan, cache: FileCache | None) -> Catalog:
    try:
        catalog = parse_catalog(found.files, cache.parsed if cache else None)
    except ManifestErrors as errors:
        raise ManifestErrors([*found.problems, *errors.problems]) from None
    if found.problems:
        raise ManifestErrors(found.problems)
    return catalog
