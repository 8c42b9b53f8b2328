"""Units: a reader of systemd's unit files, for what the tests ask of them (systemd.syntax(7))."""

from __future__ import annotations

from pathlib import Path

from tests.world import ROOT

UNIT = ROOT / "deploy/systemd/reconciler.service"

Unit = dict[str, list[str]]
"""The values of each option, in the order of the file; an empty one has cleared those before."""


def read_unit(path: Path = UNIT) -> Unit:
    """Read all sections as one: no option has the same name in two of them."""
    found: Unit = {}
    text = path.read_text().replace("\\\n", " ")
    for line in map(str.strip, text.splitlines()):
        if not line or line[0] in "#;[":
            continue
        name, equals, value = line.partition("=")
        assert equals, f"{path.name}: {line!r} is not an assignment"
        value = value.strip()
        found[name] = [*found.get(name, ()), value] if value else []
    return found


def words(unit: Unit, name: str) -> list[str]:
    """The words of an option that is a list."""
    return " ".join(unit.get(name, ())).split()


def capabilities(unit: Unit) -> list[str]:
    return words(unit, "CapabilityBoundingSet")
