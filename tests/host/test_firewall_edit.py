"""Edits of a firewall: exactly there, nothing of others touched, and back again.

What there is and what is wanted is drawn at random: chains and rules of ours and of another set,
copies, moves, strangers' rules in our chains and ours in the kernel's. A filter in memory carries
the lines out as iptables-restore does.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.diff import diff
from reconciler.core.object import KernelObject, Owner
from reconciler.core.plan import Operation, make_plan
from reconciler.core.policy import decide
from reconciler.core.state import State
from reconciler.formats.iptables import Rule, parse
from reconciler.formats.iptables_mark import identity, parse_rule_mark
from reconciler.host.firewall.edit import make_target, plan_edits
from reconciler.objects import FirewallChain, FirewallJump, FirewallRule
from reconciler.objects.firewall_observed import find_misplaced, parse_firewall
from reconciler.objects.rule import SHARED_RESOURCE, make_jump, make_rule
from tests.netfilter import KERNELS, Filter, RefusedError, respell

MINE, THEIRS = "mine", "theirs"
SHARED = Owner(MINE, SHARED_RESOURCE)
HOOKS = (
    make_jump((4, "raw", "PREROUTING"), ("-j", "RC-RAW"), (0,)),
    make_jump((4, "filter", "FORWARD"), ("-j", "RC-FORWARD"), (0,)),
    make_jump((4, "nat", "PREROUTING"), ("-j", "RC-DNAT"), (0,)),
)
ROOTS = {"raw": "RC-RAW", "filter": "RC-FORWARD", "nat": "RC-DNAT"}
LEAVES = ("RC-A", "RC-B")


def ports(set_name: str, table: str, chain: str, numbers: Sequence[int]) -> list[FirewallRule]:
    """Rules that stand in this order, each with its own number."""
    return [
        make_rule(
            (4, table, chain),
            ("-p", "tcp", "--dport", str(number), "-j", "ACCEPT" if number % 2 else "DROP"),
            (set_name, "Container/web"),
            order=(place,),
            what=f"{number}->80/tcp",
        )
        for place, number in enumerate(numbers)
    ]


def jumps(set_name: str, table: str, targets: Sequence[str]) -> list[FirewallRule]:
    return [
        make_rule(
            (4, table, ROOTS[table]),
            ("-j", target),
            (set_name, "Container/web"),
            order=(100, target),
        )
        for target in targets
    ]


numbers = st.lists(st.integers(1, 9), max_size=6, unique=True)


@st.composite
def worlds(draw: st.DrawFn, set_name: str = MINE) -> list[KernelObject]:
    """What a set wants: nothing, or the frame that all need, rules at the roots, and in leaves."""
    found: dict[object, KernelObject] = {}
    if draw(st.integers(0, 5)) == 0:
        return []
    roots = [FirewallChain(4, table, root) for table, root in ROOTS.items()]
    found |= {item.key: item for item in (*HOOKS, *roots)}
    for table, root in ROOTS.items():
        leaves = draw(st.lists(st.sampled_from(LEAVES), unique=True, max_size=2))
        at_root = ports(set_name, table, root, draw(numbers))
        names = [f"{leaf}-{set_name}" for leaf in leaves]
        rules = [*at_root, *jumps(set_name, table, names)]
        for name in names:
            rules += ports(set_name, table, name, draw(numbers))
        chains = [FirewallChain(4, table, name) for name in names]
        found |= {item.key: item for item in (*rules, *chains)}
    return list(found.values())


def as_state(items: Sequence[KernelObject], set_name: str) -> State:
    return State.of((item, owner_of(item, set_name)) for item in items)


def owner_of(item: KernelObject, set_name: str) -> Owner:
    if isinstance(item, FirewallJump | FirewallChain):
        return Owner(set_name, SHARED_RESOURCE)
    return Owner(set_name, "Container/web")


FOREIGN = ("-s 192.0.2.0/24 -j DROP", "-j DOCKER-USER", '-m comment --comment "RC-A" -j RETURN')


@st.composite
def hosts(draw: st.DrawFn) -> Filter:
    """A host with strangers' rules, another set's, ours from before, and what drift made of them."""
    host = Filter()
    host.tables["filter"]["DOCKER-USER"] = draw(st.lists(st.sampled_from(FOREIGN), max_size=2))
    for set_name in draw(st.sampled_from([[], [MINE], [THEIRS], [MINE, THEIRS], [THEIRS, MINE]])):
        for item in draw(worlds(set_name)):
            if isinstance(item, FirewallChain):
                host.tables[item.table].setdefault(item.name, [])
            elif isinstance(item, FirewallRule | FirewallJump):
                rules = host.tables[item.table].setdefault(item.chain, [])
                if respell(item.text) not in rules:
                    rules.append(respell(item.text))
    for table, chains in host.tables.items():
        for chain, rules in chains.items():
            if chain.startswith("RC-") or chain in ("FORWARD", "PREROUTING"):
                chains[chain] = drift(draw, table, chain, rules)
    return host


def drift(draw: st.DrawFn, table: str, chain: str, rules: list[str]) -> list[str]:
    """Lose some, move some, copy some, and put strangers' rules between them."""
    kept = [rule for rule in rules if draw(st.integers(0, 9))]
    if draw(st.integers(0, 2)) == 0:
        kept = draw(st.permutations(kept))
    if kept and draw(st.integers(0, 3)) == 0:
        kept.append(draw(st.sampled_from(kept)))
    for _ in range(draw(st.integers(0, 2))):
        text = draw(st.sampled_from([f for f in FOREIGN if table == "filter" or "DOCKER" not in f]))
        kept.insert(draw(st.integers(0, len(kept))), text)
    return kept


