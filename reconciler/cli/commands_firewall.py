"""Commands for the firewall: one `iptables-restore` per family, as `apply` gives it.

A table changes as a whole or not at all, which single calls of iptables(8) could not promise. What
stands in our chains is what was observed, and then what earlier commands of the script have made of
it. Rules of strangers are not known; of them only counts whether one stands before a jump of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from reconciler.cli.shell import TRY, here, line
from reconciler.core.plan import Operation
from reconciler.core.state import State
from reconciler.formats.iptables import Ruleset, parse
from reconciler.formats.iptables_restore import TableEdit, render_restore
from reconciler.host.firewall.edit import make_target, plan_edits
from reconciler.objects import FirewallChain, FirewallJump, FirewallRule
from reconciler.objects.chain import PREFIX, USER

PROGRAMS = {4: "iptables", 6: "ip6tables"}
_STRANGER = "-m comment --comment stranger"


@dataclass(slots=True)
class Rules:
    """What one family holds, as far as it concerns us: chains by table and name, rules in order."""

    tables: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def ruleset(self) -> Ruleset:
        """Read it as if iptables-save had printed it."""
        lines: list[str] = []
        for table, chains in self.tables.items():
            lines.append(f"*{table}")
            for chain in chains:
                policy = "-" if chain.startswith(PREFIX) else "ACCEPT"
                lines.append(f":{chain} {policy} [0:0]")
            lines += [f"-A {chain} {spec}" for chain, specs in chains.items() for spec in specs]
            lines.append("COMMIT")
        return parse("".join(f"{text}\n" for text in lines))

    def carry_out(self, edit: TableEdit) -> None:
        """Do what lines for iptables-restore do."""
        chains = self.tables.setdefault(edit.table, {})
        for text in edit.lines:
            if text.startswith(":"):
                chains[text[1:].split(" ", 1)[0]] = []
                continue
            verb, chain, *rest = text.split(" ", 2)
            _edit(chains, verb, chain, rest[0] if rest else "")


def _edit(chains: dict[str, list[str]], verb: str, chain: str, rest: str) -> None:
    """Carry out one line, numbers counted from one (iptables(8))."""
    if verb == "-X":
        chains.pop(chain, None)
        return
    specs = chains.setdefault(chain, [])
    number, _, spec = rest.partition(" ")
    match verb:
        case "-A":
            specs.append(rest)
        case "-I":
            specs.insert(int(number) - 1, spec)
        case "-R":
            specs[int(number) - 1] = spec
        case "-F":
            specs.clear()
        case "-D" if rest.isdecimal():
            del specs[int(rest) - 1]
        case _:
            specs.remove(rest)


def read_rules(observed: State) -> dict[int, Rules]:
    """Collect what was observed of both families."""
    found = {family: Rules() for family in PROGRAMS}
    rules: list[FirewallRule | FirewallJump] = []
    for item in observed.objects.values():
        if isinstance(item, FirewallChain):
            found[item.family].tables.setdefault(item.table, {}).setdefault(item.name, [])
        elif isinstance(item, FirewallRule | FirewallJump):
            rules.append(item)
    for rule in sorted(rules, key=lambda rule: rule.order):
        specs = found[rule.family].tables.setdefault(rule.table, {}).setdefault(rule.chain, [])
        if rule.misplaced and not rule.chain.startswith(PREFIX):
            specs.append(_STRANGER)
        specs.append(rule.text)
    return found


def write_firewall(
    batch: Sequence[Operation], desired: State, rules: dict[int, Rules]
) -> Iterator[str]:
    """Carry out operations on chains and rules that follow each other; *rules* are kept up."""
    for family, program in PROGRAMS.items():
        mine = [op for op in batch if getattr(op.object, "family", 0) == family]
        target = make_target(family, mine, desired)
        edits = [edit for edit, _ in plan_edits(rules[family].ruleset(), target)]
        yield from _restore(program, edits)
        for edit in edits:
            rules[family].carry_out(edit)


def _restore(program: str, edits: Iterable[TableEdit]) -> Iterator[str]:
    kept = []
    for edit in edits:
        # To declare a chain is to empty it, and this one is the administrator's.
        lines = [text for text in edit.lines if not text.startswith(f":{USER} ")]
        if len(lines) < len(edit.lines):
            yield line(TRY, program, "-w", "-t", edit.table, "-N", USER)
        kept.append(edit._replace(lines=lines))
    text = render_restore(kept)
    if text:
        yield f"{line(f'{program}-restore', '--noflush', '--wait')} {here(text)}"
