"""Options that several commands share, each with its environment variable."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from reconciler.core.guard import Limit, LimitError, parse_limit

F = TypeVar("F", bound=Callable[..., Any])

RUN_DIR = Path("/run/reconciler")
STATE_DIR = Path("/var/lib/reconciler")
_SET = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _paths(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    return given or default_paths()


def default_paths() -> tuple[str, ...]:
    """Where manifests are when the command line does not say."""
    return (os.environ.get("RECONCILER_MANIFESTS") or "manifests",)


def _set_name(_: click.Context, __: click.Parameter, name: str) -> str:
    if not _SET.fullmatch(name):
        raise click.BadParameter(f"{name!r} is not a DNS label (a-z, 0-9 and -)")
    return name


paths = click.argument("paths", metavar="[PATH]...", nargs=-1, callback=_paths)
"""PATH…; standard input is ``-``."""

set_name = click.option(
    "--set",
    "set_name",
    metavar="NAME",
    default="default",
    show_default=True,
    envvar="RECONCILER_SET",
    callback=_set_name,
    help="The set of manifests: a host can serve several, which leave each other alone.",
)

allow_empty = click.option(
    "--allow-empty",
    is_flag=True,
    envvar="RECONCILER_ALLOW_EMPTY",
    help="Declaring nothing is meant: what the set owns may go.",
)


def _limit(_: click.Context, __: click.Parameter, text: str | None) -> Limit | None:
    try:
        return None if text is None else parse_limit(text)
    except LimitError as error:
        raise click.BadParameter(str(error)) from None


max_deletes = click.option(
    "--max-deletes",
    metavar="N|P%",
    envvar="RECONCILER_MAX_DELETES",
    callback=_limit,
    help="How many objects, or which share of what is ours, may be deleted.  "
    "[default: half of it, or ten]",
)

run_dir = click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    default=RUN_DIR,
    show_default=True,
    envvar="RECONCILER_RUN_DIR",
    help="Where the lock and the loop's socket lie.",
)


def output(*choices: str) -> Callable[[F], F]:
    """``-o``: how to print."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        envvar="RECONCILER_OUTPUT",
        help="How to print.",
    )


def changing(function: F) -> F:
    """What a command takes that shows or makes changes: prune and adopt."""
    prune = click.option(
        "--prune/--no-prune",
        default=None,
        envvar="RECONCILER_PRUNE",
        help="Delete what the set owns and nothing declares any more.  [default: for directories]",
    )
    adopt = click.option(
        "--adopt",
        is_flag=True,
        envvar="RECONCILER_ADOPT",
        help="Take over what is in the way and not ours.",
    )
    wrapped: F = prune(adopt(function))
    return wrapped


state_dir_used = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    default=STATE_DIR,
    show_default=True,
    envvar="RECONCILER_STATE_DIR",
    help="Where the journal lies.",
)


def _unused(name: str, default: Path) -> Callable[[F], F]:
    return click.option(
        f"--{name}-dir",
        type=click.Path(path_type=Path),
        default=default,
        envvar=f"RECONCILER_{name.upper()}_DIR",
        expose_value=False,
        hidden=True,
    )


state_dir = _unused("state", STATE_DIR)
"""Where the journal lies, for commands that do not look at it."""


def places(function: F) -> F:
    """Where things lie, for commands that need none of it: every command takes the same flags."""
    wrapped: F = _unused("run", RUN_DIR)(state_dir(function))
    return wrapped
