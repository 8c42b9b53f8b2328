"""Commands: every object by every verb, in the words of ip, tc, sysctl and the shell."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.commands_text import render_commands
from reconciler.cli.shell import line, write
from reconciler.core.diff import Difference
from reconciler.core.object import KernelObject, Owner
from reconciler.core.plan import Operation, Plan, Verb
from reconciler.core.state import State
from reconciler.objects import (
    OBJECTS,
    Address,
    BridgeDevice,
    Directory,
    File,
    FirewallChain,
    FirewallJump,
    FirewallRule,
    Listener,
    Namespace,
    OtherDevice,
    Port,
    Qdisc,
    Route,
    Sysctl,
    Veth,
)
from reconciler.objects.marks import group_number
from reconciler.objects.rule import make_jump, make_rule

OWNER = Owner("default", "Container/web1")
MARK = "alias 'reconciler default Container/web1'"
GROUP = f"group {group_number('default')}"
ADD, SET, DELETE = Verb.ADD, Verb.SET, Verb.DELETE

BRIDGE = BridgeDevice("", "br0", mtu=1400, up=True, mac="02:00:00:00:00:aa", stp=True)
VETH = Veth("", "v0", "web1", "eth0", 1500, 1400, up=True, peer_up=True, peer_mac="02:00:00:00:00:ab", master="br0")  # fmt: skip
CABLE = Veth("a", "x0", "/proc/7/ns/net", "y0", up=True, peer_up=False, peer_master="br1")
FOUR = Address("web1", "eth0", ip_interface("10.1.0.2/24"))
SIX = Address("", "br0", ip_interface("fd00::1/64"))
DEFAULT4 = Route("web1", ip_network("0.0.0.0/0"), "eth0", ip_address("10.1.0.1"))
DEFAULT6 = Route("web1", ip_network("::/0"), "eth0", ip_address("fd00::1"), 1024)
DIRECT = Route("/run/x y", ip_network("10.9.0.2/32"), "x0", direct=True, metric=7)
SWITCH = Sysctl("web1", "net.ipv4.conf.eth0/1.rp_filter", "2")
RANGE = Sysctl("", "net.ipv4.ping_group_range", "0 100")
PORT = Port("", "nic0", "br0")
BUCKET = Qdisc("web1", "eth0", rate=10_000_000, burst=16_384, limit=78_884)
FOLDER = Directory("/etc/netns/web1")
HOSTS = File("/etc/netns/web1", "hosts", "127.0.0.1 localhost\n")
LINK = File("/etc/netns/web1", "hosts", target="../.shared/hosts")


def change(field: str, after: object, before: object = None) -> Difference:
    return Difference(field, before, after)


CASES: list[tuple[Verb, KernelObject, tuple[Difference, ...], list[str]]] = [
    (ADD, Namespace("web1", loopback=True), (), [
        "ip netns add web1",
        f"ip -n web1 link set dev lo {MARK} up",
    ]),
    (SET, Namespace("web1", loopback=True), (change("loopback", True),), [
        f"ip -n web1 link set dev lo {MARK} up",
    ]),
    (DELETE, Namespace("web1"), (), ["delete ip netns delete web1"]),
    (ADD, BRIDGE, (), [
        f"ip link add name br0 address 02:00:00:00:00:aa mtu 1400 up {GROUP} type bridge stp_state 1",
        f"ip link set dev br0 {MARK}",
    ]),
    (SET, BRIDGE, (change("mtu", 1400), change("stp", False), change("ageing_time", 900)), [
        "ip link set dev br0 mtu 1400",
        "ip link set dev br0 type bridge stp_state 0 ageing_time 900",
    ]),
    (ADD, BridgeDevice("", "b", nf_call_iptables=True, nf_call_ip6tables=False), (), [
        f"ip link add name b {GROUP} type bridge nf_call_iptables 1",
        f"ip link set dev b {MARK}",
    ]),
    (SET, BRIDGE, (change("nf_call_ip6tables", False),), [
        "ip link set dev br0 type bridge nf_call_ip6tables 0",
    ]),
    (SET, BRIDGE, (change("owner", "Bridge/br0"),), [f"ip link set dev br0 {MARK} {GROUP}"]),
    (SET, BRIDGE, (change("owner", "x"), change("keep", False)), [
        f"ip link set dev br0 {MARK} {GROUP}",
    ]),
    (SET, VETH, (change("keep", False),), [
        f"ip link set dev v0 {MARK} {GROUP}",
        f"ip -n web1 link set dev eth0 {MARK} {GROUP}",
    ]),
    (DELETE, BRIDGE, (), ["delete ip link delete dev br0"]),
    (ADD, VETH, (), [
        (f"ip link add name v0 mtu 1500 up master br0 {GROUP} type veth peer name eth0"
         f" address 02:00:00:00:00:ab mtu 1400 {GROUP} netns web1"),
        f"ip link set dev v0 {MARK}",
        "try ip link set dev v0 addrgenmode none",
        f"ip -n web1 link set dev eth0 {MARK} up",
    ]),
    (ADD, CABLE, (), [
        f"ip -n a link add name x0 up {GROUP} type veth peer name y0 {GROUP} netns /proc/7/ns/net",
        f"ip -n a link set dev x0 {MARK}",
        f"nsenter --net=/proc/7/ns/net ip link set dev y0 {MARK} down master br1",
    ]),
    (SET, VETH, (change("mtu", 9), change("peer_mtu", 8), change("peer_up", True)), [
        "ip link set dev v0 mtu 9",
        "ip -n web1 link set dev eth0 mtu 8 up",
    ]),
    (SET, VETH, (change("master", ""), change("peer_master", "br9")), [
        "ip link set dev v0 nomaster",
        "ip -n web1 link set dev eth0 master br9",
    ]),
    (SET, VETH, (change("mac", "02:00:00:00:00:01"), change("owner", "x")), [
        f"ip link set dev v0 address 02:00:00:00:00:01 {MARK} {GROUP}",
        f"ip -n web1 link set dev eth0 {MARK} {GROUP}",
    ]),
    (ADD, replace(VETH, netns="a", hairpin=True, isolated=False), (), [
        (f"ip -n a link add name v0 mtu 1500 up master br0 {GROUP} type veth peer name eth0"
         f" address 02:00:00:00:00:ab mtu 1400 {GROUP} netns web1"),
        f"ip -n a link set dev v0 {MARK}",
        "try ip -n a link set dev v0 addrgenmode none",
        f"ip -n web1 link set dev eth0 {MARK} up",
        "bridge -n a link set dev v0 hairpin on isolated off",
    ]),
    (SET, replace(VETH, hairpin=False, isolated=True), (change("master", "br9"),), [
        "ip link set dev v0 master br9",
        "bridge link set dev v0 hairpin off isolated on",
    ]),
    (DELETE, VETH, (), ["delete ip link delete dev v0"]),
    (DELETE, OtherDevice("web1", "tun0", "tun"), (), ["delete ip -n web1 link delete dev tun0"]),
    (ADD, FOUR, (), [
        "marked ip -n web1 address replace 10.1.0.2/24 dev eth0 broadcast 10.1.0.255",
    ]),
    (ADD, Address("", "x0", ip_interface("10.9.0.0/31")), (), [
        "marked ip address replace 10.9.0.0/31 dev x0",
    ]),
    (SET, SIX, (), ["marked ip address replace fd00::1/64 dev br0 nodad"]),
    (DELETE, FOUR, (), [
        "ip netns exec web1 sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1",
        "delete ip -n web1 address delete 10.1.0.2/24 dev eth0",
    ]),
    (DELETE, SIX, (), ["delete ip address delete fd00::1/64 dev br0"]),
    (ADD, DEFAULT4, (), ["ip -n web1 route replace default via 10.1.0.1 dev eth0 proto 92"]),
    (SET, DEFAULT6, (), [
        "ip -n web1 -6 route replace default via fd00::1 dev eth0 metric 1024 proto 92",
    ]),
    (ADD, DIRECT, (), [
        "nsenter '--net=/run/x y' ip route replace 10.9.0.2/32 dev x0 metric 7 proto 92",
    ]),
    (DELETE, DEFAULT6, (), [
        "delete ip -n web1 -6 route delete default via fd00::1 dev eth0 metric 1024",
    ]),
    (ADD, SWITCH, (), ["ip netns exec web1 sysctl -qw net.ipv4.conf.eth0/1.rp_filter=2"]),
    (SET, RANGE, (), ["sysctl -qw 'net.ipv4.ping_group_range=0 100'"]),
    (ADD, Sysctl("/run/x", "net.a", "1"), (), ["nsenter --net=/run/x sysctl -qw net.a=1"]),
    (DELETE, SWITCH, (), []),
    (ADD, PORT, (), [
        "ip link property add dev br0 altname rcport-nic0",
        "ip link set dev nic0 master br0",
    ]),
    (DELETE, PORT, (), [
        "delete ip link set dev nic0 nomaster",
        "delete ip link property del dev rcport-nic0 altname rcport-nic0",
    ]),
    (ADD, BUCKET, (), [
        ("tc -n web1 qdisc replace dev eth0 root handle 5c: tbf"
         " rate 10000000bit burst 16384b limit 78884b"),
    ]),
    (DELETE, BUCKET, (), ["delete tc -n web1 qdisc delete dev eth0 root handle 5c:"]),
    (ADD, FOLDER, (), [
        "mkdir -p /etc/netns",
        "cat > /etc/netns/.web1.reconciler <<'END'",
        "reconciler default Container/web1",
        "END",
        "mkdir -p /etc/netns/web1",
    ]),
    (DELETE, FOLDER, (), [
        "rm -f /etc/netns/web1/hostname /etc/netns/web1/hosts /etc/netns/web1/resolv.conf",
        "try rmdir /etc/netns/web1",
        "rm -f /etc/netns/.web1.reconciler",
    ]),
    (ADD, HOSTS, (), [
        "mkdir -p /etc/netns/web1",
        "cat > /etc/netns/web1/hosts <<'END'",
        "127.0.0.1 localhost",
        "END",
    ]),
    (SET, LINK, (), [
        "mkdir -p /etc/netns/web1",
        "ln -sfn ../.shared/hosts /etc/netns/web1/hosts",
    ]),
    (DELETE, HOSTS, (), ["rm -f /etc/netns/web1/hosts"]),
]  # fmt: skip


def commands(*operations: Operation) -> list[str]:
    """The script's lines after its functions."""
    lines = "\n".join(render_commands(Plan(operations), "default")).splitlines()
    return lines[lines.index("# Container/web1") + 1 :]


