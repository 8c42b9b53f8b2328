"""Socket diagnosis: which sockets of a namespace wait for peers (sock_diag(7), linux/inet_diag.h)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import NamedTuple

from reconciler.formats.netlink import (
    AF_INET,
    AF_INET6,
    NLM_F_DUMP,
    FormatErrors,
    NetlinkFormatError,
    Request,
)

SOCK_DIAG_BY_FAMILY = 20
IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP = 6, 17, 132
TCP_CLOSE, TCP_LISTEN = 7, 10  # net/tcp_states.h; a bound UDP socket without a peer is "closed"

_REQUEST = Struct("=BBBBI48x")  # struct inet_diag_req_v2 with an empty id
_ANSWER = Struct("=BBBB")  # family, state, timer, retransmits
_PORTS = Struct("!HH16s16s")
_TAIL = Struct("=I8xIIIII")  # interface, cookie, expires, queues, user, inode


class SocketMessage(NamedTuple):
    """One socket."""

    state: int
    address: IPv4Address | IPv6Address
    port: int
    inode: int


def dump_listeners(family: int, protocol: int) -> Request:
    """All sockets of a family and protocol that wait for whoever comes."""
    states = 1 << (TCP_CLOSE if protocol == IPPROTO_UDP else TCP_LISTEN)
    body = _REQUEST.pack(family, protocol, 0, 0, states)
    return Request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, body)


def parse_socket(data: bytes, start: int, end: int) -> SocketMessage | None:
    """Read the body of an answer (`struct inet_diag_msg`); None if it is neither IPv4 nor IPv6.

    Raises:
        NetlinkFormatError: It is not one.
    """
    try:
        if end > len(data) or end - start < _ANSWER.size + _PORTS.size + _TAIL.size:
            raise NetlinkFormatError(f"socket message of {end - start} bytes")
        family, state, _, _ = _ANSWER.unpack_from(data, start)
        port, _, source, _ = _PORTS.unpack_from(data, start + _ANSWER.size)
        inode = _TAIL.unpack_from(data, start + _ANSWER.size + _PORTS.size)[-1]
    except FormatErrors as error:
        raise NetlinkFormatError(f"socket message: {error}") from None
    if family == AF_INET:
        return SocketMessage(state, IPv4Address(source[:4]), port, inode)
    if family == AF_INET6:
        return SocketMessage(state, IPv6Address(source), port, inode)
    return None
