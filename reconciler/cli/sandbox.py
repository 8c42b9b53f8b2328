"""``reconciler sandbox``: a command on a throwaway host."""

from __future__ import annotations

import os

import rich_click as click

from reconciler.host.sandbox import run_in_sandbox


@click.command(
    "sandbox", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("argv", metavar="[--] CMD...", nargs=-1, type=click.UNPROCESSED)
def command(argv: tuple[str, ...]) -> int:
    """Run a command on a throwaway host of its own, without root.

    It has its own user, network, mount and UTS namespaces: whatever the command does to the
    network ends with it, and nothing of this machine is touched. Without a command, a shell. The
    exit code is the command's.
    """
    return run_in_sandbox(list(argv) or [os.environ.get("SHELL") or "/bin/sh"])
