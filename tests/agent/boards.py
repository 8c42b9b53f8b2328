"""Boards: hand-made statuses, as a loop would publish them."""

from __future__ import annotations

from reconciler.agent.board import Board
from reconciler.agent.status import (
    ManifestsStatus,
    PassSummary,
    ResourceState,
    ResourceStatus,
    Status,
)
from reconciler.core.diff import Action, Change, Difference
from reconciler.core.drift import Culprit, Drift, Fate, FoundBy, Mode
from reconciler.core.object import Key, Owner
from reconciler.core.state import State
from reconciler.manifest.problem import Problem
from reconciler.objects import BridgeDevice

BEFORE = BridgeDevice("", "web", mtu=1400, up=True, mac="02:00:00:00:00:01")
AFTER = BridgeDevice("", "web", mtu=1500, up=True, mac="02:00:00:00:00:01")

MTU = Drift(
    Change(
        Action.UPDATE,
        Key("device", "", "web"),
        BEFORE,
        AFTER,
        Owner("default", "Bridge/web"),
        (Difference("mtu", 1400, 1500),),
        "mtu not as declared",
    ),
    seen=1_700_000_000.0,
    found_by=FoundBy.EVENT,
    mode=Mode.REPORT,
    culprit=Culprit(4711, "ip"),
    fate=Fate.REPORTED,
    message="left on purpose",
)

PROBLEM = Problem(
    "web.yaml", 6, 3, "Bridge/web", "spec.mtuu", "unknown field", 'did you mean "mtu"?'
)


def resource(name: str, state: ResourceState = ResourceState.READY, message: str = ""):
    """One declared resource, `Kind/name`."""
    kind, _, name = name.partition("/")
    return ResourceStatus(kind, name, state, message, 1_700_000_000.0, "web.yaml:1")


def owning(**counts: int) -> State:
    """What was seen, of which so many objects of each type are ours."""
    mine = Owner("default", "Bridge/web")
    keys = [Key(kind, "", str(n)) for kind, count in counts.items() for n in range(count)]
    return State(owners=dict.fromkeys(keys, mine) | {Key("device", "", "x"): Owner("other", "?")})


def status(**fields) -> Status:
    """A loop that is in sync, unless the test says otherwise."""
    given = {
        "version": "1.2.3",
        "pid": 99,
        "started": 1_700_000_000.0,
        "manifests": ManifestsStatus(("manifests",), "0123456789abcdef", 1_700_000_000.0),
        "in_sync": True,
        "ready": True,
        "resources": (resource("Bridge/web"), resource("Container/web1")),
        "last_pass": PassSummary(7, "drift", 1_700_000_100.0, 0.5, operations=3, failures=1),
        "last_success": 1_700_000_100.5,
        "observed": owning(device=3, address=2),
    }
    return Status(**{**given, **fields})


def board(**fields) -> Board:
    """A board with such a status on it."""
    return Board(status(**fields))
