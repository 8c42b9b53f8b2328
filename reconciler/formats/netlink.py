"""Netlink: bytes to messages and attributes, and back.

The frame is `struct nlmsghdr` (linux/netlink.h, netlink(7)): length, type, flags, sequence number
and port, in the byte order of the host; then a body; then attributes (`struct nlattr`: length and
type), each padded to four bytes. Nothing here knows what a link or a route is.

Any bytes give a value or `NetlinkFormatError`. The functions that run once per attribute are
written for speed: a pass reads ten thousand messages.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from struct import Struct, error
from typing import NamedTuple

from reconciler.errors import ReconcilerError

# Message types that belong to every family.
NLMSG_ERROR, NLMSG_DONE = 2, 3

# Message flags. REPLACE, EXCL and CREATE are for NEW requests; DUMP for GET requests; CAPPED and
# ACK_TLVS are seen on answers only. The kernel gives some of them the same number.
NLM_F_REQUEST, NLM_F_ACK, NLM_F_ECHO, NLM_F_DUMP_INTR = 0x1, 0x4, 0x8, 0x10
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_DUMP = 0x300
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF  # the two upper bits say "nested" and "network byte order"

NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS = 1, 2

AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6 = 0, 2, 7, 10

HEADER_LENGTH = 16
HEADER = Struct("=IHHII")  # struct nlmsghdr
_ATTRIBUTE = Struct("=HH")
_U32 = Struct("=I")
_S32 = Struct("=i")

u8 = Struct("=B").unpack
u16 = Struct("=H").unpack
u32 = _U32.unpack
s32 = _S32.unpack
FormatErrors = (error, ValueError, IndexError)
"""What reading bytes of the wrong shape raises; the parsers turn it into NetlinkFormatError."""


class NetlinkFormatError(ReconcilerError):
    """Bytes that are not the message they should be: a kernel that speaks otherwise, or a bug."""


class Request(NamedTuple):
    """One request: who sends it adds sequence number, NLM_F_REQUEST and NLM_F_ACK."""

    type: int
    flags: int
    body: bytes

    @property
    def changes(self) -> bool:
        """Whether it may alter the kernel: rtnetlink numbers NEW, DEL, GET, SET by the low bits."""
        return self.type & 3 != 2


class Message(NamedTuple):
    """Where one message lies in a datagram: `start` to `end` is its body, attributes included."""

    type: int
    flags: int
    sequence: int
    port: int
    """Whose request it answers; several sockets may use the same sequence numbers."""
    start: int
    end: int


class Acknowledgement(NamedTuple):
    """The kernel's verdict on a request, or on a dump when it comes in NLMSG_DONE."""

    errno: int
    """0 for success, else a positive error number."""
    message: str
    """The kernel's own words (extended acknowledgement), or nothing."""
    offset: int | None
    """Where in the request, header included, the offending attribute begins, in bytes."""


def render_message(request: Request, sequence: int, flags: int) -> bytes:
    """Put the header in front of a request, `flags` added to its own, padded for the next one."""
    kind, own, body = request
    length = HEADER_LENGTH + len(body)
    return HEADER.pack(length, kind, own | flags, sequence, 0) + body + b"\0" * (-length & 3)


def parse_messages(data: bytes) -> Iterator[Message]:
    """Walk the messages of one datagram.

    Raises:
        NetlinkFormatError: A length leads out of the datagram; what came before it is good.
    """
    unpack, offset, size = HEADER.unpack_from, 0, len(data)
    while offset + HEADER_LENGTH <= size:
        length, kind, flags, sequence, port = unpack(data, offset)
        end = offset + length
        if length < HEADER_LENGTH or end > size:
            raise NetlinkFormatError(f"message of {length} bytes at {offset} of {size}")
        yield Message(kind, flags, sequence, port, offset + HEADER_LENGTH, end)
        offset = end + (-length & 3)
    if offset < size:
        raise NetlinkFormatError(f"{size - offset} bytes after the last message")


