"""``reconciler schema``: the form of manifests, for editors and other checkers."""

from __future__ import annotations

import rich_click as click

from reconciler.cli import exit_codes
from reconciler.cli.output import print_json
from reconciler.kinds.reference import UnknownNameError, find_kind
from reconciler.kinds.schema import kind_schema, manifest_schema


@click.command("schema")
@click.argument("kind", required=False, default="")
def command(kind: str) -> int:
    """Print the JSON Schema (draft 2020-12) of a manifest, of any kind or of one KIND.

    An editor with a YAML language server uses it where the first line of a file says
    `# yaml-language-server: $schema=PATH`. It knows names, types and forms; what depends on other
    fields or resources only `reconciler validate` checks.
    """
    try:
        schema = kind_schema(find_kind(kind)) if kind else manifest_schema()
    except UnknownNameError as error:
        raise click.UsageError(str(error)) from None
    print_json(schema)
    return exit_codes.OK
