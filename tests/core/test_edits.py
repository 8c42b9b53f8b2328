"""Edits: they lead exactly there, touch as little as can be, and never a stranger's rule."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.core import edits as module
from reconciler.core.edits import Edit, Hook, Present, Verb, edits, hook_edits, render_edits


def carry_out(have, want, changes):
    """Do what iptables-restore does with them; what is kept stays the same object."""
    rules = list(have)
    for verb, number, item in changes:
        if verb is Verb.FLUSH:
            rules.clear()
        elif verb is Verb.DELETE:
            assert 1 <= number <= len(rules)
            del rules[number - 1]
        elif verb is Verb.REPLACE:
            assert 1 <= number <= len(rules)
            rules[number - 1] = Fresh(want[item])
        elif verb is Verb.INSERT:
            assert 1 <= number <= len(rules) + 1
            rules.insert(number - 1, Fresh(want[item]))
        else:
            rules.append(Fresh(want[item]))
    return rules


class Fresh(str):
    """A rule that was written; its counters start at nothing."""

    __slots__ = ()


def weight(changes):
    """Count deletes and inserts; a replace is one of each."""
    return sum(2 if change.verb is Verb.REPLACE else 1 for change in changes)


def most_kept(have, want):
    """The length of a longest common subsequence, by trying all."""
    for length in range(min(len(have), len(want)), 0, -1):
        others = set(combinations(want, length))
        if any(kept in others for kept in combinations(have, length)):
            return length
    return 0


short = st.lists(st.sampled_from("abcde"), max_size=8)


@settings(max_examples=600)
@given(have=short, want=short)
@example(have=list("abcdefgh"), want=list("hgfedcba"))
@example(have=list("aab"), want=list("aaab"))
@example(have=list("abab"), want=list("baba"))
def test_edits_lead_there_and_are_as_few_as_a_longest_common_subsequence_allows(have, want):
    changes = edits(have, want)
    result = carry_out(have, want, changes)

    assert result == want
    kept = most_kept(have, want)
    assert sum(not isinstance(rule, Fresh) for rule in result) == kept
    if changes and changes[0].verb is Verb.FLUSH:
        assert kept == 0
        assert len(changes) < len(have)
    else:
        assert weight(changes) == len(have) + len(want) - 2 * kept


unique = st.lists(st.integers(0, 300).map(str), max_size=120, unique=True)


@given(have=unique, want=unique)
def test_edits_of_long_lists_lead_there_too(have, want):
    assert carry_out(have, want, edits(have, want)) == want


@given(st.lists(st.sampled_from("abc")))
def test_what_is_right_needs_no_edit(rules):
    assert edits(rules, rules) == ()


def test_a_delete_and_an_insert_at_one_place_are_a_replace():
    assert edits("abcd", "axcde") == (
        Edit(Verb.REPLACE, 2, 1),
        Edit(Verb.APPEND, 0, 4),
    )


def test_a_move_is_one_delete_and_one_insert():
    assert edits("abcdef", "bcdefa") == (Edit(Verb.DELETE, 1), Edit(Verb.APPEND, 0, 5))
    assert edits("abcdef", "fabcde") == (Edit(Verb.INSERT, 1, 0), Edit(Verb.DELETE, 7))


def test_numbers_run():
    """The second delete counts from what the first one has left."""
    assert edits("abcd", "bd") == (Edit(Verb.DELETE, 1), Edit(Verb.DELETE, 2))
    assert edits("ad", "abxd") == (Edit(Verb.INSERT, 2, 1), Edit(Verb.INSERT, 3, 2))


def test_a_list_of_which_nothing_stays_is_written_anew_where_that_is_shorter():
    assert edits("abcdef", "x") == (Edit(Verb.FLUSH, 0), Edit(Verb.APPEND, 0, 0))
    assert edits("abcdef", "") == (Edit(Verb.FLUSH, 0),)
    assert edits("a", "") == (Edit(Verb.DELETE, 1),)


def test_too_many_equal_items_are_written_anew(monkeypatch):
    monkeypatch.setattr(module, "PAIRS_MAX", 9)

    assert edits("baaa", "caaad")[0].verb is not Verb.FLUSH
    assert edits("xaaay", "yaaax")[0].verb is Verb.FLUSH


def test_a_thousand_moves_among_ten_thousand_rules_are_found_in_passing():
    have = [str(number) for number in range(10_000)]
    want = have[::2] + have[1:2000:2] + have[2001::2]

    changes = edits(have, want)

    assert carry_out(have, want, changes) == want
    assert weight(changes) == 2 * 4999


def test_edits_are_written_as_lines_for_iptables_restore():
    changes = [
        Edit(Verb.DELETE, 3),
        Edit(Verb.INSERT, 2, 0),
        Edit(Verb.REPLACE, 1, 1),
        Edit(Verb.APPEND, 0, 0),
        Edit(Verb.FLUSH, 0),
    ]

    assert render_edits("C", changes, ["-j DROP", "-p tcp -j ACCEPT"]) == (
        "-D C 3",
        "-I C 2 -j DROP",
        "-R C 1 -p tcp -j ACCEPT",
        "-A C -j DROP",
        "-F C",
    )


A, B = Hook("#a", "-j RC-A"), Hook("#b", "-j RC-B")
OURS = {hook.identity: Present(f"-m tcp {hook.text}", hook.identity) for hook in (A, B)}


def chain(*words):
    return [OURS.get(word, Present(f"-j {word}", None)) for word in words]


@pytest.mark.parametrize(
    ("have", "after", "lines"),
    [
        ("#a #b X Y", None, ""),
        ("X #a #b Y", "-j X", ""),
        ("#a #b X", "-j MISSING", ""),
        ("", None, "-I F 1 -j RC-A|-I F 2 -j RC-B"),
        ("X Y", None, "-I F 1 -j RC-A|-I F 2 -j RC-B"),
        ("X Y Z", "-j Y", "-I F 3 -j RC-A|-I F 4 -j RC-B"),
        (
            "X #a #b",
            None,
            "-D F -m tcp -j RC-A|-D F -m tcp -j RC-B|-I F 1 -j RC-A|-I F 2 -j RC-B",
        ),
        ("#a X", None, "-D F -m tcp -j RC-A|-I F 1 -j RC-A|-I F 2 -j RC-B"),
        (
            "#a #b X #a",
            None,
            (
                "-D F -m tcp -j RC-A|-D F -m tcp -j RC-B|-D F -m tcp -j RC-A|"
                "-I F 1 -j RC-A|-I F 2 -j RC-B"
            ),
        ),
        (
            "#b #a X",
            None,
            "-D F -m tcp -j RC-B|-D F -m tcp -j RC-A|-I F 1 -j RC-A|-I F 2 -j RC-B",
        ),
    ],
)
def test_hooks_stand_together_where_they_belong(have, after, lines):
    assert "|".join(hook_edits("F", chain(*have.split()), [A, B], after)) == lines


def test_hooks_that_are_not_wanted_any_more_are_deleted_by_text():
    assert hook_edits("F", chain("X", "#a", "Y"), []) == ("-D F -m tcp -j RC-A",)
    assert hook_edits("F", chain("X", "Y"), []) == ()


@given(
    have=st.lists(st.sampled_from(["X", "Y", "#a", "#b"]), max_size=8),
    after=st.sampled_from([None, "-j X"]),
)
def test_strangers_keep_their_order_and_a_second_look_finds_nothing_to_do(have, after):
    rules = chain(*have)

    for line in hook_edits("F", rules, [A, B], after):
        verb, _, rest = line.split(" ", 2)
        if verb == "-D":
            gone = next(rule for rule in rules if rule.text == rest)
            assert gone.identity
            rules.remove(gone)
        else:
            number, text = rest.split(" ", 1)
            hook = A if text == A.text else B
            rules.insert(int(number) - 1, Present(f"-m tcp {text}", hook.identity))

    assert [rule.text for rule in rules if not rule.identity] == [
        rule.text for rule in chain(*have) if not rule.identity
    ]
    assert hook_edits("F", rules, [A, B], after) == ()
    assert [rule.identity for rule in rules if rule.identity] == ["#a", "#b"]
