"""The firewall of a host, with programs in memory: stale, refused, locked, missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from reconciler.core.object import KernelObject, Owner
from reconciler.core.plan import Operation, Verb
from reconciler.core.state import State
from reconciler.errors import HostError
from reconciler.formats.iptables_restore import TableEdit
from reconciler.host.firewall import restore as restore_module
from reconciler.host.firewall import save as save_module
from reconciler.host.firewall.apply import STALE_ATTEMPTS, HostFirewall
from reconciler.host.firewall.programs import Backend, Finished
from reconciler.objects import FirewallChain
from reconciler.objects.rule import make_jump, make_rule
from tests.netfilter import Filter, RefusedError

OWNER = Owner("default", "Container/web")
CHAIN = FirewallChain(4, "nat", "RC-DNAT")
WALLS = FirewallChain(4, "raw", "RC-RAW")


def port(number: int, family: int = 4):
    target = "10.0.0.2:80" if family == 4 else "[fd00::2]:80"
    words = f"-p tcp --dport {number} -j DNAT --to-destination {target}"
    place = (family, "nat", "RC-DNAT")
    return make_rule(
        place, tuple(words.split()), OWNER[:2], order=(number,), what=f"{number}->80/tcp"
    )


WALL = make_rule((4, "raw", "RC-RAW"), ("-j", "DROP"), OWNER[:2], order=(1,))
HOOK = make_jump((4, "nat", "PREROUTING"), ("-j", "RC-DNAT"), (0,))


@dataclass
class Programs:
    """The programs of iptables, on filters in memory, each family with its own."""

    filters: dict[str, Filter] = field(
        default_factory=lambda: {"iptables": Filter(), "ip6tables": Filter()}
    )
    installed: bool = True
    generation: int = 1
    refuse: Callable[[str], bool] = lambda _: False
    """Which lines the kernel does not take."""
    before_write: Callable[[Programs], None] = lambda _: None
    """What others do after the test and before the write."""
    locked: bool = False
    broken: str = ""
    """What every restore says and fails."""
    remarks: str = ""
    """What save prints besides."""
    started: list[str] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)

    def find(self, family: int, backend: Backend, action: str) -> str | None:
        name = "iptables" if family == 4 else "ip6tables"
        return f"{name}-{action}" if self.installed and backend is Backend.NFT else None

    def default(self, family: int) -> Backend | None:
        return Backend.NFT if self.installed else None

    def run(self, argv: Sequence[str], stdin: str = "", *, writes: bool = False) -> Finished:
        name, _, action = argv[0].partition("-")
        self.started.append(" ".join([argv[0], *[a for a in argv if a == "--test"]]))
        found = self.filters[name]
        if action == "save":
            return Finished(0, self.remarks + found.save(), "", 1)
        if self.locked:
            message = "Another app is currently holding the xtables lock; still 9s 0us time ahead."
            return Finished(4, "", message, 1)
        if self.broken:
            return Finished(1, "", self.broken, 1)
        testing = "--test" in argv
        failed = self._carry_out(found, stdin, testing=testing)
        if failed is None and testing:
            self.before_write(self)
        return failed or Finished(0, "", "", 1)

    def _carry_out(self, found: Filter, text: str, *, testing: bool) -> Finished | None:
        """As the nft backend: its test does not ask the kernel, which refuses a table as a whole."""
        work = found.copy()
        table, lines, start = "", [], 0
        for number, line in enumerate(text.splitlines(), 1):
            if line.startswith("*"):
                table, lines, start = line[1:], [], number
            elif line != "COMMIT":
                lines.append(line)
            else:
                bad = [n for n, one in enumerate(lines, start + 1) if self.refuse(one)]
                if bad and not testing:
                    message = f"line {bad[0]}: RULE_APPEND failed (Invalid argument): rule in chain"
                    return Finished(4, "", message, 1)
                try:
                    work.restore([TableEdit(table, lines)])
                except RefusedError as error:
                    return Finished(1, "", f"iptables-restore: line {number} failed: {error}", 1)
                if not testing:
                    found.tables = work.copy().tables
                    self.generation += 1
        return None


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    made = Programs()
    for module in (save_module, restore_module):
        monkeypatch.setattr(module, "read_generation", lambda: made.generation)
    return made


def firewall(programs: Programs) -> HostFirewall:
    made = HostFirewall("default", Counter())
    made._programs = programs  # type: ignore[assignment]
    return made


def perform(programs: Programs, *items: KernelObject, verb: Verb = Verb.ADD) -> list[str | None]:
    desired = State.of((item, OWNER) for item in items) if verb is Verb.ADD else State()
    return firewall(programs).perform([Operation(verb, item, OWNER) for item in items], desired)


def rules(programs: Programs, chain: str = "RC-DNAT", table: str = "nat") -> list[str]:
    found = programs.filters["iptables"].tables[table].get(chain, [])
    return [rule.partition(" -m comment")[0] for rule in found]


def test_a_batch_is_one_test_and_one_write_for_a_family(programs: Programs):
    assert perform(programs, CHAIN, WALLS, port(80), port(81), HOOK, WALL) == [None] * 6

    assert rules(programs) == ["-p tcp --dport 80", "-p tcp --dport 81"]
    assert rules(programs, "PREROUTING") == [""] or len(rules(programs, "PREROUTING")) == 1
    writes = [line for line in programs.started if "restore" in line]
    assert writes == ["iptables-restore --test", "iptables-restore"]


def test_only_families_with_work_are_looked_at(programs: Programs):
    six = (FirewallChain(6, "nat", "RC-DNAT"), port(80, 6))
    assert perform(programs, *six) == [None, None]
    assert {line.partition("-")[0] for line in programs.started} == {"ip6tables"}

    programs.started.clear()
    assert perform(programs, CHAIN, port(80), *six) == [None] * 4
    restores = [line for line in programs.started if line.endswith("restore")]
    assert restores == ["iptables-restore"]  # the other family is as it should be


def test_what_is_there_already_starts_no_program_that_writes(programs: Programs):
    perform(programs, CHAIN, port(80))
    programs.started.clear()

    assert perform(programs, CHAIN, port(80)) == [None, None]
    assert {line for line in programs.started if "restore" in line} == set()


def test_a_writer_in_between_costs_a_retry_and_keeps_his_rule(programs: Programs):
    def write_once(host: Programs) -> None:
        if host.generation == 1:
            host.filters["iptables"].tables["filter"]["FORWARD"].append("-j DROP")
            host.generation += 1

    programs.before_write = write_once

    assert perform(programs, CHAIN, port(80)) == [None, None]
    assert programs.filters["iptables"].tables["filter"]["FORWARD"] == ["-j DROP"]
    assert programs.started.count("iptables-restore --test") == 2


def test_who_never_stops_writing_does_not_stop_us(programs: Programs):
    """Five times we look again; then we write, and the look after the pass tells whether it holds."""
    written = 0

    def write(host: Programs) -> None:
        nonlocal written
        written += 1
        host.filters["iptables"].tables["filter"]["FORWARD"].append(f"-m mark --mark {written}")
        host.generation += 1

    programs.before_write = write

    assert perform(programs, CHAIN, port(80)) == [None, None]
    assert written == STALE_ATTEMPTS + 1
    assert programs.started.count("iptables-restore") == 1
    assert rules(programs) == ["-p tcp --dport 80"]
    assert len(programs.filters["iptables"].tables["filter"]["FORWARD"]) == written


def test_refusals_do_not_use_up_the_patience_with_others(programs: Programs):
    """Ten refused rules first; a writer after them is still waited for."""
    bad = [port(n) for n in range(100, 110)]
    programs.refuse = lambda line: any(f"--dport 10{n} " in line for n in range(10))

    def write_once(host: Programs) -> None:
        if host.started.count("iptables-restore") == 10 and host.generation < 100:
            host.generation = 100

    programs.before_write = write_once

    errors = perform(programs, CHAIN, *bad, port(80))

    assert [error is None for error in errors] == [True, *[False] * 10, True]
    assert programs.started.count("iptables-restore --test") == 12


def test_one_refused_rule_fails_alone_and_is_named(programs: Programs):
    programs.refuse = lambda line: "--dport 81 " in line

    errors = perform(programs, CHAIN, port(80), port(81), port(82), HOOK)

    assert errors == [
        None,
        None,
        "line 4: RULE_APPEND failed (Invalid argument): rule in chain",
        None,
        None,
    ]
    assert rules(programs) == ["-p tcp --dport 80", "-p tcp --dport 82"]


def test_a_refused_wall_keeps_shut_what_it_would_have_stood_before(programs: Programs):
    """A container is not reachable in a way the manifests forbid, also not after a failure."""
    programs.refuse = lambda line: "-j DROP" in line and line.startswith("-A RC-RAW")

    errors = perform(programs, CHAIN, WALLS, port(80), HOOK, WALL)

    assert errors[:2] == [None, None]
    assert errors[2] == f"not tried: {WALL.key} was refused"
    assert errors[3] is None
    assert errors[4] is not None
    assert "RULE_APPEND failed" in errors[4]
    assert rules(programs) == []


def test_what_was_committed_before_a_refusal_is_undone_and_done_again_without_it(
    programs: Programs,
):
    programs.refuse = lambda line: "--dport 81 " in line

    errors = perform(programs, CHAIN, WALLS, port(81), WALL)

    assert [error is None for error in errors] == [True, True, False, True]
    assert len(rules(programs, "RC-RAW", "raw")) == 1
    # The first try: raw is committed, nat refused, raw led back.
    assert programs.started.count("iptables-restore") == 3


def test_more_refusals_than_anybody_has_patience_for_fail_the_whole(programs: Programs):
    programs.refuse = lambda line: "--dport" in line

    errors = perform(programs, CHAIN, *(port(n) for n in range(100, 170)))

    assert None not in errors


def test_a_locked_firewall_is_said_of_all_and_nothing_is_tried_again(programs: Programs):
    programs.locked = True

    errors = perform(programs, CHAIN, port(80))

    assert len(set(errors)) == 1
    assert errors[0] is not None
    assert "xtables lock" in errors[0]
    assert programs.started.count("iptables-restore --test") == 1


def test_a_failure_that_names_no_line_is_said_of_all(programs: Programs):
    programs.broken = "iptables-restore v1.8.9: Segmentation fault"

    errors = perform(programs, CHAIN, port(80))

    assert errors == ["iptables-restore v1.8.9: Segmentation fault"] * 2


def test_a_table_that_only_nft_can_read_is_not_written_and_neither_are_the_others(
    programs: Programs,
):
    programs.remarks = "# Table `raw' is incompatible, use 'nft' tool.\n"
    del programs.filters["iptables"].tables["raw"]

    errors = perform(programs, CHAIN, WALLS, port(80), WALL)

    assert errors == ["table raw holds what only nft can read"] * 4
    assert not [line for line in programs.started if "restore" in line]
    assert perform(programs, CHAIN, port(80)) == [None, None]


def test_deletes_take_rules_chains_and_the_hook_away(programs: Programs):
    perform(programs, CHAIN, port(80), port(81), HOOK)

    assert perform(programs, CHAIN, port(81), HOOK, verb=Verb.DELETE) == [None] * 3

    tables = programs.filters["iptables"].tables
    assert tables == Filter().tables


def test_a_chain_that_a_stranger_leads_to_stays_alone(programs: Programs):
    """Its rules are not in its own hands; the rest of the work is done."""
    perform(programs, CHAIN, port(80), WALLS, WALL)
    programs.filters["iptables"].tables["nat"]["OUTPUT"] = ["-g RC-DNAT"]
    programs.refuse = lambda line: line == "-X RC-DNAT"

    errors = perform(programs, CHAIN, WALLS, verb=Verb.DELETE)

    assert errors[0] is not None
    assert errors[1] is None
    assert "RC-RAW" not in programs.filters["iptables"].tables["raw"]


def test_a_host_without_iptables_is_an_error_only_where_rules_are_wanted(programs: Programs):
    programs.installed = False

    assert list(firewall(programs).observe(needed=False)) == []
    with pytest.raises(HostError, match="apt-get install iptables, or say `iptables: false`"):
        list(firewall(programs).observe(needed=True))


def test_what_is_observed_is_what_was_made(programs: Programs):
    perform(programs, CHAIN, port(80), HOOK)

    found = dict(firewall(programs).observe(needed=True))

    assert {item.key for item in found} == {CHAIN.key, port(80).key, HOOK.key}
    assert found[port(80)] == OWNER
