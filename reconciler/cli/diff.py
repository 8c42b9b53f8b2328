"""``reconciler diff``: the dry run."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from reconciler.agent.changes_json import render_errors
from reconciler.agent.reconcile import Preview
from reconciler.cli import exit_codes, options
from reconciler.cli.commands_text import render_commands
from reconciler.cli.output import print_warnings, report_errors
from reconciler.cli.session import Options, Session, open_session
from reconciler.core.diff import Action
from reconciler.host.recorded import RecordedHost
from reconciler.manifest.problem import printable


@click.command("diff")
@options.paths
@options.set_name
@options.changing
@options.allow_empty
@options.output("text", "json", "commands")
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="SNAPSHOT",
    envvar="RECONCILER_AGAINST",
    help="Compare with a recorded host (see snapshot) instead of this one; needs no privilege.",
)
@options.places
def command(
    paths: tuple[str, ...],
    set_name: str,
    prune: bool | None,
    adopt: bool,
    allow_empty: bool,
    output: str,
    against: Path | None,
) -> int:
    """Show what apply would do to this host, and why; changes nothing.

    Exits with 0 if it is in sync, 2 if there are changes, 1 on an error.
    """
    with report_errors(output, render_errors):
        given = Options(paths, set_name, prune, adopt, allow_empty)
        host = RecordedHost.load(against, set_name) if against else None
        with open_session(given, host) as session:
            preview = session.preview()
            if output == "commands":
                _print_commands(session, preview)
            else:
                session.print_preview(preview, output)
    return exit_codes.OK if preview.in_sync else exit_codes.CHANGES


def _print_commands(session: Session, preview: Preview) -> None:
    """Print the script, and on standard error what is not in it."""
    print_warnings(session.warnings)
    for change in preview.changes:
        if change.action is Action.BLOCKED:
            blocked = printable(f"{change.key}: {change.reason}")
            click.echo(f"{change.action.sign} {blocked}", err=True)
    script = render_commands(preview.plan(), session.options.set_name, preview.observed)
    for text in script:
        # Files may hold other bytes than UTF-8, and are written as they are.
        click.echo(text.encode("utf-8", "surrogateescape"))
