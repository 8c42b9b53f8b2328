"""``reconciler exec``: a command in a container's namespace, with its names."""

from __future__ import annotations

from pathlib import Path, PurePath

import rich_click as click

from reconciler.agent.source import load
from reconciler.cli import options
from reconciler.core.object import Owner
from reconciler.errors import HostError, ReconcilerError
from reconciler.host.base import Interest
from reconciler.host.enter import enter
from reconciler.host.linux import LinuxHost
from reconciler.host.privilege import require_admin
from reconciler.host.sandbox import become
from reconciler.kinds.container import Container
from reconciler.objects import Veth
from reconciler.objects.directory import NETNS_NAMES


@click.command(
    "exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@options.set_name
@click.argument("container")
@click.argument("argv", metavar="[--] CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
@options.places
def command(set_name: str, container: str, argv: tuple[str, ...]) -> int:
    """Run a command in a container's namespace, with its hostname, hosts and resolv.conf.

    The exit code is the command's.
    """
    require_admin("reconciler exec")
    words = list(argv[1:] if argv[0] == "--" else argv)
    if not words:
        raise click.UsageError("Which command?")
    found = _find(container, set_name)
    enter(found, _folder(found, container))
    return become(words)


def _folder(netns: str, container: str) -> Path:
    return Path(NETNS_NAMES, PurePath(netns).name if not netns.startswith("/proc") else container)


def _find(container: str, set_name: str) -> str:
    """Find the namespace of a container by what the kernel says is ours.

    Raises:
        HostError: There is none of that name.
    """
    owner = Owner(set_name, f"Container/{container}")
    host = LinuxHost(set_name)
    try:
        quick = host.owner_of(container)
        if quick is not None and quick[:2] == owner[:2]:
            return container
        state = host.observe(Interest())
    finally:
        host.close()
    for key, mark in sorted(state.owners.items()):
        if mark[:2] == owner[:2]:
            item = state.objects[key]
            if key.type == "netns":
                return key.name
            if isinstance(item, Veth) and item.peer_netns:
                return item.peer_netns
    return _shared(container, set_name)


def _shared(container: str, set_name: str) -> str:
    """Follow ``network: container:NAME``, which only the manifests know of."""
    try:
        catalog = load(options.default_paths()).catalog
    except ReconcilerError as error:
        raise HostError(f"there is no container {container} of set {set_name} here") from error
    found = catalog.get("Container", container)
    spec = found.spec if found else None
    if isinstance(spec, Container) and spec.shared_with:
        return _find(spec.shared_with, set_name)
    raise HostError(f"there is no container {container} of set {set_name} here")
