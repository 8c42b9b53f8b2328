"""Events: where something was changed and by which socket; any bytes give that or our error."""

from __future__ import annotations

import struct
from contextlib import suppress
from ipaddress import ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.formats.address import add_address
from reconciler.formats.events import (
    RTM_DELNSID,
    DeviceEvent,
    NamespaceEvent,
    RulesEvent,
    RulesReader,
    parse_events,
)
from reconciler.formats.link import RTM_DELLINK, RTM_NEWLINK
from reconciler.formats.neighbour import NETNSA_NSID, RTM_NEWNSID
from reconciler.formats.netlink import NetlinkFormatError, render_text, render_u32
from reconciler.formats.nfnetlink import NFT_MSG_NEWGEN
from reconciler.formats.route import RTA_TABLE, RouteSpec, add_route

PORT = 4711
RTM_NEWNEIGH = 28
NEWADDR, DELADDR, NEWROUTE, NEWQDISC = 20, 21, 24, 36


def message(kind: int, body: bytes, port: int = PORT) -> bytes:
    """One message of an event, as multicast."""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, port) + body + bytes(-len(body) & 3)


def link(index: int, name: str, kind: int = RTM_NEWLINK, port: int = PORT) -> bytes:
    return message(kind, struct.pack("=BxHiII", 0, 1, index, 0, 0) + render_text(3, name), port)


def namespace(number: int, kind: int = RTM_NEWNSID) -> bytes:
    return message(kind, bytes(4) + render_u32(NETNSA_NSID, number & 0xFFFFFFFF), 0)


def route(table: int = 254, oif: int = 7) -> bytes:
    """The request for a route is the event that tells of it."""
    spec = RouteSpec(ip_network("10.9.0.0/16"), None, oif, table=table)
    return message(NEWROUTE, add_route(spec).body)


def be32(kind: int, value: int) -> bytes:
    return struct.pack("=HH", 8, kind) + struct.pack(">I", value)


def rules(family: int, kind: int = 10 << 8 | 6) -> bytes:
    """A rule of nf_tables was written: struct nfgenmsg and whatever else."""
    return message(kind, struct.pack("=BBH", family, 0, 0) + render_text(1, "filter"), 0)


def commit(generation: int, pid: int = 99, program: str = "iptables") -> bytes:
    attributes = be32(1, generation) + be32(2, pid) + render_text(3, program)
    return message(NFT_MSG_NEWGEN, struct.pack("=BBH", 0, 0, 0) + attributes, 0)


def events(data: bytes) -> list[DeviceEvent | NamespaceEvent]:
    return list(parse_events(data))


# --------------------------------------------------------------------------- rtnetlink


@pytest.mark.parametrize("kind", [RTM_NEWLINK, RTM_DELLINK])
def test_an_event_of_a_device_has_its_index_its_name_and_who_asked(kind):
    assert events(link(7, "br0", kind)) == [DeviceEvent(7, PORT, "br0", link=True)]


def test_what_the_kernel_does_by_itself_has_no_port():
    assert events(link(7, "br0", port=0)) == [DeviceEvent(7, 0, "br0", link=True)]


@pytest.mark.parametrize("kind", [NEWADDR, DELADDR])
def test_an_event_of_an_address_has_the_index_of_its_device(kind):
    body = add_address(7, ip_interface("10.1.0.1/24")).body

    assert events(message(kind, body)) == [DeviceEvent(7, PORT)]


def test_an_event_of_a_qdisc_has_the_index_of_its_device():
    body = struct.pack("=BxxxiIII", 0, 7, 0x10000, 0xFFFFFFFF, 2) + render_text(1, "tbf")

    assert events(message(NEWQDISC, body)) == [DeviceEvent(7, PORT)]


def test_an_event_of_a_route_has_the_index_of_its_way_out():
    assert events(route()) == [DeviceEvent(7, PORT)]


def test_a_route_of_another_table_is_nothing_to_us():
    assert events(route(table=255)) == []
    assert events(route(table=1000)) == []


def test_the_whole_number_of_a_table_counts_and_not_what_fits_into_a_byte():
    spec = RouteSpec(ip_network("10.9.0.0/16"), None, 7)
    body = add_route(spec).body + render_u32(RTA_TABLE, 254 + 1024)

    assert events(message(NEWROUTE, body)) == []


def test_a_route_that_leads_to_no_device_is_nothing_to_us():
    spec = RouteSpec(ip_network("10.9.0.0/16"), type=7)

    assert events(message(NEWROUTE, add_route(spec).body)) == []


