"""Plan: the changes to make as operations in an order that the kernel accepts.

Break what must be rebuilt, make what is missing, then delete what is left over: making before
deleting keeps traffic flowing. The firewall comes before all devices, and its walls go after them,
so that nothing is ever reachable that the manifests forbid. Deletes of what the kernel deletes by
itself are left out. The order is a function of the changes alone: one input gives one plan.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.diff import Action, Change, Difference
from reconciler.core.object import KernelObject, Key, Owner, Stage, stage_of
from reconciler.core.state import State


class Verb(StrEnum):
    """What an operation does to its object."""

    ADD = "add"
    SET = "set"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Operation:
    """One step: a verb and an object. It prints as what an administrator would say."""

    verb: Verb
    object: KernelObject
    owner: Owner
    differences: tuple[Difference, ...] = ()
    """With SET: the fields to write."""
    before: KernelObject | None = None
    """With SET: the object as it was observed."""
    needs: tuple[Key, ...] = ()
    """Keys whose operations must have succeeded."""

    @property
    def key(self) -> Key:
        """The key of its object."""
        return self.object.key

    def __str__(self) -> str:
        return f"{self.verb} {self.key}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order."""

    operations: tuple[Operation, ...] = ()
    desired: State = State()
    """What all of it leads to: a firewall's chain is written in the order of the whole."""


def make_plan(changes: Iterable[Change], desired: State, observed: State) -> Plan:
    """Order the work for *changes*; those that are blocked do nothing."""
    todo = {c.key: c for c in changes if c.action is not Action.BLOCKED}
    first, last = _deletions(todo, observed)
    opens = {k for k in last if stage_of(observed.objects[k]) is Stage.OPENS}
    closes = {k for k in last if stage_of(observed.objects[k]) is Stage.CLOSES}
    made = _in_order((k for k, c in todo.items() if c.action is not Action.DELETE), desired, todo)
    walls = [key for key in made if stage_of(desired.objects[key]) is not Stage.NORMAL]
    rest = [key for key in made if stage_of(desired.objects[key]) is Stage.NORMAL]
    return Plan(
        (
            *_deletes(first, todo, observed),
            # One transaction of the firewall: what nobody may inherit goes, walls and doors come.
            *_deletes(opens, todo, observed),
            *(_make(todo[key], desired, observed, todo) for key in walls),
            *(_make(todo[key], desired, observed, todo) for key in rest),
            *_deletes(last - opens - closes, todo, observed),
            *_deletes(closes, todo, observed),
        ),
        desired,
    )


def _deletions(todo: dict[Key, Change], observed: State) -> tuple[set[Key], set[Key]]:
    """Split what goes into what must go first and what goes last."""
    gone = {
        k
        for k, c in todo.items()
        if c.before is not None and c.action in {Action.DELETE, Action.REPLACE}
    }
    first = {k for k in gone if todo[k].action is Action.REPLACE}
    first |= {k for c in todo.values() for k in c.displaces if k in gone}
    by_kernel = {k for k in gone if _dies_with(observed.objects[k], gone, observed)}
    # A way in does not wait for its chain, which goes with the walls.
    by_kernel -= {k for k in gone if stage_of(observed.objects[k]) is Stage.OPENS}
    return first - by_kernel, gone - first - by_kernel


def _dies_with(item: KernelObject, gone: set[Key], observed: State) -> bool:
    return any(observed.resolve(parent) in gone for parent in item.parents)


def _deletes(keys: set[Key], todo: dict[Key, Change], observed: State) -> Iterator[Operation]:
    """Delete users before what they use, and what is of one rank together.

    Ranks, not depth-first order: many devices in a row are one request to the kernel.
    """
    ranks: dict[Key, int] = {}
    for key in keys:
        _rank(key, observed, ranks)
    for key in sorted(keys, key=lambda k: (-ranks[k], k)):
        yield Operation(Verb.DELETE, observed.objects[key], todo[key].owner)


def _rank(key: Key, state: State, ranks: dict[Key, int]) -> int:
    if key not in ranks:
        ranks[key] = 0  # ends a cycle, which only a kernel gone mad could show
        needs = state.needs(state.objects[key])
        ranks[key] = 1 + max((_rank(n, state, ranks) for n in needs), default=-1)
    return ranks[key]


def _in_order(keys: Iterable[Key], desired: State, todo: dict[Key, Change]) -> list[Key]:
    """Order so that needs come first and the objects of one resource stay together.

    Depth-first: a container's namespace, devices, addresses and routes follow each other, so that
    whoever executes enters each namespace once.
    """
    order: dict[Key, None] = {}
    wanted = sorted(keys, key=lambda k: (todo[k].owner, k))
    members = set(wanted)

    def visit(key: Key, path: tuple[Key, ...]) -> None:
        if key in order or key in path:
            return
        for need in sorted(desired.needs(desired.objects[key])):
            if need in members:
                visit(need, (*path, key))
        order[key] = None

    for key in wanted:
        visit(key, ())
    return list(order)


def _make(change: Change, desired: State, observed: State, changing: Container[Key]) -> Operation:
    assert change.after is not None  # noqa: S101 - only deletes lack it, and they are not made
    needs = tuple(key for key in desired.needs(change.after) if key in changing)
    if change.action is Action.UPDATE:
        before = observed.renamed.get(change.key, change.before)
        return Operation(Verb.SET, change.after, change.owner, change.differences, before, needs)
    return Operation(Verb.ADD, change.after, change.owner, needs=needs)
