"""``reconciler teardown``: remove all that we own, and nothing else."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from reconciler.agent.reconcile import Report, reconcile
from reconciler.cli import exit_codes, options
from reconciler.cli.changes_json import render_json
from reconciler.cli.changes_text import closing_line, render_failures, render_text
from reconciler.cli.session import colour, print_json, report_errors
from reconciler.core.policy import Policy
from reconciler.core.state import State
from reconciler.host.linux import LinuxHost
from reconciler.host.lock import host_lock
from reconciler.host.privilege import require_admin


@click.command("teardown")
@options.set_name
@click.option(
    "--all-sets",
    is_flag=True,
    envvar="RECONCILER_ALL_SETS",
    help="Of every set, not only of one.",
)
@options.output("text", "json")
@options.run_dir
def command(set_name: str, all_sets: bool, output: str, run_dir: Path) -> int:
    """Remove all that we own, and nothing else. Needs no manifests.

    Kernel parameters stay as they are. Exits with 0, or 4 if something could not be removed.
    """
    with report_errors(output):
        require_admin("reconciler teardown")
        with host_lock(run_dir, "reconciler teardown"):
            names = _sets() if all_sets else [set_name]
            reports = [_teardown(name) for name in names]
        for report in reports:
            _print(report, output)
        if not reports:
            click.echo("Nothing here is ours.")
    return exit_codes.OK if all(report.converged for report in reports) else exit_codes.FAILED


def _sets() -> list[str]:
    host = LinuxHost()
    try:
        return sorted({owner.set for owner in host.observe().owners.values()})
    finally:
        host.close()


def _teardown(set_name: str) -> Report:
    host = LinuxHost(set_name)
    try:
        return reconcile(host, lambda _: State(), Policy(prune=True), set_name)
    finally:
        host.close()


def _print(report: Report, output: str) -> None:
    failures = [f"{o.operation} of {o.operation.owner}: {o.error}" for o in report.failures]
    if output == "json":
        found = render_json(report.preview, lambda _: "", errors=failures)
        print_json(found | {"inSync": report.converged})
        return
    for line in render_text(report.preview, lambda _: ""):
        click.echo(line, color=colour())
    if failures:
        click.echo(render_failures(failures), err=True, color=colour())
    if report.converged:
        click.echo(f"Removed: {len(report.outcomes)} operations.")
    else:
        click.echo(f"Not all is gone. {closing_line(report.after)}", err=True)
