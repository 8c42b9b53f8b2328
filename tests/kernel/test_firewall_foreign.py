"""Beside strangers: their rules stay as they are, and what they do to ours is found and healed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.core.guard import Limit
from tests.formats.corpora import ABSENT, CORPORA
from tests.kernel.firewall_world import (
    BACKENDS,
    Line,
    Way,
    assert_untouched,
    choose_backend,
    dump,
    ours,
    serve,
    walk,
)
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import apply, assert_settled, converge, diff
from tests.world import HERE, Host, Namespace, inside

PROGRAMS = ("iptables", "ip6tables")
EVERYTHING = Limit(100, percent=True)
DUAL = 'addresses: [10.1.0.1/24, "fd00:1::1/64"]'
OTHER = 'addresses: [10.2.0.1/24, "fd00:2::1/64"]'


def world(port: int = 8001, *, more: bool = False, icc: bool = True, second: bool = True) -> str:
    """Two bridges, a published port, and a few variations."""
    text = bridge(f"{DUAL}, icc: {str(icc).lower()}, forwardDelay: 0")
    text += container(f"bridge: br0, addresses: [10.1.0.2, 'fd00:1::2'], publish: [{port}:80]")
    text += container(
        "bridge: br0, addresses: [10.1.0.3, 'fd00:1::3'], publish: [9001:80/udp]", "c2"
    )
    if more:
        text += container("bridge: br0, links: ['c1:one'], publish: [9002:80]", "c3")
    if second:
        text += bridge(OTHER, "br1") + container("bridge: br1", "m1")
    return text


# ------------------------------------------------------------------------------ strangers' rules

DOCKER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [7:420]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-INTERNAL - [0:0]
:DOCKER-USER - [0:0]
[7:420] -A FORWARD -j DOCKER-USER
[6:360] -A FORWARD -j DOCKER-FORWARD
[0:0] -A DOCKER ! -i docker0 -o docker0 -j DROP
[0:0] -A DOCKER-BRIDGE -o docker0 -j DOCKER
[3:180] -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A DOCKER-FORWARD -j DOCKER-CT
[0:0] -A DOCKER-FORWARD -j DOCKER-INTERNAL
[0:0] -A DOCKER-FORWARD -j DOCKER-BRIDGE
[0:0] -A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
[0:0] -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
[0:0] -A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
[1:60] -A POSTROUTING ! -o docker0 -s NETWORK -j MASQUERADE
COMMIT
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
[0:0] -A PREROUTING -d ADDRESS ! -i docker0 -j DROP
COMMIT
"""
UFW = """*filter
:INPUT DROP [9:540]
:FORWARD DROP [4:240]
:OUTPUT ACCEPT [0:0]
:ufw-before-forward - [0:0]
:ufw-before-input - [0:0]
:ufw-user-forward - [0:0]
:ufw-reject-forward - [0:0]
[8:480] -A INPUT -j ufw-before-input
[4:240] -A FORWARD -j ufw-before-forward
[4:240] -A FORWARD -j ufw-reject-forward
[0:0] -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A ufw-before-forward -j ufw-user-forward
[0:0] -A ufw-before-input -i lo -j ACCEPT
[0:0] -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A ufw-before-input -p PING -j ACCEPT
[0:0] -A ufw-before-input -m comment --comment "'dapp_OpenSSH \\"x\\"'" -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""
FIREWALLD = """*mangle
:PREROUTING ACCEPT [0:0]
:PREROUTING_direct - [0:0]
[5:300] -A PREROUTING -j PREROUTING_direct
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:FORWARD_direct - [0:0]
:FWDI_public - [0:0]
[2:120] -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
[0:0] -A FORWARD -i lo -j ACCEPT
[0:0] -A FORWARD -j FORWARD_direct
[0:0] -A FORWARD -j FWDI_public
[0:0] -A FORWARD -m conntrack --ctstate INVALID -j DROP
[3:180] -A FORWARD -j REJECT --reject-with REJECTION
[0:0] -A FWDI_public -p PING -j ACCEPT
COMMIT
"""
WORDS = {
    "iptables": {
        "NETWORK": "172.17.0.0/16", "ADDRESS": "172.17.0.2/32", "PING": "icmp",
        "REJECTION": "icmp-host-prohibited",
    },
    "ip6tables": {
        "NETWORK": "fd17::/64", "ADDRESS": "fd17::2/128", "PING": "ipv6-icmp",
        "REJECTION": "icmp6-adm-prohibited",
    },
}  # fmt: skip
HAND_MADE = {"docker": DOCKER, "ufw": UFW, "firewalld": FIREWALLD}
COLLECTED = (
    "0005", "0083", "0105", "0116", "0119", "0127", "0129", "0143", "0149", "0258", "0281", "0328",
    "0337", "0338", "0357", "0137", "0282",
)  # fmt: skip
"""Of the collection those with most rules where ours have to stand as well."""


def load_hand_made(host: Host, name: str) -> None:
    for program, words in WORDS.items():
        text = HAND_MADE[name]
        for word, value in words.items():
            text = text.replace(word, value)
        host.run(f"{program}-restore", "-c", stdin=text)


def strangers() -> Iterator[object]:
    """Every ruleset on nft; the collected ones on legacy at night."""
    for backend in BACKENDS:
        for name in HAND_MADE:
            yield pytest.param(name, backend, id=f"{name}-{backend}")
        marks = [pytest.mark.nightly] if backend == "legacy" else []
        for number in COLLECTED:
            found = sorted(CORPORA.glob(f"iptables-save/{number}*"))
            for path in found:
                yield pytest.param(path, backend, id=f"{path.name}-{backend}", marks=marks)
            if not found:
                yield pytest.param(number, backend, id=f"{number}-{backend}", marks=ABSENT)


def load(host: Host, rules: str | Path) -> None:
    if isinstance(rules, str):
        load_hand_made(host, rules)
        return
    program = "ip6tables" if rules.suffix == ".v6" else "iptables"
    host.run(
        f"{program}-restore", "-c", stdin=rules.read_bytes().decode("utf-8", "surrogateescape")
    )


@pytest.mark.parametrize(("rules", "backend"), [*strangers()])
def test_a_life_of_ours_beside_strangers_rules(host: Host, rules: str | Path, backend: str):
    """Built, edited, pruned, torn down: their rules, order and policies stay, counters only grow."""
    choose_backend(host, backend)
    load(host, rules)
    before = {program: dump(host, program) for program in PROGRAMS}

    def assert_theirs() -> dict[str, list[Line]]:
        now = {program: dump(host, program) for program in PROGRAMS}
        for program in PROGRAMS:
            assert_untouched(before[program], now[program], backend)
        return now

    for text in (world(), world(8002, more=True, icc=False), world(8002, second=False)):
        host.manifests.write("a.yaml", text)
        converge(host, max_deletes=EVERYTHING)
        now = assert_theirs()
        assert all(ours(now[program]) for program in PROGRAMS)
    assert main.run(["teardown"]) == 0
    now = assert_theirs()
    assert not any(ours(now[program]) for program in PROGRAMS)


def places_of(host: Host) -> dict[str, Namespace]:
    return {"host": HERE, "m1": host.netns("m1"), **{n: host.netns(n) for n in ("c1", "c2")}}


def ways_of_the_world(port: int = 8001) -> list[Way]:
    """What must work and what must not, with `world` as it is by default."""
    ways = []
    for here, there in (("10.1.0.2", "10.2.0.1"), ("fd00:1::2", "fd00:2::1")):
        for source in ("host", "c1", "c2", "m1"):
            ways.append(Way(source, there, "tcp", port, "c1"))
            ways.append(Way(source, there, "udp", 9001, "c2"))
        ways += [
            Way("c2", here, "tcp", 80, "c1"),
            Way("m1", here, "tcp", 80),
            Way("m1", here, "ping"),
        ]
    return ways


SERVICES = (("tcp", 80), ("udp", 80))


@pytest.mark.parametrize("first", ["theirs", "ours"])
@pytest.mark.parametrize("name", HAND_MADE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_packets_pass_beside_a_strangers_firewall(host: Host, name: str, backend: str, first: str):
    """Whoever comes first: after what they load, one more pass of ours puts things right."""
    choose_backend(host, backend)
    host.manifests.write("a.yaml", world())
    if first == "theirs":
        load_hand_made(host, name)
    converge(host)
    if first == "ours":
        load_hand_made(host, name)  # without --noflush: whole tables are theirs alone now
        converge(host)
    places = places_of(host)
    with serve({n: places[n] for n in ("c1", "c2")}, SERVICES):
        assert walk(ways_of_the_world(), places) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_administrators_chain_is_never_written(host: Host, backend: str):
    """What stands in RC-USER acts before our rules, and outlives every change and us."""
    choose_backend(host, backend)
    host.manifests.write("a.yaml", world())
    converge(host)
    host.run("iptables", "-A", "RC-USER", "-s", "10.1.0.3", "-d", "10.1.0.2", "-j", "DROP")
    host.run("iptables", "-A", "RC-USER", "-p", "tcp", "--dport", "99", "-j", "LOG")
    host.run("iptables", "-N", "THEIRS")
    host.run("iptables", "-A", "RC-USER", "-j", "THEIRS")

    def users() -> list[Line]:
        return [line for line in dump(host) if "RC-USER" in line.text and not line.is_ours]

    before = users()
    assert len(before) == 3
    assert_settled(host)
    places = places_of(host)
    with inside(HERE):
        Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text("1")
    with serve({"c1": places["c1"]}, SERVICES):
        assert (
            walk(
                [Way("c2", "10.1.0.2", "tcp", 80), Way("m1", "10.2.0.1", "tcp", 8001, "c1")], places
            )
            == []
        )
    for text in (world(8002, more=True, icc=False), world(8002, second=False)):
        host.manifests.write("a.yaml", text)
        converge(host, max_deletes=EVERYTHING)
        assert_untouched(before, users())
    assert main.run(["teardown"]) == 0
    assert_untouched(before, users())
    assert ours(dump(host)) == [("filter", ":RC-USER -")]
    host.manifests.write("a.yaml", world())
    converge(host)
    assert_untouched(before, users())
    with serve({"c1": places_of(host)["c1"]}, SERVICES):
        assert walk([Way("c2", "10.1.0.2", "tcp", 80)], places_of(host)) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_raw_wall_stands_where_somebody_flushes_the_filter(host: Host, backend: str):
    """A second wall for what is not published, until the next pass; it is no use to flush one."""
    choose_backend(host, backend)
    host.manifests.write("a.yaml", world())
    converge(host)
    for program in PROGRAMS:
        host.run(program, "-F")
    places = places_of(host)
    ways = [Way("m1", address, "tcp", 80) for address in ("10.1.0.2", "fd00:1::2")]
    ways += [Way("c2", address, "tcp", 80, "c1") for address in ("10.1.0.2", "fd00:1::2")]
    with serve({"c1": places["c1"]}, SERVICES):
        assert walk(ways, places) == []


# ------------------------------------------------------------------------------ what they do to ours

Fault = Callable[[Host, str], object]
FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__.strip("_").replace("_", " ")] = function
    return function


def edit(host: Host, program: str, *lines: str) -> None:
    for line in lines:
        host.run(program, *line.split())


def number_of(host: Host, program: str, table: str, chain: str, word: str) -> int:
    """The place of a rule of ours in a chain."""
    text = host.run(program, "-t", table, "-S", chain).stdout
    rules = [line for line in text.splitlines() if line.startswith("-A")]
    return 1 + next(n for n, line in enumerate(rules) if word in line)


@fault
def everything_is_flushed(host: Host, program: str) -> None:
    edit(host, program, "-F", "-X", "-t nat -F", "-t nat -X", "-t raw -F", "-t raw -X")


@fault
def another_tool_restores_its_tables(host: Host, program: str) -> None:
    text = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n"
    host.run(f"{program}-restore", stdin=text)


@fault
def a_chain_of_ours_is_flushed(host: Host, program: str) -> None:
    edit(host, program, "-F RC-OUT")


@fault
def the_nat_table_is_flushed(host: Host, program: str) -> None:
    edit(host, program, "-t nat -F")


@fault
def a_rule_is_deleted(host: Host, program: str) -> None:
    edit(host, program, "-D RC-IN-br0 1", "-t nat -D RC-SNAT 2")


@fault
def a_rule_is_moved(host: Host, program: str) -> None:
    """The wall before the door."""
    number = number_of(host, program, "filter", "RC-IN-br0", "DROP")
    text = host.run(program, "-S", "RC-IN-br0").stdout.splitlines()[number]
    edit(host, program, f"-D RC-IN-br0 {number}")
    saved = f"*filter\n{text.replace('-A RC-IN-br0', '-I RC-IN-br0 1')}\nCOMMIT\n"
    host.run(f"{program}-restore", "--noflush", stdin=saved)


@fault
def a_section_is_moved(host: Host, program: str) -> None:
    """What leaves is accepted before it is seen where it goes."""
    number = number_of(host, program, "filter", "RC-FORWARD", "RC-OUT")
    text = host.run(program, "-S", "RC-FORWARD").stdout.splitlines()[number]
    edit(host, program, f"-D RC-FORWARD {number}")
    saved = f"*filter\n{text.replace('-A RC-FORWARD', '-I RC-FORWARD 1')}\nCOMMIT\n"
    host.run(f"{program}-restore", "--noflush", stdin=saved)


@fault
def a_rule_is_there_twice(host: Host, program: str) -> None:
    for table, chain in (("filter", "RC-OUT"), ("nat", "RC-SNAT"), ("filter", "RC-FORWARD")):
        text = host.run(program, "-t", table, "-S", chain).stdout.splitlines()[1]
        host.run(f"{program}-restore", "--noflush", stdin=f"*{table}\n{text}\nCOMMIT\n")


@fault
def a_strangers_rule_is_in_a_chain_of_ours(host: Host, program: str) -> None:
    edit(
        host,
        program,
        "-I RC-IN-br0 -j ACCEPT",
        "-A RC-FORWARD -p tcp -j ACCEPT",
        "-t raw -I RC-RAW -j RETURN",
    )


@fault
def the_hook_is_gone(host: Host, program: str) -> None:
    for table, chain in (("filter", "FORWARD"), ("nat", "OUTPUT"), ("raw", "PREROUTING")):
        edit(
            host, program, f"-t {table} -D {chain} {number_of(host, program, table, chain, 'RC-')}"
        )


@fault
def the_hook_is_at_the_end(host: Host, program: str) -> None:
    text = host.run(program, "-S", "FORWARD").stdout
    (jump,) = [line for line in text.splitlines() if "RC-FORWARD" in line]
    edit(
        host,
        program,
        "-A FORWARD -s 192.0.2.0/24 -j DROP" if program == "iptables" else "-A FORWARD -j DROP",
    )
    edit(host, program, f"-D FORWARD {number_of(host, program, 'filter', 'FORWARD', 'RC-')}")
    host.run(f"{program}-restore", "--noflush", stdin=f"*filter\n{jump}\nCOMMIT\n")


@fault
def strangers_insert_above_the_hook(host: Host, program: str) -> None:
    edit(
        host,
        program,
        "-I FORWARD -j DROP",
        "-I FORWARD -p tcp -j DROP",
        "-t nat -I PREROUTING -j ACCEPT",
        "-t raw -I PREROUTING -j ACCEPT",
    )


@fault
def the_hook_is_there_twice(host: Host, program: str) -> None:
    for table, chain in (("filter", "FORWARD"), ("nat", "PREROUTING")):
        text = host.run(program, "-t", table, "-S", chain).stdout
        jump = next(line for line in text.splitlines() if "RC-" in line)
        host.run(f"{program}-restore", "--noflush", stdin=f"*{table}\n{jump}\nCOMMIT\n")


@fault
def a_chain_of_nobody_with_our_prefix(host: Host, program: str) -> None:
    edit(host, program, "-N RC-ZOMBIE", "-A RC-ZOMBIE -j DROP", "-t nat -N RC-IN-gone")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_strangers_do_to_ours_is_found_and_healed_at_once(
    host: Host, backend: str, program: str
):
    """One pass is enough, the next does nothing, and what is the strangers' stays with them."""
    choose_backend(host, backend)
    host.manifests.write("a.yaml", world())
    converge(host)
    edit(
        host,
        program,
        "-P FORWARD DROP",
        "-A FORWARD -i lo -j ACCEPT",
        "-t nat -A POSTROUTING -o lo -j RETURN",
    )
    right = ours(dump(host, program))
    places = places_of(host)
    with serve({n: places[n] for n in ("c1", "c2")}, SERVICES):
        for name, break_it in FAULTS.items():
            break_it(host, program)
            theirs = dump(host, program)
            assert not diff(host).in_sync, name
            report = apply(host, max_deletes=EVERYTHING)
            assert report.converged, (name, report.failures)
            assert_settled(host)
            healed = dump(host, program)
            assert ours(healed) == right, name
            untouched = [line for line in theirs if not _lay_in_ours(line)]
            assert_untouched(untouched, healed, backend)
            assert walk(ways_of_the_world(), places) == [], name


