"""``reconciler validate``: read and check."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import rich_click as click

from reconciler.agent.source import load
from reconciler.cli import exit_codes, options
from reconciler.cli.github import annotate_errors, render_annotation
from reconciler.cli.output import print_json, print_warnings, report_errors
from reconciler.kinds.inert import inert_fields

VERSION = 1


@click.command("validate")
@options.paths
@options.allow_empty
@options.output("text", "json", "github")
@options.places
def command(paths: tuple[str, ...], allow_empty: bool, output: str) -> int:
    """Read and check manifests; needs no privilege and no kernel.

    `-o github` prints annotations for the lines of a pull request. Exits with 0 if the manifests
    are valid, 1 if not.
    """
    with _reported(output):
        loaded = load(paths, allow_empty=allow_empty)
    count = len(loaded.catalog)
    warnings = inert_fields(loaded.catalog)
    if output == "json":
        print_json(_render(count, warnings=[warning.to_dict() for warning in warnings]))
        return exit_codes.OK
    if output == "github":
        for warning in warnings:
            click.echo(render_annotation(warning, "warning"))
    else:
        print_warnings(warnings)
    click.echo("1 resource is valid." if count == 1 else f"{count} resources are valid.")
    return exit_codes.OK


def _reported(output: str) -> AbstractContextManager[None]:
    if output == "github":
        return annotate_errors()
    return report_errors(output, lambda errors: _render(0, errors=errors))


def _render(
    resources: int, warnings: Sequence[object] = (), errors: Sequence[object] = ()
) -> dict[str, Any]:
    return {
        "version": VERSION,
        "valid": not errors,
        "resources": resources,
        "warnings": list(warnings),
        "errors": list(errors),
    }