def pass_over(host: Filter, desired: State) -> list[Operation]:
    """What a pass of our set would do to the firewall."""
    observed = State.of(parse_firewall(4, parse(host.save()), MINE))
    observed = find_misplaced(desired, observed)
    changes = decide(diff(desired, observed, MINE), desired, observed).changes
    return list(make_plan(changes, desired, observed).operations)


def edits_of(host: Filter, desired: State) -> list:
    batch = pass_over(host, desired)
    return [edit for edit, _ in plan_edits(parse(host.save()), make_target(4, batch, desired))]


def texts(host: Filter, keep: object) -> dict[tuple[str, str], list[str]]:
    """The rules of each chain that are of some sort, in order; chains without any are left out."""
    found = {
        (table, chain): [r for r in rules if keep(chain, Rule(f"-A {chain} {r}", chain))]  # type: ignore[operator]
        for table, chains in host.tables.items()
        for chain, rules in chains.items()
    }
    return {place: rules for place, rules in found.items() if rules}


def is_theirs(chain: str, rule: Rule) -> bool:
    mark = parse_rule_mark(rule)
    return mark is not None and mark.set == THEIRS


def is_strangers(chain: str, rule: Rule) -> bool:
    return parse_rule_mark(rule) is None and not chain.startswith("RC-")


def is_mine(chain: str, rule: Rule) -> bool:
    mark = parse_rule_mark(rule)
    return mark is not None and mark.set == MINE


def is_shared(chain: str, rule: Rule) -> bool:
    mark = parse_rule_mark(rule)
    return mark is not None and mark.resource == SHARED_RESOURCE


def names(rules: dict[tuple[str, str], list[str]]) -> dict[tuple[str, str], list[str]]:
    return {
        place: [identity(Rule(f"-A {place[1]} {r}", place[1])) for r in found]
        for place, found in rules.items()
    }


def wanted(items: Sequence[KernelObject], kind: type) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list] = {}
    for item in items:
        if isinstance(item, kind):
            found.setdefault((item.table, item.chain), []).append(item)  # type: ignore[attr-defined]
    return {
        place: [r.identity for r in sorted(rules, key=lambda r: (r.order, r.text))]
        for place, rules in found.items()
    }


@settings(max_examples=250, deadline=None)
@given(host=hosts(), items=worlds())
def test_edits_lead_exactly_there_and_touch_nothing_of_others(host: Filter, items: list):
    desired = as_state(items, MINE)
    before = host.copy()

    host.restore(edits_of(host, desired))

    assert names(texts(host, is_mine)) == wanted(items, FirewallRule)
    assert texts(host, is_strangers) == texts(before, is_strangers)
    assert texts(host, is_theirs) == texts(before, is_theirs)
    hooks = {(hook.table, hook.chain): hook.identity for hook in HOOKS}
    alone = not texts(before, is_theirs)
    for (table, chain), hook in hooks.items():
        found = [identity(Rule(f"-A {chain} {r}", chain)) for r in host.tables[table][chain]]
        if items:
            assert found[:1] == [hook]
        if items or alone:
            assert found.count(hook) == bool(items)
    declared = {(i.table, i.name) for i in items if isinstance(i, FirewallChain)}
    there = {(t, c) for t, cs in host.tables.items() for c in cs if c.startswith("RC-")}
    assert declared <= there
    if alone:
        assert there == declared
    in_ours = texts(host, lambda chain, rule: chain.startswith("RC-") and not parse_rule_mark(rule))
    assert in_ours == {}


@settings(max_examples=100, deadline=None)
@given(host=hosts(), items=worlds())
def test_a_second_pass_has_nothing_to_do(host: Filter, items: list):
    desired = as_state(items, MINE)
    host.restore(edits_of(host, desired))

    assert [str(step) for step in pass_over(host, desired)] == []


