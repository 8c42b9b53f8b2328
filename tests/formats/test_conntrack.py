"""Flows: read as pyroute2 reads them, forgotten one by one, and any bytes are a value or our error."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2 import NFCTSocket
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, nfct_msg

from reconciler.formats import conntrack
from reconciler.formats.conntrack import Flow, Tuple, delete_flow, dump_flows, parse_flow
from reconciler.formats.netlink import (
    AF_INET,
    AF_INET6,
    NetlinkFormatError,
    parse_attributes,
    render_attribute,
    render_nested,
)
from reconciler.formats.nfnetlink import NETLINK_NETFILTER
from reconciler.host.netlink_socket import NetlinkSocket

UDP, TCP, ICMP, ICMP6, SCTP, GRE = 17, 6, 1, 58, 132, 47


@pytest.fixture
def tracking(host):
    """A socket for connection tracking, on a host whose tables nothing but this test fills."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    with NetlinkSocket(sock) as opened:
        yield opened


def add(family: int, *tuples: NFCTAttrTuple) -> None:
    """Let the kernel remember flows that no packet has made."""
    with NFCTSocket(nfgen_family=family) as oracle:
        for one in tuples:
            state = {"attrs": [["CTA_PROTOINFO_TCP_STATE", 3]]}  # ESTABLISHED
            more = {"protoinfo": {"attrs": [["CTA_PROTOINFO_TCP", state]]}}
            oracle.entry(
                "add",
                timeout=600,
                tuple_orig=one,
                tuple_reply=one.reverse(),
                status=14,
                **(more if one.proto == TCP else {}),
            )


def four(proto: int, number: int, **more: int) -> NFCTAttrTuple:
    ports = {} if more else {"sport": 40000 + number, "dport": 53}
    return NFCTAttrTuple(socket.AF_INET, "10.0.0.2", f"192.0.2.{number}", proto, **ports, **more)


def six(proto: int, number: int, **more: int) -> NFCTAttrTuple:
    ports = {} if more else {"sport": 40000 + number, "dport": 53}
    return NFCTAttrTuple(socket.AF_INET6, "fd00::2", f"2001:db8::{number}", proto, **ports, **more)


FLOWS = {
    AF_INET: [
        four(UDP, 1), four(UDP, 2), four(TCP, 3),
        four(ICMP, 4, icmp_id=7, icmp_type=8, icmp_code=0),
    ],
    AF_INET6: [
        six(UDP, 1), six(TCP, 2), six(ICMP6, 3, icmp_id=7, icmp_type=128, icmp_code=0),
    ],
}  # fmt: skip


def theirs(message: nfct_msg, direction: str) -> tuple[object, ...]:
    found = message.get_attr(f"CTA_TUPLE_{direction}")
    ip, proto = found.get_attr("CTA_TUPLE_IP"), found.get_attr("CTA_TUPLE_PROTO")
    version = "V4" if ip.get_attr("CTA_IP_V4_SRC") else "V6"
    return (
        ip.get_attr(f"CTA_IP_{version}_SRC"),
        ip.get_attr(f"CTA_IP_{version}_DST"),
        proto.get_attr("CTA_PROTO_NUM"),
        proto.get_attr("CTA_PROTO_SRC_PORT") or 0,
        proto.get_attr("CTA_PROTO_DST_PORT") or 0,
    )


def ours(one: Tuple) -> tuple[object, ...]:
    return (str(one.source), str(one.destination), *one[2:])


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_pyroute2_reads_the_same_flows(tracking, family):
    add(family, *FLOWS[family])

    found = tracking.dump(dump_flows(family), parse_flow)
    with NFCTSocket(nfgen_family=family) as oracle:
        known = list(oracle.dump())

    assert len(found) == len(FLOWS[family])
    pairs = {(theirs(m, "ORIG"), theirs(m, "REPLY")) for m in known}
    assert {(ours(f.original), ours(f.reply)) for f in found} == pairs
    assert {f.family for f in found} == {family}


def test_a_family_is_asked_for_alone(tracking):
    for family, tuples in FLOWS.items():
        add(family, *tuples)

    assert {f.family for f in tracking.dump(dump_flows(AF_INET), parse_flow)} == {AF_INET}
    assert {f.family for f in tracking.dump(dump_flows(AF_INET6), parse_flow)} == {AF_INET6}


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_each_flow_is_forgotten_alone_whatever_its_protocol(tracking, family):
    """By the kernel's own words for it; a deletion without any would forget all."""
    add(family, *FLOWS[family])
    left = {f.original for f in tracking.dump(dump_flows(family), parse_flow)}
    while left:
        flow = tracking.dump(dump_flows(family), parse_flow)[0]

        (reply,) = tracking.request([delete_flow(flow)])

        assert reply.refusal is None
        left.remove(flow.original)
        assert {f.original for f in tracking.dump(dump_flows(family), parse_flow)} == left


def test_a_flow_that_is_forgotten_already_is_refused_by_name(tracking):
    add(AF_INET, four(UDP, 1))
    (flow,) = tracking.dump(dump_flows(AF_INET), parse_flow)

    replies = tracking.request([delete_flow(flow), delete_flow(flow)])

    assert replies[0].refusal is None
    assert replies[1].refusal is not None
    assert replies[1].refusal.name == "ENOENT"


