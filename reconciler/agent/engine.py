"""Engine: what is wanted, what is there, and where the two may differ, kept from pass to pass.

A pass looks at what may have changed and compares what that affects. Everything else is as the last
comparison found it: in sync, or among the changes that are still standing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.agent.affected import Affected
from reconciler.agent.reconcile import Preview, compare_states
from reconciler.agent.source import Loaded
from reconciler.core.execute import Outcome
from reconciler.core.object import HOST, Key
from reconciler.core.policy import Policy
from reconciler.core.state import State
from reconciler.host.base import EVERYTHING, Interest, Scope
from reconciler.host.linux import LinuxHost
from reconciler.kinds.expand import Expander

FEW = 32


class Engine:
    """One host and one revision of its manifests. For the thread that owns the kernel."""

    def __init__(self, host: LinuxHost, set_name: str, *, prune: bool | None = None) -> None:
        """Know nothing yet.

        Args:
            host: This machine.
            set_name: Whose things are ours.
            prune: Whether to delete what is not declared any more; None: if all of the set was read.
        """
        self.host = host
        self.set_name = set_name
        self.loaded: Loaded | None = None
        self.desired = State()
        self.observed = State()
        self._prune = prune
        self._expander = Expander(set_name)
        self._interest = Interest()
        self._affected = Affected(self.desired)
        self._changed: set[Key] = set()
        self._standing: set[Key] = set()
        self._compare_all = True
        self._policy = Policy(prune=False)

    @property
    def prunes(self) -> bool:
        """Whether what is not declared any more is deleted."""
        if self.loaded is None:
            return False
        return self.loaded.whole if self._prune is None else self._prune

    @property
    def changed(self) -> bool:
        """Whether anything was seen, or is wanted, that was not compared yet."""
        return bool(self._changed) or self._compare_all

    def look(self, scope: Scope = EVERYTHING) -> bool:
        """Look at a scope, and say whether anything there is not as it was.

        Raises:
            HostError: The kernel refused.
        """
        self.observed = self.host.observe(self._interest, scope)
        changed = self.host.look.observed.take_changed()
        self._changed |= changed
        return bool(changed)

    def accept(self, loaded: Loaded) -> None:
        """Want another revision from now on; what it is about is looked at, too.

        Raises:
            ReconcilerError: It cannot be wanted here: no address is free, a port is in use. What
                was wanted before still is.
        """
        before = self.loaded, self.desired, self._interest
        first, self.loaded = self.loaded is None, loaded
        try:
            desired = self._expand()
            if self._look_for(desired):
                desired = self._expand()
        except BaseException:
            self.loaded, self.desired, self._interest = before
            self._compare_all = True  # what has changed meanwhile was taken note of in part
            raise
        self.desired = desired
        self._affected = Affected(desired)
        changed = self._expander.take_changed()
        self._changed |= changed or set()
        self._compare_all |= first or changed is None
        self._policy = Policy(
            suspended=frozenset(r.id for r in loaded.catalog if r.suspended),
            declared=frozenset(loaded.catalog.resources),
        )

    def _look_for(self, desired: State) -> bool:
        """Look at what a desired state speaks of and was of no interest before."""
        old, new = self._interest, Interest.of(desired)
        self._interest = new
        known = self.host.look.observed.namespaces
        sysctls = {n for n in new.sysctls if new.sysctls_of(n) != old.sysctls_of(n)}
        fresh = new.namespaces - old.namespaces
        # A few are asked for by name; of many the list is cheaper.
        few = len(fresh) <= FEW
        scope = Scope(
            spaces=not few and bool(new.namespaces - known),
            namespaces=fresh if few else fresh & known,
            sysctls=frozenset(sysctls & (known | {HOST})),
            listeners=new.listeners,
            families=frozenset({4, 6} if new.firewall and not old.firewall else ()),
        )
        return bool(scope) and self.look(scope)

    def _expand(self) -> State:
        """Say what is wanted, given what is there or would be if nobody had broken anything.

        Without the memory of what is wanted already, an address that somebody has just deleted
        would be free, and its container might get another one.
        """
        assert self.loaded is not None  # noqa: S101 - accept sets it
        seen, wanted = self.observed, self.desired
        told = State(
            {**wanted.objects, **seen.objects},
            {**wanted.owners, **seen.owners},
            {**wanted.claims, **seen.claims},
        )
        partial = not self.prunes
        return self._expander.expand(self.loaded.catalog, told, partial=partial)

    def compare(self, policy: Policy) -> Preview:
        """Say what a pass would do now."""
        keys = None
        if not self._compare_all:
            keys = self._affected.by(self._changed, self.observed) | self._standing
        found = compare_states(self.desired, self.observed, policy, self.set_name, keys)
        decision = found.decision
        self._standing = {change.key for change in (*decision.changes, *decision.withheld)}
        self._changed.clear()
        # What is told in other names cannot be remembered by them.
        self._compare_all = found.retold
        return found

    def policy(self, waiting: frozenset[Key] = frozenset(), *, prune: bool = True) -> Policy:
        """Say how far a pass may go.

        Args:
            waiting: Objects that are left alone for now.
            prune: False: this pass deletes nothing that is not declared any more.
        """
        return replace(self._policy, waiting=waiting, prune=prune and self.prunes)

    def execute(self, preview: Preview) -> Iterator[Outcome]:
        """Carry out what a comparison found."""
        plan = preview.plan()
        if plan.operations:
            yield from self.host.execute(replace(plan, desired=self.desired))
