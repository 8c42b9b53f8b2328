"""The loop sees, names and heals whatever is done to any field of any object of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.objects import OBJECTS, Listener, OtherDevice
from tests.kernel.daemon import Daemon, Record, running
from tests.kernel.drifts import shape
from tests.kernel.mutations import (
    MUTATIONS,
    NETWORK,
    UNMANAGED,
    Mutation,
    prepare,
    undo_foreign,
)
from tests.kernel.passes import diff
from tests.world import Host

NOT_OURS = {Listener, OtherDevice}
"""What is only looked at: it belongs to somebody else."""
AT_ONCE = 3
"""Deeds to one loop: at the fifth to one object it would take us for a program that fights."""


def portions() -> list[tuple[Mutation, ...]]:
    """The deeds, a few of one kind of object together."""
    kinds = dict.fromkeys(mutation.object for mutation in MUTATIONS)
    found = []
    for kind in kinds:
        mine = tuple(mutation for mutation in MUTATIONS if mutation.object == kind)
        found += [mine[i : i + AT_ONCE] for i in range(0, len(mine), AT_ONCE)]
    return found


def name_of(portion: tuple[Mutation, ...]) -> str:
    return f"{portion[0].object}-{'-'.join(one.field for one in portion)}"


def test_every_field_that_is_compared_has_its_mutation():
    wanted = {
        (one.__name__, field)
        for one in OBJECTS
        if one not in NOT_OURS
        for field in ("there", *one.compared)
    }
    assert {(one.object, one.field) for one in MUTATIONS} == wanted - UNMANAGED


def test_what_nobody_wants_is_managed_by_no_manifest(host: Host):
    prepare(host)
    host.manifests.write("network.yaml", NETWORK)
    wanted = diff(host).desired.objects.values()
    fields = {
        (type(o).__name__, f) for o in wanted for f in o.compared if getattr(o, f) is not None
    }
    assert not fields & UNMANAGED


def shows(record: Record, mutation: Mutation) -> bool:
    """Whether a drift is about this object and field; what is not there has no field of its own."""
    if not record["object"].startswith(mutation.seen):
        return False
    fields = {difference["field"] for difference in record["differences"]}
    return record["action"] != "delete" and (
        mutation.field == "there" or mutation.field in fields or record["action"] == "create"
    )


def is_told(record: Record, mutation: Mutation) -> bool:
    """Whether it is about this object and field, and says what became of it."""
    return record["fate"] == mutation.fate and shows(record, mutation)


def one_heals(daemon: Daemon, host: Host, mutation: Mutation) -> None:
    """Break, wait until it is seen and healed, and find everything as it was."""
    before, seen = shape(host), len(daemon.history())
    daemon.wait_in_sync()

    mutation.do(host)

    name = f"{mutation.object}.{mutation.field}"
    try:
        daemon.wait(lambda: [r for r in daemon.history()[seen:] if is_told(r, mutation)])
        mutation.undo(host)
        undo_foreign(host)
        daemon.wait(lambda: daemon.status()["inSync"] and not daemon.status()["drift"])
    except AssertionError as error:
        told = [(r["object"], r["fate"], r["message"]) for r in daemon.history()[seen:]]
        raise AssertionError(f"{name}: {told}, {daemon.status()['drift']}") from error
    ended = [r for r in daemon.history()[seen:] if r["settled"]]
    assert ended
    assert all(r["owner"] and r["source"] for r in ended if not r["owner"].startswith("Host/"))
    assert all(r["seen"] <= r["settled"] for r in ended)
    assert shape(host) == before, name


@pytest.mark.parametrize("portion", portions(), ids=name_of)
def test_what_somebody_does_to_a_field_is_seen_named_and_healed(
    host: Host, tmp_path: Path, portion: tuple[Mutation, ...]
):
    prepare(host)
    host.manifests.write("network.yaml", NETWORK)
    # Nothing is left to the slow look: what is healed here was told, or polled.
    with running(host, tmp_path / "daemon", "--full-look", "3600", "--poll", "0.5") as daemon:
        for mutation in portion:
            one_heals(daemon, host, mutation)
        assert daemon.metric("reconciler_missed_events_total") == 0
        assert daemon.stop() == 0
    assert diff(host).in_sync
