"""Restore on real kernels: edits lead exactly there, failures are named and undone, no rule is lost."""

from __future__ import annotations

import ctypes
import fcntl
import random
import socket
import threading
from pathlib import Path

import pytest

from reconciler.core.edits import Verb, edits, render_edits
from reconciler.formats.iptables import parse
from reconciler.formats.iptables_contents import contents
from reconciler.formats.iptables_mark import identity, mark_rule, parse_rule_mark, render_marked
from reconciler.formats.iptables_restore import Culprit, TableEdit
from reconciler.host.firewall import restore as module
from reconciler.host.firewall.programs import Backend, Programs
from reconciler.host.firewall.restore import Restored, Status
from reconciler.host.firewall.save import save
from tests.formats.corpora import rulesets
from tests.host.firewall import COMBINATIONS, Firewall

OWNER = ("default", "Container/web1")


@pytest.fixture(params=COMBINATIONS, ids=lambda both: f"{both[0]}-v{both[1]}")
def firewall(request, host, tmp_path, monkeypatch):
    # The lock of the legacy programs is one for all namespaces: not the machine's own.
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    backend, family = request.param
    host.ip("link set lo up")
    return Firewall(host, Programs(), backend, family)


@pytest.fixture
def legacy(host, tmp_path, monkeypatch):
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    return Firewall(host, Programs(), Backend.LEGACY, 4)


@pytest.fixture
def nft(host):
    return Firewall(host, Programs(), Backend.NFT, 4)


def port_rules(*ports):
    return [f"-p tcp -m tcp --dport {port} -j RETURN" for port in ports]


def counting_rules(*numbers):
    """Rules that differ, let every packet pass and count it."""
    return [f"-m mark ! --mark 0x{number:x}" for number in numbers]


def send_packet(firewall):
    family = socket.AF_INET if firewall.family == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", (firewall.loopback, 9))


def is_kept(number, changes):
    """Whether the rule that stands there in the end was there before, by counting back."""
    for verb, place, _ in reversed(changes):
        if verb in {Verb.INSERT, Verb.REPLACE} and place == number:
            return False
        if verb is Verb.FLUSH:
            return False
        number += (verb is Verb.DELETE and place <= number) - (
            verb is Verb.INSERT and place < number
        )
    return True


def change_chain(firewall, chain, want):
    have = firewall.specs(chain)
    lines = render_edits(chain, edits(have, want), want)
    return firewall.restore([TableEdit("filter", lines)], firewall.save())


def test_random_chains_become_random_others_and_what_stays_keeps_its_counters(firewall):
    """Duplicates, moves, inserts and deletes, one restore each; a packet has passed all of them."""
    choose = random.Random(20)
    firewall.load("*filter\n:C - [0:0]\n-A INPUT -i lo -j C\nCOMMIT\n")
    kept_counters = 0
    for _ in range(25):
        target = counting_rules(*choose.choices(range(1, 5), k=choose.randrange(12)))
        send_packet(firewall)
        have = firewall.rules("C")
        appended = len(target)
        changes = edits([rule.spec for rule in have], target)
        appended -= sum(change.verb is Verb.APPEND for change in changes)

        assert change_chain(firewall, "C", target).status is Status.DONE

        after = firewall.rules("C")
        assert [rule.spec for rule in after] == target
        kept = [n for n in range(appended) if is_kept(n + 1, changes)]
        assert [n for n, rule in enumerate(after) if rule.counters.packets] == kept
        assert {after[n] for n in kept} <= set(have)
        kept_counters += len(kept)
    assert kept_counters > 25


def test_a_counter_of_a_real_packet_survives_the_edits_around_it(firewall):
    protocol = "icmp" if firewall.family == 4 else "ipv6-icmp"
    counted = f"-p {protocol} -j ACCEPT"
    firewall.load(f"*filter\n:C - [0:0]\n-A INPUT -i lo -j C\n-A C {counted}\nCOMMIT\n")
    firewall.host.run("ping", "-c", "3", "-i", "0.01", firewall.loopback)
    before = firewall.counters("C")[counted]
    assert before.packets == 6

    change_chain(firewall, "C", [*port_rules(1, 2), counted, *port_rules(3)])
    change_chain(firewall, "C", [*port_rules(2), counted, *port_rules(4, 5, 6)])

    assert firewall.counters("C")[counted] == before


