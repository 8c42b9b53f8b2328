"""Where the collected rulesets of other people lie: beside the repository, not in it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2].parent / "shared" / "corpora"
CORPORA = Path(os.environ.get("RECONCILER_CORPORA", HERE))
ABSENT = pytest.mark.skip(reason=f"no corpora at {CORPORA}; RECONCILER_CORPORA names the folder")


def rulesets() -> list:
    """Parameters for a test: the dumps, or one that says that there are none."""
    found = sorted(CORPORA.glob("iptables-save/*.v[46]"))
    return [pytest.param(path, id=path.name) for path in found] or [
        pytest.param(None, marks=ABSENT)
    ]


def saved_rules(backend: str) -> list[dict[str, str]]:
    """Netfilter's own test lines and what iptables-save printed of them."""
    with (CORPORA / f"iptables-t/verified-1.8.9-{backend}.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read(path: Path) -> str:
    """The text of a dump as the reconciler would get it from the program."""
    return path.read_bytes().decode("utf-8", "surrogateescape")


def index() -> dict[str, dict[str, str]]:
    """What the collection says about its dumps, by name."""
    with (CORPORA / "iptables-save/index.tsv").open(newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["name"]: row for row in rows}
