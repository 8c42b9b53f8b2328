"""Save: read the rules of one family and backend as one consistent state."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from reconciler.errors import HostError, PrivilegeError
from reconciler.host.firewall.generation import read_generation
from reconciler.host.firewall.programs import Backend, Family, Programs

READ_ATTEMPTS = 5


class Saved(NamedTuple):
    """What iptables-save printed, and when."""

    text: str
    generation: int | None
    """Of nf_tables; None with the legacy backend, which has no such number."""
    settled: bool = True
    """False: others kept writing, five times; the text is consistent but may be old already."""


def save(programs: Programs, family: Family, backend: Backend, *, counters: bool = False) -> Saved:
    """Read all tables that exist; changes nothing, and loads no module.

    Raises:
        HostError: The program is missing or failed.
    """
    if backend is Backend.LEGACY:
        return Saved(_save_legacy(programs, family, counters=counters), None)
    before = read_generation()
    for _ in range(READ_ATTEMPTS):
        text = _run_save(programs, family, backend, counters=counters)
        after = read_generation()
        if before == after:
            return Saved(text, after)
        before = after
    return Saved(text, after, settled=False)


def legacy_tables(family: Family) -> frozenset[str]:
    """Name the legacy tables that this network namespace has; none where nobody ever used one.

    To start a legacy program where there are none would load its kernel modules.

    Raises:
        PrivilegeError: Only root may read the list.
    """
    # Not /proc/self: that is the main thread's namespace.
    names = Path(f"/proc/thread-self/net/{'ip' if family == 4 else 'ip6'}_tables_names")
    try:
        return frozenset(names.read_text().split())
    except FileNotFoundError:
        return frozenset()
    except PermissionError as error:
        raise PrivilegeError(f"{names}: {error.strerror}: this needs root") from error


def _save_legacy(programs: Programs, family: Family, *, counters: bool) -> str:
    if not legacy_tables(family):
        return ""
    return _run_save(programs, family, Backend.LEGACY, counters=counters)


def _run_save(programs: Programs, family: Family, backend: Backend, *, counters: bool) -> str:
    path = programs.find(family, backend, "save")
    if path is None:
        raise HostError(f"iptables-{backend}-save for IPv{family} is not installed")
    done = programs.run([path, "--counters"] if counters else [path])
    if done.code:
        raise HostError(f"{path}: exit code {done.code}: {done.stderr.strip()}")
    return done.stdout
