"""Edit: from what iptables-save printed to the fewest lines that make it what it should be.

Chains of ours are edited by position; our jumps in the kernel's chains are found by their text.
Rules of other sets, and rules of ours whose turn to go has not come, stay where they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
from reconciler.objects.firewall_observed import longest_rising
from reconciler.objects.rule import AnyRule

TABLES = ("raw", "mangle", "filter", "nat")
"""In this order: what closes comes before what opens."""


Place = tuple[str, str]
"""Table and chain."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a family is to look like after one transaction."""

    rules: Mapping[Place, Sequence[AnyRule]]
    """All that are wanted, by chain, in order."""
    make: frozenset[Key]
    """Rules and chains that this transaction makes or moves."""
    removed: Mapping[Place, frozenset[str]]
    """Identities of the rules that it deletes, by chain."""
    chains: Mapping[Place, Key]
    """The chains that it makes or deletes."""
    gone: frozenset[Place]
    """Those of them that it deletes."""

    def touched(self, table: str) -> list[str]:
        """Name the chains of a table in which a rule is made or deleted, in order."""
        found = {chain for name, chain in self.removed if name == table}
        for (name, chain), rules in self.rules.items():
            if name == table and any(rule.key in self.make for rule in rules):
                found.add(chain)
        return sorted(found)

    def made_in(self, table: Table, name: str) -> list[str]:
        """Name the chains that are made and not there yet."""
        wanted = (chain for place, chain in self.chains if place == name)
        return sorted(
            chain
            for chain in wanted
            if (name, chain) not in self.gone and chain not in table.chains
        )

    def gone_from(self, table: Table, name: str) -> list[str]:
        """Name the chains that are deleted and still there."""
        return sorted(
            chain for place, chain in self.gone if place == name and chain in table.chains
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One line for iptables-restore, and the rule or chain that it is about, if any."""

    text: str
    key: Key | None = None


def make_target(family: int, batch: Iterable[Operation], desired: State) -> Target:
    """Say what a batch of operations on the rules of one family leads to."""
    rules: dict[Place, list[AnyRule]] = {}
    for item in desired.objects.values():
        if isinstance(item, FirewallRule | FirewallJump) and item.family == family:
            rules.setdefault((item.table, item.chain), []).append(item)
    for found in rules.values():
        found.sort(key=lambda rule: (rule.order, rule.text))
    make: set[Key] = set()
    removed: dict[Place, set[str]] = {}
    chains: dict[Place, Key] = {}
    gone: set[Place] = set()
    for operation in batch:
        item = operation.object
        if operation.verb is not Verb.DELETE:
            make.add(operation.key)
        if isinstance(item, FirewallChain):
            chains[item.table, item.name] = operation.key
            if operation.verb is Verb.DELETE:
                gone.add((item.table, item.name))
        elif isinstance(item, FirewallRule | FirewallJump) and operation.verb is Verb.DELETE:
            removed.setdefault((item.table, item.chain), set()).add(item.identity)
    frozen = {place: frozenset(names) for place, names in removed.items()}
    return Target(rules, frozenset(make), frozen, chains, frozenset(gone))


def plan_edits(ruleset: Ruleset, target: Target) -> list[tuple[TableEdit, list[Line]]]:
    """Give the lines for each table that changes, in the order in which they are to be committed."""
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
    gone = target.gone_from(table, name)
    for chain in target.made_in(table, name):
        yield Line(f":{chain} - [0:0]", target.chains[name, chain])
    touched = target.touched(name)
    for chain in touched:
        if chain.startswith(PREFIX) and chain not in gone:
            yield from _own_chain(table, (name, chain), target)
    for chain in touched:
        if not chain.startswith(PREFIX):
            yield from _hooks(table, (name, chain), target)
    # All are emptied first: they may jump to each other.
    for verb in ("-F", "-X"):
        yield from (Line(f"{verb} {chain}", target.chains[name, chain]) for chain in gone)


def _own_chain(table: Table, place: Place, target: Target) -> Iterator[Line]:
    _, chain = place
    there = table.rules.get(chain, ())
    have = [identity(rule) for rule in there]
    want, texts, keys = _wanted(there, place, target)
    changes = edits(have, want)
    lines = render_edits(chain, changes, texts)
    for change, text in zip(changes, lines, strict=True):
        yield Line(text, keys[change.item] if change.item is not None else None)


def _wanted(
    there: Sequence[Rule], place: Place, target: Target
) -> tuple[list[str], list[str], list[Key | None]]:
    """Give identities, texts and keys of what a chain is to hold."""
    present = {identity(rule): rule for rule in there}
    wanted = target.rules.get(place, ())
    known = {r.identity: r for r in wanted if r.key in target.make or r.identity in present}
    removed = target.removed.get(place, frozenset())
    order = _merge([identity(rule) for rule in there], list(known), removed)
    texts = [known[n].text if n in known else present[n].spec for n in order]
    keys = [known[n].key if n in known else None for n in order]
    return order, texts, keys


def _merge(there: Sequence[str], ours: Sequence[str], removed: Collection[str]) -> list[str]:
    """Put our rules in order around those of others, which stay as they are among themselves.

    Others follow the rule of ours that they follow now, if that can stay where it is: so a longest
    common part of the old and the new chain has all of them, and no line is about them.
    """
    rank = {name: number for number, name in enumerate(ours)}
    places = [at for at, name in enumerate(there) if name in rank]
    kept = {places[n] for n in longest_rising([rank[there[at]] for at in places])}
    followers: dict[int, list[str]] = {}
    last = -1
    for at, name in enumerate(there):
        if at in kept:
            last = rank[name]
        elif name not in rank and name not in removed:
            followers.setdefault(last, []).append(name)
    merged = list(followers.get(-1, ()))
    for number, name in enumerate(ours):
        merged += [name, *followers.get(number, ())]
    return merged


def _hooks(table: Table, place: Place, target: Target) -> Iterator[Line]:
    """Our jumps in a chain of the kernel; jumps of ours that are not wanted go with the others."""
    wanted = _wanted_hooks(table, place, target)
    _, chain = place
    have = [
        Present(rule.spec, identity(rule) if parse_rule_mark(rule) else None)
        for rule in table.rules.get(chain, ())
    ]
    lines = hook_edits(chain, have, [Hook(rule.identity, rule.text) for rule in wanted])
    puts = len(lines) - len(wanted) if lines else 0
    for number, text in enumerate(lines):
        yield Line(text, wanted[number - puts].key if number >= puts else None)


def _wanted_hooks(table: Table, place: Place, target: Target) -> list[AnyRule]:
    there = {identity(rule) for rule in table.rules.get(place[1], ())}
    return [
        rule
        for rule in target.rules.get(place, ())
        if (rule.key in target.make or rule.identity in there)
        and rule.identity not in target.removed.get(place, ())
    ]


def _undo(table: Table, name: str, target: Target) -> Iterator[str]:
    """Lead back to what there was, by way of the rules as they were saved."""
    made, gone = target.made_in(table, name), target.gone_from(table, name)
    touched = target.touched(name)
    own = sorted({c for c in touched if c.startswith(PREFIX) and c not in made} | set(gone))
    yield from (f":{chain} - [0:0]" for chain in gone)
    yield from (f"-F {chain}" for chain in own if chain in table.chains and chain not in gone)
    for chain in own:
        yield from (f"-A {chain} {rule.spec}" for rule in table.rules.get(chain, ()))
    for chain in touched:
        if not chain.startswith(PREFIX):
            yield from _undo_hooks(table, (name, chain), target)
    yield from (f"-F {chain}" for chain in made)
    yield from (f"-X {chain}" for chain in made)


def _undo_hooks(table: Table, place: Place, target: Target) -> Iterator[str]:
    """Take out what `_hooks` has put in, and put what it took out where it was."""
    if not any(_hooks(table, place, target)):
        return
    _, chain = place
    yield from (f"-D {chain} {rule.text}" for rule in _wanted_hooks(table, place, target))
    for number, saved in enumerate(table.rules.get(chain, ()), 1):
        if parse_rule_mark(saved):
            yield f"-I {chain} {number} {saved.spec}"
