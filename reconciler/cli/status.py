"""``reconciler status``: what the running loop knows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import rich_click as click

from reconciler.agent.client import SOCKET, complaint, get
from reconciler.cli import exit_codes, options
from reconciler.cli.output import print_json, report_errors
from reconciler.cli.status_text import render_status


@click.command("status")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    envvar="RECONCILER_ALL",
    help="List every resource, also where many are ready.",
)
@options.output("text", "json")
@options.run_dir
@options.state_dir
def command(everything: bool, output: str, run_dir: Path) -> int:
    """Show what the loop that runs on this host knows: in sync or not, drift, failures.

    Exits with 0 if the host is as the newest manifests declare it, 2 if it is not or the loop
    hangs, 1 if no loop answers.
    """
    socket = run_dir / SOCKET
    with report_errors(output, lambda errors: {"version": 1, "errors": list(errors)}):
        status = get(socket, "/status")
        hangs = complaint(socket, "/healthz")
    if hangs:
        click.echo(f"{click.style('warning:', fg='yellow')} {hangs}; this is old", err=True)
    if output == "json":
        print_json(status)
    else:
        click.echo("\n".join(render_status(status, time.time(), everything=everything)))
    return exit_codes.CHANGES if hangs or not in_sync(status) else exit_codes.OK


def in_sync(status: dict[str, Any]) -> bool:
    """Say whether the host is as declared, and what is declared could be read."""
    return bool(status["inSync"]) and not status["manifests"]["problems"]
