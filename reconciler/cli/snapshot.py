"""``reconciler snapshot``: everything observed, as JSON."""

from __future__ import annotations

import platform

import rich_click as click

from reconciler import __version__
from reconciler.cli import exit_codes, options
from reconciler.cli.output import print_json
from reconciler.host.base import Interest
from reconciler.host.linux import LinuxHost
from reconciler.host.recorded import render_snapshot


@click.command("snapshot")
@options.set_name
@options.places
def command(set_name: str) -> int:
    """Print everything observed, as JSON, for `diff --against` and for bug reports.

    Changes nothing. It holds names, addresses and kernel parameters, and no secrets.
    """
    host = LinuxHost(set_name)
    try:
        state = host.observe(Interest(everything=True))
    finally:
        host.close()
    about = {
        "reconciler": __version__,
        "kernel": platform.release(),
        "host": platform.node(),
    }
    print_json(render_snapshot(state, about))
    return exit_codes.OK
