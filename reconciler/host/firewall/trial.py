"""Trial: find the line that the kernel refuses, on a network namespace made to be thrown away.

The legacy backend hands a table over as a whole, and the kernel's refusal names none of its rules.
So the table is built again elsewhere, with ever fewer of the new lines, until one line makes the
difference. Nothing here touches the host's own rules.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.formats.iptables import Ruleset, parse, render
from reconciler.formats.iptables_restore import TableEdit
from reconciler.host.firewall.programs import Programs
from reconciler.host.firewall.save import Saved


def find_refused_line(programs: Programs, path: str, before: Saved, edit: TableEdit) -> int | None:
    """Find which line of *edit* makes the kernel refuse it.

    Args:
        programs: Of this host.
        path: The program iptables-restore of the family and backend.
        before: What was there when the edit was tried.
        edit: What the kernel refused.

    Returns:
        The number of the line, from zero; None where it fails for a reason that the throwaway
        namespace does not have, or has of its own (a rule that speaks of an ipset).
    """
    table = parse(before.text).tables.get(edit.table)
    start = render(Ruleset((table,))) if table else ""

    def accepted(count: int) -> bool:
        text = start + _table_text(edit.table, edit.lines[:count])
        return programs.run(["unshare", "--net", path, "--noflush", "--wait", "10"], text).code == 0

    good, bad = 0, len(edit.lines)
    if not accepted(good) or accepted(bad):
        return None
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if accepted(middle) else (good, middle)
    return good


def _table_text(table: str, lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in (f"*{table}", *lines, "COMMIT"))
