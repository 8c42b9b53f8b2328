"""`diff -o commands`: what the script makes is what `apply` makes, on a real kernel."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from reconciler.cli.commands_text import render_commands
from reconciler.core.guard import Limit
from tests.kernel.manifests import DUAL, SUBNET, bridge, container, link
from tests.kernel.passes import assert_settled, converge, diff
from tests.world import HERE, ROOT, Host, Namespace, inside, make_namespace

EXAMPLES = ROOT / "manifests"

NONE = container("network: none")
TWO = NONE + container("network: none", "c2")
OTHER_SUBNET = "addresses: [10.2.0.1/24]"
V6 = 'addresses: ["fd00:2::1/64"]'
CABLE = "container: c1, interface: x0", "container: c2, interface: y0"


def cable(one: str, other: str, more: str = "") -> str:
    return TWO + link(f"{CABLE[0]}, {one}", f"{CABLE[1]}, {other}", more)


SMALL, LARGE = (
    cable("addresses: [10.9.0.0/31]", "addresses: [10.9.0.1/31]", "mtu: 1400"),
    cable("addresses: [10.9.0.0/31, 'fd00:9::1/64']", "addresses: [10.9.0.1/31, 'fd00:9::2/64']"),
)
HOST_LINK = NONE + link(
    "container: c1, interface: x0, addresses: [10.9.0.1/32],"
    " routes: [{to: default, metric: 7}, {to: 10.77.0.0/16}]",
    "host: true, addresses: [10.9.0.2/32]",
)

# Each is what a fresh host is to become.
TOPOLOGIES = {
    "a bridge with two containers": bridge() + container() + container(name="c2"),
    "dual stack": bridge(DUAL) + container() + container(name="c2"),
    "IPv6 only": bridge(V6) + container(),
    "a bridge by itself, with all of its settings": bridge(
        f"{SUBNET}, device: lan.1, mtu: 9000, stp: true, forwardDelay: 4, ageingTime: 30.5"
    ),
    "frames too small for IPv6": bridge(f"{SUBNET}, mtu: 600") + container(),
    "two bridges and a container in both": bridge()
    + bridge(OTHER_SUBNET, "br1")
    + container("interfaces: [{name: lan0, bridge: br0}, {name: lan1, bridge: br1}]"),
    "addresses and MACs of one's own": bridge(DUAL)
    + container("bridge: br0, addresses: [10.1.0.9, 'fd00:1::9'], mac: '02:00:00:00:00:09'"),
    "no way out": bridge(f"{DUAL}, internal: true, ipForward: false") + container(),
    "routes": bridge(DUAL)
    + container(
        "bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.7, metric: 5},"
        " {to: 'fd00:9::/48', via: 'fd00:1::7'}, {to: default, via: 10.1.0.8, metric: 99}]"
    ),
    "parameters": bridge()
    + container(
        "interfaces: [{name: eth0.1, bridge: br0}],"
        ' sysctls: {net.ipv4.ping_group_range: "0 2147483647",'
        ' net.ipv4.conf.eth0/1.rp_filter: "2", net.ipv4.ip_forward: "1"}'
    ),
    "a cable with /32 addresses": cable("addresses: [10.9.0.1/32]", "addresses: [10.9.1.1/32]"),
    "a cable with two families": LARGE,
    "a cable to the host, with routes": HOST_LINK,
    "a cable that is held back": cable(
        "addresses: [10.9.0.0/31]", "addresses: [10.9.0.1/31]", "rate: 12mbit, mtu: 9000"
    ),
    "names": bridge(f"{SUBNET}, dns: [9.9.9.9], dnsSearch: [a.example]")
    + container("bridge: br0, hostname: h, extraHosts: {db: 10.7.7.7}")
    + container(name="c2"),
    "published ports": bridge(DUAL)
    + container('bridge: br0, publish: ["8080:80", "127.0.0.1:53:53/udp", "9000-9002:9000-9002"]')
    + container("bridge: br0, expose: [81], publishAll: true", "c2"),
    "no talk between containers": bridge(f"{SUBNET}, icc: false")
    + container("bridge: br0, links: [c2:db]")
    + container("bridge: br0, expose: [5432]", "c2"),
    "a network that is routed": bridge(f"{DUAL}, mode: routed, masquerade: false") + container(),
    "no firewall": bridge(f"{DUAL}, iptables: false") + container(),
    "a shared namespace": bridge() + container() + container("network: container:c1", "c2"),
}

# What there is, and what is to become of it.
EDITS = {
    "a container more": (bridge() + container(), bridge() + container() + container(name="c2")),
    "a container less": (bridge() + container() + container(name="c2"), bridge() + container()),
    "all containers and the bridge less": (NONE + bridge() + container(name="c2"), NONE),
    "another subnet": (
        bridge() + container(),
        bridge("addresses: [10.8.0.1/16]") + container(),
    ),
    "a family more": (bridge() + container(), bridge(DUAL) + container()),
    "a family less": (bridge(DUAL) + container(), bridge() + container()),
    "another MTU": (bridge() + container(), bridge(f"{SUBNET}, mtu: 1400") + container()),
    "other settings of a bridge": (
        bridge(f"{SUBNET}, stp: true, forwardDelay: 4"),
        bridge(f"{SUBNET}, stp: false, forwardDelay: 15, ageingTime: 9"),
    ),
    "another bridge": (
        bridge() + bridge(OTHER_SUBNET, "br1") + container(),
        bridge() + bridge(OTHER_SUBNET, "br1") + container("bridge: br1"),
    ),
    "another name of the bridge's device": (
        bridge() + container(),
        bridge(f"{SUBNET}, device: lan0") + container(),
    ),
    "another name of an interface": (
        bridge() + container("interfaces: [{name: a0, bridge: br0, addresses: [10.1.0.2]}]"),
        bridge() + container("interfaces: [{name: b0, bridge: br0, addresses: [10.1.0.2]}]"),
    ),
    "another MAC": (
        bridge() + container(),
        bridge() + container("bridge: br0, mac: '02:00:00:00:00:09'"),
    ),
    "another address": (
        bridge() + container("bridge: br0, addresses: [10.1.0.7]"),
        bridge() + container("bridge: br0, addresses: [10.1.0.8, 10.1.0.9]"),
    ),
    "other routes": (
        bridge(DUAL) + container("bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.7}]"),
        bridge(DUAL)
        + container(
            "bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.8},"
            " {to: 'fd00:9::/48', via: 'fd00:1::7'}]"
        ),
    ),
    "a route through another interface": tuple(
        bridge(DUAL)
        + bridge('addresses: [10.2.0.1/24, "fd00:2::1/64"]', "br1")
        + container(
            f"interfaces: [{{name: a0, bridge: br0, gateway: {first}}}, {{name: a1, bridge: br1}}]"
        )
        for first in ("true", "false")
    ),
    "a parameter": tuple(
        NONE.replace("network: none", f'network: none, sysctls: {{net.ipv4.ip_forward: "{value}"}}')
        for value in (0, 1)
    ),
    "a cable's ends": (SMALL, LARGE),
    "a cable in another place": (
        SMALL + container("network: none", "c3"),
        SMALL.replace("container: c2", "container: c3") + container("network: none", "c3"),
    ),
    "a rate, and no rate": tuple(
        cable("addresses: [10.9.0.0/31]", "addresses: [10.9.0.1/31]", more)
        for more in ("rate: 1mbit", "")
    ),
    "another rate": tuple(
        cable("addresses: [10.9.0.0/31]", "addresses: [10.9.0.1/31]", f"rate: {rate}mbit")
        for rate in (1, 1000)
    ),
    "other published ports": tuple(
        bridge() + container(f"bridge: br0, publish: [{ports}]")
        for ports in ('"80:80", "81:81", "82:82"', '"82:82", "80:8080", "83:83/udp"')
    ),
    "no talk any more": (bridge() + container(), bridge(f"{SUBNET}, icc: false") + container()),
    "no firewall any more": (
        bridge() + container(),
        bridge(f"{SUBNET}, iptables: false") + container(),
    ),
    "a bridge before others, in the middle of the rules": (
        bridge(OTHER_SUBNET, "br1") + bridge("addresses: [10.3.0.1/24]", "br3"),
        bridge(OTHER_SUBNET, "br1")
        + bridge()
        + bridge("addresses: [10.2.2.1/24]", "br2")
        + bridge("addresses: [10.3.0.1/24], masquerade: false", "br3"),
    ),
    "other names": (
        bridge() + container() + container(name="c2"),
        bridge() + container() + container("bridge: br0, extraHosts: {db: 10.7.7.7}", "c2"),
    ),
    "from a bridge to nothing": (bridge(DUAL) + container(), bridge(DUAL) + NONE),
    "from nothing to a bridge": (bridge(DUAL) + NONE, bridge(DUAL) + container()),
}

# What somebody does to a bridge with a container (c1, 10.1.0.2, and c2 at a cable), on the host.
FAULTS = {
    "address": "ip -n c1 address delete 10.1.0.2/24 dev eth0",
    "route": "ip -n c1 route delete default",
    "down": "ip -n c1 link set dev eth0 down",
    "name": "ip -n c1 link set dev eth0 down name x0 && ip -n c1 link set dev x0 up",
    "mac": "ip link set dev br0 address 02:00:00:00:00:77",
    "mark": "ip link set dev br0 alias 'reconciler default Bridge/other'",
    "namespace's mark": "ip -n c1 link set dev lo alias 'reconciler default Container/other'",
    "port": "for port in /sys/class/net/br0/brif/*; do ip link set dev ${port##*/} nomaster; done",
    "bridge": "ip link delete dev br0",
    "pair": "ip -n c1 link delete dev eth0",
    "namespace": "ip netns delete c1",
    "mount": "umount /run/netns/c1",
    "rate": "tc -n c2 qdisc delete dev y0 root",
    "file": "rm /etc/netns/c1/hosts; echo nothing > /etc/netns/c1/hostname",
    "folder": "rm -r /etc/netns/c1",
    "jump": "iptables -D FORWARD 1",
    "a rule before ours": "iptables -I FORWARD -s 192.0.2.1 -j DROP",
    "a rule among ours": "iptables -t nat -I RC-SNAT -s 192.0.2.1 -j ACCEPT",
    "a rule twice": "iptables-save -t nat | grep -m1 -e '-A RC-SNAT' | sed 's/-A/-I/' |"
    " { echo '*nat'; cat; echo COMMIT; } | iptables-restore --noflush",
    "order": "iptables-save -t filter | grep -e '-A RC-FORWARD' | tail -1 |"
    " sed 'h; s/-A/-D/; p; g; s/-A/-I/' |"
    " { echo '*filter'; cat; echo COMMIT; } | iptables-restore --noflush",
    "chain": "iptables -F RC-FORWARD",
    "all of the firewall": "iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X",
    "something in the way": "ip -n c1 link set dev eth0 down name x0 &&"
    " ip -n c1 link add name eth0 type bridge",
}


def script(host: Host, **options: object) -> str:
    preview = diff(host, **options)
    return "\n".join(render_commands(preview.plan(), "default", preview.observed)) + "\n"


def run(host: Host, text: str) -> None:
    """What goes wrong would be said on standard error."""
    done = host.run("sh", "-s", stdin=text, check=False)
    assert (done.returncode, done.stderr) == (0, ""), text


def test_the_examples_are_made_by_the_script_of_diff(host: Host):
    shown = host.reconciler("diff", "-o", "commands", EXAMPLES)
    assert shown.code == 2
    (host.manifests.folder / "make").write_text(shown.stdout)

    host.run("sh", str(host.manifests.folder / "make"))

    assert host.reconciler("diff", EXAMPLES).code == 0
    again = host.reconciler("diff", "-o", "commands", EXAMPLES)
    assert again.code == 0
    assert [line for line in again.stdout.splitlines() if not line.startswith("#")] == ["set -eu"]


@pytest.mark.parametrize("wanted", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_a_fresh_host_becomes_what_is_declared(host: Host, wanted: str):
    host.manifests.write("all.yaml", wanted)

    run(host, script(host))

    assert_settled(host)


@pytest.mark.parametrize("wanted", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_the_kernel_then_holds_what_apply_would_have_made(host: Host, wanted: str):
    host.manifests.write("all.yaml", wanted)
    converge(host)
    made = holdings(host)
    assert host.reconciler("teardown").code == 0

    run(host, script(host))

    assert holdings(host) == made


@pytest.mark.parametrize(("before", "after"), EDITS.values(), ids=EDITS)
def test_an_edit_is_carried_out_as_apply_does(host: Host, before: str, after: str):
    for manifests in (before, after):
        host.manifests.write("all.yaml", manifests)
        converge(host, max_deletes=Limit(100, percent=True))
    made = holdings(host)
    assert host.reconciler("teardown").code == 0
    host.manifests.write("all.yaml", before)
    converge(host)
    host.manifests.write("all.yaml", after)
    assert not diff(host).in_sync

    run(host, script(host))

    assert_settled(host)
    assert holdings(host) == made


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_somebody_broke_is_put_right(host: Host, fault: str):
    cable_end = link(
        "host: true, interface: x0", "container: c2, interface: y0", "rate: 1mbit", "held"
    )
    containers = container("bridge: br0, addresses: [10.1.0.2]") + container("network: none", "c2")
    host.manifests.write("all.yaml", bridge() + containers + cable_end)
    converge(host)
    host.run("sh", "-euc", fault)
    assert not diff(host, adopt=True).in_sync

    run(host, script(host, adopt=True))

    assert_settled(host)


def test_all_that_is_ours_goes_and_nothing_else(host: Host):
    host.ip("link add name stranger type bridge")
    host.manifests.write(
        "all.yaml", "---\n".join(path.read_text() for path in EXAMPLES.glob("*.yaml"))
    )
    converge(host)
    host.manifests.write("all.yaml", "")

    run(host, script(host, allow_empty=True))

    assert_settled(host, allow_empty=True)
    assert [item["ifname"] for item in json.loads(host.ip("-j link"))] == ["lo", "stranger"]
    assert not any(Path("/run/netns").iterdir())
    assert not any(Path("/etc/netns").iterdir())


@contextmanager
def by_path(space: Namespace) -> Iterator[str]:
    """Name a namespace by its file."""
    yield f"path, target: {json.dumps(str(space.path))}"


@contextmanager
def by_process(space: Namespace) -> Iterator[str]:
    """Name a namespace by a process in it."""
    with inside(space):
        process = subprocess.Popen(["sleep", "600"])
    try:
        yield f"pid, target: {process.pid}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("named", [by_path, by_process])
def test_a_namespace_that_has_no_name_is_entered(
    host: Host, named: Callable[[Namespace], AbstractContextManager[str]]
):
    space = make_namespace(Path("/run/elsewhere/it's here"))
    cable_end = link(
        "container: c1, interface: x0, addresses: [10.9.0.1/32]",
        "container: c2, interface: y0, addresses: [10.9.0.2/32]",
        "rate: 1mbit",
    )
    forward = 'sysctls: {net.ipv4.ip_forward: "1"}'
    with named(space) as runtime:
        there = container(f"bridge: br0, runtime: {runtime}, {forward}")
        both = bridge(DUAL) + there + container("network: none", "c2") + cable_end
        host.manifests.write("all.yaml", both)
        run(host, script(host))
        assert_settled(host)
        host.manifests.write("all.yaml", container(f"network: none, runtime: {runtime}"))

        run(host, script(host))

        assert_settled(host)
        assert [device["ifname"] for device in json.loads(space.ip("-j link"))] == ["lo"]


def test_host_devices_are_plugged_in_moved_and_taken_out(host: Host):
    for name in ("nic0", "nic1"):
        host.ip(f"link add name {name} type veth peer name {name}-far")
    steps = (
        bridge(f"{SUBNET}, ports: [nic0, nic1]"),
        bridge(f"{SUBNET}, ports: [nic1]") + bridge(f"{OTHER_SUBNET}, ports: [nic0]", "br1"),
        bridge() + bridge(OTHER_SUBNET, "br1"),
    )
    for manifests in steps:
        host.manifests.write("all.yaml", manifests)
        run(host, script(host))
        assert_settled(host)

    assert "altname" not in host.ip("-d link show type bridge")
    assert "master" not in host.ip("link show type veth")


def test_what_an_administrator_wrote_into_the_firewall_stays(host: Host):
    """Also where our part of it has to be made anew, its own chain included."""
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    own = ["-A RC-USER -s 192.0.2.1/32 -j DROP", "-A FORWARD -s 192.0.2.2/32 -j DROP"]
    for rule in own:
        host.run("iptables", *rule.split())
    host.run("iptables", "-D", "FORWARD", "1")
    host.run("iptables", "-F", "RC-FORWARD")

    run(host, script(host))

    assert_settled(host)
    saved = host.run("iptables-save", "-t", "filter").stdout.splitlines()
    assert [rule for rule in saved if rule in own] == own[::-1]


def test_the_first_refusal_ends_the_script_and_is_said(host: Host):
    host.manifests.write("all.yaml", bridge() + container())
    text = script(host)
    host.ip("link add name br0 type veth peer name other")

    done = host.run("sh", "-s", stdin=text, check=False)

    assert done.returncode != 0
    assert "File exists" in done.stderr
    assert not any(Path("/run/netns").iterdir())


def test_what_may_not_be_done_is_said_apart_from_the_script(host: Host):
    host.manifests.write("all.yaml", bridge() + container())
    host.ip("link add name br0 type bridge")

    shown = host.reconciler("diff", "-o", "commands", host.manifests)

    assert shown.code == 2
    assert "device/br0" in shown.stderr
    assert "does not carry our mark" in shown.stderr
    assert "link add name br0" not in shown.stdout


LOOKS = ("-d -o link", "-o -4 address", "-o -6 address show scope global", "route", "-6 route")


def holdings(host: Host) -> str:
    """All that the kernel and /etc/netns hold."""
    found = []
    for name in ["", *sorted(path.name for path in Path("/run/netns").glob("*"))]:
        place = host.netns(name) if name else HERE
        found += [name, *map(place.ip, LOOKS), place.run("tc", "qdisc").stdout]
    for program in ("iptables-save", "ip6tables-save"):
        saved = host.run(program).stdout.splitlines()
        found += [re.sub(r"\[\d+:\d+\]", "", text) for text in saved if text[:1] != "#"]
    for path in sorted(Path("/etc/netns").rglob("*")):
        text = "" if path.is_dir() else path.read_text()
        found.append(f"{path} {path.readlink() if path.is_symlink() else ''}\n{text}")
    return "\n".join(map(without_chance, "\n".join(found).splitlines()))


def without_chance(text: str) -> str:
    """Take out of a line what differs from one making to the next, and what moves by itself.

    The MAC of the host's end of a container's pair is nobody's choice but the kernel's.
    """
    if " master " in text:
        text = re.sub(r"link/ether \S+", "", text)
    text = re.sub(r"<\S*>|\bstate \S+|\w+_timer +[0-9.]+|@if\d+|link-netnsid \d+", "", text)
    # What became of a burst when its time was counted, in microseconds or in ticks of 64 ns.
    text = re.sub(r"burst \S+", "", text)
    # This `ip` may not know of the protocol number of addresses.
    return re.sub(r"^\d+: | proto 0x5c\b| (linkdown|tentative)\b", "", text)
