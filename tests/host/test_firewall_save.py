"""Save and backends on real kernels: what is there is read, and looking changes nothing."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.formats.iptables import Rule, parse, render
from reconciler.formats.iptables_words import split_words
from reconciler.host.firewall import save as module
from reconciler.host.firewall.backend import Found, detect_backends
from reconciler.host.firewall.generation import read_generation
from reconciler.host.firewall.programs import Backend, Finished, Programs
from reconciler.host.firewall.save import legacy_tables, save
from tests.host.firewall import COMBINATIONS, Firewall
from tests.world import inside


@pytest.fixture(params=COMBINATIONS, ids=lambda both: f"{both[0]}-v{both[1]}")
def firewall(request, host, tmp_path, monkeypatch):
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    backend, family = request.param
    return Firewall(host, Programs(), backend, family)


@pytest.fixture
def nft(host):
    return Firewall(host, Programs(), Backend.NFT, 4)


def is_ours(chain):
    return chain.startswith("RC-")


def detect(programs=None, family=4):
    return detect_backends(programs or Programs(), family, is_ours)


def test_odd_rules_are_read_as_they_are(firewall):
    comments = [
        "two\nlines\nCOMMIT\n-A INPUT -j DROP",
        "q'\"\\x",
        "\udcff\udce9 \r",
        "",
        "#",
        "a\tb",
    ]
    for comment in comments:
        firewall.host.run(
            firewall.name,
            "-w",
            "-A",
            "INPUT",
            "-m",
            "comment",
            "--comment",
            comment,
            "-j",
            "ACCEPT",
        )
    for chain in ('a"b', '"x', ":c", "#d", "[1:2]", "é"):
        firewall.run(f"-N {chain}")
        firewall.run(f"-A INPUT -i e\\ -j {chain}")
    firewall.run("-A INPUT")

    text = firewall.save().text
    table = parse(text).tables["filter"]
    rules = table.rules["INPUT"]

    assert render(parse(text)) == text
    assert [list(rule.comments) for rule in rules[:6]] == [[comment] for comment in comments]
    assert [rule.words for rule in rules[6:-1]] == [
        ["-i", "e\\", "-j", chain] for chain in ('a"b', '"x', ":c", "#d", "[1:2]", "é")
    ]
    assert rules[-1] == Rule("-A INPUT", "INPUT")
    assert set(table.chains) == {
        "INPUT",
        "FORWARD",
        "OUTPUT",
        'a"b',
        '"x',
        ":c",
        "#d",
        "[1:2]",
        "é",
    }


def test_what_was_saved_can_be_loaded_again(firewall):
    """Words that we wrote, quotes and all, come back the same from the program itself."""
    prefix = "a \"b\" \\ 'c' $d `e"
    firewall.host.run(firewall.name, "-w", "-A", "INPUT", "-j", "LOG", "--log-prefix", prefix)
    saved = firewall.save().text
    firewall.run("-F")

    firewall.load(render(parse(saved)))

    (rule,) = firewall.rules("INPUT")
    assert split_words(rule.spec) == ["-j", "LOG", "--log-prefix", prefix]


def test_counters_are_read_where_they_are_asked_for(firewall):
    firewall.load("*filter\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n")
    firewall.host.ip("link set lo up")
    firewall.host.run("ping", "-c", "1", firewall.loopback)

    (counted,) = firewall.rules("INPUT")
    (plain,) = parse(firewall.save().text).tables["filter"].rules["INPUT"]

    assert counted.counters.packets == 2
    assert plain.counters is None


def test_a_look_changes_nothing_and_starts_no_writer(firewall):
    firewall.load("*filter\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n")
    before = read_generation()

    firewall.save()

    assert read_generation() == before
    assert firewall.programs.counters == {"processes": 1, "writing processes": 0}


def test_on_a_host_without_legacy_tables_no_legacy_program_is_started(host):
    """To start one would load its modules, and from then on iptables-nft would warn of them."""
    programs = Programs()

    for family in (4, 6):
        assert save(programs, family, Backend.LEGACY) == ("", None, True)
    assert not programs.counters
    for family in (4, 6):
        detect(programs, family)
        assert legacy_tables(family) == frozenset()
    assert host.run("iptables-nft-save").stderr == ""


def test_legacy_tables_are_those_of_the_threads_namespace(host):
    host.run("iptables-legacy", "-w", "-t", "nat", "-N", "C")
    elsewhere = host.add_netns("elsewhere")

    def look_there():
        with inside(elsewhere):
            return legacy_tables(4)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(look_there).result() == frozenset()
    assert legacy_tables(4) == {"nat"}


def test_a_kernel_without_the_list_has_no_legacy_tables(host, monkeypatch):
    monkeypatch.setattr(module, "Path", lambda path: Path(str(path) + "-missing"))

    assert legacy_tables(4) == frozenset()


def test_the_generation_counts_every_change_and_nothing_else(nft):
    before = read_generation()
    nft.run("-S")
    assert read_generation() == before
    nft.load("*filter\n:C - [0:0]\nCOMMIT\n*nat\n:C - [0:0]\nCOMMIT\n")
    assert read_generation() == before + 2
    nft.run("-A C -j RETURN")
    assert nft.save().generation == before + 3 == read_generation()
    nft.host.run("ip6tables-nft", "-A", "INPUT", "-j", "ACCEPT")
    assert read_generation() == before + 4


@pytest.mark.parametrize(("writes", "settled"), [(0, True), (4, True), (5, False)])
def test_a_look_that_a_writer_disturbs_is_repeated_up_to_five_times(
    nft, monkeypatch, writes, settled
):
    run = Programs.run
    looks = []

    def run_and_write(self, argv, stdin="", *, writes=False):
        done = run(self, argv, stdin, writes=writes)
        looks.append(argv)
        if len(looks) <= remaining:
            nft.run("-A INPUT -j ACCEPT")
        return done

    remaining = writes
    monkeypatch.setattr(Programs, "run", run_and_write)
    saved = nft.save()

    assert saved.settled is settled
    assert len(looks) == min(writes + 1, 5)
    assert saved.generation == read_generation()
    if settled:
        assert saved.text.count("-A INPUT") == writes


def test_a_table_of_nfts_own_is_unreadable(nft):
    nft.run("-A INPUT -j ACCEPT")
    nft.host.run("nft", "add rule ip filter INPUT meta mark set 3 dup to 192.0.2.1")
    nft.run("-t nat -N C")

    ruleset = parse(nft.save().text)

    assert ruleset.unreadable == {"filter"}
    assert set(ruleset.tables) == {"nat"}


def test_a_chain_of_nfts_own_makes_a_table_partial(nft):
    nft.run("-A INPUT -j ACCEPT")
    nft.host.run("nft", "add chain ip filter own { type filter hook input priority 5; }")

    assert parse(nft.save().text).partial == {"filter"}
    assert detect().found[Backend.NFT].rules == 1


def test_a_program_that_fails_is_an_error_with_its_words(nft, monkeypatch):
    failed = Finished(1, "*filter\n", "iptables-nft-save: Segmentation fault\n", 1)
    monkeypatch.setattr(Programs, "run", lambda *_, **__: failed)

    with pytest.raises(HostError, match="exit code 1: iptables-nft-save: Segmentation fault"):
        nft.save()


def test_a_missing_program_is_an_error_that_says_which(nft, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(HostError, match="iptables-nft-save for IPv4 is not installed"):
        nft.save()
    with pytest.raises(HostError, match="no iptables for IPv4 on this host"):
        detect()


def test_an_ordinary_user_is_told_so(host):
    done = host.run(
        *("setpriv", "--inh-caps=-all", "--bounding-set=-all"),
        host.command()[0],
        "-c",
        "from reconciler.host.firewall.generation import read_generation as read; read()",
        check=False,
    )

    assert "PrivilegeError: NFT_MSG_GETGEN: not permitted" in done.stderr


def test_a_fresh_host_uses_what_the_plain_name_means(host):
    programs = Programs()
    backends = detect(programs)

    assert backends.chosen is programs.default(4)
    assert backends.found == {backend: Found(0, ours=False) for backend in Backend}
    assert not backends.split
    assert programs.counters["writing processes"] == 0


@pytest.mark.parametrize("backend", Backend)
def test_the_backend_is_the_one_that_holds_rules(host, backend):
    host.run(f"iptables-{backend}", "-w", "-A", "FORWARD", "-j", "ACCEPT")

    assert detect().chosen is backend
    assert detect().found[backend] == Found(1, ours=False)
    assert detect(family=6).chosen is Programs().default(6)


@pytest.mark.parametrize("backend", Backend)
def test_the_backend_that_has_our_chains_goes_before_the_one_that_has_more_rules(host, backend):
    for other in Backend:
        for _ in range(3):
            host.run(f"iptables-{other}", "-w", "-A", "FORWARD", "-j", "ACCEPT")
    host.run(f"iptables-{backend}", "-w", "-t", "nat", "-N", "RC-DNAT")

    assert detect().chosen is backend
    assert not detect().split


def test_our_chains_in_both_backends_are_noticed(host):
    for backend in Backend:
        host.run(f"iptables-{backend}", "-w", "-t", "nat", "-N", "RC-DNAT")

    assert detect().split
    assert detect().chosen is Programs().default(4)


def programs_of(folder, **scripts):
    for name, text in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return str(folder)


def test_a_host_with_plain_names_only_is_served_too(host, tmp_path, monkeypatch):
    """As on distributions that install one backend, under the plain names."""
    folder = programs_of(
        tmp_path,
        iptables='echo "iptables v1.8.10 (nf_tables)"',
        iptables_save="printf '*filter\\n:INPUT DROP [0:0]\\nCOMMIT\\n'",
    )
    monkeypatch.setenv("PATH", folder)

    assert Programs().find(4, Backend.NFT, "save") == f"{folder}/iptables-save"
    assert Programs().find(4, Backend.LEGACY, "save") is None
    assert detect().found == {Backend.NFT: Found(1, ours=False)}


def test_iptables_before_there_were_two_backends_is_legacy(host, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", programs_of(tmp_path, iptables='echo "iptables v1.6.1"'))

    assert Programs().default(4) is Backend.LEGACY
    assert Programs().default(6) is None


def test_a_kernel_without_nf_tables_leaves_the_legacy_backend(host, monkeypatch):
    def refuse():
        raise HostError("NFT_MSG_GETGEN: the kernel does not take one of the values (EINVAL)")

    monkeypatch.setattr(module, "read_generation", refuse)

    assert detect().chosen is Backend.LEGACY
    assert list(detect().found) == [Backend.LEGACY]


def test_a_program_that_hangs_is_ended(host, tmp_path, monkeypatch):
    monkeypatch.setattr("reconciler.host.firewall.programs.PATIENCE_SECONDS", 0.2)
    folder = programs_of(tmp_path, hang=f"echo $$ > {tmp_path}/pid; exec sleep 60")
    start = time.monotonic()

    with pytest.raises(HostError, match=r"did not end within 0\.2 s"):
        Programs().run([f"{folder}/hang"])

    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()
    assert time.monotonic() - start < 30
