"""iptables-restore: the text, and whose line a failure speaks of."""

from __future__ import annotations

import pytest

from reconciler.formats.iptables_restore import (
    Culprit,
    TableEdit,
    explain_failure,
    find_culprit,
    render_restore,
)

EDITS = [
    TableEdit("raw", ["-A A -j DROP"]),
    TableEdit("mangle", []),
    TableEdit("nat", [":X - -", "-A X -j RETURN"]),
]


def test_the_text_has_the_tables_in_order_and_no_empty_one():
    assert render_restore(EDITS) == (
        "*raw\n-A A -j DROP\nCOMMIT\n*nat\n:X - -\n-A X -j RETURN\nCOMMIT\n"
    )
    assert render_restore([EDITS[1]]) == ""


@pytest.mark.parametrize("line", ["-A X --comment a\nCOMMIT", "-A X\0"])
def test_a_line_that_would_be_two_is_refused(line):
    with pytest.raises(ValueError, match="line break"):
        render_restore([TableEdit("nat", [line])])


@pytest.mark.parametrize(
    ("stderr", "culprit", "message"),
    [
        (
            (
                'iptables-nft-restore v1.8.9 (nf_tables): unknown option "--foo"\n'
                "Error occurred at line: 6\nTry `iptables-nft-restore -h' for more information.\n"
            ),
            Culprit(2, 1),
            'iptables-nft-restore v1.8.9 (nf_tables): unknown option "--foo"',
        ),
        (
            "iptables-restore: line 2 failed\n",
            Culprit(0, 0),
            "iptables-restore: line 2 failed",
        ),
        (
            "iptables-nft-restore: line 5 failed: No chain/target/match by that name.\n",
            Culprit(2, 0),
            "iptables-nft-restore: line 5 failed: No chain/target/match by that name.",
        ),
        (
            (
                "# Warning: iptables-legacy tables present, use iptables-legacy to see them\n"
                "iptables-nft-restore v1.8.9 (nf_tables): \n"
                "line 6: RULE_APPEND failed (Too many links): rule in chain INPUT\n"
                "line 2: RULE_APPEND failed (Too many links): rule in chain INPUT\n"
            ),
            Culprit(2, 1),
            (
                "iptables-nft-restore v1.8.9 (nf_tables): "
                "line 6: RULE_APPEND failed (Too many links): rule in chain INPUT "
                "line 2: RULE_APPEND failed (Too many links): rule in chain INPUT"
            ),
        ),
        ("iptables-restore: line 7 failed\n", Culprit(2, None), "iptables-restore: line 7 failed"),
        ("iptables-restore: line 1 failed\n", Culprit(0, None), "iptables-restore: line 1 failed"),
        ("iptables-restore: line 99 failed\n", None, "iptables-restore: line 99 failed"),
        (
            "Bad argument `line 2: '\nError occurred at line: 6\n",
            Culprit(2, 1),
            "Bad argument `line 2: '",
        ),
        (
            "Another app is currently holding the xtables lock. Stopped waiting after 1s.\n",
            None,
            "Another app is currently holding the xtables lock. Stopped waiting after 1s.",
        ),
        ("", None, ""),
    ],
)
def test_a_failure_names_its_line(stderr, culprit, message):
    assert find_culprit(EDITS, stderr) == culprit
    assert explain_failure(stderr) == message
