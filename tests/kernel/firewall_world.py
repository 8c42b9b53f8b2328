"""Firewall world: answers in many namespaces, and hundreds of ways between them tried at once.

Ways that must be open are tried until they are; ways that must be shut, for as long as an answer
could take. All of them share one wait, so that a table of a thousand ways takes a second or two.
"""

from __future__ import annotations

import errno
import itertools
import operator
import os
import re
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.probes import _with_checksum
from tests.world import Host, Namespace, inside

PATIENCE = 8.0  # seconds for what must be open, on a busy machine
SILENCE = 0.35  # seconds in which what must be shut could have answered
AGAIN = 0.25  # seconds after which a datagram is sent once more: the first waits for a neighbour
AT_ONCE = 3000  # sockets

BACKENDS = ("nft", "legacy")
PROGRAMS = tuple(
    f"{name}{action}" for name in ("iptables", "ip6tables") for action in ("", "-save", "-restore")
)


def choose_backend(host: Host, backend: str) -> None:
    """Let the plain names of iptables mean this backend, as update-alternatives(1) does."""
    for name in PROGRAMS:
        program, dash, action = name.partition("-")
        link = Path("/etc/alternatives", name)
        link.unlink(missing_ok=True)
        link.symlink_to(f"/usr/sbin/{program}-{backend}{dash}{action}")
    word = "nf_tables" if backend == "nft" else "legacy"
    for program in ("iptables", "ip6tables"):
        assert word in host.run(program, "--version").stdout


@contextmanager
def serve(places: Mapping[str, Namespace], ports: Sequence[tuple[str, int]]) -> Iterator[set[str]]:
    """Answer on these ports (protocol, number) everywhere with "PLACE SOURCE".

    Yields what was heard: the datagrams of all ways that came in, answered or not.
    """
    heard: set[str] = set()
    with selectors.DefaultSelector() as selector:
        for name, namespace in places.items():
            with inside(namespace):
                for protocol, port in ports:
                    selector.register(_listen(protocol, port), selectors.EVENT_READ, name)
        stop_reader, stop_writer = os.pipe()
        selector.register(stop_reader, selectors.EVENT_READ)
        thread = threading.Thread(target=_serve, args=(selector, stop_reader, heard), daemon=True)
        thread.start()
        try:
            yield heard
        finally:
            os.write(stop_writer, b"x")
            thread.join()
            os.close(stop_writer)
            os.close(stop_reader)
            for key in list(selector.get_map().values()):
                if not isinstance(key.fileobj, int):
                    key.fileobj.close()


def _listen(protocol: str, port: int) -> socket.socket:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(socket.AF_INET6, kind | socket.SOCK_NONBLOCK)
    if protocol == "tcp":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", port))
    if protocol == "tcp":
        sock.listen(512)
    return sock


def _serve(selector: selectors.BaseSelector, stop: int, heard: set[str]) -> None:
    while True:
        for key, _ in selector.select():
            if key.fileobj == stop:
                return
            with suppress(OSError):  # a mere probe may be gone already
                _answer(key.fileobj, key.data, heard)


def _answer(sock: socket.socket, name: str, heard: set[str]) -> None:
    if sock.type == socket.SOCK_DGRAM:
        data, peer = sock.recvfrom(200)
        heard.add(data.decode())
        sock.sendto(_note(name, peer), peer)
        return
    connection, peer = sock.accept()
    with connection:
        connection.send(_note(name, peer))


def _note(name: str, peer: tuple[str, int]) -> bytes:
    return f"{name} {peer[0].removeprefix('::ffff:')}".encode()


@dataclass(frozen=True, slots=True)
class Way:
    """From a place to an address; *answer* is who must answer there, None: nobody may."""

    source: str
    address: str
    protocol: str
    """tcp, udp, or ping."""
    port: int = 0
    answer: str | None = None
    sees: str | None = None
    """The source address that the answer must tell of."""

    def __str__(self) -> str:
        place = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.source} -> {place}{f':{self.port}' if self.port else ''}/{self.protocol}"


PONG = "pong"
"""Who answers a ping."""


def walk(
    ways: Iterable[Way], places: Mapping[str, Namespace], heard: set[str] | None = None
) -> list[str]:
    """Try all ways, and give a line for each that is not as it must be.

    With *heard*, from `serve`, also what is never answered must not arrive.
    """
    wrong = []
    heard = set() if heard is None else heard
    heard.clear()
    todo = sorted(ways, key=lambda way: way.source)
    for start in range(0, len(todo), AT_ONCE):
        wrong += _walk_some(todo[start : start + AT_ONCE], places)
    shut = {str(way) for way in todo if way.answer is None}
    return wrong + [
        f"{text}: must be shut, and a datagram arrived" for text in sorted(shut & heard)
    ]


