"""``reconciler drift``: what is other than declared and nobody asked for, now and before."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import rich_click as click
from click.core import ParameterSource

from reconciler.agent.client import SOCKET, NoLoopError, get
from reconciler.agent.journal import journal_path, read_records
from reconciler.cli import exit_codes, options
from reconciler.cli.drift_text import render_drift, render_past
from reconciler.cli.output import print_json, report_errors

HISTORY_MAX = 10_000
"""More than a journal holds, mostly."""

Records = list[dict[str, Any]]


@click.command("drift")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option(
    "--history",
    is_flag=True,
    envvar="RECONCILER_HISTORY",
    help="Show what was seen and healed before, newest last.",
)
@options.set_name
@options.output("text", "json")
@options.run_dir
@options.state_dir_used
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    history: bool,
    set_name: str,
    output: str,
    run_dir: Path,
    state_dir: Path,
) -> int:
    """Show what is other than declared and nobody asked for, with who did it where known.

    Without PATH the loop that runs on this host is asked; if none runs, or with PATH, this looks
    by itself. Exits with 0 if there is no drift, 2 if there is some.
    """
    chosen = ctx.get_parameter_source("set_name") is not ParameterSource.DEFAULT
    with report_errors(output, lambda errors: _as_json([], []) | {"errors": list(errors)}):
        answer = _ask(run_dir / SOCKET, history, set_name if chosen else None)
        name = set_name if answer is None else answer["set"]
        past: Records = []
        if history:
            past = answer["history"] if answer else _read(state_dir, name)
        if paths or (answer is None and not history):
            drift = look(paths, name, state_dir)
        else:
            drift = answer["drift"] if answer else []
    if output == "json":
        print_json(_as_json(drift, past))
    else:
        click.echo("\n".join(_render_past(past) if history else _render(drift)))
    return exit_codes.CHANGES if drift else exit_codes.OK


def look(paths: tuple[str, ...], set_name: str, state_dir: Path) -> Records:
    """Compare by ourselves, without a loop.

    Raises:
        ReconcilerError: The manifests are not valid, or the host cannot be looked at.
    """
    # Imported here: asking a loop has to be quick, and needs none of what looking needs.
    find_drift = import_module("reconciler.cli.drift_look").find_drift
    found: Records = find_drift(paths or options.default_paths(), set_name, state_dir)
    return found


def _ask(socket: Path, history: bool, set_name: str | None) -> dict[str, Any] | None:
    """Ask the loop; None if there is none, or if it serves another set than the one chosen."""
    try:
        answer = get(socket, f"/drift?history={HISTORY_MAX if history else 0}")
    except NoLoopError:
        return None
    return answer if set_name in {None, answer["set"]} else None


def _read(state_dir: Path, set_name: str) -> Records:
    return read_records(journal_path(state_dir, set_name), HISTORY_MAX)


def _as_json(drift: Records, history: Records) -> dict[str, Any]:
    return {"version": 1, "drift": drift, "history": history}


def _render(drift: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not drift:
        yield "No drift."
    now = time.time()
    for record in drift:
        yield from render_drift(record, now)


def _render_past(history: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not history:
        yield "No drift was seen."
    for record in history:
        yield from render_past(record)