@pytest.mark.parametrize(
    ("verb", "item", "differences", "expected"), CASES, ids=lambda v: str(getattr(v, "key", ""))
)
def test_an_operation_is_written_as_an_administrator_would_type_it(
    verb: Verb, item: KernelObject, differences: tuple[Difference, ...], expected: list[str]
):
    assert commands(Operation(verb, item, OWNER, differences, before=item)) == expected


def test_every_type_of_object_is_written_by_every_verb_that_it_knows():
    tried = {(type(item), verb) for verb, item, _, _ in CASES}

    never_made = {(OtherDevice, ADD), (OtherDevice, SET), *((Listener, verb) for verb in Verb)}
    # What is changed by the command that adds it has no case of its own.
    same = {(kind, SET) for kind in (Address, Directory, File, Port, Qdisc, Route, Sysctl)}
    apart = {(kind, verb) for kind in FIREWALL_TYPES for verb in Verb}  # see below
    assert {(kind, verb) for kind in OBJECTS for verb in Verb} - tried <= never_made | same | apart


FIREWALL_TYPES = (FirewallChain, FirewallRule, FirewallJump)
SNAT, USER = FirewallChain(4, "nat", "RC-SNAT"), FirewallChain(6, "filter", "RC-USER")
JUMP = make_jump((4, "nat", "POSTROUTING"), ("-j", "RC-SNAT"), (0,))
RULES = [
    make_rule(
        (4, "nat", "RC-SNAT"), ("-s", f"10.{number}.0.0/24", "-j", "MASQUERADE"), OWNER[:2],
        order=(number,),
    )
    for number in range(4)
]  # fmt: skip


