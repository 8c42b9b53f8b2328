"""``reconciler exec``: a command in a container's namespace, with its names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import rich_click as click

from reconciler.agent.source import load
from reconciler.cli import options
from reconciler.core.object import HOST, Owner
from reconciler.errors import HostError, ReconcilerError
from reconciler.host.base import Interest
from reconciler.host.enter import enter
from reconciler.host.linux import LinuxHost
from reconciler.host.privilege import require_admin
from reconciler.host.sandbox import become
from reconciler.kinds.container import Container
from reconciler.kinds.expand_names import folder_name
from reconciler.kinds.places import netns_of
from reconciler.objects import Namespace, Veth
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
    place = _find(container, set_name)
    if place.netns != HOST:
        enter(place.netns, place.folder)
    return become(words)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container is."""

    netns: str
    """As `open_namespace` has it; HOST where the container shares the host's."""
    folder: Path
    """Where its names are."""


def _find(container: str, set_name: str) -> Place:
    """Find a container by what the kernel says is ours.

    Raises:
        HostError: There is none of that name.
    """
    owner = Owner(set_name, f"Container/{container}")
    host = LinuxHost(set_name)
    try:
        quick = host.owner_of(container)
        if quick is not None and quick[:2] == owner[:2]:
            return _named(container)
        state = host.observe(Interest())
    finally:
        host.close()
    ours = [key for key, mark in sorted(state.owners.items()) if mark[:2] == owner[:2]]
    for key in ours:
        item = state.objects[key]
        if isinstance(item, Namespace):
            return _named(item.name)
        if isinstance(item, Veth) and item.peer_netns:
            return _named(item.peer_netns)
    has_names = any(key.type == "directory" for key in ours)
    return _declared(container, set_name, has_names=has_names)


def _named(netns: str) -> Place:
    return Place(netns, Path(NETNS_NAMES, netns))


def _declared(container: str, set_name: str, *, has_names: bool) -> Place:
    """Follow what only the manifests know: a namespace without a name, or somebody else's.

    Args:
        container: Which.
        set_name: The manifests do not say theirs.
        has_names: The set has written names for this container.
    """
    try:
        catalog = load(options.default_paths()).catalog
    except ReconcilerError as error:
        raise HostError(f"there is no container {container} of set {set_name} here") from error
    found = catalog.get("Container", container)
    spec = found.spec if found else None
    if isinstance(spec, Container):
        if spec.shared_with:
            return _find(spec.shared_with, set_name)
        if spec.network == "host":
            return Place(HOST, Path())
        netns = netns_of(spec)
        if netns is not None and has_names:
            return Place(netns, Path(NETNS_NAMES, folder_name(container, spec)))
    raise HostError(f"there is no container {container} of set {set_name} here")
