"""Netlink socket: requests to one network namespace, and what became of each.

rtnetlink works inside send: when it returns, every answer is queued already. So nothing here ever
waits, and a queue that is empty before the last answer was read means that an answer was lost.
A socket belongs to the namespace it was opened in, whichever thread uses it, one at a time.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self, TypeVar

from reconciler.errors import HostError
from reconciler.formats.netlink import (
    HEADER,
    HEADER_LENGTH,
    NLM_F_ACK,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    Request,
    parse_acknowledgement,
    parse_messages,
    render_message,
)
from reconciler.host.refusal import KernelRefusal

# linux/netlink.h, asm-generic/socket.h
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 270, 10, 11, 12
SO_RCVBUFFORCE = 33

BATCH_REQUESTS = 64  # requests in one send; more gains nothing
BATCH_BYTES = 64 << 10  # well below the send buffer's 208 KiB (EMSGSIZE)
RECEIVE_BUFFER = 4 << 20  # the answers to a batch must fit
DUMP_ATTEMPTS = 8
_SEQUENCE_MAX = 0xFFFFFFFF
_FINAL = {NLMSG_ERROR, NLMSG_DONE}
_PASSING = {errno.EBUSY, errno.EINTR, errno.EAGAIN, errno.ENOBUFS}  # worth another attempt
_READ_BYTES = 64 << 10  # a dump comes in pieces of at most 32 KiB, one message may be longer

# As plain numbers: the enum's operators take longer than the system call.
_MSG_TRUNC, _MSG_DONTWAIT = int(socket.MSG_TRUNC), int(socket.MSG_DONTWAIT)

T = TypeVar("T")

# linux/rtnetlink.h: every object has four types in a row, one for each verb.
_OBJECTS = {16: "LINK", 20: "ADDR", 24: "ROUTE", 28: "NEIGH", 88: "NSID", 108: "LINKPROP"}
_TYPES = {
    first + number: f"RTM_{verb}{name}"
    for first, name in _OBJECTS.items()
    for number, verb in enumerate(("NEW", "DEL", "GET", "SET"))
}


class Reply(NamedTuple):
    """What became of one request."""

    refusal: KernelRefusal | None
    """None: the kernel did it."""
    payloads: tuple[bytes, ...]
    """The bodies of what it sent back: the answer to a GET, the echo of a creation."""


class NetlinkSocket:
    """One rtnetlink socket, used by one thread at a time."""

    def __init__(
        self, sock: socket.socket | None = None, counters: Counter[str] | None = None
    ) -> None:
        """Take a socket over and set it up.

        Args:
            sock: A fresh one of open_socket, opened in the namespace it is for; without it, one
                is opened in the namespace of the calling thread.
            counters: Where to count "requests", "changes", "dumps", "retries" and each type.
        """
        self.counters: Counter[str] = Counter() if counters is None else counters
        self._socket = sock or open_socket()
        self._socket.bind((0, 0))
        self._port: int = self._socket.getsockname()[0]
        self._sequence = 0
        self._read_bytes = _READ_BYTES
        self._lost = False
        for option in (NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except PermissionError:  # as an ordinary user: up to net.core.rmem_max
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """Its number, which the kernel puts into the events of what it asks for."""
        return self._port

    def close(self) -> None:
        """Give the descriptor back; it keeps the namespace alive."""
        self._socket.close()

    def request(self, requests: Sequence[Request]) -> list[Reply]:
        """Send requests, many at a time, and say for each in order what became of it.

        Raises:
            HostError: They could not be sent at all.
            NetlinkFormatError: The kernel's answer has another shape.
        """
        replies: list[Reply] = []
        for batch in _batches(requests):
            replies += self._exchange(batch)
        return replies

    def dump(self, request: Request, parse: Callable[[bytes, int, int], T | None]) -> list[T]:
        """Collect a whole and consistent dump; what `parse` answers None for is left out.

        A dump that a change interrupted, or of which a part was lost, is made again.

        Raises:
            HostError: The kernel refused, or no dump was consistent.
            NetlinkFormatError: The kernel's answer has another shape.
        """
        for _ in range(DUMP_ATTEMPTS):
            values = self._try_dump(request, parse)
            if values is not None:
                return values
            self.counters["retries"] += 1
            self._drain()
        name = type_name(request)
        raise HostError(f"{name}: no consistent answer in {DUMP_ATTEMPTS} attempts")

    def dump_bodies(self, request: Request) -> list[bytes]:
        """Collect the bodies of a dump unread: most looks only ask whether they are as they were.

        Raises:
            HostError: The kernel refused, or no dump was consistent.
            NetlinkFormatError: The kernel's answer has another shape.
        """
        bodies = self._quick_bodies(request)
        return self.dump(request, _body) if bodies is None else bodies

    def _quick_bodies(self, request: Request) -> list[bytes] | None:
        """One attempt without all that a dump may need; None: it was not as simple as that."""
        self.counters["dumps"] += 1
        sequence = self._send([request], NLM_F_REQUEST)
        bodies: list[bytes] = []
        unpack, port = HEADER.unpack_from, self._port
        while (data := self._receive()) is not None:
            offset, size = 0, len(data)
            while offset < size:
                length, kind, flags, number, to = unpack(data, offset)
                if number != sequence or to != port or length < HEADER_LENGTH:
                    break
                if kind == NLMSG_DONE and not (flags & NLM_F_DUMP_INTR or self._lost):
                    refused = any(data[offset + HEADER_LENGTH : offset + length])
                    return None if refused else bodies
                if kind in _FINAL or flags & NLM_F_DUMP_INTR:
                    break
                bodies.append(data[offset + HEADER_LENGTH : offset + length])
                offset += length + (-length & 3)
            if offset < size:
                break
        self.counters["retries"] += 1
        self._drain()
        return None

    def _try_dump(
        self, request: Request, parse: Callable[[bytes, int, int], T | None]
    ) -> list[T] | None:
        self.counters["dumps"] += 1
        first = self._send([request], NLM_F_REQUEST)
        values: list[T] = []
        flags = 0
        for data, message in self._answers(first, 1):
            flags |= message.flags
            if message.type in _FINAL:
                refusal = _refusal(request, data, message)
                if refusal is not None and refusal.errno not in _PASSING:
                    raise refusal.error()
                broken = refusal or self._lost or flags & NLM_F_DUMP_INTR
                return None if broken else values
            value = parse(data, message.start, message.end)
            if value is not None:
                values.append(value)
        return None

    def _exchange(self, batch: Sequence[Request]) -> list[Reply]:
        first = self._send(batch, NLM_F_REQUEST | NLM_F_ACK)
        # What has no answer in the end was done or not: only the next look at the kernel can tell.
        verdicts: list[KernelRefusal | None] = [
            KernelRefusal(errno.ENOBUFS, "", type_name(request)) for request in batch
        ]
        payloads: list[list[bytes]] = [[] for _ in batch]
        missing = len(batch)
        for data, message in self._answers(first, len(batch)):
            number = message.sequence - first
            if message.type != NLMSG_ERROR:
                payloads[number].append(data[message.start : message.end])
                continue
            verdicts[number] = _refusal(batch[number], data, message)
            missing -= 1
            if not missing:
                break
        return [Reply(v, tuple(p)) for v, p in zip(verdicts, payloads, strict=True)]

    def _send(self, batch: Sequence[Request], flags: int) -> int:
        """Send a batch and return the sequence number of its first request."""
        if self._sequence + len(batch) > _SEQUENCE_MAX:
            self._sequence = 0
        first = self._sequence + 1
        self._sequence += len(batch)
        self._lost = False
        self.counters["requests"] += len(batch)
        for request in batch:
            self.counters[type_name(request)] += 1
            self.counters["changes"] += request.changes
        try:
            self._socket.send(
                b"".join(render_message(r, first + n, flags) for n, r in enumerate(batch))
            )
        except OSError as error:
            raise HostError(f"netlink: {error.strerror}") from error
        return first

    def _answers(self, first: int, count: int) -> Iterator[tuple[bytes, Message]]:
        """What is queued for these requests; stale answers to earlier ones are passed over."""
        while (data := self._receive()) is not None:
            for message in parse_messages(data):
                if message.port == self._port and first <= message.sequence < first + count:
                    yield data, message

    def _receive(self) -> bytes | None:
        """The next datagram from the kernel, or None if none is queued; notices what got lost."""
        while True:
            try:
                data, _, flags, sender = self._socket.recvmsg(self._read_bytes, 0, _MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise HostError(f"netlink: {error.strerror}") from error
                self._lost = True  # overrun; the socket itself goes on
                continue
            if flags & _MSG_TRUNC:
                self._lost = True
                self._read_bytes *= 2
            elif sender[0] == 0:  # the kernel's own port: another process can send here, too
                return data

    def _drain(self) -> None:
        """Empty the queue, and so end a dump that was left in the middle (EBUSY)."""
        while self._receive() is not None:
            pass


def _body(data: bytes, start: int, end: int) -> bytes:
    return data[start:end]


def open_socket() -> socket.socket:
    """An rtnetlink socket in the namespace that the calling thread is in now."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)


def type_name(request: Request) -> str:
    """The type of a request as the kernel's headers call it."""
    return _TYPES.get(request.type, str(request.type))


def _batches(requests: Sequence[Request]) -> Iterator[list[Request]]:
    batch: list[Request] = []
    size = 0
    for request in requests:
        if batch and (len(batch) == BATCH_REQUESTS or size + len(request.body) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(request)
        size += len(request.body) + HEADER_LENGTH
    if batch:
        yield batch


def _refusal(request: Request, data: bytes, message: Message) -> KernelRefusal | None:
    verdict = parse_acknowledgement(data, message)
    if not verdict.errno:
        return None
    return KernelRefusal(verdict.errno, verdict.message, type_name(request))
