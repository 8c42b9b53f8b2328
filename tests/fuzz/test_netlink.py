"""Any bytes give values or our error, never another exception, and never an endless loop."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.formats.address import parse_address
from reconciler.formats.link import parse_link
from reconciler.formats.neighbour import parse_neighbour, parse_nsid
from reconciler.formats.netlink import (
    Message,
    NetlinkFormatError,
    parse_acknowledgement,
    parse_attributes,
    parse_messages,
)
from reconciler.formats.route import parse_route

HEADERS = {parse_link: 16, parse_address: 8, parse_route: 12, parse_neighbour: 12, parse_nsid: 4}
# What a message can be asked for; properties parse what the hot path leaves alone.
PROPERTIES = ("bridge", "port", "addr_gen_mode", "interface", "destination", "gateway", "source")


def attribute(kind, payload):
    length = len(payload) + 4
    return struct.pack("=HH", length, kind) + payload + b"\0" * (-length & 3)


payloads = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"bridge\0", b"veth\0", b"\2\0\x0a\0\0\1", b"\1", bytes(4), bytes(16)]),
)
kinds = st.one_of(st.integers(0, 70), st.integers(0, 0xFFFF), st.sampled_from([0x8012, 0x801A]))
flat = st.lists(st.builds(attribute, kinds, payloads), max_size=8).map(b"".join)
nested = st.lists(st.builds(attribute, kinds, st.one_of(payloads, flat)), max_size=8).map(b"".join)
deep = st.lists(st.builds(attribute, kinds, st.one_of(payloads, nested)), max_size=8).map(b"".join)
headers = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.sampled_from([b"\2\x18", b"\x0a\x40"]).map(lambda b: b + bytes(14)),
)
anything = st.one_of(st.binary(max_size=200), deep)


@pytest.mark.parametrize("parse", HEADERS, ids=lambda parse: parse.__name__)
@given(header=headers, attributes=anything, cut=st.integers(0, 3))
def test_a_body_of_any_bytes_is_a_value_or_our_error(parse, header, attributes, cut):
    body = header[: HEADERS[parse]] + attributes
    body = body[: len(body) - cut]

    with suppress(NetlinkFormatError):
        value = parse(body, 0, len(body))
        for name in PROPERTIES:
            getattr(value, name, None)


@given(data=st.one_of(anything, st.builds(lambda h, b: h + b, headers, anything)))
def test_a_datagram_of_any_bytes_is_messages_or_our_error(data):
    with suppress(NetlinkFormatError):
        for message in parse_messages(data):
            assert 16 <= message.start <= message.end <= len(data)


@given(data=anything, kind=st.sampled_from([2, 3]), flags=st.sampled_from([0, 0x100, 0x200, 0x300]))
def test_an_acknowledgement_of_any_bytes_is_a_value_or_our_error(data, kind, flags):
    with suppress(NetlinkFormatError):
        parse_acknowledgement(data, Message(kind, flags, 1, 1, 0, len(data)))


@given(pairs=st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40)))
def test_attributes_survive_the_way_there_and_back(pairs):
    data = b"".join(attribute(kind, payload) for kind, payload in pairs.items())

    assert parse_attributes(data, 0, len(data), pairs) == pairs
