"""Execute: run the operations of a plan, so that a failure stops only what depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from reconciler.core.object import Key
from reconciler.core.plan import Operation, Plan, Verb


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one operation."""

    operation: Operation
    error: str | None = None
    """The kernel's reason; None where it worked."""
    skipped: bool = False
    """It was not tried, because something it needs had failed."""


FIREWALL = frozenset({"chain", "rule"})
"""Types of objects that are written together: a table changes as a whole or not at all."""

Perform = Callable[[Sequence[Operation]], Sequence[str | None]]
"""Carry out operations that do not depend on each other; one error, or None, for each."""


def execute(plan: Plan, perform: Perform) -> Iterator[Outcome]:
    """Run *plan* through *perform*, which gets one operation, or a run of deletes of one type.

    Deletes are handed over together because the kernel deletes a thousand devices by group sixty
    times faster than one by one.
    """
    failed: set[Key] = set()
    for _, group in groupby(plan.operations, key=_batch):
        operations = []
        for operation in group:
            needed = _failed_need(operation, failed)
            if needed is None:
                operations.append(operation)
                continue
            failed.add(operation.key)
            yield Outcome(operation, f"not tried: {needed} failed", skipped=True)
        for operation, error in zip(operations, perform(operations), strict=True):
            if error is not None:
                failed.add(operation.key)
            yield Outcome(operation, error)


def _batch(operation: Operation) -> object:
    if operation.key.type in FIREWALL:
        return "firewall"
    if operation.verb is Verb.DELETE:
        return (operation.verb, operation.key.type)
    return id(operation)


def _failed_need(operation: Operation, failed: set[Key]) -> Key | None:
    if operation.verb is Verb.DELETE:
        return None
    if operation.key in failed:
        return operation.key
    return next((key for key in operation.needs if key in failed), None)