def firewall(
    operations: list[Operation],
    desired: list[KernelObject],
    observed: tuple[KernelObject, ...] = (),
) -> list[str]:
    """The lines of the script's firewall."""
    plan = Plan(tuple(operations), State.of((item, OWNER) for item in desired))
    there = State.of((item, OWNER) for item in observed)
    lines = "\n".join(render_commands(plan, "default", there)).splitlines()
    return lines[lines.index("# Firewall: every rule says whose it is") + 1 :]


def test_a_new_firewall_is_written_in_one_piece_and_in_the_order_of_its_rules():
    wanted = [SNAT, JUMP, *RULES]

    found = firewall([Operation(ADD, item, OWNER) for item in reversed(wanted)], wanted)

    assert found == [
        "iptables-restore --noflush --wait <<'END'",
        "*nat",
        ":RC-SNAT - [0:0]",
        *(f"-A RC-SNAT {rule.text}" for rule in RULES),
        f"-I POSTROUTING 1 {JUMP.text}",
        "COMMIT",
        "END",
    ]


def test_rules_are_written_by_their_numbers_among_those_that_are_there():
    there = tuple(replace(rule, order=(n,)) for n, rule in enumerate((RULES[0], RULES[2])))
    operations = [Operation(ADD, RULES[1], OWNER), Operation(DELETE, there[1], OWNER)]

    found = firewall(operations, [SNAT, JUMP, *RULES[:2]], (SNAT, JUMP, *there))

    assert found[2:-2] == [f"-R RC-SNAT 2 {RULES[1].text}"]


