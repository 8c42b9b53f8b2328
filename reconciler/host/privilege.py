"""Privilege: what a command needs before it starts, rather than failing half-way."""

from __future__ import annotations

from pathlib import Path

from reconciler.errors import PrivilegeError

CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21  # linux/capability.h


def require_admin(what: str) -> None:
    """Check that this process may change networks and enter namespaces.

    Raises:
        PrivilegeError: It lacks CAP_NET_ADMIN or CAP_SYS_ADMIN (capabilities(7)).
    """
    missing = [
        name
        for number, name in ((CAP_NET_ADMIN, "CAP_NET_ADMIN"), (CAP_SYS_ADMIN, "CAP_SYS_ADMIN"))
        if not _effective() >> number & 1
    ]
    if missing:
        raise PrivilegeError(
            f"{what} needs {' and '.join(missing)}: run it as root, "
            "or try it without privilege with `reconciler sandbox`"
        )


def _effective() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
