"""One state out of parts: whichever way the parts came, and only what changed is named."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.object import Key, Owner
from reconciler.core.state import State, StateConflictError
from reconciler.objects import Address, BridgeDevice, Sysctl, Veth
from reconciler.objects.assembly import Assembly, Entry, choose_one
from reconciler.objects.rule import make_rule

OURS, OTHERS = Owner("default", "Bridge/br0"), Owner("other", "Bridge/br9")
BRIDGE = BridgeDevice("", "br0", mtu=1500)
GATEWAY = Address("", "br0", ip_interface("10.1.0.1/24"))
PAIR = Veth("", "v1", "c1", "eth0", mtu=1500)
INNER = Key("device", "c1", "eth0")


@pytest.fixture
def assembly() -> Assembly:
    return Assembly()


def test_the_parts_make_one_state(assembly):
    assembly.put("links", [(BRIDGE, OURS), (PAIR, None)])
    assembly.put("addresses", [(GATEWAY, OURS)])

    assert assembly.state == State.of([(BRIDGE, OURS), (PAIR, None), (GATEWAY, OURS)])


def test_a_part_takes_the_place_of_what_it_held(assembly):
    assembly.put("links", [(BRIDGE, OURS), (PAIR, OURS)])
    assembly.put("links", [(BRIDGE, OURS)])

    assert assembly.state == State.of([(BRIDGE, OURS)])


def test_a_part_that_is_gone_takes_all_of_its_own_and_nothing_else(assembly):
    assembly.put("links", [(BRIDGE, OURS), (PAIR, OURS)])
    assembly.put("addresses", [(GATEWAY, OURS)])
    assembly.put("links")

    assert assembly.state == State.of([(GATEWAY, OURS)])


def test_of_two_parts_with_one_key_ours_wins(assembly):
    """As a route that the kernel holds twice, once for each of two devices."""
    for parts in (("a", "b"), ("b", "a")):
        assembly.put(parts[0], [(BRIDGE, None)])
        assembly.put(parts[1], [(BridgeDevice("", "br0", mtu=9000), OURS)])
        assert assembly.state.objects[BRIDGE.key] == BridgeDevice("", "br0", mtu=9000)
        assert assembly.state.owners == {BRIDGE.key: OURS}


def test_of_two_strangers_with_one_key_always_the_same_is_taken(assembly):
    other = BridgeDevice("", "br0", mtu=9000)
    assembly.put("a", [(BRIDGE, None)])
    assembly.put("b", [(other, None)])
    first = assembly.state.objects[BRIDGE.key]

    assembly.put("a", [(other, None)])
    assembly.put("b", [(BRIDGE, None)])

    assert assembly.state.objects[BRIDGE.key] == first


def test_of_two_owners_of_one_thing_always_the_same_is_taken(assembly):
    for parts in (("a", "b"), ("b", "a")):
        assembly.put(parts[0], [(BRIDGE, OURS)])
        assembly.put(parts[1], [(BRIDGE, OTHERS)])
        assert assembly.state.owners == {BRIDGE.key: OURS}


def test_when_one_of_two_holders_lets_go_the_other_is_seen(assembly):
    assembly.put("a", [(BRIDGE, OURS)])
    assembly.put("b", [(BridgeDevice("", "br0", mtu=9000), None)])
    assembly.put("a")

    assert assembly.state.objects[BRIDGE.key] == BridgeDevice("", "br0", mtu=9000)
    assert assembly.state.owners == {}


def test_one_part_with_a_key_twice_holds_ours(assembly):
    twice = [(BridgeDevice("", "br0", mtu=9000), None), (BRIDGE, OURS)]
    for entries in (twice, twice[::-1]):
        assembly.put("a", entries)
        assert assembly.state == State.of([(BRIDGE, OURS)])


# --------------------------------------------------------------------------- what has changed


def changed(assembly: Assembly) -> set[Key]:
    return set(assembly.take_changed())


def test_what_is_new_has_changed_with_all_it_claims(assembly):
    assembly.put("links", [(PAIR, OURS)])

    assert changed(assembly) == {PAIR.key, INNER}


def test_what_was_told_as_changed_is_not_told_again(assembly):
    assembly.put("links", [(PAIR, OURS)])
    changed(assembly)

    assert changed(assembly) == set()


def test_the_same_answer_again_changes_nothing_not_even_the_state(assembly):
    assembly.put("links", [(PAIR, OURS)])
    before = assembly.state
    changed(assembly)

    assembly.put("links", [(Veth("", "v1", "c1", "eth0", mtu=1500), OURS)])

    assert changed(assembly) == set()
    assert assembly.state is before


@pytest.mark.parametrize(
    "entry",
    [(BridgeDevice("", "br0", mtu=9000), OURS), (BRIDGE, None), (BRIDGE, OTHERS)],
    ids=["a field", "no owner", "another owner"],
)
def test_another_field_or_owner_is_a_change(assembly, entry):
    assembly.put("links", [(BRIDGE, OURS)])
    changed(assembly)

    assembly.put("links", [entry])

    assert changed(assembly) == {BRIDGE.key}


def test_a_change_of_a_claim_names_the_old_place_and_the_new(assembly):
    assembly.put("links", [(PAIR, OURS)])
    changed(assembly)

    assembly.put("links", [(Veth("", "v1", "c2", "eth0", mtu=1500), OURS)])

    assert changed(assembly) == {PAIR.key, INNER, Key("device", "c2", "eth0")}
    assert assembly.state.claims == {Key("device", "c2", "eth0"): PAIR.key}


def test_what_moved_from_one_part_to_another_has_not_changed(assembly):
    assembly.put("a", [(BRIDGE, OURS)])
    changed(assembly)

    assembly.put("a")
    assembly.put("b", [(BRIDGE, OURS)])

    assert changed(assembly) == set()


def test_the_place_of_a_rule_counts_although_rules_are_equal_without_it(assembly):
    words = ("-j", "ACCEPT")
    first, second = (
        make_rule((4, "filter", "RC-OUT"), words, OURS[:2], order=(order,)) for order in (1, 2)
    )
    assert first == second
    assembly.put("rules 4", [(first, OURS)])
    changed(assembly)

    assembly.put("rules 4", [(second, OURS)])

    assert changed(assembly) == {first.key}
    assert assembly.state.objects[first.key].order == (2,)


def test_of_two_that_claim_one_place_the_other_has_it_once_one_is_gone(assembly):
    assembly.put("a", [(PAIR, OURS)])
    assembly.put("b", [(Veth("", "v2", "c1", "eth0"), None)])
    assert assembly.state.claims[INNER] == Key("device", "", "v2")

    assembly.put("b")

    assert assembly.state.claims == {INNER: PAIR.key}


# --------------------------------------------------------------------------- wishes


def test_two_that_want_the_same_agree():
    assembly = Assembly(choose_one)
    forwarding = Sysctl("", "net.ipv4.ip_forward", "1")
    assembly.put("Bridge/a", [(forwarding, Owner("default", "Bridge/a"))])
    assembly.put("Bridge/b", [(forwarding, Owner("default", "Bridge/b"))])

    assert assembly.state.owners == {forwarding.key: Owner("default", "Bridge/a")}


def cables(netns: str) -> list[Entry]:
    return [(Veth("", f"v{number}", netns, f"eth{number}"), OURS) for number in range(20)]


def test_a_conflict_is_raised_until_it_is_solved_and_leaves_what_was():
    assembly = Assembly(choose_one)
    assembly.put("Container/c1", cables("c1"))
    assembly.put("Bridge/a", [(BRIDGE, OURS)])
    before = assembly.state
    changed(assembly)

    assembly.put("Container/c1", cables("c2"))
    assembly.put("Bridge/b", [(BridgeDevice("", "br0", mtu=9000), OURS)])
    for _ in range(2):
        with pytest.raises(StateConflictError):
            _ = assembly.state
    assembly.put("Container/c1", cables("c1"))
    assembly.put("Bridge/b")

    assert assembly.state == before
    assert changed(assembly) == set()
    assembly.put("Container/c1")
    assert assembly.state.claims == {}


# --------------------------------------------------------------------------- the law

items = st.sampled_from(
    [
        BRIDGE,
        BridgeDevice("", "br0", mtu=9000),
        PAIR,
        Veth("", "v1", "c2", "eth0"),
        Veth("", "v2", "c1", "eth0"),
        GATEWAY,
    ]
)
entries = st.lists(st.tuples(items, st.sampled_from([None, OURS, OTHERS])), max_size=4)
puts = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), entries), max_size=8)


@given(puts)
def test_the_state_is_that_of_the_last_answers_whatever_came_before(
    done: list[tuple[str, list[Entry]]],
):
    gradual, fresh = Assembly(), Assembly()
    for part, found in done:
        gradual.put(part, found)
        _ = gradual.state
    for part, found in sorted(dict(done).items()):
        fresh.put(part, found)

    assert gradual.state == fresh.state


@given(puts)
def test_what_differs_from_one_state_to_the_next_is_named_and_nothing_else(
    done: list[tuple[str, list[Entry]]],
):
    assembly = Assembly()
    for part, found in done:
        before = assembly.state
        assembly.take_changed()
        assembly.put(part, found)
        after = assembly.state
        differing = {
            key
            for mapping in ("objects", "owners", "claims")
            for key in getattr(before, mapping).keys() | getattr(after, mapping).keys()
            if getattr(before, mapping).get(key) != getattr(after, mapping).get(key)
        }
        named = assembly.take_changed()
        assert differing <= named
        claims = {
            c for s in (before, after) for k in named if k in s.objects for c in s.objects[k].claims
        }
        assert named <= differing | claims
