"""Observed firewall: what iptables-save printed, made into chains and rules with their owners.

Only our own chains are read, and our jumps in the kernel's. What all sets share belongs to nobody
while another set has rules here, so that no set takes it away from under another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from reconciler.core.object import KernelObject, Owner
from reconciler.core.state import State
from reconciler.formats.iptables import Rule, Ruleset
from reconciler.formats.iptables_mark import RuleMark, identity, parse_rule_mark
from reconciler.objects.chain import PREFIX, USER, FirewallChain
from reconciler.objects.marks import UNKNOWN
from reconciler.objects.rule import SHARED_RESOURCE, AnyRule, FirewallJump, FirewallRule

Entry = tuple[KernelObject, Owner | None]


def parse_firewall(family: int, ruleset: Ruleset, set_name: str) -> Iterator[Entry]:
    """Yield what is ours in one family."""
    marked = [
        (table.name, rule, parse_rule_mark(rule))
        for table in ruleset.tables.values()
        for rules in table.rules.values()
        for rule in rules
    ]
    sets = {m.set for _, _, m in marked if m is not None and m.resource != SHARED_RESOURCE}
    alone = Owner(set_name, SHARED_RESOURCE) if sets <= {set_name} else None
    others = {
        (table, chain)
        for table, rule, mark in marked
        if mark is not None and mark.set != set_name and mark.resource != SHARED_RESOURCE
        for chain in (rule.chain, _target(rule))
    }
    for table in ruleset.tables.values():
        for name in table.chains:
            if name.startswith(PREFIX):
                # What an administrator has put into his chain keeps it there.
                taken = (table.name, name) in others or (name == USER and name in table.rules)
                owner = None if taken else _chain(name, alone, set_name)
                yield FirewallChain(family, table.name, name), owner
    seen: Counter[tuple[str, str, str]] = Counter()
    length: Counter[tuple[str, str]] = Counter()
    for (table_name, rule, mark), first in zip(marked, _standing_first(marked), strict=True):
        if rule.chain.startswith(PREFIX) or mark is not None:
            place = (table_name, rule.chain, identity(rule))
            seen[place] += 1
            length[place[:2]] += 1
            for item, owner in _rule(family, table_name, rule, mark, alone, set_name):
                # The second of two that are alike is one too many, whoever loaded a copy.
                again = f"{item.identity}~{seen[place]}" if seen[place] > 1 else item.identity
                order = (length[place[:2]],)
                kernels = not rule.chain.startswith(PREFIX)
                misplaced = kernels and not first
                yield (
                    replace(item, identity=again, order=order, misplaced=misplaced),
                    owner if again == item.identity else _surplus(mark, set_name),
                )


def _target(rule: Rule) -> str:
    """Where a rule jumps to: a chain of somebody's that may be empty."""
    return rule.spec.rpartition("-j ")[2]


def _surplus(mark: RuleMark | None, set_name: str) -> Owner:
    """Whose it is to take a second copy away."""
    if mark is None or mark.resource == SHARED_RESOURCE:
        return Owner(set_name, UNKNOWN)
    return Owner(mark.set, UNKNOWN)


def _standing_first(marked: Iterable[tuple[str, Rule, RuleMark | None]]) -> Iterator[bool]:
    """Tell of every rule whether no stranger's rule stands before it in its chain."""
    strangers: set[tuple[str, str]] = set()
    for table, rule, mark in marked:
        yield (table, rule.chain) not in strangers
        if mark is None:
            strangers.add((table, rule.chain))


SHARED_CHAINS = frozenset(
    {
        "RC-FORWARD",
        "RC-USER",
        "RC-CT",
        "RC-INTERNAL",
        "RC-IN",
        "RC-OUT",
        "RC-RAW",
        "RC-DNAT",
        "RC-SNAT",
    }
)


def _chain(name: str, alone: Owner | None, set_name: str) -> Owner | None:
    if name in SHARED_CHAINS:
        return alone
    return Owner(set_name, SHARED_RESOURCE)


def _rule(
    family: int,
    table: str,
    rule: Rule,
    mark: RuleMark | None,
    alone: Owner | None,
    set_name: str,
) -> Iterator[tuple[AnyRule, Owner | None]]:
    if rule.chain == USER:
        return
    fields = (family, table, rule.chain, identity(rule), rule.spec)
    if mark is None:
        # Somebody else's rule in a chain of ours: the chain is ours, so it has to go.
        yield FirewallRule(*fields), Owner(set_name, UNKNOWN)
    elif mark.resource == SHARED_RESOURCE:
        yield FirewallJump(*fields), alone
    else:
        yield FirewallRule(*fields, what=mark.what), Owner(mark.set, mark.resource)


def find_misplaced(desired: State, observed: State) -> State:
    """Say of the observed rules which do not stand where they should.

    In a chain of ours as few as possible are called misplaced (the others keep their counters); in
    one of the kernel's, where strangers have rules, our jump has to be the first.
    """
    have = _by_chain(observed)
    want = _by_chain(desired)
    wrong = {}
    for chain, wanted in want.items():
        if not chain[2].startswith(PREFIX):
            continue  # read off already: a jump of ours stands first, or it does not
        there = have.get(chain, [])
        for rule in _out_of_order(wanted, there):
            wrong[rule.key] = replace(rule, misplaced=True)
    if not wrong:
        return observed
    return replace(observed, objects={**observed.objects, **wrong})


def _by_chain(state: State) -> dict[tuple[int, str, str], list[AnyRule]]:
    found: dict[tuple[int, str, str], list[AnyRule]] = {}
    for item in state.objects.values():
        if isinstance(item, FirewallRule | FirewallJump):
            found.setdefault((item.family, item.table, item.chain), []).append(item)
    return found


def _out_of_order(wanted: Iterable[AnyRule], there: Iterable[AnyRule]) -> Iterator[AnyRule]:
    rank = {r.identity: n for n, r in enumerate(sorted(wanted, key=lambda r: (r.order, r.text)))}
    ordered = sorted(there, key=lambda rule: rule.order)
    present = [rule for rule in ordered if rule.identity in rank]
    kept = longest_rising([rank[rule.identity] for rule in present])
    for number, rule in enumerate(present):
        if number not in kept:
            yield rule


def longest_rising(ranks: list[int]) -> set[int]:
    """Find the positions of a longest rising subsequence (patience sorting)."""
    tails: list[int] = []
    positions: list[int] = []
    before: list[int] = []
    for position, rank in enumerate(ranks):
        at = bisect_left(tails, rank)
        before.append(positions[at - 1] if at else -1)
        tails[at:] = [rank, *tails[at + 1 :]] if at < len(tails) else [rank]
        positions[at:] = [position, *positions[at + 1 :]]
    kept = set()
    position = positions[-1] if positions else -1
    while position >= 0:
        kept.add(position)
        position = before[position]
    return kept
