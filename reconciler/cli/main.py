"""The command `reconciler`: which commands there are, and what an error exits with."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import rich_click as click
from click.exceptions import Exit

from reconciler import __version__
from reconciler.cli import exit_codes
from reconciler.errors import LockedError, PrivilegeError, ReconcilerError

COMMANDS = {
    "validate": "Read and check manifests; needs no privilege and no kernel.",
    "diff": "Show what apply would do, and why; changes nothing.",
    "apply": "Converge this host to the manifests, look again, report.",
    "run": "Keep this host equal to its manifests: watch, report and heal drift.",
    "status": "Show what the running loop knows: in sync or not, and what is wrong.",
    "drift": "Show what is other than declared and nobody asked for, and who did it.",
    "show": "Show bridges with their ports, containers with their addresses.",
    "exec": "Run a command in a container's namespace, with its names.",
    "snapshot": "Print everything observed, as JSON, for diff --against and bug reports.",
    "teardown": "Remove all that we own, and nothing else.",
    "sandbox": "Run a command on a throwaway host of its own, without root.",
    "demo": "Show the whole story in a sandbox: apply, traffic, a fault, and how it heals.",
    "explain": "Explain kinds, fields, exit codes and how things work.",
    "schema": "Print the JSON Schema of manifests, for editors.",
}
"""Every command with its help, so that --help imports none of them."""


class LazyCommand(click.RichCommand):
    """A command that is imported when it is used: start-up counts, and --help needs only a line."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Hand over to the real command, which then is what runs."""
        command: click.Command = import_module(f"reconciler.cli.{self.name}").command
        gc.freeze()
        gc.enable()  # __main__ switches it off for the start
        return command.make_context(info_name, args, parent, **extra)


class LazyGroup(click.RichGroup):
    """The commands of the table, in its order, which is the order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them, not imported yet."""
        if cmd_name not in COMMANDS:
            return None
        return LazyCommand(name=cmd_name, help=COMMANDS[cmd_name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the one that was probably meant."""
        name = args[0]
        if not name.startswith("-") and name not in COMMANDS:
            from difflib import get_close_matches  # noqa: PLC0415 - only for a misspelt command

            near = get_close_matches(name, COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"There is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    invoke_without_command=True,
    epilog="Every option has an environment variable: RECONCILER_SET for --set, and so on.",
)
@click.version_option(__version__, "--version", prog_name="reconciler")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Docker's bridge network for anything in a network namespace, declared in YAML and kept.

    PATH is a file, a directory, - for standard input, or several of them; manifests/ by default,
    or what RECONCILER_MANIFESTS says.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(exit_codes.USAGE)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code; what a user can act on is one message."""
    try:
        return _run(arguments)
    except (KeyboardInterrupt, click.Abort):
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.PIPE
    except ReconcilerError as error:
        click.echo(f"error: {error}", err=True)
        return exit_code(error)


def _run(arguments: Sequence[str]) -> int:
    """Run the command line through click, and tell apart its own ways to end."""
    try:
        result: Any = cli.main(
            args=_asking_for_help(list(arguments)),
            prog_name="reconciler",
            standalone_mode=False,
            color=False if os.environ.get("NO_COLOR") else None,  # no-color.org
        )
        if sys.stdout:
            sys.stdout.flush()
    except Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show()
        return exit_codes.USAGE
    except SystemExit as leaving:
        # With 1 click says that nobody reads any more (EPIPE); else it has completed a word.
        return exit_codes.PIPE if leaving.code == 1 else exit_codes.OK
    return result if isinstance(result, int) else exit_codes.OK


def _asking_for_help(arguments: list[str]) -> list[str]:
    """`reconciler help apply` is what many type for `reconciler apply --help`."""
    return [*arguments[1:], "--help"] if arguments[:1] == ["help"] else arguments


def exit_code(error: ReconcilerError) -> int:
    """Say which code an error exits with."""
    match error:
        case PrivilegeError():
            return exit_codes.PRIVILEGE
        case LockedError():
            return exit_codes.LOCKED
        case _:
            return exit_codes.ERROR
