"""Commands: a plan as a script for sh(1), in the words of ip, bridge, tc, sysctl and iptables.

For who wants to read what would happen in the words of the kernel's own tools, or to do it without
us. What it makes carries our marks, so that an apply afterwards finds nothing to do; only addresses
do not where iproute2 cannot write their protocol number (before 6.3). Those are as declared and on
devices of ours, which counts as in sync.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, groupby

from reconciler.cli import commands_contents as contents
from reconciler.cli import commands_links as links
from reconciler.cli.commands_firewall import read_rules, write_firewall
from reconciler.cli.shell import DELETE, MARKED, TRY, line, sysctl
from reconciler.core.execute import FIREWALL
from reconciler.core.plan import Operation, Plan, Verb
from reconciler.core.state import State
from reconciler.objects import (
    Address,
    BridgeDevice,
    Directory,
    File,
    Namespace,
    OtherDevice,
    Port,
    Qdisc,
    Route,
    Sysctl,
    Veth,
)
from reconciler.objects.address import PROTOCOL

_FIREWALL = "Firewall: every rule says whose it is"
_FUNCTIONS = {
    DELETE: """\
# Deletes; what is gone already, perhaps with something else, is no error.
delete() {
    error=$("$@" 2>&1) && return
    case $error in
    *'No such '* | *'Cannot find '* | *'not found'* | *'Cannot assign requested address'*) ;;
    *'Invalid handle'*) ;; # of a queue: it is somebody else's now
    *) printf '%s\\n' "$error" >&2; return 1 ;;
    esac
}""",
    MARKED: f"""\
# Sets an address, with the protocol number that marks it as ours where `ip` knows of that (6.3).
marked() {{
    "$@" proto {PROTOCOL} 2>/dev/null || "$@"
}}""",
    TRY: """\
# Does what may be refused.
try() {
    "$@" 2>/dev/null || :
}""",
}


def render_commands(plan: Plan, set_name: str, observed: State = State()) -> Iterator[str]:
    """Yield the script that does what *plan* says, line by line.

    Args:
        plan: What `apply` would do.
        set_name: In whose name; it is said in the script.
        observed: What the plan was made from: rules are written by their numbers in a chain.
    """
    yield "#!/bin/sh"
    yield f"# What `reconciler apply --set {set_name}` would do on this host now."
    yield "set -eu"
    if not plan.operations:
        yield "# In sync: nothing."
        return
    yield "umask 022"
    yield "export LC_ALL=C"
    body = list(_body(plan, observed))
    for name, text in _FUNCTIONS.items():
        if any(command.startswith(f"{name} ") for command in body):
            yield ""
            yield text
    yield from body


def _body(plan: Plan, observed: State) -> Iterator[str]:
    rules = read_rules(observed)
    folders: set[str] = set()
    for title, operations in groupby(plan.operations, key=_title):
        yield ""
        yield f"# {title}"
        if title == _FIREWALL:
            yield from write_firewall(list(operations), plan.desired, rules)
            continue
        for command in chain.from_iterable(_commands(one, observed) for one in operations):
            if command not in folders:
                yield command
            if command.startswith("mkdir "):  # files need their folder, and have it by then
                folders.add(command)


def _title(operation: Operation) -> str:
    return _FIREWALL if operation.key.type in FIREWALL else operation.owner.resource


def _commands(operation: Operation, observed: State) -> Iterable[str]:
    match operation.object:
        case Directory() | File() as names:
            return _name(names, operation, observed)
    match operation.verb:
        case Verb.DELETE:
            return _delete(operation)
        case Verb.SET:
            return _set(operation)
        case Verb.ADD:
            return _add(operation)


def _name(names: Directory | File, operation: Operation, observed: State) -> Iterable[str]:
    """Of a folder only the files that are ours are touched, unless one is taken over."""
    deletes = operation.verb is Verb.DELETE
    if isinstance(names, File):
        adopts = names.key in observed.objects and names.key not in observed.owners
        before = operation.before
        return (
            contents.delete_file(names) if deletes else contents.write_file(names, before, adopts)
        )
    others = [
        file.name
        for key, file in sorted(observed.objects.items())
        if isinstance(file, File) and file.directory == names.path and key not in observed.owners
    ]
    if deletes:
        return contents.delete_directory(names, others)
    return contents.write_directory(names, operation.owner, others)


def _add(operation: Operation) -> Iterable[str]:
    match operation.object:
        case Namespace() as space:
            return links.add_namespace(space, operation.owner)
        case BridgeDevice() as bridge:
            return links.add_bridge(bridge, operation.owner)
        case Veth() as veth:
            return links.add_veth(veth, operation.owner)
        case _:
            return _write(operation)


def _set(operation: Operation) -> Iterable[str]:
    match operation.object:
        case Namespace() as space:
            return links.mark_namespace(space, operation.owner)
        case BridgeDevice() as bridge:
            return links.set_bridge(bridge, operation)
        case Veth() as veth:
            return links.set_veth(veth, operation)
        case _:
            return _write(operation)


def _write(operation: Operation) -> Iterator[str]:
    """Of what is added and changed by the same commands."""
    match operation.object:
        case Address() as address:
            yield from contents.write_address(address)
        case Route() as route:
            yield from contents.write_route(route, operation.before)
        case Sysctl() as parameter:
            yield sysctl(parameter.netns, parameter.name, parameter.value)
        case Qdisc() as qdisc:
            yield from contents.write_qdisc(qdisc)
        case Port() as port:
            yield from links.plug(port, operation.before)
        case other:
            raise TypeError(f"{other.key} is not something that we make")


def _delete(operation: Operation) -> Iterator[str]:
    match operation.object:
        case Namespace() as space:
            yield line(DELETE, "ip", "netns", "delete", space.name)
        case BridgeDevice() | Veth() | OtherDevice() as device:
            yield from links.delete_device(device.netns, device.name)
        case Port() as port:
            yield from links.unplug(port)
        case Address() as address:
            yield from contents.delete_address(address)
        case Route() as route:
            yield from contents.delete_route(route)
        case Qdisc() as qdisc:
            yield from contents.delete_qdisc(qdisc)
        case _:
            return  # a sysctl cannot be deleted