@pytest.mark.parametrize("prefix", ["CTA_", "CTA_TUPLE_", "CTA_IP_", "CTA_PROTO_"])
def test_attribute_numbers_are_those_of_pyroute2(prefix):
    tables = {
        "CTA_": nfct_msg,
        "CTA_TUPLE_": nfct_msg.cta_tuple,
        "CTA_IP_": nfct_msg.cta_tuple.cta_ip,
        "CTA_PROTO_": nfct_msg.cta_tuple.cta_proto,
    }
    numbers = {entry[0]: place for place, entry in enumerate(tables[prefix].nla_map)}
    mine = {n: v for n, v in vars(conntrack).items() if n in numbers and n.startswith(prefix)}

    assert len(mine) >= 2
    assert mine == {name: numbers[name] for name in mine}


# ---------------------------------------------------------------- bodies made by hand

HEADER = struct.pack("!BBH", AF_INET, 0, 0)


def direction(kind: int, source: str, destination: str, *ports: int, protocol: int = UDP) -> bytes:
    one, other = ip_address(source), ip_address(destination)
    first = 1 if one.version == 4 else 3
    ip = [render_attribute(first, one.packed), render_attribute(first + 1, other.packed)]
    rest = [render_attribute(1, bytes([protocol]))]
    rest += [render_attribute(n, struct.pack("!H", port)) for n, port in enumerate(ports, 2)]
    return render_nested(kind, [render_nested(1, ip), render_nested(2, rest)])


def read(body: bytes) -> Flow | None:
    return parse_flow(body, 0, len(body))


ORIGINAL = direction(1, "10.0.0.2", "192.0.2.1", 40000, 53)
REPLY = direction(2, "192.0.2.1", "203.0.113.2", 53, 40000)


def test_a_translated_flow_has_two_directions_that_differ():
    flow = read(HEADER + ORIGINAL + REPLY)

    assert flow is not None
    assert flow.original == Tuple(ip_address("10.0.0.2"), ip_address("192.0.2.1"), 17, 40000, 53)
    assert flow.reply == Tuple(ip_address("192.0.2.1"), ip_address("203.0.113.2"), 17, 53, 40000)


def test_a_deletion_names_the_first_direction_in_the_words_that_were_read():
    flow = read(HEADER + ORIGINAL + REPLY)
    assert flow is not None

    request = delete_flow(flow)

    assert (request.type, request.flags) == (
        0x0102,
        0,
    )  # nfnetlink_conntrack.h: IPCTNL_MSG_CT_DELETE
    assert request.body[:4] == HEADER
    kinds = parse_attributes(request.body, 4, len(request.body), {1, 2})
    assert kinds == {1: flow.key}
    assert flow.key


def test_a_protocol_without_ports_has_none():
    body = HEADER + direction(1, "10.0.0.2", "10.0.0.3", protocol=GRE)
    body += direction(2, "10.0.0.3", "10.0.0.2", protocol=GRE)
    flow = read(body)

    assert flow is not None
    assert flow.original[2:] == (GRE, 0, 0)


@pytest.mark.parametrize(
    "body",
    [
        HEADER,
        HEADER + ORIGINAL,
        HEADER + REPLY,
        HEADER + ORIGINAL + render_nested(2, []),
        HEADER + ORIGINAL + render_nested(2, [render_nested(1, []), render_nested(2, [])]),
    ],
)
def test_a_flow_of_half_a_direction_is_none(body):
    assert read(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        HEADER[:3],
        HEADER + ORIGINAL + REPLY[:-1],
        HEADER + ORIGINAL + struct.pack("=HH", 99, 2),
        HEADER
        + ORIGINAL
        + direction(2, "1.2.3.4", "1.2.3.5").replace(b"\x08\0\1\0", b"\x07\0\1\0"),
    ],
)
def test_a_message_of_the_wrong_shape_is_refused(body):
    with pytest.raises(NetlinkFormatError):
        read(body)


def attribute(kind, payload):
    return struct.pack("=HH", len(payload) + 4, kind) + payload + b"\0" * (-len(payload) & 3)


leaf = st.builds(
    attribute, st.sampled_from([1, 2, 3, 4, 0x8001, 0x8002, 9]), st.binary(max_size=17)
)
middle = st.lists(leaf, max_size=4).map(b"".join)
upper = st.lists(
    st.builds(attribute, st.sampled_from([1, 2, 0x8001, 0x8002, 3]), middle), max_size=4
).map(b"".join)
top = st.lists(
    st.builds(attribute, st.sampled_from([1, 2, 0x8001, 0x8002, 3]), upper), max_size=4
).map(b"".join)


@given(
    header=st.binary(max_size=6),
    rest=st.one_of(st.binary(max_size=120), top),
    cut=st.integers(0, 3),
)
def test_any_bytes_are_a_flow_none_or_our_error(header, rest, cut):
    for body in (header + rest, (HEADER + ORIGINAL + rest)[: len(HEADER + ORIGINAL + rest) - cut]):
        with suppress(NetlinkFormatError):
            flow = read(body)
            if flow is not None:
                delete_flow(flow)


@given(st.integers(0, len(HEADER + ORIGINAL + REPLY) - 1), st.integers(0, 255))
def test_a_flow_with_any_byte_changed_is_a_flow_none_or_our_error(place, value):
    body = bytearray(HEADER + ORIGINAL + REPLY)
    body[place] = value
    with suppress(NetlinkFormatError):
        read(bytes(body))
