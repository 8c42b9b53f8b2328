"""Backend: which of the two packet filters this host uses, and whether our chains are in both.

A host can have rules in nf_tables and in the legacy tables at once; packets pass both. We write
where the others write. Looking changes nothing: a legacy program is started only where legacy
tables are in use already, because it would load their modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.errors import HostError, PrivilegeError
from reconciler.formats.iptables import Ruleset, parse
from reconciler.formats.iptables_contents import contents
from reconciler.host.firewall.programs import Backend, Family, Programs
from reconciler.host.firewall.save import save


@dataclass(frozen=True, slots=True)
class Found:
    """What one backend holds."""

    rules: int
    """Everybody's rules, chains and policies that do something."""
    ours: bool
    """Whether a chain of ours is among them."""


@dataclass(frozen=True, slots=True)
class Backends:
    """What there is of one family on this host."""

    chosen: Backend
    """Where to write."""
    found: Mapping[Backend, Found]
    """By backend, for those that can be read."""

    @property
    def split(self) -> bool:
        """Whether our chains are in both: after the administrator changed over."""
        return sum(found.ours for found in self.found.values()) > 1


def detect_backends(programs: Programs, family: Family, is_ours: Callable[[str], bool]) -> Backends:
    """Look at both backends and choose one.

    The one that has our chains; else the only one that has anything; else what ``iptables`` is.

    Args:
        programs: Of this host.
        family: IPv4 or IPv6; a host may have them in different backends.
        is_ours: Whether a chain, by its name, is ours.

    Raises:
        HostError: There is no iptables for this family.
    """
    found = {backend: _look(programs, family, backend, is_ours) for backend in Backend}
    known = {backend: seen for backend, seen in found.items() if seen is not None}
    default = programs.default(family)
    choices = [
        [backend for backend, seen in known.items() if seen.ours],
        [backend for backend, seen in known.items() if seen.rules],
        [default] if default in known else [],
        list(known),
    ]
    for choice in choices:
        if len(choice) == 1:
            return Backends(choice[0], known)
        if default in choice and default is not None:
            return Backends(default, known)
    if known:
        return Backends(next(iter(known)), known)
    raise HostError(f"no iptables for IPv{family} on this host: install iptables")


def _look(
    programs: Programs, family: Family, backend: Backend, is_ours: Callable[[str], bool]
) -> Found | None:
    if programs.find(family, backend, "save") is None:
        return None
    try:
        ruleset = parse(save(programs, family, backend).text)
    except PrivilegeError:
        raise
    except HostError:
        if backend is Backend.NFT:  # a kernel without nf_tables
            return None
        raise
    return _count(ruleset, is_ours)


def _count(ruleset: Ruleset, is_ours: Callable[[str], bool]) -> Found:
    chains = (chain for table in ruleset.tables.values() for chain in table.chains)
    return Found(sum(map(len, contents(ruleset).values())), ours=any(map(is_ours, chains)))
