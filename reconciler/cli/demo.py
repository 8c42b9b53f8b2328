"""``reconciler demo``: the whole story on a throwaway host.

Every step is a command that a user can type; what it prints is what it prints anywhere, only that
what has been on the screen before is folded.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

import rich_click as click

from reconciler.cli import exit_codes, main, options
from reconciler.cli.demo_traffic import Way, break_something, find_ways, try_ways
from reconciler.host.sandbox import call_in_sandbox


class OtherwiseError(Exception):
    """The story went another way than it is told; with the code to exit with."""


class _Story:
    """The steps in order."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._paths = paths

    def tell(self) -> int:
        """Run all steps; the first that goes another way ends the story."""
        try:
            self._build()
            self._send_packets()
            self._once_more()
            self._take_away()
        except OtherwiseError as otherwise:
            return int(otherwise.args[0])
        except KeyboardInterrupt:
            return exit_codes.INTERRUPTED
        click.echo("\nThat was all. The throwaway host is gone, and this machine is as it was.")
        return exit_codes.OK

    def _build(self) -> None:
        click.echo("A throwaway host: a network of its own, and nothing in it but lo.")
        self._heading("What would apply do? Nothing is done yet")
        self._run(exit_codes.CHANGES, "diff", *self._paths)
        self._heading("Do it")
        self._run_folded("as in the diff", "apply", *self._paths)
        self._heading("What there is now")
        self._run(exit_codes.OK, "show")

    def _send_packets(self) -> None:
        ways = find_ways()
        if not ways:
            return
        self._heading("Real packets: a TCP connection, a question and its answer")
        self._expect(try_ways(ways), lost=[])
        self._heading("Somebody breaks it, and nobody is told")
        commands = break_something()
        for typed in commands:
            self._typed(typed)
        lost = try_ways(ways, only_lost=True)
        if commands and not lost:
            self._otherwise("Everything still arrives.", exit_codes.ERROR)
        if not commands:
            click.echo("  (there is nothing here that two containers share)")
            return
        self._heading("diff finds the drift")
        self._run(exit_codes.CHANGES, "diff", *self._paths)
        self._heading("apply puts it right, and touches nothing else")
        self._run_folded("as in the diff", "apply", *self._paths)
        self._expect(try_ways(lost), lost=[])

    def _once_more(self) -> None:
        self._heading("Another apply has nothing to do")
        self._run(exit_codes.OK, "apply", *self._paths)

    def _take_away(self) -> None:
        self._heading("And away with all that is ours")
        self._run_folded("one for each object", "teardown")

    def _heading(self, text: str) -> None:
        click.secho(f"\n── {text} ".ljust(79, "─"), bold=True)

    def _typed(self, command: str) -> None:
        click.secho(f"$ {command}", fg="cyan")

    def _run(self, expected: int, *arguments: str) -> None:
        self._typed(f"reconciler {' '.join(arguments)}")
        code = main.run(arguments)
        if code != expected:
            self._otherwise(f"Exit code {code}, expected {expected}.", code or exit_codes.ERROR)

    def _run_folded(self, about: str, *arguments: str) -> None:
        """Run a command whose changes have been seen; show how many, and its last line."""
        printed = StringIO()
        try:
            with redirect_stdout(printed):
                self._run(exit_codes.OK, *arguments)
        finally:
            typed, *lines = printed.getvalue().splitlines()
            self._typed(typed.removeprefix("$ "))
            if len(lines) > 1:
                click.secho(f"  … {len(lines) - 1} lines, {about}", dim=True)
            for line in lines[-1:]:
                click.echo(line)

    def _expect(self, found: list[Way], lost: list[Way]) -> None:
        if found != lost:
            self._otherwise("Not everything arrives.", exit_codes.ERROR)

    def _otherwise(self, message: str, code: int) -> None:
        click.secho(message, fg="red", err=True)
        raise OtherwiseError(code)


@click.command("demo")
@options.paths
def command(paths: tuple[str, ...]) -> int:
    """Show the whole story on a throwaway host: apply, packets through it, a fault, and healing.

    Needs no root and touches nothing of this machine. PATH is what to apply; manifests/ by default.
    """
    return call_in_sandbox(lambda: _Story(paths).tell())
