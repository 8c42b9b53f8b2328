"""The book of drifts: what counts as one, what becomes of it, and how often that is told."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import pytest

from reconciler.agent.drifts import DriftBook, Moment, differing
from reconciler.agent.reconcile import Preview
from reconciler.core.diff import Action, Change, Difference
from reconciler.core.drift import Culprit, Drift, Fate, FoundBy, Mode
from reconciler.core.execute import Outcome
from reconciler.core.object import Key, Owner
from reconciler.core.plan import Operation, Verb
from reconciler.core.policy import Decision, Policy
from reconciler.core.retry import FIGHT_TIMES, FIRST_PAUSE, Retries
from reconciler.core.state import State
from reconciler.objects import BridgeDevice

WEB = Owner("default", "Bridge/web")
IP = Culprit(4711, "ip")


def mtu_of(
    name: str, action: Action = Action.UPDATE, reason: str = "mtu not as declared"
) -> Change:
    """A bridge whose MTU is another."""
    before, after = BridgeDevice("", name, mtu=1400), BridgeDevice("", name, mtu=1500)
    differences = (Difference("mtu", 1400, 1500),)
    return Change(
        action, after.key, before, after, Owner("default", f"Bridge/{name}"), differences, reason
    )


CHANGE = mtu_of("web")
KEY = CHANGE.key


def showing(
    *changes: Change, withheld: Collection[Change] = (), waiting: Collection[Key] = ()
) -> Preview:
    """A comparison that has found these."""
    policy = Policy(waiting=frozenset(waiting))
    return Preview(State(), State(), Decision(changes, tuple(withheld)), policy)


IN_SYNC = showing()


@dataclass
class Told:
    """A book, what it has told, and a clock that goes a second at a time."""

    mode: Mode = Mode.HEAL
    retries: Retries = field(default_factory=Retries)
    settled: list[tuple[Fate, float]] = field(default_factory=list)
    last: Drift | None = None
    now: float = 100.0

    def __post_init__(self) -> None:
        self.book = DriftBook(self.retries, lambda _: self.mode, self._settle)

    def _settle(self, drift: Drift, seconds: float) -> None:
        self.settled.append((drift.fate, seconds))
        self.last = drift

    @property
    def fates(self) -> list[Fate]:
        return [fate for fate, _ in self.settled]

    @property
    def moment(self) -> Moment:
        self.now += 1
        return Moment(1_700_000_000 + self.now, self.now, 0.5)

    def see(
        self,
        *changes: Change,
        culprit: Culprit | None = None,
        found_by: FoundBy = FoundBy.EVENT,
        since: float | None = None,
    ) -> list[Drift]:
        told = self.now if since is None else since
        return self.book.see(showing(*changes), self.moment, lambda _: (found_by, culprit), told)

    def work(self, *keys: Key, error: str | None = None) -> None:
        """Do something about these, and succeed unless there is an error."""
        items = (BridgeDevice("", key.name) for key in keys)
        outcomes: Iterable[Outcome] = [Outcome(Operation(Verb.SET, o, WEB), error) for o in items]
        self.book.worked_on(outcomes, self.moment)

    def settle(self, *changes: Change) -> None:
        self.book.settle(showing(*changes), self.moment)

    def heal(self) -> None:
        """Find it broken, put it right, and find it right."""
        self.see(CHANGE, culprit=IP)
        self.work(KEY)
        self.settle()


@pytest.fixture
def told() -> Told:
    return Told()


# --------------------------------------------------------------------------- what is a drift


def test_what_differs_and_nobody_asked_for_is_a_drift(told):
    (drift,) = told.see(CHANGE, culprit=IP, found_by=FoundBy.LOOK)

    assert drift == Drift(CHANGE, 1_700_000_101, FoundBy.LOOK, Mode.HEAL, IP)
    assert told.book.drifts == (drift,)
    assert told.book.get(KEY) == drift
    assert told.fates == []


def test_where_nothing_differs_there_is_none(told):
    assert told.see() == []
    assert told.book.get(KEY) is None


def test_one_that_is_known_is_not_new_but_its_difference_is_the_latest(told):
    told.see(CHANGE)
    later = mtu_of("web", reason="something else")

    assert told.see(later) == []
    assert told.book.get(KEY).change == later


def test_what_is_held_back_keeps_what_it_was_before(told):
    """That it is blocked says less than what differs."""
    told.see(CHANGE)
    told.see(mtu_of("web", Action.BLOCKED, "held back"))

    assert told.book.get(KEY).change == CHANGE


def test_what_the_manifests_asked_for_and_is_still_owed_is_no_drift(told):
    told.book.owed = {KEY}

    assert told.see(CHANGE, mtu_of("db")) != []
    assert [drift.change.key.name for drift in told.book.drifts] == ["db"]


def test_what_was_owed_and_has_been_right_since_is_a_drift_the_next_time(told):
    told.book.owed = {KEY}
    told.see()

    assert told.book.owed == set()
    assert len(told.see(CHANGE)) == 1


def test_what_is_owed_is_settled_by_a_comparison_after_the_work_too(told):
    told.book.owed = {KEY}
    told.settle()

    assert told.book.owed == set()


def test_what_waits_still_differs_and_what_is_suspended_or_kept_does_not():
    db, kept = mtu_of("db"), mtu_of("kept", Action.DELETE)
    found = differing(showing(CHANGE, withheld=[db, kept], waiting=[db.key]))

    assert found == {KEY: CHANGE, db.key: db}


def test_the_oldest_drift_comes_first(told):
    told.see(mtu_of("web"))
    told.see(mtu_of("app"), mtu_of("web"))

    assert [drift.change.key.name for drift in told.book.drifts] == ["web", "app"]


# --------------------------------------------------------------------------- what becomes of it


def test_what_is_right_after_we_worked_on_it_is_healed(told):
    told.heal()

    assert told.fates == [Fate.HEALED]
    assert told.book.drifts == ()
    assert told.last.settled == 1_700_000_000 + told.now


def test_what_is_right_after_we_worked_on_what_it_lives_in_is_healed(told):
    told.see(CHANGE)
    told.book.touch([KEY, Key("device", "", "unknown")])
    told.settle()

    assert told.fates == [Fate.HEALED]


def test_what_is_right_without_us_is_gone(told):
    told.see(CHANGE)
    told.settle()

    assert told.fates == [Fate.GONE]


def test_how_long_it_lasted_counts_from_when_the_kernel_told(told):
    told.see(CHANGE, since=told.now - 5)
    told.work(KEY)
    told.settle()

    assert told.settled == [(Fate.HEALED, 8.0)]


def test_what_the_kernel_refused_is_failed_and_waits(told):
    told.see(CHANGE)
    told.work(KEY, error="EBUSY: Device or resource busy")

    assert told.fates == [Fate.FAILED]
    assert told.book.get(KEY).message == "EBUSY: Device or resource busy"
    assert told.retries.next_due([KEY]) is not None


def test_what_failed_and_worked_in_the_end_is_healed(told):
    told.see(CHANGE)
    told.work(KEY, error="EBUSY")
    told.work(KEY)
    told.settle()

    assert told.fates == [Fate.FAILED, Fate.HEALED]
    assert told.last.message == ""
    assert told.retries.waiting(told.now + 1000) == frozenset()


def test_what_failed_again_for_the_same_reason_is_told_once(told):
    told.see(CHANGE)
    for error in ("EBUSY", "EBUSY", "ENOMEM", "ENOMEM"):
        told.work(KEY, error=error)

    assert told.fates == [Fate.FAILED, Fate.FAILED]


def test_what_failed_and_is_held_back_meanwhile_is_still_failed(told):
    told.see(CHANGE)
    told.work(KEY, error="EBUSY")
    told.settle(mtu_of("web", Action.BLOCKED, "needs something, and that is tried again later"))

    assert told.fates == [Fate.FAILED]


@pytest.mark.parametrize("by_us", [True, False])
def test_what_failed_and_got_right_begins_anew_the_next_time(told, by_us):
    told.see(CHANGE)
    for _ in range(10):
        told.work(KEY, error="EBUSY")
    if by_us:
        told.work(KEY)
    else:
        told.settle()

    told.now += 1000
    told.work(KEY, error="EBUSY")

    assert told.retries.next_due([KEY]) == pytest.approx(told.now + FIRST_PAUSE)


def test_an_operation_that_failed_without_a_drift_waits_too(told):
    told.work(KEY, error="EBUSY")

    assert told.fates == []
    assert told.retries.next_due([KEY]) is not None


def test_what_something_is_in_the_way_of_is_blocked_and_told_once(told):
    blocked = mtu_of("web", Action.BLOCKED, "device/web is there and does not carry our mark")
    told.see(blocked)
    told.settle(blocked)
    told.see(blocked)
    told.settle(blocked)

    assert told.fates == [Fate.BLOCKED]
    assert told.book.get(KEY).message == blocked.reason


def test_what_was_blocked_and_got_right_is_told_once_more(told):
    blocked = mtu_of("web", Action.BLOCKED, "in the way")
    told.see(blocked)
    told.settle(blocked)
    told.settle()

    assert told.fates == [Fate.BLOCKED, Fate.GONE]


def test_what_still_differs_after_the_work_stays_open(told):
    told.see(CHANGE)
    told.work(KEY)
    told.settle(CHANGE)

    assert told.fates == []
    assert told.book.get(KEY).fate is Fate.OPEN


# --------------------------------------------------------------------------- modes


@pytest.mark.parametrize("mode", [Mode.REPORT, Mode.SUSPEND])
def test_what_is_to_be_left_is_told_at_once_and_left_alone(mode):
    told = Told(mode)
    told.see(CHANGE)
    told.see(CHANGE)

    assert told.settled == [(Fate.REPORTED, 0.0)]
    assert mode.value in told.last.message
    assert told.book.left_alone() == {KEY}
    assert told.book.suspended() == ({KEY} if mode is Mode.SUSPEND else set())


def test_what_is_to_be_healed_is_not_left_alone(told):
    told.see(CHANGE)

    assert told.book.left_alone() == told.book.suspended() == set()


def test_what_is_left_alone_is_never_a_fight():
    told = Told(Mode.REPORT)
    for _ in range(10):
        told.see(CHANGE)
        told.settle()

    assert set(told.fates) == {Fate.REPORTED, Fate.GONE}
    assert not told.retries.fought_over(KEY)


# --------------------------------------------------------------------------- fights


def test_who_undoes_it_again_and_again_fights_and_is_named(told):
    for _ in range(FIGHT_TIMES - 1):
        told.heal()

    (drift,) = told.see(CHANGE, culprit=IP)

    assert told.fates == [Fate.HEALED] * (FIGHT_TIMES - 1) + [Fate.FIGHT]
    assert drift.message.startswith("ip (pid 4711) undid it 5 times")
    assert drift.times == FIGHT_TIMES
    assert told.retries.waiting(told.now) == {KEY}


def test_a_fight_with_nobody_knows_whom_is_one_too(told):
    for _ in range(FIGHT_TIMES - 1):
        told.heal()

    (drift,) = told.see(CHANGE)

    assert (drift.fate, drift.message.split(" undid")[0]) == (Fate.FIGHT, "somebody")


def test_a_fight_is_over_once_we_could_put_it_right(told):
    for _ in range(FIGHT_TIMES):
        told.heal()

    assert told.fates[-2:] == [Fate.FIGHT, Fate.HEALED]
    assert told.book.drifts == ()


def test_another_object_is_not_drawn_into_a_fight(told):
    for _ in range(FIGHT_TIMES):
        told.heal()

    (drift,) = told.see(mtu_of("db"))

    assert (drift.fate, drift.times) == (Fate.OPEN, 1)


def test_the_manifests_say_what_is_a_drift_of_which_mode():
    modes = {"Bridge/web": Mode.HEAL, "Bridge/db": Mode.REPORT}
    settled = []
    book = DriftBook(Retries(), modes.__getitem__, lambda drift, _: settled.append(drift))

    found = book.see(
        showing(CHANGE, mtu_of("db")), Moment(0, 0, 0), lambda _: (FoundBy.EVENT, None), 0
    )

    assert [drift.mode for drift in found] == [Mode.HEAL, Mode.REPORT]
    assert [drift.change.owner.resource for drift in settled] == ["Bridge/db"]