def test_a_marked_rule_is_known_again_whatever_its_words(firewall):
    words = ["-p", "tcp", "--dport", "0x50", "-j", "REJECT"]
    odd = [
        "plain",
        "two words",
        'it\'s "quoted" \\ back',
        "ä → 8080->80/tcp",
        "#",
        "\xff",
        "x" * 300,
    ]
    marks = [mark_rule("C", words, OWNER, what) for what in odd]
    specs = [render_marked(words, mark) for mark in marks]

    done = firewall.restore([TableEdit("filter", [":C - -", *(f"-A C {s}" for s in specs)])])
    rules = firewall.rules("C")

    assert done.status is Status.DONE
    assert [parse_rule_mark(rule) for rule in rules] == marks
    assert rules[0].spec != specs[0]  # iptables spells it in its own way
    assert [identity(rule) for rule in rules] == [f"#{mark.hash}" for mark in marks]


def test_a_strangers_rules_stay_as_they_are_to_the_byte(firewall):
    foreign = (
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:F - [0:0]\n"
        '[1:2] -A FORWARD -m comment --comment "a \\"b\\" c" -j F\n[5:6] -A F -j RETURN\n'
        "[7:8] -A FORWARD -m mark --mark 0x1 -j ACCEPT\nCOMMIT\n"
        "*mangle\n[3:4] -A FORWARD -j RETURN\nCOMMIT\n"
    )
    firewall.host.run(f"{firewall.name}-restore", "-w", "-c", stdin=foreign)
    before = firewall.print()

    put = [":C - -", "-A C -j RETURN", "-I FORWARD 1 -j C", "-I FORWARD 4 -j C"]
    firewall.restore([TableEdit("filter", put)], firewall.save())
    assert firewall.print() != before
    gone = ["-D FORWARD -j C", "-D FORWARD -j C", "-F C", "-X C"]
    firewall.restore([TableEdit("filter", gone)], firewall.save())

    assert firewall.print() == before


def test_without_edits_no_program_is_started(firewall):
    assert firewall.restore([]) == Restored(Status.DONE)
    assert firewall.restore([TableEdit("nat", [])]) == Restored(Status.DONE)
    assert not firewall.programs.counters


def test_a_bad_line_is_found_by_the_test_and_nothing_is_written(firewall):
    before = contents(parse(firewall.print()))
    done = firewall.restore(
        [
            TableEdit("raw", [":C - -"]),
            TableEdit("filter", []),
            TableEdit("filter", [":D - -", "-A D -p tcp --dport 99999 -j DROP", "-A D -j DROP"]),
        ]
    )

    assert (done.status, done.culprit, done.undone) == (Status.REFUSED, Culprit(2, 1), None)
    assert "invalid port/service `99999'" in done.message
    assert firewall.programs.counters["writing processes"] == 0
    assert contents(parse(firewall.print())) == before


def test_what_a_later_table_is_refused_for_is_undone_in_the_earlier_ones(firewall):
    tables = ("raw", "mangle", "filter")
    firewall.load("".join(f"*{name}\n:C - [0:0]\n-A C -j RETURN\nCOMMIT\n" for name in tables))
    before = firewall.print()

    done = firewall.restore(
        [
            TableEdit(
                "raw", ["-I C 1 -j DROP", "-A PREROUTING -j C"], ["-D PREROUTING -j C", "-D C 1"]
            ),
            TableEdit("mangle", [":D - -"], ["-X D"]),
            TableEdit(
                "filter", ["-A INPUT -j ACCEPT", "-A INPUT -j MASQUERADE", "-A INPUT -j DROP"]
            ),
        ],
        firewall.save(),
    )

    assert (done.status, done.culprit, done.undone) == (Status.REFUSED, Culprit(2, 1), True)
    assert len(done.pids) == 2
    assert firewall.print() == before


