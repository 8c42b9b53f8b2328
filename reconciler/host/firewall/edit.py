"""Edit: from what iptables-save printed to the fewest lines that make it what it should be.

Chains of ours are edited by position; our jumps in the kernel's chains are found by their text.
Rules of other sets, and rules of ours whose turn to go has not come, stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.edits import Hook, Present, edits, hook_edits, render_edits
from reconciler.core.object import Key
from reconciler.core.plan import Operation, Verb
from reconciler.core.state import State
from reconciler.formats.iptables import Rule, Ruleset, Table
from reconciler.formats.iptables_mark import identity, parse_rule_mark
from reconciler.formats.iptables_restore import TableEdit
from reconciler.objects import FirewallChain, FirewallJump, FirewallRule
from reconciler.objects.chain import PREFIX
from reconciler.objects.rule import AnyRule

TABLES = ("raw", "mangle", "filter", "nat")
"""In this order: what closes comes before what opens."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a family is to look like after one transaction."""

    rules: Mapping[Key, AnyRule]
    """All that are wanted, by key."""
    make: frozenset[Key]
    """Rules and chains that this transaction makes or moves."""
    remove: frozenset[Key]
    """Rules and chains that it deletes."""
    chains: Mapping[Key, FirewallChain]
    """The chains of `make` and `remove`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line for iptables-restore, and the rule that it writes, if any."""

    text: str
    key: Key | None = None


def make_target(family: int, batch: Sequence[Operation], desired: State) -> Target:
    """Say what a batch of operations on the rules of one family leads to."""
    rules = {
        key: item
        for key, item in desired.objects.items()
        if isinstance(item, FirewallRule | FirewallJump) and item.family == family
    }
    remove = frozenset(op.key for op in batch if op.verb is Verb.DELETE)
    make = frozenset(op.key for op in batch if op.verb is not Verb.DELETE)
    chains = {op.key: op.object for op in batch if isinstance(op.object, FirewallChain)}
    return Target(rules, make, remove, chains)


def plan_edits(ruleset: Ruleset, target: Target) -> list[tuple[TableEdit, list[Line]]]:
    """Give the lines for each table that changes, in the order in which to commit them."""
    found = []
    for name in TABLES:
        table = ruleset.tables.get(name) or Table(f"*{name}", ())
        lines = list(_table(table, name, target))
        if lines:
            undo = list(_undo(table, name, target))
            edit = TableEdit(name, [line.text for line in lines], undo)
            found.append((edit, lines))
    return found


def _table(table: Table, name: str, target: Target) -> Iterator[Line]:
    made, gone = _chains(name, target.make, target), _chains(name, target.remove, target)
    for chain in made:
        if chain not in table.chains:
            yield Line(f":{chain} - [0:0]", _chain_key(chain, name, target))
    touched = _touched(name, target)
    for chain in sorted(touched):
        if chain.startswith(PREFIX) and chain not in gone:
            yield from _own_chain(table, name, chain, target)
    for chain in sorted(touched):
        if not chain.startswith(PREFIX):
            yield from map(Line, _hooks(table, name, chain, target))
    # All are emptied first: they may jump to each other.
    there = [chain for chain in gone if chain in table.chains]
    yield from (Line(f"{verb} {chain}") for verb in ("-F", "-X") for chain in there)


def _chains(table: str, keys: Iterable[Key], target: Target) -> list[str]:
    chains = (target.chains.get(key) for key in keys)
    return sorted(chain.name for chain in chains if chain is not None and chain.table == table)


def _chain_key(chain: str, table: str, target: Target) -> Key | None:
    found = (k for k, c in target.chains.items() if (c.table, c.name) == (table, chain))
    return next(found, None)


def _touched(table: str, target: Target) -> set[str]:
    """Name the chains in which a rule is made or deleted."""
    found = set()
    for key in target.make | target.remove:
        if key.type == "rule":
            label, _, rest = key.name.partition("/")
            if label.removesuffix("6") == table:
                found.add(rest.partition("/")[0])
    return found


def _own_chain(table: Table, name: str, chain: str, target: Target) -> Iterator[Line]:
    have = [identity(rule) for rule in table.rules.get(chain, ())]
    want, texts, keys = _wanted(table.rules.get(chain, ()), name, chain, target)
    changes = edits(have, want)
    lines = render_edits(chain, changes, texts)
    for change, text in zip(changes, lines, strict=True):
        yield Line(text, keys[change.item] if change.item is not None else None)


def _wanted(
    there: Sequence[Rule], table: str, chain: str, target: Target
) -> tuple[list[str], list[str], list[Key | None]]:
    """Give identities, texts and keys of what a chain is to hold."""
    present = {identity(rule): rule for rule in there}
    ours = sorted(
        (
            rule
            for rule in target.rules.values()
            if (rule.table, rule.chain) == (table, chain)
            and (rule.key in target.make or rule.identity in present)
        ),
        key=lambda rule: (rule.order, rule.text),
    )
    known = {rule.identity: rule for rule in ours}
    removed = {key.name.rpartition("/")[2] for key in target.remove if key.type == "rule"}
    removed |= {key.name.split("/", 2)[2] for key in target.remove if key.type == "rule"}
    order = [rule.identity for rule in ours]
    previous: str | None = None
    for rule in there:
        name = identity(rule)
        if name not in known and name not in removed:
            order.insert(order.index(previous) + 1 if previous in order else 0, name)
        previous = name if name in order else previous
    texts = [known[n].text if n in known else present[n].spec for n in order]
    keys = [known[n].key if n in known else None for n in order]
    return order, texts, keys


def _hooks(table: Table, name: str, chain: str, target: Target) -> Sequence[str]:
    """Our jumps in a chain of the kernel; jumps of ours that are not wanted go with the others."""
    have = [
        Present(rule.spec, identity(rule) if parse_rule_mark(rule) else None)
        for rule in table.rules.get(chain, ())
    ]
    there = {rule.identity for rule in have}
    wanted = [
        rule
        for rule in target.rules.values()
        if (rule.table, rule.chain) == (name, chain)
        and (rule.key in target.make or rule.identity in there)
        and rule.key not in target.remove
    ]
    wanted.sort(key=lambda rule: (rule.order, rule.text))
    return hook_edits(chain, have, [Hook(rule.identity, rule.text) for rule in wanted])


def _undo(table: Table, name: str, target: Target) -> Iterator[str]:
    """Lead back to what there was, by way of the rules as they were saved."""
    made = [c for c in _chains(name, target.make, target) if c not in table.chains]
    for chain in _chains(name, target.remove, target):
        if chain in table.chains:
            yield f":{chain} - [0:0]"
    for chain in sorted(_touched(name, target)):
        there = table.rules.get(chain, ())
        if chain in made:
            continue
        if chain.startswith(PREFIX):
            yield f"-F {chain}"
            yield from (f"-A {chain} {rule.spec}" for rule in there)
        else:
            yield from _undo_hooks(there, name, chain, target)
    yield from (f"-F {chain}" for chain in made)
    yield from (f"-X {chain}" for chain in made)


def _undo_hooks(there: Sequence[Rule], table: str, chain: str, target: Target) -> Iterator[str]:
    ours = [(n, rule) for n, rule in enumerate(there, 1) if parse_rule_mark(rule)]
    for rule in target.rules.values():
        if (rule.table, rule.chain) == (table, chain) and rule.key in target.make:
            yield f"-D {chain} {rule.text}"
    moved = {rule.identity for rule in target.rules.values() if rule.key in target.make}
    for number, saved in ours:
        if identity(saved) in moved:
            yield f"-I {chain} {number} {saved.spec}"