def test_a_namespace_that_got_or_lost_its_number_is_told():
    assert events(namespace(3)) == [NamespaceEvent(3, gone=False)]
    assert events(namespace(3, RTM_DELNSID)) == [NamespaceEvent(3, gone=True)]


def test_what_was_not_asked_for_is_left_out():
    assert events(message(RTM_NEWNEIGH, bytes(12))) == []
    assert events(message(RTM_NEWNSID, bytes(4))) == [], "without a number"


def test_a_datagram_may_hold_several():
    found = events(link(7, "br0") + namespace(3) + route())

    assert found == [
        DeviceEvent(7, PORT, "br0", link=True),
        NamespaceEvent(3, gone=False),
        DeviceEvent(7, PORT),
    ]


def test_what_came_before_a_torn_message_is_good():
    found = []
    with pytest.raises(NetlinkFormatError):
        found.extend(parse_events(link(7, "br0") + link(8, "br1")[:-4]))
    reader = parse_events(link(7, "br0") + link(8, "br1")[:-4])

    assert next(reader).ifindex == 7


@pytest.mark.parametrize("kind", [RTM_NEWLINK, NEWADDR, NEWROUTE, NEWQDISC])
def test_a_message_without_its_body_is_our_error(kind):
    with pytest.raises(NetlinkFormatError):
        events(message(kind, b""))


# --------------------------------------------------------------------------- nf_tables


def read(*datagrams: bytes) -> list[RulesEvent]:
    reader = RulesReader()
    return [event for data in datagrams for event in reader.read(data)]


def test_a_transaction_tells_its_families_who_wrote_it_and_which_it_is():
    assert read(rules(2) + commit(17)) == [RulesEvent(frozenset({4}), 17, 99, "iptables")]


@pytest.mark.parametrize(
    ("family", "families"), [(2, {4}), (10, {6}), (1, {4, 6}), (7, set()), (5, set())]
)
def test_a_family_of_nf_tables_is_one_of_ours_both_or_none(family, families):
    assert read(rules(family), commit(1))[0].families == families


def test_a_transaction_may_be_told_in_several_datagrams():
    assert read(rules(2), rules(10), commit(17))[0].families == {4, 6}


def test_the_next_transaction_begins_with_no_family():
    first, second = read(rules(2) + commit(1) + rules(10) + commit(2, 100, "nft"))

    assert first.families == {4}
    assert second == RulesEvent(frozenset({6}), 2, 100, "nft")


def test_a_kernel_that_does_not_say_who_wrote_is_understood():
    body = struct.pack("=BBH", 0, 0, 0) + be32(1, 17)

    assert read(message(NFT_MSG_NEWGEN, body, 0)) == [RulesEvent(frozenset(), 17, 0, "")]


@pytest.mark.parametrize("body", [b"", b"\2\0\0", struct.pack("=BBH", 0, 0, 0)])
def test_the_end_of_a_transaction_without_its_number_is_our_error(body):
    with pytest.raises(NetlinkFormatError):
        read(message(NFT_MSG_NEWGEN, body, 0))


# --------------------------------------------------------------------------- any bytes

KINDS = [*range(16, 40), RTM_NEWNSID, RTM_DELNSID, NFT_MSG_NEWGEN, 10 << 8 | 6]
GOOD = [link(7, "br0"), namespace(3), route(), rules(2), commit(17)]


def attribute(kind: int, payload: bytes) -> bytes:
    length = len(payload) + 4
    return struct.pack("=HH", length, kind) + payload + bytes(-length & 3)


attributes = st.lists(
    st.builds(attribute, st.integers(0, 30), st.binary(max_size=12)), max_size=5
).map(b"".join)
bodies = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda head, rest: head + rest, st.binary(max_size=16), attributes),
)
messages = st.one_of(st.sampled_from(GOOD), st.builds(message, st.sampled_from(KINDS), bodies))
datagrams = st.one_of(st.binary(max_size=100), st.lists(messages, max_size=4).map(b"".join))


@given(datagrams, st.integers(0, 5))
def test_any_bytes_are_events_or_our_error(data: bytes, cut: int):
    with suppress(NetlinkFormatError):
        for event in parse_events(data[: len(data) - cut]):
            assert isinstance(event, DeviceEvent | NamespaceEvent)


@given(st.lists(st.tuples(datagrams, st.integers(0, 5)), max_size=4))
def test_any_bytes_are_transactions_or_our_error_and_the_next_are_understood(found):
    reader = RulesReader()
    for data, cut in found:
        with suppress(NetlinkFormatError):
            for event in reader.read(data[: len(data) - cut]):
                assert event.families <= {4, 6}
    list(reader.read(commit(1)))

    assert next(iter(reader.read(rules(2) + commit(2)))).families == {4}
