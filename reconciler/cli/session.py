"""Session: what diff and apply share, manifests read and a host opened."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import rich_click as click

from reconciler.agent.changes_json import render_json
from reconciler.agent.port_problems import explain_ports
from reconciler.agent.reconcile import Preview, Report, preview, reconcile
from reconciler.agent.source import Loaded, load
from reconciler.cli.changes_text import closing_line, render_text, render_withheld
from reconciler.cli.output import print_json, print_warnings
from reconciler.cli.progress import Progress
from reconciler.cli.report import print_report, render_report
from reconciler.core.guard import Limit, check_deletes, count_owned
from reconciler.core.policy import SHARED, Policy
from reconciler.core.state import State
from reconciler.errors import HostError, ReconcilerError
from reconciler.host.base import Host
from reconciler.host.linux import LinuxHost
from reconciler.host.recorded import RecordedHost
from reconciler.kinds.expand import expand_catalog
from reconciler.kinds.inert import inert_fields
from reconciler.kinds.port_conflicts import PortsInUseError
from reconciler.manifest.problem import ManifestErrors, Problem


class TooManyDeletesError(ReconcilerError):
    """A pass would delete suspiciously much, and nothing was done."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says about a pass."""

    paths: tuple[str, ...]
    set_name: str = "default"
    prune: bool | None = None
    adopt: bool = False
    allow_empty: bool = False
    max_deletes: Limit | None = None


@dataclass(frozen=True)
class Session:
    """One revision of the manifests and one host."""

    loaded: Loaded
    options: Options
    host: Host

    @property
    def policy(self) -> Policy:
        """A directory is the whole truth of its set; a file prunes only when asked."""
        prune = self.options.prune
        return Policy(
            prune=self.loaded.whole if prune is None else prune,
            adopt=self.options.adopt,
            suspended=frozenset(r.id for r in self.loaded.catalog if r.suspended),
            declared=frozenset(self.loaded.catalog.resources),
        )

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is declared and has no effect yet, and what the look at the host found."""
        found = self.host.warnings if isinstance(self.host, LinuxHost) else []
        general = tuple(Problem("", 0, 0, "", "", message) for message in found)
        return inert_fields(self.loaded.catalog) + general

    def clean_backends(self) -> None:
        """Take our chains out of the packet filter that this host does not use.

        Raises:
            HostError: It refused.
        """
        refusals = self.host.clean_backends() if isinstance(self.host, LinuxHost) else []
        if refusals:
            raise HostError("; ".join(refusals))

    def expand(self, observed: State) -> State:
        """Say what is desired, given what is there."""
        partial = not self.policy.prune
        return expand_catalog(self.loaded.catalog, observed, self.options.set_name, partial=partial)

    def preview(self) -> Preview:
        """Look, and say what would be done."""
        with self._naming_processes():
            return preview(self.host, self.expand, self.policy, self.options.set_name)

    @contextmanager
    def _naming_processes(self) -> Iterator[None]:
        """Say of a host port that is in use who has it, and in which line it is wanted."""
        try:
            yield
        except PortsInUseError as error:
            here = not isinstance(self.host, RecordedHost)
            raise ManifestErrors(explain_ports(self.loaded.catalog, error, here=here)) from None

    def reconcile(self) -> Report:
        """Converge."""
        with self._naming_processes(), Progress() as progress:
            return reconcile(
                self.host,
                self.expand,
                self.policy,
                self.options.set_name,
                progress.count,
                lambda found: self._approve(found, progress),
            )

    def _approve(self, found: Preview, progress: Progress) -> None:
        """Refuse to delete suspiciously much, unless somebody says that it is meant.

        Raises:
            TooManyDeletesError: Nobody did.
        """
        progress.expect(len(found.plan().operations))
        if not self.loaded.catalog.resources and self.options.allow_empty:
            return
        # What an edit of a declared resource takes away is asked for; what is undeclared may be
        # missing by mistake.
        declared = self.loaded.catalog.resources
        undeclared = [
            change
            for change in found.changes
            if change.owner.resource not in declared
            and not change.owner.resource.startswith(SHARED)
        ]
        owned = count_owned(found.observed, self.options.set_name)
        reason = check_deletes(undeclared, owned, self.options.max_deletes)
        if reason is None:
            return
        asked = sys.stdin.isatty() and sys.stderr.isatty()
        if not (asked and click.confirm(f"{reason}\nDelete them?", err=True)):
            raise TooManyDeletesError(reason)

    def source_of(self, resource: str) -> str:
        """Where a resource is declared, as ``file:line``; empty if it is not."""
        found = self.loaded.catalog.resources.get(resource)
        return "" if found is None else str(found.source)

    def print_preview(self, found: Preview, output: str) -> None:
        """Print a diff."""
        if output == "json":
            warnings = [warning.to_dict() for warning in self.warnings]
            print_json(render_json(found, self.source_of, warnings))
            return
        print_warnings(self.warnings)
        for line in render_text(found.changes, self.source_of):
            click.echo(line)
        for line in (closing_line(found), *render_withheld(found)):
            click.echo(line)

    def print_report(self, report: Report, output: str) -> None:
        """Print what an apply did, and what it left."""
        if output == "json":
            warnings = [warning.to_dict() for warning in self.warnings]
            print_json(render_report(report, self.source_of, warnings))
            return
        print_warnings(self.warnings)
        print_report(report, self.source_of)


@contextmanager
def open_session(options: Options, host: Host | None = None) -> Iterator[Session]:
    """Read the manifests, then open the host: this machine, unless one is given."""
    loaded = load(options.paths, allow_empty=options.allow_empty)
    if host is not None:
        yield Session(loaded, options, host)
        return
    linux = LinuxHost(options.set_name)
    try:
        yield Session(loaded, options, linux)
    finally:
        linux.close()
