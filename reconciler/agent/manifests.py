"""Manifests: which revision is in force while the files change under a running loop.

A revision comes into force whole and valid, or not at all. What is there may be anything: half a
checkout, a file that is being written, an empty directory, none. Then the last good revision stays,
and what is wrong with the newer one is told for as long as it is so.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from reconciler.agent.file_cache import FileCache
from reconciler.agent.revision import name_revision
from reconciler.agent.scan import Scan, scan
from reconciler.agent.source import Loaded, NoManifestsError, check_scan
from reconciler.manifest.problem import ManifestErrors, Problem

PAUSES = (0.0, 0.005, 0.01, 0.02, 0.04)
"""Seconds before a tree that changed between two looks is looked at again."""


class Manifests:
    """The manifests under some paths, for a loop's one thread."""

    def __init__(
        self,
        paths: tuple[str, ...],
        allow_empty: bool = False,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.paths = paths
        self.allow_empty = allow_empty
        self.current: Loaded | None = None
        """What is in force, or None before there was anything good."""
        self.revision = ""
        """Its name: the commit, with `-dirty` where files differ from it, or a digest."""
        self.loaded: float | None = None
        """When it came into force, in seconds since the epoch."""
        self.problems: tuple[Problem, ...] = ()
        """What is wrong with what is there now; empty: nothing."""
        self.problems_since: float | None = None
        """When these problems were first seen, in seconds since the epoch."""
        self.unsettled = False
        """The files kept changing while they were looked at: check again soon."""
        self._clock = clock
        self._cache = FileCache()
        self._in_force: Scan | None = None
        self._refused: Scan | None = None

    def check(self) -> Loaded | None:
        """Look at the files, and return a revision that has just come into force.

        None means that what is in force stays so: nothing has changed, or to something bad, or the
        files are just being changed.
        """
        found = self._look()
        self.unsettled = found is None
        if found is None or found == self._refused:
            return None
        if found == self._in_force:
            self._clear()
            return None
        try:
            loaded = check_scan(found, self.paths, allow_empty=self.allow_empty, cache=self._cache)
        except ManifestErrors as errors:
            self._refuse(found, errors.problems)
        except NoManifestsError as error:
            problem = Problem(error.paths, 0, 0, "", "", error.problem, error.hint)
            self._refuse(found, (problem,))
        else:
            return self._accept(found, loaded)
        return None

    def _look(self) -> Scan | None:
        """Scan until two looks at something new agree; None where they never do.

        Files are read one after the other, so that one look may see some before and some after a
        change that is meant as one.
        """
        found = scan(self.paths, self._cache)
        if found in (self._in_force, self._refused):
            return found
        for pause in PAUSES:
            time.sleep(pause)
            again = scan(self.paths, self._cache)
            if again == found:
                return found
            found = again
        return None

    def _accept(self, found: Scan, loaded: Loaded) -> Loaded | None:
        self._clear()
        self._in_force = found
        # The same files by another way: a link was turned to a copy of them.
        if self.current is not None and self.current.revision == loaded.revision:
            return None
        self.current = loaded
        self.revision = name_revision(found, self.paths, loaded.revision)
        self.loaded = self._clock()
        return loaded

    def _refuse(self, found: Scan, problems: tuple[Problem, ...]) -> None:
        self._refused = found
        if problems != self.problems:
            self.problems, self.problems_since = problems, self._clock()

    def _clear(self) -> None:
        self._refused = None
        self.problems, self.problems_since = (), None
