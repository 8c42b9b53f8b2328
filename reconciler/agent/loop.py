"""Loop: waits for triggers and makes passes, until it is told to stop.

Level-based: a trigger says where to look, never what is so. Triggers come from the files, from the
kernel, from timers (for what the kernel does not tell), from the full look in slices, and from
signals. What goes wrong with one pass is said, and tried again; the loop itself goes on.
"""

from __future__ import annotations

import random
import signal
import time

from reconciler.agent.board import Board
from reconciler.agent.ears import Ears, merge
from reconciler.agent.manifests import Manifests
from reconciler.agent.notify import notify, watchdog_interval
from reconciler.agent.pace import Pace
from reconciler.agent.passes import Passes
from reconciler.agent.reporter import Reporter
from reconciler.agent.scopes import scope_heard
from reconciler.agent.slices import PERIOD, Slices
from reconciler.agent.source import Loaded
from reconciler.agent.status import ManifestsStatus
from reconciler.agent.trigger import Trigger
from reconciler.core.object import HOST
from reconciler.errors import HostError
from reconciler.host.base import EVERYTHING, Scope
from reconciler.host.firewall.apply import FAMILIES
from reconciler.host.monitor import Heard

POLL = 5.0
"""Seconds between two looks at what nobody tells of: legacy rules, the host's parameters."""
RESCAN = 30.0
"""Seconds between two looks at the files without a kick."""
SETTLE = 0.3
"""Seconds for which manifests that lack something have to stay as they are before it goes."""
REFUSED_PAUSE = 5.0
"""Seconds before a revision that this host refused is tried again."""
FAILED_PAUSE = 5.0
"""Seconds before another look after one that the kernel refused altogether."""
POLLED_MAX = 50
"""Namespaces whose parameters are polled, too; of more than that only the full look's slices."""


