"""Netlink frames: headers, attributes and acknowledgements, byte by byte."""

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest

from reconciler.formats import netlink
from reconciler.formats.netlink import (
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Acknowledgement,
    NetlinkFormatError,
    Request,
    parse_acknowledgement,
    parse_attributes,
    parse_ip,
    parse_messages,
    parse_text,
    render_attribute,
    render_message,
    render_nested,
    render_s32,
    render_text,
    render_u8,
    render_u32,
)


def frame(kind, body, flags=0, sequence=7, port=5):
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, port) + body


def only(data):
    (message,) = parse_messages(data)
    return message


def test_a_request_becomes_a_header_and_its_body():
    request = Request(16, 0x400, b"abcd")

    assert render_message(request, 9, 0x5) == struct.pack("=IHHII", 20, 16, 0x405, 9, 0) + b"abcd"


def test_a_request_is_padded_so_that_the_next_one_can_follow():
    """The length in the header leaves the padding out (NLMSG_ALIGN)."""
    data = render_message(Request(16, 0, b"abcde"), 1, 0) + render_message(
        Request(17, 0, b""), 2, 0
    )

    messages = list(parse_messages(data))

    assert [(m.type, m.sequence, data[m.start : m.end]) for m in messages] == [
        (16, 1, b"abcde"),
        (17, 2, b""),
    ]


def test_a_message_says_whose_request_it_answers():
    message = only(frame(3, b"\0\0\0\0", flags=NLM_F_DUMP_INTR, sequence=11, port=4711))

    assert (message.type, message.flags, message.sequence, message.port) == (3, 0x10, 11, 4711)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0f\0\0\0" + b"\0" * 12, "message of 15 bytes at 0 of 16"),
        (b"\x11\0\0\0" + b"\0" * 12, "message of 17 bytes at 0 of 16"),
        (b"\x00\0\0\0" + b"\0" * 12, "message of 0 bytes at 0 of 16"),
        (frame(16, b"") + b"\0\0", "2 bytes after the last message"),
    ],
)
def test_a_length_that_leads_astray_is_refused(data, message):
    with pytest.raises(NetlinkFormatError, match=message):
        list(parse_messages(data))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [(16, True), (17, True), (18, False), (19, True), (26, False), (88, True), (90, False)],
)
def test_requests_that_only_ask_are_told_from_those_that_change(kind, changes):
    assert Request(kind, 0, b"").changes is changes


def test_attributes_are_found_by_type_and_others_are_passed_over():
    data = b"....", render_u32(4, 1500), render_text(3, "eth0"), render_u8(99, 1)
    data = b"".join(data)

    assert parse_attributes(data, 4, len(data), {3, 4}) == {
        3: b"eth0\0",
        4: struct.pack("=I", 1500),
    }


def test_a_nested_attribute_is_found_under_its_plain_type():
    data = render_nested(18, [render_text(1, "veth")])

    inner = parse_attributes(data, 0, len(data), {18})[18]

    assert data[:4] == struct.pack("=HH", len(data), 18 | 0x8000)
    assert parse_attributes(inner, 0, len(inner), {1}) == {1: b"veth\0"}


def test_the_last_attribute_may_lack_its_padding():
    data = struct.pack("=HH", 5, 1) + b"x"

    assert parse_attributes(data, 0, len(data), {1}) == {1: b"x"}


@pytest.mark.parametrize("length", [0, 3, 9])
def test_an_attribute_with_a_wrong_length_is_refused(length):
    """Zero would never end, nine is longer than the message."""
    data = struct.pack("=HH", length, 1) + b"\0" * 4

    with pytest.raises(NetlinkFormatError, match=f"attribute of {length} bytes at 0 of 8"):
        parse_attributes(data, 0, len(data), {1})


def test_attributes_must_not_end_behind_the_datagram():
    with pytest.raises(NetlinkFormatError):
        parse_attributes(render_u32(1, 0), 0, 12, {1})


def test_an_attribute_is_padded_and_its_length_is_not():
    assert render_attribute(1, b"abcde") == struct.pack("=HH", 9, 1) + b"abcde\0\0\0"
    assert render_s32(1, -1)[4:] == b"\xff\xff\xff\xff"


def acknowledgement(data):
    return parse_acknowledgement(data, only(data))


def test_success_is_errno_zero():
    data = frame(NLMSG_ERROR, struct.pack("=i", 0) + b"\0" * 16, NLM_F_CAPPED)

    assert acknowledgement(data) == Acknowledgement(0, "", None)


def test_a_refusal_carries_the_kernels_words_and_the_place():
    attributes = render_text(1, "mtu greater than device maximum") + render_u32(2, 36)
    body = struct.pack("=i", -22) + b"\0" * 16 + attributes

    assert acknowledgement(frame(NLMSG_ERROR, body, NLM_F_CAPPED | NLM_F_ACK_TLVS)) == (
        22,
        "mtu greater than device maximum",
        36,
    )


def test_a_refusal_may_bring_the_whole_request_back():
    """Without NETLINK_CAP_ACK the words come after the request, which is as long as it says."""
    request = frame(16, b"x" * 21)
    body = struct.pack("=i", -17) + request + b"\0" * 3 + render_text(1, "taken")

    assert acknowledgement(frame(NLMSG_ERROR, body, NLM_F_ACK_TLVS)) == (17, "taken", None)


def test_attributes_are_read_only_where_the_flag_announces_them():
    body = struct.pack("=i", -17) + b"\0" * 16 + render_text(1, "noise")

    assert acknowledgement(frame(NLMSG_ERROR, body, NLM_F_CAPPED)) == (17, "", None)


def test_the_end_of_a_dump_can_be_an_error():
    words = render_text(1, "table does not exist")

    assert acknowledgement(frame(NLMSG_DONE, b"")) == (0, "", None)
    assert acknowledgement(frame(NLMSG_DONE, struct.pack("=i", 0))) == (0, "", None)
    assert acknowledgement(frame(NLMSG_DONE, struct.pack("=i", -2) + words, NLM_F_ACK_TLVS)) == (
        2,
        "table does not exist",
        None,
    )


@pytest.mark.parametrize(
    ("kind", "body", "flags"),
    [
        (NLMSG_ERROR, b"", 0),
        (NLMSG_ERROR, b"\0\0\0\0", 0),
        (NLMSG_DONE, b"\0", 0),
        (NLMSG_DONE, b"\0\0\0\0" + render_u8(2, 1), NLM_F_ACK_TLVS),
    ],
)
def test_a_short_acknowledgement_is_refused(kind, body, flags):
    with pytest.raises(NetlinkFormatError):
        acknowledgement(frame(kind, body, flags))


def test_text_can_always_be_printed():
    """Device names and aliases are bytes to the kernel."""
    assert parse_text(b"eth0\0") == "eth0"
    assert parse_text("brücke\0".encode()) == "brücke"
    assert parse_text(b"\xff1\0") == r"\xff1"


def test_an_address_has_four_or_sixteen_bytes():
    assert parse_ip(bytes([10, 0, 0, 1])) == IPv4Address("10.0.0.1")
    assert parse_ip(bytes(15) + b"\1") == IPv6Address("::1")
    with pytest.raises(NetlinkFormatError, match="address of 5 bytes"):
        parse_ip(b"12345")


def test_families_are_the_kernels():
    assert netlink.address_family(IPv4Address("10.0.0.1")) == 2
    assert netlink.address_family(IPv6Address("::1")) == 10