def test_what_goes_later_is_found_where_the_first_part_of_the_script_has_put_it():
    """The firewall comes before the devices, and what protects goes after them."""
    there = tuple(replace(rule, order=(n,)) for n, rule in enumerate((RULES[0], RULES[2])))
    operations = [
        Operation(ADD, RULES[1], OWNER),
        Operation(ADD, BRIDGE, OWNER),
        Operation(DELETE, there[1], OWNER),
    ]

    found = firewall(operations, [SNAT, JUMP, *RULES[:2]], (SNAT, JUMP, *there))

    edits = [text for text in found if text.startswith("-")]
    assert edits == [f"-A RC-SNAT {RULES[1].text}", "-D RC-SNAT 2"]


def test_a_jump_that_strangers_stand_before_is_put_first_again():
    there = replace(JUMP, misplaced=True, text=f"{JUMP.text} --as-saved")
    operations = [Operation(SET, JUMP, OWNER, (change("misplaced", False),), before=there)]

    found = firewall(operations, [SNAT, JUMP], (SNAT, there))

    assert found[2:-2] == [
        f"-D POSTROUTING {there.text}",
        f"-I POSTROUTING 1 {JUMP.text}",
    ]


def test_the_administrator_s_chain_is_made_without_emptying_one_that_is_there():
    found = firewall([Operation(ADD, USER, OWNER)], [USER])

    assert found == ["try ip6tables -w -t filter -N RC-USER"]


def test_a_chain_that_goes_is_emptied_and_deleted():
    operations = [Operation(DELETE, item, OWNER) for item in (SNAT, JUMP)]

    found = firewall(operations, [], (SNAT, JUMP, RULES[0]))

    assert found[2:-2] == [f"-D POSTROUTING {JUMP.text}", "-F RC-SNAT", "-X RC-SNAT"]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (item, field)
        for item in (BRIDGE, replace(VETH, hairpin=True, isolated=True))
        for field in item.compared
        if field not in item.fixed
    ],
)
def test_every_field_that_a_diff_can_find_is_written(item: BridgeDevice | Veth, field: str):
    """Of the objects whose changes are written field by field; the others are written whole."""
    assert commands(Operation(SET, item, OWNER, (change(field, 7),), before=item)) != []


