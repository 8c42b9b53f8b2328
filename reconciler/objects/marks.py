"""Marks: how the kernel tells whose a device or a namespace is, in words and in numbers."""

from __future__ import annotations

import re
from hashlib import sha256

from reconciler.core.object import Owner

ALIAS_MAX = 255  # IFALIASZ less the final NUL, linux/if.h
_ALIAS = re.compile(r"reconciler (?P<set>\S+) (?P<resource>[A-Za-z]+/\S+)(?P<keep> keep)?")
UNKNOWN = "?"
GROUP_BASE = 0x5243_0000
"""High half of the device group (IFLA_GROUP) of everything that is ours: "RC"."""


def render_mark(owner: Owner) -> str:
    """Say whose a thing is, as the alias of a device and the content of a mount point."""
    return f"reconciler {owner.set} {owner.resource}{' keep' if owner.keep else ''}"


def parse_mark(text: str) -> Owner | None:
    """Read a mark; None if it is not one of ours."""
    found = _ALIAS.fullmatch(text)
    return Owner(found["set"], found["resource"], bool(found["keep"])) if found else None


def parse_group(group: int, set_name: str) -> Owner | None:
    """Read the group of a device that has no words yet: killed between two requests.

    A group holds a hash, so that only the set that is asked for can be told by its name.
    """
    if group & 0xFFFF_0000 != GROUP_BASE:
        return None
    known = group == group_number(set_name)
    return Owner(set_name if known else f"#{group & 0xFFFF:04x}", UNKNOWN)


def group_number(set_name: str) -> int:
    """Give the device group of a set: what marks a device as ours from its first moment."""
    return GROUP_BASE | int.from_bytes(sha256(set_name.encode()).digest()[:2], "big")
