"""``reconciler validate``: read and check."""

from __future__ import annotations

import json

import rich_click as click

from reconciler.agent.source import load
from reconciler.cli import exit_codes, options
from reconciler.cli.session import report_errors


@click.command("validate")
@options.paths
@options.allow_empty
@options.output("text", "json")
def command(paths: tuple[str, ...], allow_empty: bool, output: str) -> int:
    """Read and check manifests; needs no privilege and no kernel.

    Exits with 0 if they are valid, 1 if not.
    """
    with report_errors(output):
        loaded = load(paths, allow_empty=allow_empty)
    count = len(loaded.catalog.resources)
    if output == "json":
        click.echo(json.dumps({"version": 1, "valid": True, "resources": count, "errors": []}))
    else:
        click.echo(f"{count} resources are valid.")
    return exit_codes.OK
