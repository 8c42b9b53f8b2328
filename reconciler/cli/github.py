"""GitHub: problems as annotations on the lines of a pull request.

    ::error file=web.yaml,line=7,col=3,title=Bridge/web%3A spec.mtuu::unknown field; did you mean …

Source: "Workflow commands for GitHub Actions", setting an error message; which characters are
escaped is said by @actions/core, src/command.ts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import rich_click as click
from click.exceptions import Exit

from reconciler.cli.exit_codes import ERROR
from reconciler.errors import ReconcilerError
from reconciler.manifest.problem import ManifestErrors, Problem

_DATA = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
_PROPERTY = (*_DATA, (":", "%3A"), (",", "%2C"))


def render_annotation(problem: Problem, level: str = "error") -> str:
    """Say one problem as a workflow command.

    Args:
        problem: Of a file, as it was named to us; GitHub shows it where that is the file's path
            from the root of the checkout.
        level: `error`, `warning` or `notice`.
    """
    title = ": ".join(part for part in (problem.resource, problem.field) if part)
    place = {"line": problem.line, "col": problem.column} if problem.line else {}
    properties = {"file": problem.path, **place, **({"title": title} if title else {})}
    written = ",".join(
        f"{name}={_escape(str(value), _PROPERTY)}" for name, value in properties.items()
    )
    what = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    return f"::{level} {written}::{_escape(what, _DATA)}"


@contextmanager
def annotate_errors() -> Iterator[None]:
    """Print errors that a user can act on as annotations."""
    try:
        yield
    except ManifestErrors as errors:
        for problem in errors.problems:
            click.echo(render_annotation(problem))
        raise Exit(ERROR) from None
    except ReconcilerError as error:
        click.echo(f"::error::{_escape(str(error), _DATA)}")
        raise


def _escape(text: str, table: tuple[tuple[str, str], ...]) -> str:
    for character, written in table:
        text = text.replace(character, written)
    return text
