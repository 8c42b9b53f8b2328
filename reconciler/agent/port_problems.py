"""Port problems: a host port that is wanted and in use, said with its line and with who has it."""

from __future__ import annotations

from typing import cast

from reconciler.core.object import Owner
from reconciler.errors import ReconcilerError
from reconciler.host.listeners import describe_process
from reconciler.kinds.container import Container
from reconciler.kinds.port_conflicts import PortConflict, PortsInUseError
from reconciler.manifest.catalog import Catalog
from reconciler.manifest.model import Finding
from reconciler.manifest.problem import Problem


def explain_ports(catalog: Catalog, error: ReconcilerError, *, here: bool = True) -> list[Problem]:
    """Say of every port that is in use who has it, and where it is wanted.

    Args:
        catalog: Where it is wanted.
        error: Why an expansion came to nothing; if ports are not the reason, nothing is said.
        here: The host is this machine, whose processes can be asked for.
    """
    if not isinstance(error, PortsInUseError):
        return []
    return [_problem(catalog, conflict, here=here) for conflict in error.conflicts]


def _problem(catalog: Catalog, conflict: PortConflict, *, here: bool) -> Problem:
    resource = catalog.resources[f"Container/{conflict.container}"]
    entries = enumerate(cast("Container", resource.spec).publish)
    wanted = (conflict.port, conflict.protocol)
    which = (n for n, ports in entries if wanted in {(p.host_port, p.protocol) for p in ports})
    who = _who(conflict, here=here)
    message = f"host port {conflict.port}/{conflict.protocol} is in use: {who}"
    hint = "choose another host port, or free this one"
    return catalog.problem(resource, Finding(("publish", *which), message, hint))


def _who(conflict: PortConflict, *, here: bool) -> str:
    holder = conflict.holder
    if isinstance(holder, Owner):
        return f"{holder.resource} of set {holder.set} publishes it"
    return f"{describe_process(holder.inode) if here else 'a process'} listens on it"
