"""Places: in which namespace a container is, and on which device."""

from __future__ import annotations

from reconciler.kinds.container import Container

ENGINES = frozenset({"docker", "podman"})
"""Runtimes whose containers somebody else starts."""


def netns_of(spec: Container) -> str | None:
    """Name a container's namespace as keys do; None while it is not known or shared."""
    if spec.network == "host" or spec.network.startswith("container:"):
        return None
    match spec.runtime:
        case "netns" | "path":
            return spec.target_name
        case "pid":
            return f"/proc/{spec.target_name}/ns/net"
        case _:
            return None
