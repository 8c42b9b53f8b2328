"""Session: what diff, apply and their kin share: manifests read, a host opened, results printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from reconciler.agent.reconcile import Preview, Report, preview, reconcile
from reconciler.agent.source import Loaded, load
from reconciler.cli.changes_json import render_errors, render_json
from reconciler.cli.changes_text import closing_line, render_failures, render_text
from reconciler.cli.exit_codes import ERROR
from reconciler.core.policy import Policy
from reconciler.core.state import State
from reconciler.errors import ReconcilerError
from reconciler.host.base import Host
from reconciler.host.linux import LinuxHost
from reconciler.kinds.expand import expand_catalog
from reconciler.kinds.inert import inert_fields
from reconciler.manifest.problem import ManifestErrors


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says about a pass."""

    paths: tuple[str, ...]
    set_name: str = "default"
    prune: bool | None = None
    adopt: bool = False
    allow_empty: bool = False


@dataclass(frozen=True, slots=True)
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
        )

    @property
    def warnings(self) -> list[str]:
        """What is declared and has no effect yet."""
        return [problem.render() for problem in inert_fields(self.loaded.catalog)]

    def expand(self, observed: State) -> State:
        """Say what is desired, given what is there."""
        return expand_catalog(self.loaded.catalog, observed, self.options.set_name)

    def preview(self) -> Preview:
        """Look, and say what would be done."""
        return preview(self.host, self.expand, self.policy, self.options.set_name)

    def reconcile(self) -> Report:
        """Converge."""
        return reconcile(self.host, self.expand, self.policy, self.options.set_name)

    def source_of(self, resource: str) -> str:
        """Where a resource is declared, as ``file:line``; empty if it is not."""
        found = self.loaded.catalog.resources.get(resource)
        return "" if found is None else str(found.source)

    def print_preview(self, found: Preview, output: str) -> None:
        """Print a diff."""
        if output == "json":
            print_json(render_json(found, self.source_of, self.warnings))
            return
        print_warnings(self.warnings)
        for line in render_text(found, self.source_of):
            click.echo(line, color=colour())

    def print_report(self, report: Report, output: str) -> None:
        """Print what an apply did, and what it left."""
        failures = [
            self._failure(str(o.operation), str(o.operation.owner), o.error or "")
            for o in report.failures
        ]
        if output == "json":
            found = render_json(report.preview, self.source_of, self.warnings, failures)
            print_json(found | {"inSync": report.converged})
            return
        print_warnings(self.warnings)
        for line in render_text(report.preview, self.source_of):
            click.echo(line, color=colour())
        if failures:
            click.echo(render_failures(failures), err=True, color=colour(sys.stderr))
        self._print_ending(report)

    def _failure(self, operation: str, owner: str, error: str) -> str:
        source = self.source_of(owner)
        return f"{operation} of {owner}{f' ({source})' if source else ''}: {error}"

    def _print_ending(self, report: Report) -> None:
        if report.converged and report.outcomes:
            click.echo(f"Converged: {len(report.outcomes)} operations.")
        elif not report.converged:
            click.echo(f"Not converged. {closing_line(report.after)}", err=True)


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


@contextmanager
def report_errors(
    output: str, render: Callable[[Sequence[object]], dict[str, Any]] = render_errors
) -> Iterator[None]:
    """Print errors that a user can act on in the way that was asked for."""
    try:
        yield
    except ManifestErrors as errors:
        if output == "json":
            print_json(render([problem.to_dict() for problem in errors.problems]))
        else:
            click.echo(str(errors), err=True)
        raise click.exceptions.Exit(ERROR) from None
    except ReconcilerError as error:
        if output == "json":
            print_json(render([{"message": str(error)}]))
        raise


def print_json(value: object) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_warnings(warnings: Sequence[str]) -> None:
    """Print warnings where they do not disturb what is piped."""
    for warning in warnings:
        click.echo(f"{click.style('warning:', fg='yellow')} {warning}", err=True)


def colour(stream: Any = None) -> bool | None:
    """Colour on a terminal, unless NO_COLOR says no (no-color.org)."""
    import os  # noqa: PLC0415 - one look at the environment

    if os.environ.get("NO_COLOR"):
        return False
    return None if stream is None else bool(stream.isatty())