class _Trial:
    numbers = itertools.count(1)

    def __init__(self, way: Way) -> None:
        """Open the socket in the namespace that the thread is in, and begin."""
        self.way = way
        self.result: str | None = None
        self.mark = b""
        self.family = socket.AF_INET6 if ":" in way.address else socket.AF_INET
        self.sock = self._open()
        self.sock.setblocking(False)
        code = self.sock.connect_ex((way.address, way.port))
        if code not in {0, errno.EINPROGRESS}:
            self.result = f"error {errno.errorcode[code]}"
        self.send()

    def _open(self) -> socket.socket:
        if self.way.protocol == "ping":
            six = self.family == socket.AF_INET6
            number = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
            return socket.socket(self.family, socket.SOCK_RAW, number)
        tcp = self.way.protocol == "tcp"
        return socket.socket(self.family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)

    def send(self) -> None:
        """Ask; TCP does so by itself."""
        if self.result is not None or self.way.protocol == "tcp":
            return
        try:
            udp = self.way.protocol == "udp"
            self.sock.send(str(self.way).encode() if udp else self._echo_request())
        except OSError as error:
            self.result = f"error {error.strerror}"

    def _echo_request(self) -> bytes:
        self.mark = struct.pack("!HH", os.getpid() & 0xFFFF, next(self.numbers) & 0xFFFF)
        kind = 128 if self.family == socket.AF_INET6 else 8  # RFC 4443, RFC 792
        return _with_checksum(bytes([kind, 0, 0, 0]) + self.mark)

    def read(self) -> None:
        """Take what has come."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self.result = f"error {errno.errorcode[error.errno or 0]}"
            return
        if self.way.protocol != "ping":
            self.result = data.decode() or "error closed at once"
            return
        message = data[(data[0] & 15) * 4 :] if self.family == socket.AF_INET else data
        if message[0] in {0, 129} and message[4:8] == self.mark:
            self.result = f"{PONG} "

    @property
    def verdict(self) -> str | None:
        """What is wrong, if anything."""
        way, result = self.way, self.result or "silence"
        reached = self.result is not None and not result.startswith("error")
        if way.answer is None:
            return f"{way}: must be shut, and {result}" if reached else None
        who, _, source = result.partition(" ")
        if not reached or who != way.answer:
            return f"{way}: must reach {way.answer}, and {result}"
        if way.sees is not None and source != way.sees:
            return f"{way}: must come from {way.sees}, and {result}"
        return None


def _walk_some(ways: Sequence[Way], places: Mapping[str, Namespace]) -> list[str]:
    trials: list[_Trial] = []
    for source, group in itertools.groupby(ways, key=lambda way: way.source):
        with inside(places[source]):
            trials += [_Trial(way) for way in group]
    with selectors.DefaultSelector() as selector:
        for trial in trials:
            if trial.result is None:
                selector.register(trial.sock, selectors.EVENT_READ, trial)
        _wait(selector, trials)
    for trial in trials:
        trial.sock.close()
    return [trial.verdict for trial in trials if trial.verdict is not None]


def _wait(selector: selectors.BaseSelector, trials: Sequence[_Trial]) -> None:
    now = time.monotonic()
    end, quiet, again = now + PATIENCE, now + SILENCE, now + AGAIN
    while (now := time.monotonic()) < end:
        open_ones = [t for t in trials if t.result is None and t.way.answer is not None]
        if not open_ones and now > quiet:
            return
        if now > again:
            again = now + AGAIN
            for trial in open_ones:
                trial.send()
        for key, _ in selector.select(0.02):
            trial = key.data
            trial.read()
            if trial.result is not None:
                selector.unregister(key.fileobj)
                # The last answer may come early: what must be shut gets its full time after it.
                quiet = max(quiet, time.monotonic() + AGAIN) if trial.way.answer else quiet


@dataclass(frozen=True, slots=True)
class Line:
    """A rule, or a chain with its policy, as iptables-save prints it."""

    table: str
    text: str
    counters: tuple[int, int]

    @property
    def is_ours(self) -> bool:
        """In a chain of ours, or a jump of ours; what stands in RC-USER is the administrator's."""
        if self.text.startswith("-A RC-USER "):
            return False
        return self.text.startswith((":RC-", "-A RC-")) or '"reconciler ' in self.text


_COUNTED = re.compile(r"(?:\[(\d+):(\d+)\] )?(.*?)(?: \[(\d+):(\d+)\])?")


def dump(host: Host, program: str = "iptables") -> list[Line]:
    """What is there, but for tables that hold nothing."""
    tables: dict[str, list[Line]] = {}
    table = ""
    for text in host.run(f"{program}-save", "-c").stdout.splitlines():
        if text.startswith("*"):
            table = text[1:]
        elif text[:1] in {":", "["} and (found := _COUNTED.fullmatch(text)):
            numbers = int(found[1] or found[4] or 0), int(found[2] or found[5] or 0)
            tables.setdefault(table, []).append(Line(table, found[3], numbers))
    return [line for lines in tables.values() if any(map(_says, lines)) for line in lines]


def _says(line: Line) -> bool:
    """Whether it is more than one of the kernel's chains that lets everything through."""
    return not line.text.startswith(":") or not line.text.endswith(" ACCEPT")


def ours(lines: Iterable[Line]) -> list[tuple[str, str]]:
    """What is ours, chain by chain, in its order."""
    found = [(line.table, line.text) for line in lines if line.is_ours]
    return sorted(found, key=lambda one: (one[0], one[1].split(" ")[1 if one[1][0] == "-" else 0]))


def assert_untouched(before: Iterable[Line], after: Iterable[Line], backend: str = "nft") -> None:
    """All that is not ours is there, in its order, and its counters have only grown.

    But for the counters of policies in the legacy backend: there every write by every program sets
    them to zero, whatever it writes (iptables 1.8.9).
    """
    old = [line for line in before if not line.is_ours]
    new = [line for line in after if not line.is_ours]
    # A table that was empty has come to hold something of ours: its policies are no news.
    known = {line.table for line in old}
    new = [line for line in new if line.table in known or _says(line)]
    assert [(x.table, x.text) for x in new] == [(x.table, x.text) for x in old]
    shrunk = [
        (a, b)
        for a, b in zip(old, new, strict=True)
        if any(map(operator.gt, a.counters, b.counters))
        and (backend == "nft" or a.text.startswith("-A"))
    ]
    assert not shrunk, shrunk
