"""Nfnetlink: the generation of nf_tables, a number that grows with every committed change.

It is one for all families of a network namespace, and iptables-nft counts one for each table that
it commits. Equal before and after a look: what was seen is one state. Equal to that of a plan: the
plan is not stale. Sources: linux/netfilter/nf_tables.h, net/netfilter/nf_tables_api.c.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from reconciler.formats.netlink import (
    AF_UNSPEC,
    FormatErrors,
    NetlinkFormatError,
    Request,
    parse_attributes,
    parse_text,
)

NETLINK_NETFILTER = 12
_SUBSYSTEM_NFTABLES = 10 << 8
NFT_MSG_NEWGEN = _SUBSYSTEM_NFTABLES | 15
NFT_MSG_GETGEN = _SUBSYSTEM_NFTABLES | 16
_NFTA_GEN_ID, _NFTA_GEN_PROC_PID, _NFTA_GEN_PROC_NAME = 1, 2, 3
_NFGENMSG = Struct("=BBH")  # family, version, resource
_BE32 = Struct(">I")


class Generation(NamedTuple):
    """One state of nf_tables."""

    number: int
    pid: int
    """Who caused the message: of an event the writer's thread id in the first pid namespace."""
    program: str
    """Its name, up to 15 bytes."""


def generation_request() -> Request:
    """Ask for the generation; it costs the kernel next to nothing and changes nothing."""
    return Request(NFT_MSG_GETGEN, 0, _NFGENMSG.pack(AF_UNSPEC, 0, 0))


def parse_generation(data: bytes, start: int, end: int) -> Generation:
    """Read the body of NFT_MSG_NEWGEN: the answer to a request, or an event.

    Raises:
        NetlinkFormatError: It is not such a body.
    """
    wanted = (_NFTA_GEN_ID, _NFTA_GEN_PROC_PID, _NFTA_GEN_PROC_NAME)
    found = parse_attributes(data, start + _NFGENMSG.size, end, wanted)
    try:
        number: int = _BE32.unpack(found[_NFTA_GEN_ID])[0]
        pid: int = _BE32.unpack(found.get(_NFTA_GEN_PROC_PID, bytes(4)))[0]
    except (KeyError, *FormatErrors) as wrong:
        raise NetlinkFormatError(f"nf_tables generation: {wrong!r}") from None
    return Generation(number, pid, parse_text(found.get(_NFTA_GEN_PROC_NAME, b"")))
