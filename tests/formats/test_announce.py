"""Announcements as bytes: what the RFCs draw, and what a checksum over all of it must give."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st

from reconciler.formats.announce import render_announcement

MAC = bytes.fromhex("02420a010002")
MACS = st.binary(min_size=6, max_size=6)


def test_an_arp_announcement_asks_all_for_the_sender_s_own_address():
    frame = render_announcement(MAC, IPv4Address("10.1.0.2"))

    assert frame == bytes.fromhex(
        "ffffffffffff 02420a010002 0806"  # Ethernet: to all, from us, ARP
        "0001 0800 06 04 0001"  # Ethernet, IPv4, their lengths, request
        "02420a010002 0a010002"  # sender
        "000000000000 0a010002"  # target: the same address, at a MAC that is not known
    )


def test_a_neighbour_advertisement_says_to_all_nodes_where_the_address_is():
    frame = render_announcement(MAC, IPv6Address("fd00:1::2"))

    assert frame[:14] == bytes.fromhex("333300000001 02420a010002 86dd")
    head, message = frame[14:54], frame[54:]
    assert head == bytes.fromhex(
        "60000000 0020 3a ff"  # IPv6, 32 bytes of ICMPv6, hop limit 255
        "fd000001000000000000000000000002 ff020000000000000000000000000001"
    )
    assert message[:2] == b"\x88\x00"  # 136, code 0
    assert message[4:] == bytes.fromhex(
        "20000000"  # override; neither solicited nor from a router
        "fd000001000000000000000000000002"
        "02 01 02420a010002"  # target link-layer address, 8 bytes
    )


def test_a_router_says_that_it_is_one():
    frame = render_announcement(MAC, IPv6Address("fd00:1::1"), router=True)

    assert frame[58:62] == bytes.fromhex("a0000000")


@given(MACS, st.ip_addresses(v=6), st.booleans())
def test_the_checksum_covers_message_and_addresses(mac: bytes, address: IPv6Address, router: bool):
    """RFC 4443, 2.3: with the checksum in place, the sum of all words is all ones."""
    frame = render_announcement(mac, address, router=router)

    message = frame[54:]
    covered = frame[22:54] + struct.pack("!II", len(message), 58) + message
    total = sum(struct.unpack(f"!{len(covered) // 2}H", covered))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


@given(MACS, st.ip_addresses())
def test_every_frame_comes_from_its_mac_and_names_its_address_twice(mac: bytes, address: object):
    frame = render_announcement(mac, ip_address(str(address)))

    assert frame[6:12] == mac
    assert frame.count(ip_address(str(address)).packed) >= 2
