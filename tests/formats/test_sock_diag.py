"""Listeners: read as pyroute2 reads them, of every kind, and any bytes are a value or our error."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2 import DiagSocket

from reconciler.formats.netlink import AF_INET, AF_INET6, NetlinkFormatError
from reconciler.formats.sock_diag import (
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    SocketMessage,
    dump_listeners,
    parse_socket,
)
from reconciler.host.listeners import describe_process, read_listeners
from reconciler.host.netlink_socket import NetlinkSocket
from reconciler.objects import Listener

_SOCK_DIAG = 4  # linux/netlink.h


@pytest.fixture
def bound(host):
    """Open sockets on this host, closed at the end."""
    host.ip("link set lo up")
    with ExitStack() as stack:

        def bind(
            address: str, port: int = 0, kind: int = socket.SOCK_STREAM, *, only6: bool = True
        ):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = stack.enter_context(socket.socket(family, kind))
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only6))
            sock.bind((address, port))
            if kind == socket.SOCK_STREAM:
                sock.listen(1)
            return sock

        yield bind


def look(family: int, protocol: int) -> list[SocketMessage]:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)
    with NetlinkSocket(sock) as diagnosis:
        return diagnosis.dump(dump_listeners(family, protocol), parse_socket)


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def test_pyroute2_reads_the_same_sockets(bound):
    tcp = [bound("0.0.0.0"), bound("127.0.0.1"), bound("::"), bound("::1")]
    client = socket.create_connection(tcp[1].getsockname())  # is no listener
    server, _ = tcp[1].accept()

    found = [(f, m) for f in (AF_INET, AF_INET6) for m in look(f, IPPROTO_TCP)]

    with DiagSocket() as oracle:
        oracle.bind()
        known = [
            (m["idiag_family"], m["idiag_src"], m["idiag_sport"], m["idiag_inode"])
            for f in (AF_INET, AF_INET6)
            for m in oracle.get_sock_stats(family=f, states=1 << 10)
        ]
    plain = {(f, str(m.address), m.port, m.inode) for f, m in found}
    assert {p[1:] for p in plain} == {
        (s.getsockname()[0], s.getsockname()[1], inode(s)) for s in tcp
    }
    assert plain == set(known)
    assert {m.state for _, m in found} == {10}
    client.close()
    server.close()


def test_a_bound_udp_socket_is_a_listener_and_a_connected_one_is_not(bound):
    """It takes what comes from anywhere; one with a peer takes that one's alone."""
    free = bound("127.0.0.1", 5353, socket.SOCK_DGRAM)
    tied = bound("127.0.0.1", 5354, socket.SOCK_DGRAM)
    tied.connect(("127.0.0.1", 9))

    found = look(AF_INET, IPPROTO_UDP)

    assert [(m.port, m.inode) for m in found] == [(5353, inode(free))]


def test_a_socket_of_a_family_is_found_in_it_alone(bound):
    bound("0.0.0.0", 7001)
    bound("::", 7002, only6=False)

    assert [m.port for m in look(AF_INET, IPPROTO_TCP)] == [7001]
    assert [m.port for m in look(AF_INET6, IPPROTO_TCP)] == [7002]


def test_the_listeners_of_a_host_are_all_of_both_families_and_protocols(bound):
    sockets = {
        ("tcp", "0.0.0.0"): bound("0.0.0.0"),
        ("tcp", "::1"): bound("::1"),
        ("udp", "127.0.0.1"): bound("127.0.0.1", 0, socket.SOCK_DGRAM),
        ("udp", "::"): bound("::", 0, socket.SOCK_DGRAM),
    }

    assert set(read_listeners()) == {
        Listener(protocol, ip_address(address), sock.getsockname()[1], inode(sock))
        for (protocol, address), sock in sockets.items()
    }


def test_a_mapped_address_is_read_as_it_is(bound):
    bound("::ffff:127.0.0.1", 7003, only6=False)

    (found,) = look(AF_INET6, IPPROTO_TCP)
    assert found.address == ip_address("::ffff:127.0.0.1")


def test_a_socket_is_found_in_the_process_that_has_it(bound):
    listening = bound("127.0.0.1")
    name = Path("/proc/self/comm").read_text().strip()

    assert describe_process(inode(listening)) == f"process {os.getpid()} ({name})"
    assert describe_process(1) == "a process that we may not look at"


def test_a_kernel_without_a_protocol_has_no_listeners_of_it():
    """The numbers of the request are those of linux/inet_diag.h: struct inet_diag_req_v2."""
    assert dump_listeners(AF_INET, IPPROTO_SCTP).body == struct.pack(
        "=BBBBI48x", 2, 132, 0, 0, 1 << 10
    )
    assert dump_listeners(AF_INET6, IPPROTO_UDP).body[:8] == struct.pack(
        "=BBBBI", 10, 17, 0, 0, 1 << 7
    )
    assert dump_listeners(AF_INET, IPPROTO_TCP).type == 20


BODY = (
    struct.pack("=BBBB", AF_INET, 10, 0, 0)
    + struct.pack("!HH", 8080, 0)
    + ip_address("192.0.2.1").packed.ljust(16, b"\0")
    + bytes(16)
    + struct.pack("=I8xIIIII", 0, 0, 0, 0, 0, 4711)
)


def test_a_body_made_by_hand_is_read():
    assert parse_socket(BODY, 0, len(BODY)) == SocketMessage(
        10, ip_address("192.0.2.1"), 8080, 4711
    )
    six = struct.pack("=B", AF_INET6) + BODY[1:]
    assert parse_socket(six, 0, len(six)).address == ip_address("c000:201::")
    other = struct.pack("=B", 1) + BODY[1:]
    assert parse_socket(other, 0, len(other)) is None


@pytest.mark.parametrize("length", [0, 3, 8, len(BODY) - 1])
def test_a_body_that_is_cut_off_is_refused(length):
    with pytest.raises(NetlinkFormatError):
        parse_socket(BODY[:length], 0, length)
    with pytest.raises(NetlinkFormatError):
        parse_socket(BODY[:length], 0, len(BODY))


@given(
    st.one_of(st.binary(max_size=120), st.binary(max_size=40).map(lambda b: b + BODY)), st.data()
)
def test_any_bytes_are_a_socket_none_or_our_error(data, draw):
    start = draw.draw(st.integers(0, len(data)))
    with suppress(NetlinkFormatError):
        parse_socket(data, start, draw.draw(st.integers(start, len(data) + 8)))