def test_what_cannot_be_undone_is_said(firewall):
    done = firewall.restore(
        [
            TableEdit("raw", [":C - -"], ["-X NOSUCH"]),
            TableEdit("filter", ["-A INPUT -j MASQUERADE"]),
        ]
    )

    assert (done.culprit, done.undone) == (Culprit(1, 0), False)
    assert "could not be undone" in done.message


def test_a_loop_of_chains_is_named_though_only_the_kernel_sees_it(firewall):
    """On legacy by a trial on a throwaway namespace, with the rules that were there before."""
    firewall.load("*filter\n:A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -j B\nCOMMIT\n")
    before = firewall.print()
    lines = [f"-A B {spec}" for spec in port_rules(*range(1, 20))]
    done = firewall.restore([TableEdit("filter", [*lines, "-A B -j A", *lines])], firewall.save())

    assert (done.status, done.culprit, done.undone) == (Status.REFUSED, Culprit(0, 19), None)
    assert firewall.print() == before


def test_edits_made_from_an_older_state_are_not_carried_out(firewall):
    firewall.load("*filter\n:C - [0:0]\n-A C -j RETURN\n-A C -j ACCEPT\nCOMMIT\n")
    seen = firewall.save()
    firewall.run("-I C 1 -m mark --mark 0x7 -j DROP")

    done = firewall.restore([TableEdit("filter", ["-D C 1"])], seen)

    assert done.status is Status.STALE
    assert firewall.specs("C") == ["-m mark --mark 0x7 -j DROP", "-j RETURN", "-j ACCEPT"]
    assert (
        firewall.restore([TableEdit("filter", ["-D C 2"])], firewall.save()).status is Status.DONE
    )


def test_a_line_that_fails_because_of_another_writer_is_stale_and_not_refused(firewall):
    firewall.load("*filter\n:C - [0:0]\n-A C -j RETURN\nCOMMIT\n")
    seen = firewall.save()
    firewall.run("-D C 1")

    assert firewall.restore([TableEdit("filter", ["-D C 1"])], seen).status is Status.STALE


def test_counters_and_a_second_look_make_nothing_stale(firewall):
    firewall.load("*filter\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n")
    seen = firewall.save()
    firewall.host.run("ping", "-c", "1", firewall.loopback)
    firewall.print()

    assert firewall.restore([TableEdit("nat", [":C - -"])], seen).status is Status.DONE


def test_a_writer_in_the_last_moment_is_noticed_afterwards_and_loses_nothing(nft, monkeypatch):
    """The generation counts two changes where we made one."""
    nft.load("*filter\n:C - [0:0]\n-A C -j RETURN\nCOMMIT\n")
    look = module.read_generation
    seen = []

    def read_and_interfere():
        number = look()
        seen.append(number)
        if len(seen) == 1:
            nft.run("-A FORWARD -j ACCEPT")
        return number

    monkeypatch.setattr(module, "read_generation", read_and_interfere)
    done = nft.restore([TableEdit("filter", ["-A C -j DROP"])], nft.save())

    assert (done.status, done.alone) == (Status.DONE, False)
    assert nft.specs("FORWARD") == ["-j ACCEPT"]
    assert nft.specs("C") == ["-j RETURN", "-j DROP"]

    seen.clear()
    done = nft.restore([TableEdit("filter", ["-D C 3"])], nft.save())

    assert (done.status, done.alone) == (Status.REFUSED, False)
    assert nft.restore([TableEdit("filter", ["-D C 3"])]).alone


def test_alone_is_who_wrote_every_table_himself(nft):
    done = nft.restore(
        [TableEdit("raw", [":C - -"]), TableEdit("nat", [":C - -", "-A C -j RETURN"])]
    )

    assert (done.status, done.alone, len(done.pids)) == (Status.DONE, True, 1)


