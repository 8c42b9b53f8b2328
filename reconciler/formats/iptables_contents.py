"""Contents: what a ruleset does to packets, apart from counters, remarks and dates.

Two looks at a firewall show the same contents unless somebody has changed it. A table that was only
made ready for use (each chain empty, each policy ACCEPT) has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.formats.iptables import Chain, Rule, Ruleset, Table


def contents(ruleset: Ruleset) -> Mapping[str, Sequence[str]]:
    """Give the lines that count, by table."""
    by_table = {name: _lines(table) for name, table in ruleset.tables.items()}
    for name in ruleset.unreadable | ruleset.partial:
        by_table.setdefault(name, ["?"])
    return {name: lines for name, lines in by_table.items() if lines}


def _lines(table: Table) -> Sequence[str]:
    lines = []
    for item in table.items:
        if isinstance(item, Rule):
            lines.append(f"-A {item.chain} {item.spec}")
        elif isinstance(item, Chain) and item.policy != "ACCEPT":
            lines.append(f":{item.name} {item.policy or '-'}")
    return lines
