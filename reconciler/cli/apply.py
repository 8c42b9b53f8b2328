"""``reconciler apply``: converge, look again, report."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from reconciler.agent.applied import AppliedRecord
from reconciler.agent.changes_json import render_errors
from reconciler.cli import exit_codes, options
from reconciler.cli.output import report_errors
from reconciler.cli.session import Options, open_session
from reconciler.core.guard import Limit
from reconciler.host.lock import host_lock
from reconciler.host.privilege import require_admin


@click.command("apply")
@options.paths
@options.set_name
@options.changing
@options.allow_empty
@options.output("text", "json")
@options.max_deletes
@click.option(
    "--clean-backend",
    is_flag=True,
    envvar="RECONCILER_CLEAN_BACKEND",
    help="First take our chains out of the packet filter that this host does not use any more "
    "(iptables-legacy or iptables-nft).",
)
@options.run_dir
@options.state_dir_used
def command(
    paths: tuple[str, ...],
    set_name: str,
    prune: bool | None,
    adopt: bool,
    allow_empty: bool,
    output: str,
    max_deletes: Limit | None,
    clean_backend: bool,
    run_dir: Path,
    state_dir: Path,
) -> int:
    """Converge this host to the manifests, look again, and report.

    Exits with 0 if it converged, 4 if some operations failed or are blocked, 1 on an error, 5 if
    another instance works on this host.
    """
    with report_errors(output, render_errors):
        given = Options(paths, set_name, prune, adopt, allow_empty, max_deletes)
        with open_session(given) as session:
            require_admin("reconciler apply")
            with host_lock(run_dir, "reconciler apply"):
                if clean_backend:
                    session.clean_backends()
                report = session.reconcile()
                if report.converged:
                    AppliedRecord(state_dir, set_name).remember(session.loaded)
            session.print_report(report, output)
    return exit_codes.OK if report.converged else exit_codes.FAILED
