"""Generation: which state of nf_tables this network namespace is in, in 40 microseconds."""

from __future__ import annotations

import socket
from dataclasses import replace

from reconciler.errors import HostError
from reconciler.formats.nfnetlink import NETLINK_NETFILTER, generation_request, parse_generation
from reconciler.host.netlink_socket import NetlinkSocket


def read_generation() -> int:
    """Read the generation of the calling thread's network namespace.

    Raises:
        PrivilegeError: Without CAP_NET_ADMIN there.
        HostError: The kernel has no nf_tables.
    """
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    try:
        raw = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
    except OSError as error:
        raise HostError(f"nfnetlink: {error.strerror}") from error
    with NetlinkSocket(raw) as opened:
        (reply,) = opened.request([generation_request()])
    if reply.refusal is not None:
        raise replace(reply.refusal, request="NFT_MSG_GETGEN").error()
    if not reply.payloads:
        raise HostError("NFT_MSG_GETGEN: no answer")
    return parse_generation(reply.payloads[0], 0, len(reply.payloads[0])).number
