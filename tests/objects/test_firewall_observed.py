"""What iptables-save printed, as chains and rules: whose they are, and whether they stand right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.diff import Action, diff
from reconciler.core.object import Owner
from reconciler.core.state import State
from reconciler.formats.iptables import parse
from reconciler.objects import FirewallChain, FirewallJump, FirewallRule
from reconciler.objects.firewall_observed import find_misplaced, parse_firewall
from reconciler.objects.rule import SHARED_RESOURCE, AnyRule, make_jump, make_rule

SHARED = Owner("mine", SHARED_RESOURCE)


def rule(
    words: str,
    owner: tuple[str, str] = ("mine", "Bridge/br0"),
    chain: str = "RC-OUT",
    table: str = "filter",
    order: int = 0,
    what: str = "",
) -> FirewallRule:
    return make_rule((4, table, chain), tuple(words.split()), owner, order=(order,), what=what)


def jump(chain: str, target: str, order: int = 0) -> FirewallJump:
    return make_jump((4, "filter", chain), ("-j", target), (order,))


def saved(*rules: AnyRule | str, chains: Sequence[str] = (), table: str = "filter") -> str:
    """A table with these rules, and chains that need no rule to be there."""
    names = list(dict.fromkeys([*chains, *(chain_of(one) for one in rules)]))
    lines = [f":{name} {'-' if name.startswith('RC') else 'ACCEPT'} [0:0]" for name in names]
    lines += [one if isinstance(one, str) else f"-A {one.chain} {one.text}" for one in rules]
    return "".join(f"{line}\n" for line in (f"*{table}", *lines, "COMMIT"))


def chain_of(one: AnyRule | str) -> str:
    return one.split()[1] if isinstance(one, str) else one.chain


def observe(text: str, set_name: str = "mine", family: int = 4) -> State:
    return State.of(parse_firewall(family, parse(text), set_name))


def owners(text: str, set_name: str = "mine") -> dict[str, Owner | None]:
    observed = observe(text, set_name)
    return {key.name: observed.owners.get(key) for key in observed.objects}


OURS = rule("-i br0 -j ACCEPT")
THEIRS = rule("-i br9 -j ACCEPT", ("theirs", "Bridge/br9"))
FRAME = jump("RC-FORWARD", "RC-OUT")
HOOK = jump("FORWARD", "RC-FORWARD")


def test_rules_are_known_by_their_mark_whatever_iptables_makes_of_their_words():
    published = rule(
        "-p tcp --dport 8080 -j DNAT --to-destination 10.0.0.2:80",
        ("mine", "Container/web"), "RC-DNAT-1", "nat", what="8080->80/tcp",
    )  # fmt: skip
    respelt = published.text.replace("-p tcp", "-p tcp -m tcp")

    observed = observe(saved(f"-A RC-DNAT-1 {respelt}", table="nat"))

    found = observed.objects[published.key]
    assert isinstance(found, FirewallRule)
    assert (found.what, found.text, found.misplaced) == ("8080->80/tcp", respelt, False)
    assert observed.owners[published.key] == Owner("mine", "Container/web")


def test_a_family_has_tables_of_its_own():
    observed = observe(saved(OURS), family=6)
    assert {key.name.partition("/")[0] for key in observed.objects} == {"filter6"}


def test_rules_of_strangers_and_their_chains_are_not_read():
    text = saved("-A FORWARD -j DOCKER", "-A DOCKER -j RETURN", HOOK, chains=["RC-FORWARD"])
    assert set(owners(text)) == {"filter/RC-FORWARD", HOOK.key.name}


def test_what_all_sets_share_is_ours_where_no_other_set_has_rules():
    text = saved(HOOK, FRAME, OURS, chains=["RC-USER"])

    assert owners(text) == {
        "filter/RC-USER": SHARED,
        "filter/RC-FORWARD": SHARED,
        "filter/RC-OUT": SHARED,
        HOOK.key.name: SHARED,
        FRAME.key.name: SHARED,
        OURS.key.name: Owner("mine", "Bridge/br0"),
    }


def test_what_all_sets_share_is_nobodys_while_another_set_has_rules():
    text = saved(HOOK, FRAME, OURS, THEIRS, chains=["RC-USER"])
    shared = ("filter/RC-USER", "filter/RC-FORWARD", "filter/RC-OUT", HOOK.key.name, FRAME.key.name)

    for set_name in ("mine", "theirs"):
        found = owners(text, set_name)
        assert {found[name] for name in shared} == {None}
        assert found[OURS.key.name] == Owner("mine", "Bridge/br0")
        assert found[THEIRS.key.name] == Owner("theirs", "Bridge/br9")


def test_what_is_shared_is_of_whoever_looks_where_no_set_has_rules():
    """Left over by a run that was killed: the next one that has nothing to share takes it away."""
    found = owners(saved(HOOK, FRAME, chains=["RC-OUT"]))
    assert set(found.values()) == {SHARED}


def test_a_chain_with_another_sets_rules_is_not_ours():
    own = "RC-IN-br9"
    inside = rule("-j DROP", ("theirs", "Bridge/br9"), own)
    found = owners(saved(OURS, inside))
    assert found[f"filter/{own}"] is None
    assert owners(saved(OURS, inside), "theirs")[f"filter/{own}"] == Owner(
        "theirs", SHARED_RESOURCE
    )


def test_an_empty_chain_that_another_set_jumps_to_is_not_ours():
    """To delete it would be refused, pass after pass: a rule leads there."""
    inside = rule("-j RC-AC-br9", ("theirs", "Bridge/br9"), "RC-IN-br9")
    text = saved(OURS, inside, chains=["RC-AC-br9"])

    assert owners(text)["filter/RC-AC-br9"] is None
    assert owners(text, "theirs")["filter/RC-AC-br9"] == Owner("theirs", SHARED_RESOURCE)


def test_an_empty_chain_that_nobody_leads_to_is_ours():
    assert owners(saved(OURS, chains=["RC-IN-br7"]))["filter/RC-IN-br7"] == SHARED


def test_the_administrators_chain_is_his_while_he_has_rules_in_it():
    text = saved("-A RC-USER -s 192.0.2.0/24 -j DROP", OURS)
    found = owners(text)
    assert found["filter/RC-USER"] is None
    assert not [name for name in found if name.startswith("filter/RC-USER/")]


def test_a_strangers_rule_in_a_chain_of_ours_has_to_go():
    observed = observe(saved("-A RC-OUT -s 192.0.2.0/24 -j ACCEPT", OURS))

    (change,) = diff(
        State.of([(OURS, Owner("mine", "Bridge/br0"))]), without_chains(observed), "mine"
    )

    assert change.action is Action.DELETE
    assert change.key.name == "filter/RC-OUT/-s 192.0.2.0/24 -j ACCEPT"
    assert change.owner == Owner("mine", "?")


def without_chains(state: State) -> State:
    return State(
        {key: item for key, item in state.objects.items() if not isinstance(item, FirewallChain)},
        {key: owner for key, owner in state.owners.items() if key.type != "chain"},
    )


@pytest.mark.parametrize(
    ("copied", "owner"),
    [
        (OURS, Owner("mine", "?")),
        (THEIRS, Owner("theirs", "?")),
        (FRAME, Owner("mine", "?")),
        (HOOK, Owner("mine", "?")),
    ],
    ids=["ours", "theirs", "shared", "hook"],
)
def test_a_second_copy_has_to_go_by_the_hand_of_its_set(copied: AnyRule, owner: Owner):
    """Somebody has loaded a saved ruleset on top of what is there."""
    observed = observe(saved(HOOK, FRAME, OURS, THEIRS, copied, copied))

    copies = [k for k in observed.objects if k.name.startswith(f"{copied.key.name}~")]
    assert [key.name.rpartition("~")[2] for key in copies] == ["2", "3"]
    assert {observed.owners[key] for key in copies} == {owner}
    assert copied.key in observed.objects


def test_a_hook_stands_wrong_where_a_strangers_rule_is_before_it():
    before, after = saved("-A FORWARD -j DROP", HOOK), saved(HOOK, "-A FORWARD -j DROP")

    assert observe(before).objects[HOOK.key].misplaced is True  # type: ignore[attr-defined]
    assert observe(after).objects[HOOK.key].misplaced is False  # type: ignore[attr-defined]
    desired = State.of([(HOOK, SHARED)])
    (change,) = diff(desired, without_chains(observe(before)), "mine")
    assert [d.field for d in change.differences] == ["misplaced"]


def test_another_tables_chain_of_the_same_name_says_nothing_about_a_hook():
    hook = make_jump((4, "nat", "PREROUTING"), ("-j", "RC-DNAT"), (0,))
    text = saved("-A PREROUTING -j DROP", table="raw") + saved(hook, table="nat")

    assert observe(text).objects[hook.key].misplaced is False  # type: ignore[attr-defined]


def numbered(numbers: Sequence[int]) -> list[FirewallRule]:
    return [rule(f"-i br{n} -j ACCEPT", order=n) for n in numbers]


def misplaced(there: Sequence[AnyRule | str], wanted: Sequence[AnyRule]) -> list[str]:
    desired = State.of((one, Owner("mine", "Bridge/br0")) for one in wanted)
    found = find_misplaced(desired, observe(saved(*there)))
    wrong = (r for r in found.objects.values() if getattr(r, "misplaced", None))
    return sorted(str(r.key.name.rpartition("/")[2]) for r in wrong)


def names(rules: Sequence[AnyRule]) -> list[str]:
    return sorted(one.identity for one in rules)


def test_rules_in_their_order_stand_right_whatever_stands_between_them():
    ones = numbered([1, 2, 3])
    assert misplaced([ones[0], THEIRS, ones[1], "-A RC-OUT -j DROP", ones[2]], ones) == []


def test_of_rules_out_of_order_as_few_as_possible_stand_wrong():
    ones = numbered([1, 2, 3, 4])
    assert misplaced([ones[3], *ones[:3]], ones) == names([ones[3]])
    assert misplaced([ones[0], ones[2], ones[1], ones[3]], ones) in (
        names([ones[2]]),
        names([ones[1]]),
    )
    assert len(misplaced(ones[::-1], ones)) == 3


def test_rules_that_nobody_wants_any_more_move_nobody():
    ones = numbered([1, 2])
    assert misplaced([*numbered([9, 8, 7]), *ones], ones) == []


@given(st.permutations(range(7)), st.sets(st.integers(0, 6)))
def test_what_stands_right_is_a_longest_rising_part(order: list[int], wanted: set[int]):
    ones = numbered(range(7))
    wrong = misplaced([ones[n] for n in order], [ones[n] for n in wanted])

    present = [n for n in order if n in wanted]
    kept = [n for n in present if ones[n].identity not in wrong]
    assert kept == sorted(kept)
    assert len(kept) == longest_rising(present)


def longest_rising(numbers: Sequence[int]) -> int:
    best: list[int] = []
    for at, number in enumerate(numbers):
        best.append(1 + max((best[n] for n in range(at) if numbers[n] < number), default=0))
    return max(best, default=0)


def test_nothing_is_copied_where_all_stands_right():
    observed = observe(saved(*numbered([1, 2])))
    desired = State.of((one, Owner("mine", "Bridge/br0")) for one in numbered([1, 2]))
    assert find_misplaced(desired, observed) is observed


def test_what_was_made_is_what_is_observed():
    """Of both kinds of rules and in both families: no difference, and nothing is surplus."""
    rules = [HOOK, FRAME, OURS, rule("-i br0 -j DROP", order=1)]
    chains = [FirewallChain(4, "filter", name) for name in ("RC-FORWARD", "RC-OUT")]
    desired = State.of(
        [(one, SHARED) for one in (*chains, HOOK, FRAME)]
        + [(one, Owner("mine", "Bridge/br0")) for one in rules[2:]]
    )

    observed = find_misplaced(desired, observe(saved(*rules)))

    assert diff(desired, observed, "mine") == ()
    moved = replace(rules[2], order=(5,))
    desired = State.of(
        [(o, desired.owners[k]) for k, o in {**desired.objects, moved.key: moved}.items()]
    )
    found = diff(desired, find_misplaced(desired, observe(saved(*rules))), "mine")
    assert [change.action for change in found] == [Action.UPDATE]
