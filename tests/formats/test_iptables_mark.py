"""The mark of a rule: it names the owner, fits into a comment, and its hash tells all rules apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.formats.iptables import Rule, parse
from reconciler.formats.iptables_mark import (
    COMMENT_MAX,
    RuleMark,
    identity,
    mark_rule,
    parse_rule_mark,
    render_marked,
)
from reconciler.formats.iptables_words import split_words

WORDS = ("-d", "203.0.113.2/32", "-p", "tcp", "--dport", "8080", "-j", "DNAT")
OWNER = ("default", "Container/web1")
MARK = mark_rule("RC-DNAT", WORDS, OWNER, "8080->80/tcp")


def saved(words, mark, chain="RC-DNAT"):
    return Rule(f"-A {chain} {render_marked(words, mark)}", chain)


def test_a_marked_rule_reads_as_what_it_is():
    assert MARK.hash == "rzgutrk2urawaqyv"  # never changes: rules of an older version carry it
    assert render_marked(WORDS, MARK) == (
        "-d 203.0.113.2/32 -p tcp --dport 8080 -m comment --comment "
        '"reconciler default Container/web1 8080->80/tcp #rzgutrk2urawaqyv" -j DNAT'
    )


def test_the_mark_is_found_again_whatever_iptables_made_of_the_rule():
    rule = Rule(
        "[5:300] -A RC-DNAT -d 203.0.113.2/32 -p tcp -m tcp --dport 8080 -m comment --comment "
        f'"reconciler {MARK}" -m comment --comment x -j DNAT --to-destination 10.1.0.2:80',
        "RC-DNAT",
    )

    assert parse_rule_mark(rule) == MARK
    assert identity(rule) == f"#{MARK.hash}"


@pytest.mark.parametrize(
    "spec",
    [
        "-j DROP",
        "-m comment --comment reconciler -j DROP",
        '-m comment --comment "reconciler default Container/web1 8080->80/tcp" -j DROP',
        '-m comment --comment "my reconciler default Container/web1 #rzgutrk2urawaqyv" -j DROP',
        '-m comment --comment "reconciler default web1 #rzgutrk2urawaqyv" -j DROP',
        '-m comment --comment "reconciler default Container/web1 #RZGUTRK2URAWAQYV" -j DROP',
        '-j LOG --log-prefix "reconciler default Container/web1 #rzgutrk2urawaqyv"',
        '-m comment --comment "x -m comment --comment \\"reconciler d Container/a #rzgutrk2urawaqyv\\""',
    ],
)
def test_a_strangers_rule_carries_no_mark(spec):
    rule = Rule(f"-A FORWARD {spec}", "FORWARD")

    assert parse_rule_mark(rule) is None
    assert identity(rule) == spec


@pytest.mark.parametrize(
    "other",
    [
        mark_rule("RC-DNA", WORDS, OWNER, "8080->80/tcp"),
        mark_rule("RC-DNAT", WORDS[:-1], OWNER, "8080->80/tcp"),
        mark_rule("RC-DNAT", (*WORDS[:-2], "-j DNAT"), OWNER, "8080->80/tcp"),
        mark_rule("RC-DNAT", WORDS, ("other", OWNER[1]), "8080->80/tcp"),
        mark_rule("RC-DNAT", WORDS, (OWNER[0], "Container/web2"), "8080->80/tcp"),
        mark_rule("RC-DNAT", WORDS, OWNER, "8081->80/tcp"),
        mark_rule("RC-DNAT", WORDS, OWNER, "8080->80/tcp", duplicate=1),
        mark_rule("RC-DNAT", WORDS, OWNER),
    ],
)
def test_whatever_differs_gives_another_hash(other):
    assert other.hash != MARK.hash


def test_a_long_mark_is_shortened_to_what_a_comment_holds_and_keeps_its_hash():
    owner = ("s" * 63, "Container/" + "n" * 63)
    rule = saved(WORDS, mark_rule("RC-DNAT", WORDS, owner, "ä" * 200))

    (comment,) = rule.comments
    mark = parse_rule_mark(rule)

    assert COMMENT_MAX - 2 <= len(comment.encode()) <= COMMENT_MAX
    assert mark is not None
    assert (mark.set, mark.resource) == owner
    assert mark.what.endswith("ä...")


text = st.text(max_size=300)
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
words = st.lists(
    st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"])), max_size=8
)


@given(words=words, set_name=names, name=names, what=text)
def test_every_mark_is_read_back(words, set_name, name, what):
    mark = mark_rule("RC", words, (set_name, f"Bridge/{name}"), what)
    rule = saved(words, mark, "RC")

    assert parse_rule_mark(rule) == mark
    assert isinstance(mark, RuleMark)
    assert len(rule.comments[-1].encode("utf-8", "replace")) <= COMMENT_MAX
    without = list(split_words(rule.spec))
    at = without.index(rule.comments[-1]) if rule.comments else 0
    assert [*without[: at - 3], *without[at + 1 :]] == words
    assert parse(f"*nat\n{rule.line}\nCOMMIT\n").tables["nat"].rules["RC"] == [rule]