@settings(max_examples=150, deadline=None)
@given(host=hosts(), items=worlds())
def test_the_undo_of_every_table_leads_back_to_the_last_rule(host: Filter, items: list):
    """Whatever fails later: hooks are where they were, chains that were deleted have their rules."""
    desired = as_state(items, MINE)
    edits = edits_of(host, desired)
    for number in range(len(edits) + 1):
        work = host.copy()
        work.restore(edits[:number])
        work.restore(reversed(edits[:number]), undo=True)

        for table, chains in host.tables.items():
            assert work.tables[table] == chains


@settings(max_examples=150, deadline=None)
@given(host=hosts())
def test_a_set_that_wants_nothing_takes_all_of_its_own_away(host: Filter):
    before = host.copy()

    host.restore(edits_of(host, State()))

    assert texts(host, is_mine) == {}
    assert texts(host, is_theirs) == texts(before, is_theirs)
    assert texts(host, is_strangers) == texts(before, is_strangers)
    if not texts(before, is_theirs):
        assert [c for cs in host.tables.values() for c in cs if c.startswith("RC-")] == []


@settings(max_examples=150, deadline=None)
@given(items=worlds(), more=worlds())
def test_an_edit_writes_only_what_has_changed(items: list, more: list):
    """Rules that both have are in no line, so that their counters live."""
    host = Filter()
    host.restore(edits_of(host, as_state(items, MINE)))

    edits = edits_of(host, as_state(more, MINE))

    both = {getattr(i, "identity", "") for i in items} & {getattr(i, "identity", "") for i in more}
    written = " ".join(line for edit in edits for line in edit.lines if not line.startswith("-D"))
    moved = {
        name
        for place, rules in wanted(more, FirewallRule).items()
        for name in rules
        if not keeps_order(wanted(items, FirewallRule).get(place, []), rules, both)
    }
    assert not [name for name in both - moved - {""} if name in written]


def keeps_order(old: list[str], new: list[str], both: set[str]) -> bool:
    return [n for n in old if n in both] == [n for n in new if n in both]


def test_what_closes_is_committed_before_what_opens():
    rules = [ports(MINE, table, root, [1])[0] for table, root in ROOTS.items()]
    chains = [FirewallChain(4, table, root) for table, root in ROOTS.items()]

    edits = edits_of(Filter(), as_state([*rules, *chains], MINE))

    assert [edit.table for edit in edits] == ["raw", "filter", "nat"]


def test_lines_know_which_rule_or_chain_they_are_about():
    rule, hook = ports(MINE, "filter", "RC-FORWARD", [1])[0], HOOKS[1]
    chain = FirewallChain(4, "filter", "RC-FORWARD")
    desired = as_state([rule, hook, chain], MINE)
    host = Filter()
    host.tables["filter"]["FORWARD"] = [
        make_jump((4, "filter", "FORWARD"), ("-j", "RC-OLD"), (0,)).text
    ]
    host.tables["filter"]["RC-OLD"] = []

    batch = pass_over(host, desired)
    ((_, lines),) = plan_edits(parse(host.save()), make_target(4, batch, desired))

    found = [(line.text.split()[0], line.key) for line in lines]
    old = FirewallChain(4, "filter", "RC-OLD").key
    assert found == [
        (":RC-FORWARD", chain.key),
        ("-A", rule.key),
        ("-D", None),
        ("-I", hook.key),
        ("-F", old),
        ("-X", old),
    ]


def test_a_line_for_each_chain_of_thousands_is_found_in_no_time():
    """Once for each rule, and not for each rule and chain: 16,000 ports are a second, not minutes."""
    chains = [FirewallChain(4, "nat", f"RC-{n}") for n in range(3000)]
    rules = [r for c in chains for r in ports(MINE, "nat", c.name, [1, 2, 3])]
    looked = 0

    class Counted(dict):
        def values(self):
            nonlocal looked
            looked += 1
            return super().values()

    state = as_state([*chains, *rules], MINE)
    desired = State(Counted(state.objects), state.owners)
    batch = pass_over(Filter(), state)
    target = make_target(4, batch, desired)
    ((edit, lines),) = plan_edits(parse(Filter().save()), target)

    assert looked == 1
    assert len(lines) == len(edit.lines) == 12000


@pytest.mark.parametrize(
    "line", ["-A RC-NONE -j DROP", "-D FORWARD 1", "-D FORWARD -j X", "-X FORWARD"]
)
def test_the_filter_in_memory_refuses_what_iptables_does(line: str):
    with pytest.raises(RefusedError):
        _restore_line(line)


def _restore_line(line: str) -> None:
    from reconciler.formats.iptables_restore import TableEdit

    Filter().restore([TableEdit("filter", [line])])


assert set(ROOTS) < set(KERNELS)
