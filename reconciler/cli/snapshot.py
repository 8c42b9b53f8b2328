"""``reconciler snapshot``: everything observed, as JSON."""

from __future__ import annotations

import platform
from dataclasses import replace

import rich_click as click

from reconciler import __version__
from reconciler.agent.source import load
from reconciler.cli import exit_codes, options
from reconciler.cli.output import print_json
from reconciler.core.state import State
from reconciler.host.base import Interest
from reconciler.host.linux import LinuxHost
from reconciler.host.recorded import render_snapshot
from reconciler.kinds.expand import expand_catalog


@click.command("snapshot")
@options.set_name
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@options.places
def command(set_name: str, paths: tuple[str, ...]) -> int:
    """Print everything observed, as JSON, for `diff --against` and for bug reports.

    Changes nothing. It holds names, addresses and kernel parameters, and no secrets. With manifests
    it also has what only they lead to: namespaces of processes and of paths, and rare parameters.
    """
    interest = Interest(everything=True)
    if paths:
        desired = expand_catalog(load(paths).catalog, State(), set_name)
        interest = replace(Interest.of(desired), everything=True)
    host = LinuxHost(set_name)
    try:
        state = host.observe(interest)
    finally:
        host.close()
    about = {
        "reconciler": __version__,
        "kernel": platform.release(),
        "host": platform.node(),
    }
    print_json(render_snapshot(state, about))
    return exit_codes.OK
