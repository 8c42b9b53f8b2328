"""Probes: real packets from one namespace to another, by sockets opened there."""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from tests.world import HERE, Namespace, inside

Protocol = Literal["tcp", "udp", "sctp"]

_SOCKETS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, 132),
}
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_DO = 10, 23, 2  # linux/in.h, linux/in6.h
_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}  # request and reply: RFC 792, 4443

_numbers = itertools.count(1)


def ping(
    source: Namespace, address: str, *, size: int = 56, df: bool = False, timeout: float = 1.0
) -> bool:
    """Send one echo request with `size` bytes of data; say whether its reply came in time.

    With `df` it may not be fragmented, so one larger than the path's MTU gets no reply.
    """
    family = _family(address)
    request, reply = _ECHO[family]
    number = next(_numbers) & 0xFFFF
    with inside(source), _ping_socket(family) as sock:
        if df:
            _forbid_fragments(sock)
        mark = struct.pack("!HH", os.getpid() & 0xFFFF, number)
        try:
            sock.connect((address, 0))
            sock.send(_with_checksum(bytes([request, 0, 0, 0]) + mark + bytes(size)))
        except OSError:
            return False
        return _await_reply(sock, bytes([reply]), mark, timeout)


def tcp_probe(
    source: Namespace, address: str, port: int, *, timeout: float = 1.0
) -> Literal["open", "refused", "closed"]:
    """Try to connect: `refused` is an answer (RST or ICMP), `closed` is silence or no route."""
    with inside(source), socket.socket(_family(address), socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect((address, port))
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "closed"
        return "open"


def tcp_reaches(source: Namespace, address: str, port: int, *, timeout: float = 1.0) -> bool:
    """Say whether a TCP connection is established."""
    return tcp_probe(source, address, port, timeout=timeout) == "open"


def udp_reaches(source: Namespace, address: str, port: int, *, timeout: float = 1.0) -> bool:
    """Say whether a datagram reaches a `Listener` and its answer comes back."""
    return ask(source, address, port, "udp", timeout=timeout) is not None


def ask(
    source: Namespace, address: str, port: int, protocol: Protocol = "tcp", *, timeout: float = 1.0
) -> str | None:
    """Ask a `Listener` which source address it sees; None when no answer comes in time."""
    kind, number = _SOCKETS[protocol]
    with inside(source), socket.socket(_family(address), kind, number) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect((address, port))
            sock.send(b"who am I")
            return sock.recv(64).decode() or None
        except OSError:
            return None


class Listener:
    """A server in a namespace that tells each client the source address it sees."""

    def __init__(
        self,
        namespace: Namespace = HERE,
        port: int = 0,
        protocol: Protocol = "tcp",
        address: str = "::",
    ) -> None:
        """Bind; port 0 takes a free one. The address :: serves both families."""
        self.sources: list[str] = []
        self._stop_reader, self._stop_writer = os.pipe()
        with inside(namespace):
            self._socket = _bind(address, port, protocol)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._stop_writer)
        self._thread.join()
        os.close(self._stop_reader)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket, self._stop_reader], [], [])
            if self._socket not in ready:
                return  # asked to stop, and every client that came before has its answer
            if self._socket.type == socket.SOCK_DGRAM:
                _, peer = self._socket.recvfrom(64)
                self._socket.sendto(self._note(peer), peer)
                continue
            connection, peer = self._socket.accept()
            with connection, suppress(OSError):  # a mere probe may be gone already
                connection.send(self._note(peer))

    def _note(self, peer: tuple[str, int]) -> bytes:
        address = peer[0].removeprefix("::ffff:")
        self.sources.append(address)
        return address.encode()


def _bind(address: str, port: int, protocol: Protocol) -> socket.socket:
    kind, number = _SOCKETS[protocol]
    sock = socket.socket(_family(address), kind, number)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if address == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM:
        sock.listen(64)
    return sock


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _ping_socket(family: socket.AddressFamily) -> socket.socket:
    ip6 = family == socket.AF_INET6
    number = socket.IPPROTO_ICMPV6 if ip6 else socket.IPPROTO_ICMP
    return socket.socket(family, socket.SOCK_RAW, number)


def _forbid_fragments(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DO)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DO)


def _await_reply(sock: socket.socket, kind: bytes, mark: bytes, timeout: float) -> bool:
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            packet = sock.recv(65536)
        except OSError:
            return False
        # An IPv4 raw socket gives the IP header too (raw(7)), an IPv6 one does not (RFC 3542).
        message = packet[(packet[0] & 15) * 4 :] if sock.family == socket.AF_INET else packet
        if message[:1] == kind and message[4:8] == mark:
            return True
    return False


def _with_checksum(message: bytes) -> bytes:
    # RFC 1071. For ICMPv6 the kernel puts its own over it (RFC 3542, 3.1).
    words = struct.unpack(f"!{len(message) // 2}H", message[: len(message) // 2 * 2])
    total = sum(words) + (message[-1] << 8 if len(message) % 2 else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]
