"""Output: what all commands print alike, errors, warnings and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import rich_click as click
from click.exceptions import Exit

from reconciler.cli.exit_codes import ERROR
from reconciler.errors import ReconcilerError
from reconciler.manifest.problem import ManifestErrors, Problem

RenderErrors = Callable[[Sequence[object]], dict[str, Any]]
"""Puts errors into the JSON object that the command prints when all goes well."""


@contextmanager
def report_errors(output: str, render: RenderErrors) -> Iterator[None]:
    """Print errors that a user can act on in the way that was asked for.

    With JSON all of standard output is one object whose `errors` say what is wrong; each of them
    has at least a `message`.
    """
    try:
        yield
    except ManifestErrors as errors:
        if output == "json":
            print_json(render([problem.to_dict() for problem in errors.problems]))
        else:
            click.echo(str(errors), err=True)
            click.echo(_count(len(errors.problems)), err=True)
        raise Exit(ERROR) from None
    except ReconcilerError as error:
        if output == "json":
            print_json(render([{"message": str(error)}]))
        raise


def _count(problems: int) -> str:
    return f"{problems} error{'' if problems == 1 else 's'} in the manifests; nothing was changed."


def print_json(value: object) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_warnings(warnings: Sequence[Problem]) -> None:
    """Print warnings where they do not disturb what is piped."""
    for warning in warnings:
        click.echo(f"{click.style('warning:', fg='yellow')} {warning.render()}", err=True)