def parse_acknowledgement(data: bytes, message: Message) -> Acknowledgement:
    """Read the body of NLMSG_ERROR (`struct nlmsgerr`) or NLMSG_DONE (an error number, or nothing).

    Raises:
        NetlinkFormatError: The body is shorter than the kernel's structure.
    """
    kind, flags, _, _, start, end = message
    if kind == NLMSG_DONE and start == end:
        return Acknowledgement(0, "", None)
    if end - start < 4:
        raise NetlinkFormatError(f"acknowledgement of {end - start} bytes")
    code = _S32.unpack_from(data, start)[0]
    offset = start + 4
    if kind == NLMSG_ERROR:
        offset += _echoed_length(data, offset, end, flags)
    found: dict[int, bytes] = {}
    if flags & NLM_F_ACK_TLVS:
        found = parse_attributes(data, offset, end, (NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS))
    try:
        where = u32(found[NLMSGERR_ATTR_OFFS])[0] if NLMSGERR_ATTR_OFFS in found else None
    except FormatErrors as wrong:
        raise NetlinkFormatError(f"acknowledgement: {wrong}") from None
    return Acknowledgement(-code, parse_text(found.get(NLMSGERR_ATTR_MSG, b"")), where)


def _echoed_length(data: bytes, offset: int, end: int, flags: int) -> int:
    """How much of the request the kernel sent back: its header, or all of it."""
    if end - offset < HEADER_LENGTH:
        raise NetlinkFormatError(f"error message with {end - offset} bytes of a request")
    if flags & NLM_F_CAPPED:
        return HEADER_LENGTH
    length: int = _U32.unpack_from(data, offset)[0]
    return length + (-length & 3)


def parse_attributes(data: bytes, start: int, end: int, wanted: Container[int]) -> dict[int, bytes]:
    """Collect the payloads of the wanted attribute types; of two with one type, the last.

    Raises:
        NetlinkFormatError: A length leads out of the message.
    """
    if end > len(data):
        raise NetlinkFormatError(f"attributes end at {end} of {len(data)}")
    found: dict[int, bytes] = {}
    unpack, last = _ATTRIBUTE.unpack_from, end - 4
    while start <= last:
        length, kind = unpack(data, start)
        if length < 4 or start + length > end:
            raise NetlinkFormatError(f"attribute of {length} bytes at {start} of {end}")
        if kind & NLA_TYPE_MASK in wanted:
            found[kind & NLA_TYPE_MASK] = data[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def parse_list(data: bytes, kind: int) -> list[bytes]:
    """Collect the payloads of all attributes of one type, in order, where a type repeats.

    Raises:
        NetlinkFormatError: A length leads out of the data.
    """
    found: list[bytes] = []
    start, end = 0, len(data)
    while start <= end - 4:
        length, kind_here = _ATTRIBUTE.unpack_from(data, start)
        if length < 4 or start + length > end:
            raise NetlinkFormatError(f"attribute of {length} bytes at {start} of {end}")
        if kind_here & NLA_TYPE_MASK == kind:
            found.append(data[start + 4 : start + length])
        start += (length + 3) & ~3
    return found


def parse_text(payload: bytes) -> str:
    """A NUL-terminated string; what is not UTF-8 is spelt out in hex, so that it can be printed."""
    return payload.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def parse_ip(payload: bytes) -> IPv4Address | IPv6Address:
    """An address of four or of sixteen bytes in network order.

    Raises:
        NetlinkFormatError: Neither four nor sixteen bytes.
    """
    if len(payload) == 4:
        return IPv4Address(payload)
    if len(payload) == 16:
        return IPv6Address(payload)
    raise NetlinkFormatError(f"address of {len(payload)} bytes")


def render_attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length & 3)


def render_nested(kind: int, attributes: Iterable[bytes]) -> bytes:
    """An attribute that holds attributes."""
    return render_attribute(kind | NLA_F_NESTED, b"".join(attributes))


def render_text(kind: int, value: str) -> bytes:
    """A NUL-terminated string."""
    return render_attribute(kind, value.encode() + b"\0")


def render_u8(kind: int, value: int) -> bytes:
    """One byte."""
    return render_attribute(kind, value.to_bytes(1, "little"))


def render_u32(kind: int, value: int) -> bytes:
    """Four bytes, unsigned, host order."""
    return render_attribute(kind, _U32.pack(value))


def render_s32(kind: int, value: int) -> bytes:
    """Four bytes, signed, host order."""
    return render_attribute(kind, _S32.pack(value))


def address_family(address: IPv4Address | IPv6Address) -> int:
    """AF_INET or AF_INET6."""
    return AF_INET if address.version == 4 else AF_INET6