def test_two_who_write_at_the_same_time_lose_no_rule(firewall):
    """Ours retries when stale; the other one adds rules all the time."""
    firewall.load("*filter\n:C - [0:0]\n:F - [0:0]\nCOMMIT\n")
    foreign = Firewall(firewall.host, Programs(), firewall.backend, firewall.family)
    namespace = Path("/proc/thread-self/ns/net").open()  # noqa: SIM115

    def add():
        setns(namespace.fileno())
        for port in range(1, 41):
            foreign.run(f"-A F -p tcp --dport {port} -j RETURN")

    other = threading.Thread(target=add)
    other.start()
    stale = 0
    for port in range(1, 21):
        want = port_rules(*range(1, port + 1))
        while (done := change_chain(firewall, "C", want)).status is Status.STALE:
            stale += 1
        assert done.status is Status.DONE
    other.join()
    namespace.close()

    assert firewall.specs("F") == port_rules(*range(1, 41))
    assert firewall.specs("C") == port_rules(*range(1, 21))
    assert stale


def setns(descriptor):
    assert ctypes.CDLL(None).setns(descriptor, 0x40000000) == 0


def test_a_lock_that_nobody_gives_back_is_reported(legacy, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOCK_SECONDS", 1)
    with (tmp_path / "xtables.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = legacy.restore([TableEdit("filter", [":C - -"])])

    assert done.status is Status.LOCKED
    assert "holding the xtables lock" in done.message


def test_a_lock_that_comes_free_is_waited_for(legacy, tmp_path):
    """Three seconds are the other program's; ours waits up to ten."""
    lock = (tmp_path / "xtables.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    timer = threading.Timer(3, lock.close)
    timer.start()

    done = legacy.restore([TableEdit("filter", [":C - -"])])
    timer.join()

    assert done.status is Status.DONE


def test_a_lock_lost_between_two_tables_undoes_the_first(legacy, tmp_path, monkeypatch):
    """Nothing names the line then: what was committed is found by looking."""
    legacy.load("*raw\n:C - [0:0]\nCOMMIT\n*filter\n:E - [0:0]\nCOMMIT\n")
    before = legacy.print()
    run = Programs.run

    def locked_out_after_the_first_table(self, argv, stdin="", *, writes=False):
        if writes and "*filter" in stdin:
            run(self, argv, stdin[: stdin.index("*filter")], writes=writes)
            with (tmp_path / "xtables.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                return run(self, [*argv[:2], "--wait", "1"], stdin, writes=writes)
        return run(self, argv, stdin, writes=writes)

    monkeypatch.setattr(Programs, "run", locked_out_after_the_first_table)
    done = legacy.restore(
        [TableEdit("raw", ["-A C -j DROP"], ["-D C -j DROP"]), TableEdit("filter", [":D - -"])]
    )

    assert (done.status, done.culprit, done.undone) == (Status.LOCKED, None, True)
    assert legacy.print() == before


@pytest.mark.parametrize("path", rulesets())
def test_our_edits_in_another_ones_firewall_leave_no_trace(path, host, tmp_path, monkeypatch):
    """A dump that a real host had, loaded on both backends: ours come and go, theirs stay."""
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    for backend in Backend:
        firewall = Firewall(host, Programs(), backend, int(path.suffix[-1]))
        # What needs a set, a chain or a module that is not here is not loaded: all or none.
        host.run(f"{firewall.name}-restore", "-w", stdin=path.read_text(), check=False)
        firewall.run("-N T")  # so that the filter table is there, and empty if it was not
        firewall.run("-X T")
        before = firewall.print()
        table = "filter"
        put = [":RC-C - -", "-A RC-C -j RETURN", "-I FORWARD 1 -j RC-C"]
        gone = ["-D FORWARD -j RC-C", "-F RC-C", "-X RC-C"]

        saved = save(firewall.programs, firewall.family, backend)
        assert firewall.restore([TableEdit(table, put)], saved).status is Status.DONE
        assert "RC-C" in parse(firewall.save().text).tables[table].chains
        assert firewall.restore([TableEdit(table, gone)], firewall.save()).status is Status.DONE

        assert firewall.print() == before
