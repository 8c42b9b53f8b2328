"""Address messages: an IP address on a device, and the requests that add, delete and list them.

Sources: rtnetlink(7), linux/if_addr.h, ip-address(8). IFA_PROTO (Linux 5.18) carries our mark.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Interface, IPv6Interface
from struct import Struct
from typing import NamedTuple

from reconciler.formats.netlink import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    FormatErrors,
    NetlinkFormatError,
    Request,
    address_family,
    parse_attributes,
    parse_text,
    render_attribute,
    render_u8,
    render_u32,
    u8,
    u32,
)

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_BROADCAST, IFA_FLAGS, IFA_PROTO = 1, 2, 3, 4, 8, 11
IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_TENTATIVE, IFA_F_PERMANENT = 0x02, 0x08, 0x40, 0x80
IFAPROT_KERNEL_LL = 2  # the link-local address that the kernel made by itself
RT_SCOPE_HOST = 254

_ADDRESS = Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ATTRIBUTES = frozenset({IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_FLAGS, IFA_PROTO})
_SIZES = {AF_INET: 4, AF_INET6: 16}


class AddressMessage(NamedTuple):
    """One address on one device. A named tuple, because ten thousand of them are made in a pass."""

    ifindex: int
    family: int
    packed: bytes
    prefix_length: int
    flags: int
    protocol: int
    """Who set it (IFA_PROTO): our mark, 1 to 3 the kernel, 0 nobody said."""
    scope: int
    label: str
    """IPv4 only; mostly the name of the device."""

    @property
    def interface(self) -> IPv4Interface | IPv6Interface:
        """The address with its prefix length."""
        return _interface(self.packed, self.prefix_length)


@lru_cache(maxsize=1 << 15)  # ipaddress takes longer than the whole parser, and passes repeat
def _interface(packed: bytes, prefix_length: int) -> IPv4Interface | IPv6Interface:
    make = IPv4Interface if len(packed) == 4 else IPv6Interface
    return make((packed, prefix_length))


def parse_address(data: bytes, start: int, end: int) -> AddressMessage | None:
    """Read the body of an RTM_NEWADDR; None if it is neither IPv4 nor IPv6.

    Raises:
        NetlinkFormatError: It is not one.
    """
    try:
        family, prefix_length, flags, scope, ifindex = _ADDRESS.unpack_from(data, start)
        if family not in _SIZES:
            return None  # a dump of all families has phonet and MCTP in it
        found = parse_attributes(data, start + 8, end, _ATTRIBUTES)
        # On a point-to-point device IFA_ADDRESS is the other side, and IFA_LOCAL is ours.
        packed = found[IFA_LOCAL] if IFA_LOCAL in found else found[IFA_ADDRESS]
        if len(packed) != _SIZES[family] or prefix_length > 8 * len(packed):
            raise NetlinkFormatError(f"address of {len(packed)} bytes in family {family}")
        if IFA_FLAGS in found:
            flags = u32(found[IFA_FLAGS])[0]  # the header has room for eight of them only
        protocol = u8(found[IFA_PROTO])[0] if IFA_PROTO in found else 0
        label = parse_text(found[IFA_LABEL]) if IFA_LABEL in found else ""
    except KeyError as error:
        raise NetlinkFormatError(f"address message without {error}") from None
    except FormatErrors as error:
        raise NetlinkFormatError(f"address message: {error}") from None
    return AddressMessage(ifindex, family, packed, prefix_length, flags, protocol, scope, label)


def dump_addresses(*, family: int = AF_UNSPEC, ifindex: int = 0) -> Request:
    """All addresses, or those of one family, or of one device; the kernel filters."""
    return Request(RTM_GETADDR, NLM_F_DUMP, _ADDRESS.pack(family, 0, 0, 0, ifindex))


def add_address(
    ifindex: int, address: IPv4Interface | IPv6Interface, *, protocol: int = 0, nodad: bool = True
) -> Request:
    """Put an address on a device; EEXIST if it is there.

    Args:
        ifindex: The device.
        address: With its prefix length, of which the kernel makes a route.
        protocol: IFA_PROTO, the mark of who set it; 0 for none.
        nodad: An IPv6 address is usable at once, without asking whether it is taken (Docker's way).
    """
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Request(RTM_NEWADDR, flags, _render_new(ifindex, address, protocol, nodad))


def replace_address(
    ifindex: int, address: IPv4Interface | IPv6Interface, *, protocol: int = 0, nodad: bool = True
) -> Request:
    """As add_address, and if it is there change its protocol in place."""
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Request(RTM_NEWADDR, flags, _render_new(ifindex, address, protocol, nodad))


def delete_address(ifindex: int, address: IPv4Interface | IPv6Interface) -> Request:
    """Take an address from a device; EADDRNOTAVAIL if it is not there."""
    return Request(RTM_DELADDR, 0, _render_address(ifindex, address))


def _render_new(
    ifindex: int, address: IPv4Interface | IPv6Interface, protocol: int, nodad: bool
) -> bytes:
    body = _render_address(ifindex, address)
    if isinstance(address, IPv4Interface) and address.network.prefixlen <= 30:
        body += render_attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    if isinstance(address, IPv6Interface) and nodad:
        body += render_u32(IFA_FLAGS, IFA_F_NODAD)
    return body + render_u8(IFA_PROTO, protocol) if protocol else body


def _render_address(ifindex: int, address: IPv4Interface | IPv6Interface) -> bytes:
    family, length = address_family(address), address.network.prefixlen
    scope = RT_SCOPE_HOST if address.is_loopback else 0
    local, other = (render_attribute(kind, address.packed) for kind in (IFA_LOCAL, IFA_ADDRESS))
    return _ADDRESS.pack(family, length, 0, scope, ifindex) + local + other
