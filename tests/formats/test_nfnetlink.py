"""The generation message of nf_tables."""

from __future__ import annotations

import struct

import pytest

from reconciler.formats.netlink import NetlinkFormatError, render_message
from reconciler.formats.nfnetlink import Generation, generation_request, parse_generation

# The body of an answer, as a kernel 6.18 sent it.
ANSWER = bytes.fromhex("0000000108000100000000010800020000002c260c000300707974686f6e3300")


def test_the_request_asks_for_the_generation_of_all_families():
    """linux/netfilter/nf_tables.h: NFT_MSG_GETGEN is 16, of subsystem 10."""
    data = render_message(generation_request(), 7, 1)

    assert data == struct.pack("=IHHII", 20, 0x0A10, 1, 7, 0) + bytes(4)


def test_the_answer_says_which_and_who():
    assert parse_generation(ANSWER, 0, len(ANSWER)) == Generation(1, 11302, "python3")


@pytest.mark.parametrize("body", [b"", bytes(4), ANSWER[:10], ANSWER[:4] + b"\5\0\1\0\1\0\0\0"])
def test_another_body_is_an_error(body):
    with pytest.raises(NetlinkFormatError):
        parse_generation(body, 0, len(body))
