"""Chain: a chain of ours in one table of one family (iptables(8)).

- Ours after a restart: its name begins with ``RC-``. A chain that all sets share is of the set that
  is left as the last one with rules on this host.
- Requires nothing; its rules die with it. It is made and deleted together with them.
- The kernel sets nothing, nothing is compared, nothing is fixed.
- ``RC-USER`` is the administrator's: we jump to it first, and never write it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reconciler.core.object import Key, Mark, Stage
from reconciler.objects.keys import chain_key

PREFIX = "RC-"
USER = "RC-USER"
NAME_MAX = 28  # XT_EXTENSION_MAXNAMELEN less the final NUL, linux/netfilter/x_tables.h


@dataclass(frozen=True, slots=True)
class FirewallChain:
    """The chain *name* in *table* of IPv4 or IPv6."""

    family: int
    table: str
    name: str

    mark: ClassVar[Mark] = Mark.SHARED
    compared: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    parents: ClassVar[tuple[Key, ...]] = ()
    requires: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False
    stage: ClassVar[Stage] = Stage.CLOSES

    @property
    def key(self) -> Key:
        """``chain/filter/RC-FORWARD``; IPv6 tables are called ``filter6``."""
        return chain_key(self.family, self.table, self.name)
