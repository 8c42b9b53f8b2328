"""The harness itself: what a kernel test stands on."""

import threading
from pathlib import Path

import pytest

from reconciler import __version__
from tests.probes import Listener, ask, ping, tcp_probe, tcp_reaches, udp_reaches
from tests.world import HERE, inside, wait_until, without_dad


def names_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def pair(host):
    """Two namespaces joined by a cable of MTU 1400."""
    left, right = host.add_netns("left"), host.add_netns("right")
    left.ip(
        f"link add eth0 index 1001 mtu 1400 type veth peer name eth0 mtu 1400 netns {right.path}"
    )
    for namespace, number in ((left, 1), (right, 2)):
        without_dad(namespace, "eth0")
        namespace.ip(f"addr add 10.0.0.{number}/24 dev eth0")
        namespace.ip(f"addr add fd00::{number}/64 dev eth0")
        namespace.ip("link set eth0 up")
    return left, right


def test_a_host_starts_with_lo_and_nothing_else(host):
    assert host.ip("-br link").split()[:2] == ["lo", "UNKNOWN"]
    assert host.ip("-br link").count("\n") == 1
    assert names_in("/run/netns") == []
    assert names_in("/etc/netns") == []


@pytest.mark.parametrize("turn", [1, 2])
def test_what_one_test_leaves_the_next_does_not_find(host, turn):
    assert names_in("/run/netns") == []
    host.ip("link add left-behind type bridge")
    host.run("ip", "netns", "add", "left-behind")
    host.run("iptables", "-A", "FORWARD", "-j", "DROP")
    Path("/etc/netns/left-behind").mkdir()
    Path("/etc/left-behind").write_text("")


def test_threads_of_a_test_are_on_its_host(host):
    host.ip("link add br7 type bridge")
    seen = []

    thread = threading.Thread(target=lambda: seen.append(host.ip("-br link show br7")))
    thread.start()
    thread.join()

    assert seen[0].startswith("br7")


def test_names_can_be_deleted_whoever_made_them(host):
    ours = host.add_netns("ours")
    host.run("ip", "netns", "add", "theirs")

    host.run("ip", "netns", "delete", "ours")
    host.delete_netns("theirs")

    assert names_in("/run/netns") == []
    assert not ours.path.exists()


def test_inside_reaches_the_sysctls_of_a_namespace(host):
    blue = host.add_netns("blue")
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")

    with inside(blue):
        forwarding.write_text("1")

    assert forwarding.read_text() == "0\n"


def test_a_failing_program_fails_the_test_with_what_it_said(host):
    with pytest.raises(AssertionError, match="does not exist"):
        host.ip("link show nonesuch")


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_ping_arrives_and_a_wrong_address_does_not(pair, address):
    left, _ = pair

    assert wait_until(lambda: ping(left, address))
    assert not ping(left, address + "2", timeout=0.2)


@pytest.mark.parametrize(("address", "fits"), [("10.0.0.2", 1400 - 28), ("fd00::2", 1400 - 48)])
def test_ping_without_fragments_finds_the_mtu(pair, address, fits):
    left, _ = pair

    assert wait_until(lambda: ping(left, address, size=fits, df=True))
    assert not ping(left, address, size=fits + 1, df=True, timeout=0.2)
    assert ping(left, address, size=fits + 1)


@pytest.mark.parametrize(("address", "source"), [("10.0.0.2", "10.0.0.1"), ("fd00::2", "fd00::1")])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_listener_tells_the_source_it_sees(pair, protocol, address, source):
    left, right = pair

    with Listener(right, protocol=protocol) as listener:
        assert wait_until(lambda: ask(left, address, listener.port, protocol)) == source
        assert set(listener.sources) == {source}


def test_probes_tell_open_refused_and_closed_apart(pair):
    left, right = pair
    with Listener(right, 80) as listener:
        assert tcp_probe(left, "10.0.0.2", 80) == "open"
    assert tcp_probe(left, "10.0.0.2", 80) == "refused"
    assert not udp_reaches(left, "10.0.0.2", 80, timeout=0.2)

    right.run("iptables", "-A", "INPUT", "-j", "DROP")

    assert tcp_probe(left, "10.0.0.2", 80, timeout=0.2) == "closed"
    assert listener.sources == ["10.0.0.1"]


def test_the_internet_lies_behind_the_uplink_and_knows_no_way_back(host):
    uplink = host.uplink()
    inner = host.add_netns("inner")
    host.ip(f"link add v0 type veth peer name eth0 netns {inner.path}")
    host.ip("addr add 10.9.0.1/24 dev v0")
    host.ip("link set v0 up")
    inner.ip("addr add 10.9.0.2/24 dev eth0")
    inner.ip("link set eth0 up")
    inner.ip("route add default via 10.9.0.1")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    with Listener(uplink.remote, 80):
        for address in (uplink.internet4, uplink.internet6, uplink.remote4, uplink.remote6):
            assert tcp_reaches(HERE, address, 80)
        assert not tcp_reaches(inner, uplink.internet4, 80, timeout=0.3)
        uplink.remote.ip(f"route add 10.9.0.0/24 via {uplink.host4}")
        assert ask(inner, uplink.internet4, 80) == "10.9.0.2"
    assert names_in("/run/netns") == ["inner"]


def test_wait_until_says_what_was_waited_for():
    def the_moon_is_full():
        return False

    with pytest.raises(AssertionError, match="the_moon_is_full"):
        wait_until(the_moon_is_full, deadline=0.01)


def test_the_command_line_runs_on_the_host(host):
    result = host.reconciler("--version")

    assert (result.code, result.stderr) == (0, "")
    assert __version__ in result.stdout