def _lay_in_ours(line: Line) -> bool:
    return line.text.startswith(("-A RC-", ":RC-"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_old_copy_of_ours_loaded_back_is_undone(host: Host, backend: str):
    """As saved at the last boot: no zombies, and the port leads where the manifests say."""
    choose_backend(host, backend)
    host.manifests.write("a.yaml", world(more=True, icc=False))
    converge(host)
    saved = {program: host.run(f"{program}-save").stdout for program in PROGRAMS}
    host.manifests.write(
        "a.yaml", world().replace("[8001:80]", "[8005:80]").replace("9001", "8001")
    )
    converge(host, max_deletes=EVERYTHING)
    right = {program: ours(dump(host, program)) for program in PROGRAMS}

    for noflush in (False, True):
        for program, text in saved.items():
            host.run(f"{program}-restore", *(["--noflush"] if noflush else []), stdin=text)
        assert not diff(host).in_sync
        assert apply(host, max_deletes=EVERYTHING).converged
        assert_settled(host)
        assert {program: ours(dump(host, program)) for program in PROGRAMS} == right


@pytest.mark.parametrize("backend", BACKENDS)
def test_traffic_alone_is_no_drift(host: Host, backend: str):
    choose_backend(host, backend)
    host.manifests.write("a.yaml", world())
    converge(host)
    places = places_of(host)
    with serve({n: places[n] for n in ("c1", "c2")}, SERVICES):
        assert walk(ways_of_the_world(), places) == []
    assert any(line.counters != (0, 0) for line in dump(host) if line.is_ours)
    assert_settled(host)
