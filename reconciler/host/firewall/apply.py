"""Firewall of this host: observed by iptables-save, changed by one iptables-restore per family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from reconciler.core.object import KernelObject, Key, Owner, Stage, stage_of
from reconciler.core.plan import Operation, Verb
from reconciler.core.state import State
from reconciler.errors import HostError
from reconciler.formats.iptables import Ruleset, parse
from reconciler.formats.iptables_restore import Culprit
from reconciler.host.firewall.backend import detect_backends
from reconciler.host.firewall.edit import Line, make_target, plan_edits
from reconciler.host.firewall.programs import Backend, Family, Programs
from reconciler.host.firewall.restore import Status, restore
from reconciler.host.firewall.save import Saved, save
from reconciler.objects.chain import PREFIX
from reconciler.objects.firewall_observed import parse_firewall

FAMILIES: tuple[Family, Family] = (4, 6)
STALE_ATTEMPTS = 5
REFUSED_ATTEMPTS = 64
"""Rules of one transaction that may be refused before all of it counts as refused."""


class HostFirewall:
    """The rules of both families, in the backend that this host uses."""

    def __init__(self, set_name: str, counters: Counter[str]) -> None:
        """Start nothing yet."""
        self._set_name = set_name
        self._programs = Programs(counters)
        self._backends: dict[Family, Backend | None] = {}
        self.generations: dict[Family, int | None] = {}
        """Of nf_tables, when a family was read last; None with the legacy backend, which has none."""
        self.split: dict[Family, Backend] = {}
        """Where our chains are although this host uses the other backend."""

    def observe(self, *, needed: bool) -> Iterator[tuple[KernelObject, Owner | None]]:
        """Read what is ours.

        Args:
            needed: Rules are wanted, so that a host without iptables is an error.

        Raises:
            HostError: iptables is missing or cannot be read.
            PrivilegeError: Without CAP_NET_ADMIN.
        """
        for family in FAMILIES:
            yield from self.observe_family(family, needed=needed)

    def observe_family(
        self, family: Family, *, needed: bool
    ) -> Iterator[tuple[KernelObject, Owner | None]]:
        """Read what is ours in one family; errors as with `observe`."""
        backend = self._backend(family, needed=needed)
        if backend is not None:
            saved = save(self._programs, family, backend)
            self.generations[family] = saved.generation if saved.settled else None
            yield from parse_firewall(family, parse(saved.text), self._set_name)

    def watched(self, family: Family) -> bool:
        """Tell whether the kernel says when rules change: nf_tables does, legacy does not."""
        return self._backends.get(family) is not Backend.LEGACY

    def _backend(self, family: Family, *, needed: bool) -> Backend | None:
        if family not in self._backends:
            self._backends[family] = self._detect(family, needed=needed)
        return self._backends[family]

    def _detect(self, family: Family, *, needed: bool) -> Backend | None:
        if not any(self._programs.find(family, backend, "save") for backend in Backend):
            if needed:
                raise HostError(
                    "iptables is not installed, and the manifests need firewall rules: "
                    "apt-get install iptables, or say `iptables: false` on every Bridge"
                )
            return None
        found = detect_backends(self._programs, family, lambda chain: chain.startswith(PREFIX))
        for backend, seen in found.found.items():
            if seen.ours and backend is not found.chosen:
                self.split[family] = backend
        return found.chosen

    def started(self, pid: int) -> bool:
        """Tell whether a process was one of ours, that is or was the writer of our rules."""
        return pid in self._programs.pids

    def clean(self) -> list[str]:
        """Take our set's chains out of the backend that this host does not use; list refusals.

        They are left from before the administrator changed over, and packets still pass them.
        """
        list(self.observe(needed=False))
        refusals = []
        for family, backend in tuple(self.split.items()):
            saved = save(self._programs, family, backend)
            ruleset = parse(saved.text)
            ours = [
                Operation(Verb.DELETE, item, owner)
                for item, owner in parse_firewall(family, ruleset, self._set_name)
                if owner is not None and owner.set == self._set_name
            ]
            found = plan_edits(ruleset, make_target(family, ours, State()))
            done = restore(self._programs, family, backend, [edit for edit, _ in found], saved)
            if done.status is Status.DONE:
                del self.split[family]
            else:
                refusals.append(f"iptables-{backend}, IPv{family}: {done.message}")
        return refusals

    def perform(self, batch: Sequence[Operation], desired: State) -> list[str | None]:
        """Carry out all firewall operations of a batch, family by family."""
        errors: dict[Key, str] = {}
        for family in FAMILIES:
            mine = [op for op in batch if getattr(op.object, "family", 0) == family]
            if mine:
                errors |= self._write(family, mine, desired)
        return [errors.get(operation.key) for operation in batch]

    def _write(self, family: Family, batch: Sequence[Operation], desired: State) -> dict[Key, str]:
        failed: dict[Key, str] = {}
        backend = self._backend(family, needed=True)
        assert backend is not None  # noqa: S101 - needed
        stale = 0
        while True:
            saved = save(self._programs, family, backend)
            ruleset = parse(saved.text)
            if unreadable := _unreadable(batch, ruleset):
                return unreadable
            target = make_target(family, [op for op in batch if op.key not in failed], desired)
            found = plan_edits(ruleset, target)
            expected: Saved | None = saved if stale < STALE_ATTEMPTS else None
            done = restore(self._programs, family, backend, [edit for edit, _ in found], expected)
            if done.status is Status.DONE:
                return failed
            if done.status is Status.STALE:
                stale += 1
                continue
            key = _culprit(done.culprit, [lines for _, lines in found])
            known = key is not None and key not in failed and len(failed) < REFUSED_ATTEMPTS
            if done.status is not Status.REFUSED or key is None or not known:
                return failed | {op.key: done.message for op in batch if op.key not in failed}
            failed = _ways_in(batch, key) | failed | {key: done.message}


def _ways_in(batch: Iterable[Operation], refused: Key) -> dict[Key, str]:
    """Shut what a wall would have stood before that the kernel refuses: all that lets anybody in."""
    stages = {op.key: stage_of(op.object) for op in batch if op.verb is not Verb.DELETE}
    if stages.get(refused) is not Stage.CLOSES:
        return {}
    message = f"not tried: {refused} was refused"
    return {key: message for key, stage in stages.items() if stage is Stage.OPENS}


def _unreadable(batch: Iterable[Operation], ruleset: Ruleset) -> dict[Key, str]:
    """Refuse all of a family where one table cannot be read: a wall there could not be written."""
    wanted = {op.key: getattr(op.object, "table", "") for op in batch}
    tables = ", ".join(sorted(ruleset.unreadable & set(wanted.values())))
    return dict.fromkeys(wanted, f"table {tables} holds what only nft can read") if tables else {}


def _culprit(culprit: Culprit | None, lines: Sequence[Sequence[Line]]) -> Key | None:
    """Find which rule a refused line was to write."""
    if culprit is None or culprit.line is None:
        return None
    found = lines[culprit.edit]
    return found[culprit.line].key if culprit.line < len(found) else None
