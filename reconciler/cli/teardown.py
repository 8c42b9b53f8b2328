"""``reconciler teardown``: remove all that we own, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from reconciler.agent.applied import AppliedRecord
from reconciler.agent.changes_json import render_errors
from reconciler.agent.reconcile import Report, reconcile
from reconciler.cli import exit_codes, options
from reconciler.cli.output import print_json, report_errors
from reconciler.cli.report import print_report, render_report
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
@options.state_dir_used
def command(set_name: str, all_sets: bool, output: str, run_dir: Path, state_dir: Path) -> int:
    """Remove all that we own, and nothing else. Needs no manifests.

    Kernel parameters stay as they are. Exits with 0, or 4 if something could not be removed.
    """
    with report_errors(output, render_errors):
        require_admin("reconciler teardown")
        with host_lock(run_dir, "reconciler teardown"):
            names = _sets() if all_sets else [set_name]
            reports = {name: _teardown(name) for name in names}
            for name in names:
                AppliedRecord(state_dir, name).forget()
    if output == "json":
        print_json(_render(list(reports.values())))
    else:
        _print(reports, all_sets=all_sets)
    converged = all(report.converged for report in reports.values())
    return exit_codes.OK if converged else exit_codes.FAILED


def _sets() -> list[str]:
    host = LinuxHost()
    try:
        return sorted({owner.set for owner in host.observe().owners.values()})
    finally:
        host.close()


def _teardown(set_name: str) -> Report:
    host = LinuxHost(set_name)
    try:
        for refusal in host.clean_backends():
            click.echo(f"warning: {refusal}", err=True)
        return reconcile(host, lambda _: State(), Policy(prune=True, keep=False), set_name)
    finally:
        host.close()


def _render(reports: Sequence[Report]) -> dict[str, Any]:
    """One object for all sets together, of the form that apply prints."""
    found = [render_report(report, lambda _: "") for report in reports]
    summary = Counter[str]()
    for one in found:
        summary.update(one["summary"])
    return render_errors([error for one in found for error in one["errors"]]) | {
        "inSync": all(one["inSync"] for one in found),
        "summary": render_errors(())["summary"] | summary,
        "changes": [change for one in found for change in one["changes"]],
    }


def _print(reports: dict[str, Report], *, all_sets: bool) -> None:
    if not any(report.preview.changes for report in reports.values()):
        whose = "any set" if all_sets else f"set {', '.join(reports)}"
        click.echo(f"Nothing to remove: nothing on this host belongs to {whose}.")
        return
    for name, report in reports.items():
        if all_sets:
            click.secho(f"Set {name}", bold=True)
        print_report(report, lambda _: "", undeclared="")
