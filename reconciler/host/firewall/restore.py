"""Restore: edit tables through iptables-restore, so that nothing is half done and nothing is lost.

A table changes as a whole or not at all, but several tables do not change together: what was done
in the earlier ones is undone when a later one fails.

Before anything is written the text is tested and the state is compared with the one that the edits
were made from: if somebody has written meanwhile, the caller has to look again. A writer who comes
in the few milliseconds that are left is noticed afterwards (`Restored.alone`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from reconciler.errors import HostError
from reconciler.formats.iptables import parse
from reconciler.formats.iptables_contents import contents
from reconciler.formats.iptables_restore import (
    Culprit,
    TableEdit,
    explain_failure,
    find_culprit,
    render_restore,
)
from reconciler.host.firewall.generation import read_generation
from reconciler.host.firewall.programs import Backend, Family, Finished, Programs
from reconciler.host.firewall.save import Saved, save
from reconciler.host.firewall.trial import find_refused_line

LOCK_SECONDS = 10
"""How long to wait for the lock that legacy programs of all network namespaces share."""


class Status(Enum):
    """How a restore ended."""

    DONE = "done"
    STALE = "stale"
    """Somebody has written since the edits were made; nothing was done."""
    LOCKED = "locked"
    """Another program holds the lock of the legacy tables."""
    REFUSED = "refused"
    """The text is wrong, or the kernel does not take it."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a restore."""

    status: Status
    message: str = ""
    """What iptables-restore said."""
    culprit: Culprit | None = None
    """What it was about, where that is known."""
    undone: bool | None = None
    """Whether the tables before the one that failed are as they were; None: none was written."""
    alone: bool = True
    """False: somebody else wrote at the same time, so look again. Legacy cannot tell."""
    pids: tuple[int, ...] = ()
    """The processes that wrote, by which our own events are known."""


@dataclass(frozen=True, slots=True)
class _Restore:
    """One family and backend, and what is to be done there."""

    programs: Programs
    family: Family
    backend: Backend
    edits: Sequence[TableEdit]
    path: str

    def run(self, edits: Sequence[TableEdit], *, test: bool = False) -> Finished:
        argv = [self.path, "--noflush", "--wait", str(LOCK_SECONDS)]
        text = render_restore(edits)
        return self.programs.run([*argv, "--test"] if test else argv, text, writes=not test)

    def look(self) -> Saved:
        """See what the state is, for a comparison: a number is enough where there is one."""
        if self.backend is Backend.NFT:
            return Saved("", read_generation())
        return save(self.programs, self.family, self.backend)

    @property
    def busy(self) -> Sequence[TableEdit]:
        """The edits that do something; each is committed on its own."""
        return [edit for edit in self.edits if edit.lines]

    def count_commits(self, before: Saved) -> int:
        """Count what was committed since *before*, where nobody says how far it went."""
        now = self.look()
        if before.generation is not None and now.generation is not None:
            return now.generation - before.generation
        old, new = contents(parse(before.text)), contents(parse(now.text))
        changed = [old.get(edit.table) != new.get(edit.table) for edit in self.busy]
        return changed.index(False) if False in changed else len(changed)

    def was_alone(self, before: Saved, commits: int) -> bool:
        """Whether nobody committed since *before* but we; legacy has nothing that would tell."""
        return before.generation is None or self.count_commits(before) == commits


def restore(
    programs: Programs,
    family: Family,
    backend: Backend,
    edits: Sequence[TableEdit],
    expected: Saved | None,
) -> Restored:
    """Carry out edits, table by table in this order; without any, no program is started.

    Args:
        programs: Of this host.
        family: Whose tables.
        backend: Whose tables.
        edits: What closes should come before what opens.
        expected: The state that they were made from; None: write whoever else writes, and look
            again afterwards.

    Raises:
        ValueError: A line has a line break or a NUL.
        PrivilegeError: Without CAP_NET_ADMIN here.
        HostError: The program is missing or hangs.
    """
    if not any(edit.lines for edit in edits):
        return Restored(Status.DONE)
    path = programs.find(family, backend, "restore")
    if path is None:
        raise HostError(f"iptables-{backend}-restore for IPv{family} is not installed")
    work = _Restore(programs, family, backend, edits, path)
    tested = work.run(edits, test=True)
    before = work.look()
    if expected is not None and _differ(before, expected):
        return Restored(Status.STALE, "somebody has changed the firewall meanwhile")
    if tested.code:
        return _failed(work, tested)
    return _write(work, before)


def _write(work: _Restore, before: Saved) -> Restored:
    done = work.run(work.edits)
    if done.code == 0:
        alone = work.was_alone(before, len(work.busy))
        return Restored(Status.DONE, alone=alone, pids=(done.pid,))
    failed = replace(_failed(work, done), pids=(done.pid,))
    culprit = failed.culprit
    if culprit is None:
        commits = work.count_commits(before)
    else:
        commits = sum(1 for edit in work.edits[: culprit.edit] if edit.lines)
        failed = replace(failed, alone=work.was_alone(before, commits))
    if commits:
        failed = _undo(work, failed, commits)
    if culprit is not None and culprit.line is None and work.backend is Backend.LEGACY:
        line = find_refused_line(work.programs, work.path, before, work.edits[culprit.edit])
        failed = replace(failed, culprit=culprit._replace(line=line))
    return failed


def _undo(work: _Restore, failed: Restored, commits: int) -> Restored:
    """Lead the tables that were committed back, the last one first."""
    back = [TableEdit(edit.table, edit.undo) for edit in reversed(work.busy[:commits])]
    complete = all(edit.lines for edit in back)
    if not any(edit.lines for edit in back):
        return replace(failed, undone=False)
    done = work.run(back)
    message = failed.message
    if done.code:
        message = f"{message}; and it could not be undone: {explain_failure(done.stderr)}"
    undone = complete and done.code == 0
    return replace(failed, undone=undone, message=message, pids=(*failed.pids, done.pid))


def _failed(work: _Restore, done: Finished) -> Restored:
    # Both backends use exit code 4 for whatever the system refused, a lock among it.
    locked = done.code == 4 and "xtables lock" in done.stderr
    return Restored(
        Status.LOCKED if locked else Status.REFUSED,
        explain_failure(done.stderr) or f"exit code {done.code}",
        find_culprit(work.edits, done.stderr),
    )


def _differ(now: Saved, expected: Saved) -> bool:
    if now.generation is not None:
        return now.generation != expected.generation
    return contents(parse(now.text)) != contents(parse(expected.text))
