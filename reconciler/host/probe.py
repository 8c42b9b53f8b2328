"""Probe: real packets from one namespace to another, without any program but our own."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from reconciler.host.namespaces import inside, open_namespace

_MESSAGE = b"reconciler probe"


def tcp_probe(source: str, target: str, address: str, timeout: float = 1.0) -> float | None:
    """Say something over TCP from namespace to namespace and hear it back.

    Args:
        source: Namespace that asks, as `open_namespace` has it.
        target: Namespace that answers; it listens only while this runs.
        address: Where the source sends it.
        timeout: Seconds until it counts as not reachable.

    Returns:
        Milliseconds for connection, question and answer; None if it cannot be reached.
    """
    with _socket_in(target, address) as listener:
        listener.settimeout(timeout)
        try:
            listener.bind((address, 0))  # any free port
            listener.listen(1)
            with _socket_in(source, address) as client:
                client.settimeout(timeout)
                start = time.perf_counter()
                client.connect(listener.getsockname()[:2])
                answer = _echo(listener, client)
        except OSError:
            return None
        return (time.perf_counter() - start) * 1000 if answer == _MESSAGE else None


def _echo(listener: socket.socket, client: socket.socket) -> bytes:
    client.sendall(_MESSAGE)
    served, _ = listener.accept()
    with served:
        served.settimeout(listener.gettimeout())
        served.sendall(served.recv(64))
        return client.recv(64)


@contextmanager
def _socket_in(netns: str, address: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    fd = open_namespace(netns)
    try:
        with inside(fd):
            sock = socket.socket(family, socket.SOCK_STREAM)
    finally:
        os.close(fd)
    with sock:
        yield sock
