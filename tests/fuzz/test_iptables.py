"""Any text gives a value or our error: never another exception, never another text."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.formats.iptables import IptablesFormatError, Rule, parse, render
from reconciler.formats.iptables_contents import contents
from reconciler.formats.iptables_mark import identity, parse_rule_mark
from reconciler.formats.iptables_restore import TableEdit, explain_failure, find_culprit
from reconciler.formats.iptables_words import render_words, split_words
from reconciler.formats.netlink import NetlinkFormatError
from reconciler.formats.nfnetlink import parse_generation

pieces = st.sampled_from(
    [
        *[
            "-A X",
            "[1:2] ",
            ":X - [0:0]",
            "*nat",
            "COMMIT",
            "\n",
            "\r\n",
            "#",
            '"',
            "\\",
            " --c ",
            " ",
        ],
        *[
            "# Table `a' is incompatible, use 'nft' tool.",
            " -m comment --comment ",
            "reconciler a B/c",
        ],
    ]
)
texts = st.one_of(st.text(), st.lists(pieces).map("".join))
tables = st.lists(st.one_of(pieces, st.text(max_size=20))).map(
    lambda lines: "*nat\n" + "\n".join(lines) + "\nCOMMIT\n"
)
anything = st.one_of(
    texts, tables, st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))
)


@given(text=anything)
def test_any_text_is_a_ruleset_that_is_written_the_same_or_our_error(text):
    with suppress(IptablesFormatError):
        ruleset = parse(text)

        assert render(ruleset) == text
        contents(ruleset)
        assert ruleset.unreadable.isdisjoint({""})
        for table in ruleset.tables.values():
            for chain in table.chains.values():
                assert chain.counters is None or chain.counters.packets >= 0
            for rule in (rule for rules in table.rules.values() for rule in rules):
                look_at(rule)


def look_at(rule: Rule) -> None:
    assert rule.line.endswith(rule.spec)
    assert rule.counters is None or rule.line.startswith("[")
    assert all(isinstance(word, str) for word in rule.words)
    assert identity(rule)[:1] == "#" or parse_rule_mark(rule) is None


@given(text=anything)
def test_any_text_has_words(text):
    split_words(text)


@example(words=["two \\ words", '\\ "', "", "it's", "'\"'"])
@given(words=st.lists(st.text(st.characters(exclude_characters="\n\0"))))
def test_words_survive_the_way_there_and_back(words):
    assert list(split_words(render_words(words))) == words


@given(text=st.one_of(st.text(), st.sampled_from(["line 1 failed", "Error occurred at line: 0"])))
def test_any_complaint_has_a_culprit_or_none(text):
    find_culprit([TableEdit("nat", ["-A X"])], text)
    explain_failure(text)


@given(data=st.binary(max_size=60))
def test_a_generation_of_any_bytes_is_a_value_or_our_error(data):
    with suppress(NetlinkFormatError):
        parse_generation(data, 0, len(data))
