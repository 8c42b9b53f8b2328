"""Announcements: frames that tell a segment which MAC an address has now.

- IPv4: an ARP announcement (RFC 5227, 2.3 and 3), which is an ARP request (RFC 826) for the
  sender's own address. Who knows the address replaces the MAC that he has for it; nobody answers.
- IPv6: an unsolicited neighbour advertisement (RFC 4861, 4.4 and 7.2.6) to all nodes, with the
  override flag, so that a MAC that is known already is replaced. The hop limit of 255 proves that
  no router has passed it on.

Both as whole Ethernet frames (RFC 894, RFC 2464), because they must say their own source.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from struct import Struct, pack, unpack

MAC_LENGTH = 6
_BROADCAST = b"\xff" * MAC_LENGTH
_UNKNOWN = bytes(MAC_LENGTH)
_ALL_NODES = IPv6Address("ff02::1").packed
_ALL_NODES_MAC = b"\x33\x33" + _ALL_NODES[-4:]  # RFC 2464, 7

_ETHERTYPE_ARP, _ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0806, 0x0800, 0x86DD
_ARP = Struct("!HHBBH6s4s6s4s")
_HARDWARE_ETHERNET, _REQUEST = 1, 1

_IPV6 = Struct("!IHBB16s16s")  # version, class and flow; payload length; next header; hop limit
_ICMPV6 = 58
_HOP_LIMIT = 255
_ADVERTISEMENT = Struct("!BBHI16sBB6s")
_NEIGHBOUR_ADVERTISEMENT = 136
_ROUTER, _OVERRIDE = 0x8000_0000, 0x2000_0000
_TARGET_LINK_LAYER_ADDRESS = 2


def render_announcement(
    mac: bytes, address: IPv4Address | IPv6Address, *, router: bool = False
) -> bytes:
    """Make the frame that says that *address* is at *mac*.

    Args:
        mac: Six bytes, the sender's.
        address: The sender's.
        router: Whether the sender forwards IPv6. Who is told that a router is none any more deletes
            the routes through it (RFC 4861, 7.2.5).
    """
    if isinstance(address, IPv4Address):
        return _BROADCAST + mac + pack("!H", _ETHERTYPE_ARP) + _arp(mac, address)
    header = _ALL_NODES_MAC + mac + pack("!H", _ETHERTYPE_IPV6)
    return header + _advertisement(mac, address, router=router)


def _arp(mac: bytes, address: IPv4Address) -> bytes:
    lengths = (MAC_LENGTH, len(address.packed))
    sender, target = (mac, address.packed), (_UNKNOWN, address.packed)
    kind = (_HARDWARE_ETHERNET, _ETHERTYPE_IPV4)
    return _ARP.pack(*kind, *lengths, _REQUEST, *sender, *target)


def _advertisement(mac: bytes, address: IPv6Address, *, router: bool) -> bytes:
    flags = _OVERRIDE | (_ROUTER if router else 0)
    # The option's length is in units of eight bytes (RFC 4861, 4.6).
    rest = (flags, address.packed, _TARGET_LINK_LAYER_ADDRESS, 1, mac)
    unsigned = _ADVERTISEMENT.pack(_NEIGHBOUR_ADVERTISEMENT, 0, 0, *rest)
    places = address.packed + _ALL_NODES
    sum_of_all = _checksum(places + pack("!II", len(unsigned), _ICMPV6) + unsigned)
    message = _ADVERTISEMENT.pack(_NEIGHBOUR_ADVERTISEMENT, 0, sum_of_all, *rest)
    head = _IPV6.pack(6 << 28, len(message), _ICMPV6, _HOP_LIMIT, address.packed, _ALL_NODES)
    return head + message


def _checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071), here always over an even number of bytes."""
    total: int = sum(unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
