"""``reconciler explain``: the reference of manifests, and of what the program does with them."""

from __future__ import annotations

from typing import Any

import rich_click as click

from reconciler.cli import exit_codes, options
from reconciler.cli.explain_text import render_entry, render_overview, render_topic
from reconciler.cli.output import print_json
from reconciler.cli.topics import TOPICS
from reconciler.kinds.reference import Entry, UnknownNameError, find_entry, list_kinds
from reconciler.manifest.words import did_you_mean, quote

VERSION = 1


@click.command("explain")
@click.argument("name", metavar="[KIND[.FIELD]]", required=False, default="")
@options.output("text", "json")
def command(name: str, output: str) -> int:
    """Explain a kind, one of its fields, or a topic; without a name list what there is.

    For example `explain Bridge`, `explain Container.publish`, `explain ownership`.
    """
    topic = name.lower().replace("_", "-")
    if not name:
        found, lines = _overview(), render_overview(list_kinds())
    elif topic in TOPICS:
        found, lines = {"topic": topic, "text": TOPICS[topic]}, render_topic(topic)
    else:
        entry = _find(name)
        found, lines = _as_json(entry), render_entry(entry)
    if output == "json":
        print_json({"version": VERSION, **found})
    else:
        for line in lines:
            click.echo(line)
    return exit_codes.OK


def _find(name: str) -> Entry:
    try:
        return find_entry(name)
    except UnknownNameError as error:
        guess = did_you_mean(name, list(TOPICS)) if "did you mean" not in str(error) else ""
        message = f"there is no topic {quote(name)}; {guess}" if guess else str(error)
        raise click.UsageError(message) from None


def _overview() -> dict[str, Any]:
    kinds = [{"name": kind.name, "description": kind.description} for kind in list_kinds()]
    return {"kinds": kinds, "topics": TOPICS}


def _as_json(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "path": entry.path,
        "type": entry.type,
        "description": entry.description,
        "required": entry.required,
        "default": entry.default,
        "docker": entry.docker,
        "effect": entry.effect,
        "examples": list(entry.examples),
        "manifest": entry.manifest,
    }
    shown = {name: value for name, value in found.items() if value not in ("", [])}
    return {**shown, "fields": [_as_json(field) for field in entry.fields]}