def test_a_device_with_another_name_is_found_by_the_one_that_it_has():
    bridge = BridgeDevice("", "new", mtu=1400)
    renamed = (change("name", "new", "old"), change("ageing_time", 7))
    pair = Veth("", "v1", "web1", "eth0")
    names = (change("name", "v1", "v0"), change("peer_name", "eth0", "eth9"))

    found = commands(
        Operation(SET, bridge, OWNER, renamed, before=BridgeDevice("", "old")),
        Operation(SET, pair, OWNER, names, before=Veth("", "v0", "web1", "eth9")),
    )

    assert found == [
        "ip link set dev old name new",
        "ip link set dev new type bridge ageing_time 7",
        "ip link set dev v0 name v1",
        "ip -n web1 link set dev eth9 name eth0",
    ]


def test_an_ipv6_route_that_moves_leaves_nothing_on_its_old_device():
    before = Route("web1", ip_network("::/0"), "eth1", ip_address("fd00::1"), 1024)

    found = commands(Operation(SET, DEFAULT6, OWNER, before=before))

    assert found[1] == (
        "delete ip -n web1 -6 route delete default via fd00::1 dev eth1 metric 1024"
    )


def test_a_port_that_moves_takes_its_mark_along():
    found = commands(Operation(SET, Port("", "nic0", "br1"), OWNER, before=PORT))

    assert found == [
        "delete ip link property del dev rcport-nic0 altname rcport-nic0",
        "ip link property add dev br1 altname rcport-nic0",
        "ip link set dev nic0 master br1",
    ]


def test_a_file_takes_the_place_of_a_link_and_is_not_written_through_it():
    found = commands(Operation(SET, HOSTS, OWNER, before=LINK))

    assert found[1] == "rm -f /etc/netns/web1/hosts"


def test_the_script_names_each_resource_once_in_a_row_and_has_only_the_functions_it_uses():
    other = Owner("default", "Bridge/br0")
    operations = (
        Operation(ADD, BRIDGE, other),
        Operation(ADD, SIX, other),
        Operation(ADD, FOUR, OWNER),
    )

    text = "\n".join(render_commands(Plan(operations), "default"))

    assert [part for part in text.splitlines() if part.startswith(("# B", "# C"))] == [
        "# Bridge/br0",
        "# Container/web1",
    ]
    assert "marked() {" in text
    assert "delete() {" not in text
    assert "try() {" not in text


def test_where_nothing_is_to_be_done_the_script_does_nothing():
    lines = list(render_commands(Plan(), "default"))

    assert [text for text in lines if not text.startswith("#")] == ["set -eu"]


NASTY = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)


@given(st.lists(NASTY, min_size=1))
def test_the_shell_reads_every_word_as_it_was(words: list[str]):
    assert shlex.split(line(*words)) == words


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\n",
        "$HOME `date` \\ 'x' \"y\"\n",
        "no end",
        "",
        "END\n",
        "x\nEND\ny\n",
        "%s\\n\n",
        "\n",
    ],
)
def test_a_file_is_written_byte_for_byte(text: str, tmp_path):
    path = tmp_path / "it's a $file"

    subprocess.run(["sh", "-euc", write(str(path), text)], check=True)

    assert path.read_text() == text


def test_a_delete_of_what_is_gone_is_no_error_and_any_other_failure_is(tmp_path):
    script = "\n".join(render_commands(Plan((Operation(DELETE, BRIDGE, OWNER),)), "default"))

    def outcome(message: str) -> tuple[int, str]:
        (tmp_path / "ip").write_text(f"#!/bin/sh\necho '{message}' >&2; exit 2\n")
        (tmp_path / "ip").chmod(0o755)
        done = subprocess.run(
            ["sh", "-s"], input=script, env={"PATH": f"{tmp_path}:/bin:/usr/bin"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    assert outcome('Cannot find device "br0"') == (0, "")
    assert outcome("RTNETLINK answers: No such process") == (0, "")
    busy = "RTNETLINK answers: Device or resource busy"
    assert outcome(busy) == (1, f"{busy}\n")
