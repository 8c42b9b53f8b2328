"""The witnesses notice whatever is written, and nothing else."""

from pathlib import Path

import pytest

from tests.probes import ping
from tests.witness import QuietKernel, assert_same, kernel_snapshot
from tests.world import HERE, inside, wait_until, without_dad


@pytest.fixture
def wired(host):
    """A bridge, and a namespace on it."""
    blue = host.add_netns("blue")
    host.ip("link add br0 type bridge")
    host.ip(f"link add v0 master br0 type veth peer name eth0 netns {blue.path}")
    host.ip("addr add 10.0.0.1/24 dev br0")
    blue.ip("addr add 10.0.0.2/24 dev eth0")
    for namespace, device in ((HERE, "br0"), (HERE, "v0"), (blue, "eth0")):
        without_dad(namespace, device)
        namespace.ip(f"link set {device} up")
    host.run("iptables", "-A", "FORWARD", "-s", "10.0.0.0/24", "-j", "ACCEPT")
    wait_until(lambda: ping(HERE, "10.0.0.2", timeout=0.2))
    return blue


READS = ["ip -d link", "ip addr", "ip route", "ip neigh", "bridge fdb", "iptables-save",
         "ip6tables-save", "ip netns list", "ip -n blue addr", "ip netns exec blue true"]  # fmt: skip

WRITES = [
    "ip link set br0 mtu 1400",
    "ip link set br0 alias mine",
    "ip link add br1 type bridge",
    "ip link set v0 type bridge_slave hairpin on",
    "ip addr add 10.0.0.9/24 dev br0",
    "ip addr del 10.0.0.1/24 dev br0",
    "ip route add 10.7.0.0/24 via 10.0.0.2",
    "ip rule add from 10.1.0.0/24 table 7",
    "ip neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev br0",
    "ip -n blue route add default via 10.0.0.1",
    "ip -n blue link set eth0 mtu 1300",
    "ip netns add green",
    "ip netns delete blue",
    "iptables -A FORWARD -j DROP",
    "ip6tables -A FORWARD -j DROP",
    "iptables -D FORWARD -s 10.0.0.0/24 -j ACCEPT",
    "iptables-legacy -A FORWARD -j DROP",
    "ipset create x hash:ip",
    "ip netns exec blue iptables -A INPUT -j DROP",
    "sysctl -w net.ipv4.ip_forward=1",
    "ip netns exec blue sysctl -w net.ipv4.conf.eth0.arp_notify=1",
    "mkdir /etc/netns/blue",
]


def test_reading_and_traffic_are_quiet(host, wired):
    before = kernel_snapshot()

    with QuietKernel() as quiet:
        for command in READS:
            host.run(*command.split())
        assert ping(HERE, "10.0.0.2")
        assert ping(wired, "10.0.0.1")

    assert quiet.changes() == []
    assert_same(before, kernel_snapshot())


@pytest.mark.parametrize("command", WRITES)
def test_a_write_is_noticed(host, wired, command):
    before = kernel_snapshot()

    with QuietKernel() as quiet:
        host.run(*command.split())

    assert quiet.changes()
    with pytest.raises(AssertionError):
        assert_same(before, kernel_snapshot())


def test_what_was_undone_is_noticed_all_the_same(host, wired):
    """A device that flaps leaves no trace, except in what the kernel announced."""
    with QuietKernel() as quiet:
        host.ip("link set v0 down")
        host.ip("link set v0 up")
        with inside(wired):
            Path("/proc/sys/net/ipv4/conf/eth0/forwarding").write_text("1")
            Path("/proc/sys/net/ipv4/conf/eth0/forwarding").write_text("0")

    assert any(line.startswith("host: RTM_NEWLINK") for line in quiet.changes())
    assert any(line.startswith("blue: RTM_NEWNETCONF") for line in quiet.changes())


def test_a_folder_given_is_watched(host, tmp_path):
    with QuietKernel(tmp_path) as quiet:
        (tmp_path / "journal").write_text("")

    assert any("journal" in line for line in quiet.changes())
