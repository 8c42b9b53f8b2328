"""Places: in which namespace a container is, and on which device."""

from __future__ import annotations

import re

from reconciler.kinds.container import Container

ENGINES = frozenset({"docker", "podman"})
"""Runtimes whose containers somebody else starts."""

_NAMED = re.compile(r"^(/var)?/run/netns/(?=[^/]+$)")
"""Where names are kept: a path that leads there is the name, or one namespace would have two."""


def netns_of(spec: Container) -> str | None:
    """Name a container's namespace as keys do; None while it is not known or shared."""
    if spec.network == "host" or spec.network.startswith("container:"):
        return None
    match spec.runtime:
        case "netns":
            return spec.target_name
        case "path":
            return _NAMED.sub("", spec.target_name)
        case "pid":
            return f"/proc/{spec.target_name}/ns/net"
        case _:
            return None