class Loop:
    """The daemon's one thread that owns the kernel."""

    def __init__(
        self,
        manifests: Manifests,
        passes: Passes,
        ears: Ears,
        board: Board,
        reporter: Reporter,
        *,
        period: float = PERIOD,
        poll: float = POLL,
    ) -> None:
        """Do nothing yet.

        Args:
            manifests: What is wanted.
            passes: Makes them.
            ears: What it hears of.
            board: Where the heartbeat goes.
            reporter: Says what happens.
            period: Seconds for a full look in slices.
            poll: Seconds between two looks at what nobody tells of.
        """
        self._manifests, self._passes, self._ears = manifests, passes, ears
        self._board, self._reporter, self._poll = board, reporter, poll
        self._files_pace = Pace(settle=0.005, quiet=0.1, longest=1.0)
        self._kernel_pace = Pace(settle=0.002, quiet=0.1, longest=1.0, budget=10)
        now = time.monotonic()
        self._heard, self._heard_since = Heard(), 0.0
        self._slices = Slices(now, period)
        self._poll_due, self._rescan_due = now + poll, now + RESCAN
        self._refused_due = 0.0
        self._alive_due, self._alive = now, watchdog_interval()
        self._spaces: frozenset[str] = frozenset()
        self._folders: frozenset[str] = frozenset()
        self._held: Loaded | None = None
        self._held_since = 0.0
        self._everything = False
        self._failed_until: float | None = None
        self._stopped = False
        passes.alive = self._sign_of_life

    def start(self) -> bool:
        """Make the first pass: load and look at everything, then converge.

        Returns:
            Whether the host is as declared now.
        """
        self._ears.names.arm()
        loaded = self._check()
        in_sync = self._pass(Trigger("start", EVERYTHING, loaded=loaded, since=time.monotonic()))
        self._ears.names.arm()
        self._slices.restart(time.monotonic())
        notify("READY=1\nSTATUS=watching")
        return in_sync

    def run(self) -> None:
        """Go round until a signal ends it; the network stays as it is."""
        while not self._stopped:
            now = time.monotonic()
            self._board.heartbeat = now
            self._ears.wake.sleep(max(0.0, self._next(now) - now))
            self._take_signals()
            self._hear()
            if not self._stopped:
                self._go_round(time.monotonic())
        notify("STOPPING=1")

    def _next(self, now: float) -> float:
        """When there is something to do, if nothing happens until then."""
        times = [self._slices.due, self._poll_due, self._rescan_due]
        times += [t for t in (self._files_pace.due(), self._kernel_pace.due()) if t is not None]
        if (retry := self._passes.next_retry()) is not None:
            times.append(retry)
        if self._passes.refused is not None:
            times.append(self._refused_due)
        if self._failed_until is not None:
            times.append(self._failed_until)
        if self._alive is not None:
            times.append(self._alive_due)
        return now if self._everything else min(times)

    def _hear(self) -> None:
        """Take what files, the kernel and the folders of names have told."""
        if self._ears.wake.take_files():
            self._files_pace.kick(time.monotonic())
        heard = self._ears.monitor.read()
        spaces, folders = self._ears.names.take()
        if heard or spaces or folders:
            now = time.monotonic()
            if not self._kernel_pace.pending:
                self._heard_since = now
            self._kernel_pace.kick(now)
            self._heard = merge(self._heard, heard)
            self._heard.spaces |= bool(spaces)
            self._spaces |= spaces
            self._folders |= folders
        if heard.overrun:
            self._reporter.overrun()

    def _go_round(self, now: float) -> None:
        """Do what is due."""
        if self._failed_until is not None and now >= self._failed_until:
            self._failed_until = None
            loaded = self._not_accepted()
            cause = "retry" if loaded is None else self._cause_of_loading()
            self._pass(Trigger(cause, EVERYTHING, self._take_heard(), loaded, now))
        if self._everything:
            self._everything = False
            self._passes.forgive()
            loaded, self._held = self._check() or self._held, None
            self._passes.publisher.settling = False
            self._pass(Trigger("signal", EVERYTHING, self._take_heard(), loaded, now))
            self._slices.restart(time.monotonic())
        if self._is_due(self._files_pace, now) or now >= self._rescan_due:
            self._look_at_files(now)
        if self._is_due(self._kernel_pace, now):
            since = self._heard_since
            scope = Scope(namespaces=self._spaces, folders=self._folders)
            self._spaces, self._folders = frozenset(), frozenset()
            heard = self._take_heard()
            self._pass(Trigger("drift", scope | scope_heard(heard), heard, since=since))
        if self._passes.refused is not None and now >= self._refused_due:
            self._refused_due = now + REFUSED_PAUSE
            self._pass(Trigger("manifests", loaded=self._passes.refused, since=now))
        if (retry := self._passes.next_retry()) is not None and now >= retry:
            self._pass(Trigger("retry", since=now))
        if now >= self._poll_due:
            self._poll_due = now + self._poll
            self._pass(Trigger("poll", self._unwatched(), since=now))
        if now >= self._slices.due:
            engine = self._passes.engine
            known = engine.host.look.observed.namespaces
            scope = self._slices.next(known, now, random.random())  # noqa: S311 - spreads hosts
            self._pass(Trigger("look", scope, since=now))
        self._sign_of_life()

    def _not_accepted(self) -> Loaded | None:
        """What is in force in the files and no pass has come to want, because it failed before."""
        current = self._manifests.current
        if self._held is not None or current is self._passes.refused:
            return None
        return None if current is self._passes.engine.loaded else current

    def _cause_of_loading(self) -> str:
        return "start" if self._passes.engine.loaded is None else "manifests"

    def _sign_of_life(self) -> None:
        """Say to whoever watches that there is progress: of the loop, or of a long pass."""
        now = self._board.heartbeat = time.monotonic()
        if self._alive is not None and now >= self._alive_due:
            self._alive_due = now + self._alive
            notify("WATCHDOG=1")

    @staticmethod
    def _is_due(pace: Pace, now: float) -> bool:
        due = pace.due()
        if due is None or now < due:
            return False
        pace.act(now)
        return True

    def _look_at_files(self, now: float) -> None:
        self._rescan_due = now + RESCAN
        self._ears.files.look_after()
        self._ears.names.arm()
        loaded = self._check() or self._held
        if loaded is None:
            return
        self._passes.publisher.settling = self._must_settle(loaded, now)
        if self._passes.publisher.settling:
            self._passes.publish()
            return
        self._held = None
        heard = self._take_heard()
        self._pass(Trigger("manifests", scope_heard(heard), heard, loaded, now))

    def _must_settle(self, loaded: Loaded, now: float) -> bool:
        """Wait a moment before what is not declared any more goes: it may be half of a checkout.

        Whoever deletes files to write them anew leaves, for that moment, a tree that is valid and
        lacks something. It comes into force when it has stayed so, and nothing is wrong with it.
        """
        engine = self._passes.engine
        before = engine.loaded.catalog.resources if engine.loaded is not None else {}
        if before.keys() <= loaded.catalog.resources.keys():
            return False
        if self._held is not loaded:
            self._held, self._held_since = loaded, now
        if now - self._held_since >= SETTLE and not self._manifests.problems:
            return False
        self._rescan_due = min(self._rescan_due, now + SETTLE)
        return True

    def _check(self) -> Loaded | None:
        """Look at the files; gives a revision that is new, and says what is wrong."""
        manifests, before = self._manifests, self._passes.publisher.manifests
        loaded = manifests.check()
        found = ManifestsStatus(
            manifests.paths,
            manifests.revision,
            manifests.loaded,
            manifests.problems,
            manifests.problems_since,
        )
        watch = self._ears.files
        self._passes.publisher.notes = tuple(
            filter(
                None,
                (
                    f"manifests are polled every two seconds: {watch.why}" if watch.polling else "",
                    self._ears.names.problem,
                ),
            )
        )
        if manifests.unsettled:
            self._files_pace.kick(time.monotonic())
        if found != before:
            self._passes.publisher.manifests = found
            self._reporter.manifests_changed(found, time.time())
            if loaded is None:
                self._passes.publish()
        return loaded

    def _take_heard(self) -> Heard:
        heard, self._heard = self._heard, Heard()
        return heard

    def _unwatched(self) -> Scope:
        """What nobody tells of."""
        host = self._passes.engine.host
        known = host.look.observed.namespaces
        told = self._ears.monitor.hears_rules
        silent = {family for family in FAMILIES if not (told and host.watched(family))}
        spaces = known if len(known) <= POLLED_MAX else frozenset()
        return Scope(families=frozenset(silent), sysctls=spaces | {HOST})

    def _pass(self, trigger: Trigger) -> bool:
        """Make a pass; what the kernel refuses altogether is tried again in a while."""
        try:
            return self._passes.run(trigger)
        except HostError as error:
            self._reporter.trouble("the pass failed", str(error))
            self._passes.failed(str(error))
            # What was to be looked at is not known, so that all of it is looked at again; and if
            # there was another revision, it is not wanted yet.
            self._failed_until = time.monotonic() + FAILED_PAUSE
            return False
        finally:
            self._passes.engine.host.rest()
            self._board.heartbeat = time.monotonic()

    def _take_signals(self) -> None:
        for number in self._ears.wake.take_signals():
            match number:
                case signal.SIGHUP:
                    self._everything = True
                case signal.SIGUSR1:
                    self._reporter.dump(self._board.status)
                case _:
                    self._stopped = True
