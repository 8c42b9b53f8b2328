"""Names and MACs that are the same on every host and after every restart.

All are hashes of set, kind, name and interface, so that two sets never meet in one name.
"""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256
from ipaddress import IPv4Interface, IPv6Interface

DEVICE_NAME_MAX = 15  # IFNAMSIZ, less the final NUL


def device_name(set_name: str, kind: str, name: str, interface: str) -> str:
    """Name the host's end of a veth pair: readable, and unique by a hash of 35 bits."""
    digest = sha256(f"{set_name}\0{kind}\0{name}\0{interface}".encode()).digest()
    return f"rc{name[:5].strip('-')}-{b32encode(digest)[:7].decode().lower()}"


def mac_address(set_name: str, kind: str, name: str, interface: str) -> str:
    """Make a stable MAC out of names: locally administered, unicast (IEEE 802, U/L bit)."""
    digest = sha256(f"mac\0{set_name}\0{kind}\0{name}\0{interface}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def mac_from_address(interface: IPv4Interface | IPv6Interface) -> str:
    """Make the MAC that Docker gave to an IPv4 address: 02:42 and its four bytes.

    An address that is handed on keeps its MAC, so that neighbours' caches stay right.
    """
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *interface.ip.packed[-4:]))
