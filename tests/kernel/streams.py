"""Streams: traffic that runs while something else happens, and says whether any of it was lost."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

from tests.world import Namespace, inside


class Echoes:
    """One TCP connection on which numbers go there and back all the time, and datagrams beside it.

    ::

        with Echoes(client, server, "10.1.0.3") as echoes:
            ...
        assert echoes.lost == []
    """

    def __init__(
        self,
        source: Namespace,
        target: Namespace,
        address: str,
        published: tuple[int, int] | None = None,
    ) -> None:
        """Open the sockets; the traffic starts with the block.

        *address* is the target's own, or one whose *published* ports, TCP and UDP, lead to its 80.
        """
        self.lost: list[str] = []
        self.count = 0
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        bound = ("", 80) if published else (address, 0)
        with inside(target):
            listener = socket.create_server(bound, family=family)
            self._far_udp = socket.socket(family, socket.SOCK_DGRAM)
            self._far_udp.bind(bound)
        tcp, udp = published or (listener.getsockname()[1], self._far_udp.getsockname()[1])
        with inside(source):
            self._tcp = socket.create_connection((address, tcp), timeout=5)
            self._udp = socket.socket(family, socket.SOCK_DGRAM)
            self._udp.connect((address, udp))
        self._far_tcp, _ = listener.accept()
        listener.close()
        for sock in (self._tcp, self._udp, self._far_tcp, self._far_udp):
            sock.settimeout(2)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        for sock in (self._tcp, self._udp, self._far_tcp, self._far_udp):
            sock.close()

    def retransmissions(self) -> int:
        """How many segments the connection had to send again (tcpi_total_retrans, linux/tcp.h)."""
        info = self._tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int.from_bytes(info[100:104], "little")

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            self.count += 1
            word = self.count.to_bytes(4, "big")
            try:
                self._tcp.sendall(word)
                self._far_tcp.sendall(self._far_tcp.recv(4))
                self._udp.send(word)
                data, peer = self._far_udp.recvfrom(4)
                self._far_udp.sendto(data, peer)
                if (self._tcp.recv(4), self._udp.recv(4)) != (word, word):
                    self.lost.append(f"number {self.count} came back as another one")
            except OSError as error:
                self.lost.append(f"number {self.count}: {error}")
                return
