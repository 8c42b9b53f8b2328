"""Published ports in all their forms, and which host ports they get, with real packets."""

from __future__ import annotations

import random
import re
import socket
import struct
from collections.abc import Iterable, Mapping

import pytest

from reconciler.allocate.ports import PortsExhaustedError
from reconciler.host.firewall.programs import Programs
from reconciler.manifest.problem import ManifestErrors
from tests.kernel import facts
from tests.kernel.firewall_world import BACKENDS, Way, choose_backend, dump, serve, walk
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import apply, assert_settled, converge
from tests.kernel.streams import Echoes
from tests.probes import Listener
from tests.world import HERE, Host, Namespace, inside, wait_until

DUAL = 'addresses: [10.1.0.1/24, "fd00:1::1/64"]'
HOST, REMOTE = "host", "remote"
_RULE = re.compile(
    r"-A RC-DNAT-\S+ (?:! -s \S+ )?(?:-d (?P<ip>\S+?)/\d+ )?.*-p (?P<protocol>\w+) .*--dport (?P<host>\d+) .*"
    r"--to-destination \[?(?P<target>[0-9a-f.:]+?)\]?:(?P<port>\d+)$",
    re.MULTILINE,
)


def published(host: Host, family: int = 4) -> set[tuple[str, str, int, str, int]]:
    """What the rules say: host address or "", protocol, host port, container's address and port."""
    program = "iptables-save" if family == 4 else "ip6tables-save"
    text = host.run(program, "-t", "nat").stdout
    return {
        (m["ip"] or "", m["protocol"], int(m["host"]), m["target"], int(m["port"]))
        for m in _RULE.finditer(text)
    }


def host_ports(host: Host, address: str) -> dict[int, list[int]]:
    """The host ports of each port of the container with this address."""
    found: dict[int, list[int]] = {}
    for _, _, port, target, inner in sorted(published(host)):
        if target == address:
            found.setdefault(inner, []).append(port)
    return found


FORMS = (
    "8001:80", "127.0.0.1:8002:80", "203.0.113.2:8003:80", "'[2001:db8:113::2]:8004:80'",
    "'[::]:8005:80'", "0.0.0.0:8006:80", "8010-8012:80-82", "8020-8030:80", "8007:83/udp",
    "8008:80/tcp", "84/udp", "90-91", "127.0.0.1::92", "'[2001:db8:113::2]::93'",
    "{hostIP: 203.0.113.2, hostPort: '8040-8041', containerPort: 80-81}",
    "{hostPort: 8042, containerPort: 83, protocol: udp}", "{containerPort: 94}", "95",
)  # fmt: skip
EVERYWHERE4, EVERYWHERE6 = (
    ("203.0.113.2", "127.0.0.1", "10.1.0.1"),
    ("2001:db8:113::2", "fd00:1::1"),
)
CERTAIN: Iterable[tuple[tuple[str, ...], str, Mapping[int, int]]] = (
    ((*EVERYWHERE4, *EVERYWHERE6), "tcp", {8001: 80, 8010: 80, 8011: 81, 8012: 82, 8008: 80, 8020: 80}),
    ((*EVERYWHERE4, *EVERYWHERE6), "udp", {8007: 83, 8042: 83}),
    (("127.0.0.1",), "tcp", {8002: 80}),
    (("203.0.113.2",), "tcp", {8003: 80, 8040: 80, 8041: 81}),
    (("2001:db8:113::2",), "tcp", {8004: 80}),
    (EVERYWHERE6, "tcp", {8005: 80}),
    (EVERYWHERE4, "tcp", {8006: 80}),
)  # fmt: skip
INNER = (("tcp", (80, 81, 82, 90, 91, 92, 93, 94, 95)), ("udp", (83, 84)))


def test_every_form_of_publish_does_what_it_says(host: Host):
    """On the addresses that it names and on no other, in both families."""
    uplink = host.uplink()
    host.manifests.write(
        "a.yaml", bridge(DUAL) + container(f"bridge: br0, publish: [{', '.join(FORMS)}]")
    )
    converge(host)
    first, last = map(int, facts.sysctl("net.ipv4.ip_local_port_range").split())
    free = host_ports(host, "10.1.0.2")
    ranges = [*CERTAIN]
    for inner, protocol in ((84, "udp"), (90, "tcp"), (91, "tcp"), (94, "tcp"), (95, "tcp")):
        (port,) = free[inner]
        assert first <= port <= last
        ranges.append(((*EVERYWHERE4, *EVERYWHERE6), protocol, {port: inner}))
    ranges.append((("127.0.0.1",), "tcp", {free[92][0]: 92}))
    (bound,) = [one for one in published(host, 6) if one[-1] == 93]
    assert bound[0] == "2001:db8:113::2"
    ranges.append((("2001:db8:113::2",), "tcp", {bound[2]: 93}))

    ports = [(protocol, port) for protocol, numbers in INNER for port in numbers]
    places = {HOST: HERE, REMOTE: uplink.remote, "c1": host.netns("c1")}
    ways = []
    for addresses, protocol, mapped in ranges:
        for port in mapped:
            for address in (*EVERYWHERE4, *EVERYWHERE6):
                answer = "c1" if address in addresses else None
                ways.append(Way(HOST, address, protocol, port, answer))
        for address in set(addresses) & {uplink.host4, uplink.host6}:
            ways += [Way(REMOTE, address, protocol, port, "c1") for port in mapped]
    with serve({"c1": places["c1"]}, ports):
        assert walk(ways, places) == []
    assert all(
        inner in {i for _, numbers in INNER for i in numbers} for *_, inner in published(host)
    )


def test_publish_all_gives_a_port_to_what_is_exposed_and_has_none(host: Host):
    host.manifests.write(
        "a.yaml",
        bridge(f"{DUAL}, bindAddress: ['203.0.113.2', '2001:db8:113::2']")
        + container(
            "bridge: br0, publish: [8080:80], publishAll: true, expose: [80, 81, 53/udp, 90-91]"
        ),
    )
    uplink = host.uplink()
    converge(host)

    ports = host_ports(host, "10.1.0.2")
    assert ports.keys() == {80, 81, 53, 90, 91}
    assert ports[80] == [8080]
    assert all(len(found) == 1 for found in ports.values())
    assert {one[0] for one in published(host)} == {uplink.host4}
    assert {one[0] for one in published(host, 6)} == {uplink.host6}
    # One port on both addresses, as Docker gives on 0.0.0.0 and ::.
    assert {one[2::2] for one in published(host)} == {one[2::2] for one in published(host, 6)}
    places = {REMOTE: uplink.remote, "c1": host.netns("c1"), HOST: HERE}
    with serve({"c1": places["c1"]}, (("tcp", 81), ("udp", 53))):
        ways = [
            Way(REMOTE, uplink.host4, "tcp", ports[81][0], "c1"),
            Way(REMOTE, uplink.host4, "udp", ports[53][0], "c1"),
            Way(HOST, "10.1.0.1", "tcp", ports[81][0]),
        ]
        assert walk(ways, places) == []


def containers(*names: str, publish: str = "80") -> str:
    return bridge() + "".join(
        container(
            f"bridge: br0, addresses: [10.1.0.{10 + int(name[1:])}], publish: [{publish}]", name
        )
        for name in names
    )


def ports_of(host: Host, *names: str) -> dict[str, list[int]]:
    return {name: host_ports(host, f"10.1.0.{10 + int(name[1:])}").get(80, []) for name in names}


def test_random_ports_come_from_the_local_range_and_stay(host: Host):
    """Reserved ones and those of listeners are left out, none is given twice, all outlive changes."""
    facts.set_sysctl("net.ipv4.ip_local_port_range", "40000 40006")
    facts.set_sysctl("net.ipv4.ip_local_reserved_ports", "40001,40003-40004")
    with Listener(HERE, 40002):
        host.manifests.write("a.yaml", containers("c1", "c2", "c3"))
        converge(host)
        assert ports_of(host, "c1", "c2", "c3") == {"c1": [40000], "c2": [40005], "c3": [40006]}

        # One more is too many: it is said, and nothing is changed.
        host.manifests.write("a.yaml", containers("c0", "c1", "c2", "c3"))
        before = published(host)
        with pytest.raises(PortsExhaustedError, match="Container/c0: no free host port"):
            apply(host)
        assert published(host) == before

    host.manifests.write("a.yaml", containers("c0", "c2", "c3"))
    converge(host)
    converge(host)
    found = ports_of(host, "c0", "c2", "c3")
    assert (found["c2"], found["c3"]) == ([40005], [40006])
    assert found["c0"] in ([40000], [40002])

    # A reservation that comes later, or a socket that only happens to have that number, moves none.
    facts.set_sysctl("net.ipv4.ip_local_reserved_ports", "40001,40003-40006")
    with Listener(HERE, 40006):
        assert_settled(host)
    assert ports_of(host, "c0", "c2", "c3") == found


def test_two_random_ports_of_one_container_port_both_stay(host: Host):
    facts.set_sysctl("net.ipv4.ip_local_port_range", "40000 40009")
    host.manifests.write("a.yaml", containers("c1") + _second("80, 80"))
    converge(host)
    before = ports_of(host, "c2")["c2"]
    assert len(before) == 2
    host.manifests.write("a.yaml", bridge() + _second("80, 80"))
    converge(host)
    assert ports_of(host, "c2")["c2"] == before


def _second(publish: str) -> str:
    return container(f"bridge: br0, addresses: [10.1.0.12], publish: [{publish}]", "c2")


def test_a_range_is_shared_by_several_containers_though_it_is_reserved(host: Host):
    """A range that a manifest names may be reserved for just that."""
    facts.set_sysctl("net.ipv4.ip_local_reserved_ports", "8020-8021")
    host.manifests.write("a.yaml", containers("c1", "c2", publish="8020-8021:80"))
    converge(host)
    assert ports_of(host, "c1", "c2") == {"c1": [8020], "c2": [8021]}
    host.manifests.write("a.yaml", containers("c0", "c2", publish="8020-8021:80"))
    converge(host)
    assert ports_of(host, "c0", "c2")["c2"] == [8021]
    host.manifests.write("a.yaml", containers("c0", "c1", "c2", publish="8020-8021:80"))
    with pytest.raises(PortsExhaustedError):
        apply(host)


def test_the_ports_of_another_set_are_not_given_out(host: Host, tmp_path):
    facts.set_sysctl("net.ipv4.ip_local_port_range", "40000 40003")
    theirs = tmp_path / "theirs.yaml"
    theirs.write_text(
        bridge("addresses: [10.9.0.1/24]", "br9")
        + container("bridge: br9, addresses: [10.9.0.11], publish: [80, '8020-8021:80']", "d1")
    )
    assert apply(host, theirs, set_name="theirs").converged
    host.manifests.write("a.yaml", containers("c1", publish="80, '8020-8021:80'"))
    converge(host)

    assert host_ports(host, "10.9.0.11")[80] == [8020, 40000]
    assert ports_of(host, "c1")["c1"] == [8021, 40001]
    assert_settled(host, theirs, set_name="theirs")

    # One that the manifests name and another set publishes is an error, and nothing is changed.
    before = published(host)
    host.manifests.write("a.yaml", containers("c1", publish="80, '8020:80'"))
    with pytest.raises(ManifestErrors, match="8020/tcp is in use: Container/d1 of set theirs"):
        apply(host)
    assert published(host) == before
    host.manifests.write("a.yaml", containers("c1", publish="80, '10.1.0.1:8022:80'"))
    converge(host)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sctp_packets_are_led_to_the_container(host: Host, backend: str):
    """By raw packets, because not every kernel has SCTP sockets; all can translate it."""
    choose_backend(host, backend)
    uplink = host.uplink()
    host.manifests.write("a.yaml", bridge() + container("bridge: br0, publish: [3868:3000/sctp]"))
    converge(host)
    c1 = host.netns("c1")
    with inside(c1), socket.socket(socket.AF_INET, socket.SOCK_RAW, 132) as there:
        there.settimeout(0.3)

        def arrives(source: Namespace, port: int) -> bool:
            with inside(source), socket.socket(socket.AF_INET, socket.SOCK_RAW, 132) as sock:
                sock.sendto(_init_chunk(9000, port), (uplink.host4, 0))
            try:
                packet = there.recv(2048)
            except TimeoutError:
                return False
            return struct.unpack_from("!HH", packet, (packet[0] & 15) * 4) == (9000, 3000)

        assert wait_until(lambda: arrives(uplink.remote, 3868))
        assert not arrives(uplink.remote, 3869)


def _init_chunk(source: int, target: int) -> bytes:
    """An SCTP packet with an INIT chunk (RFC 9260, 3.3.2)."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 1, 65536, 1, 1, 1)
    packet = struct.pack("!HHII", source, target, 0, 0) + chunk
    checksum = struct.pack("<I", _crc32c(packet))
    return packet[:8] + checksum + packet[12:]


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


# ------------------------------------------------------------------------------ edits


EDITS = {"nft": 100, "legacy": 30}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_port_that_is_not_touched_lives_through_edits_of_others(host: Host, backend: str):
    """Not a packet is lost, and no counter of a rule that stays is set back."""
    choose_backend(host, backend)
    uplink = host.uplink()
    bound = "bridge: br0, addresses: [10.1.0.2], publish: [8001:80, 8001:80/udp]"
    base = bridge("addresses: [10.1.0.1/24], forwardDelay: 0") + container(bound)
    base += container("bridge: br0, addresses: [10.1.0.3], publish: [{}]", "c2")
    numbers = random.Random(20261124)

    def write() -> None:
        some = {f"{numbers.randrange(7990, 8040)}:{numbers.randrange(80, 90)}" for _ in range(4)}
        ports = {one.partition(":")[0]: one for one in some if not one.startswith("8001:")}
        text = ", ".join(f"'{one}{numbers.choice(['', '/udp'])}'" for one in sorted(ports.values()))
        host.manifests.write("a.yaml", base.replace("publish: [{}]", f"publish: [{text}]"))

    write()
    converge(host)
    with Echoes(uplink.remote, host.netns("c1"), uplink.host4, (8001, 8001)) as talk:
        wait_until(lambda: talk.count > 10)
        before = {line.text: line.counters for line in dump(host) if "Container/c1" in line.text}
        assert len(before) == 2
        assert all(packets for packets, _ in before.values())
        steady = {line.text: line.counters for line in dump(host) if "Bridge/br0" in line.text}
        for _ in range(EDITS[backend]):
            write()
            assert apply(host).converged
        counted = talk.count
        assert talk.retransmissions() == 0
    after = {line.text: line.counters for line in dump(host)}
    assert talk.lost == []
    assert counted > 10 * EDITS[backend]
    assert {text: after[text] for text in before} == before
    assert all(after[text] >= counters for text, counters in steady.items())


def test_one_container_more_among_many_costs_its_own_rules_only(host: Host, monkeypatch):
    """Of two hundred with two hundred ports, dual stack, on a routed bridge and with links too."""
    network = bridge('addresses: [10.1.0.1/16, "fd00:1::1/64"], icc: false, forwardDelay: 0')
    many = "".join(
        container(f"bridge: br0, publish: [{8000 + n}:80], links: [n0]", f"n{n}")
        for n in range(1, 200)
    )
    most = network + container("bridge: br0, expose: [81]", "n0") + many
    one = container("bridge: br0, publish: [9500:80], links: [n0]", "one")
    host.manifests.write("a.yaml", most)
    assert apply(host).converged
    written: list[str] = []
    run = Programs.run

    def spy(self, argv, stdin="", *, writes=False):
        written.extend(stdin.splitlines() if writes else ())
        return run(self, argv, stdin, writes=writes)

    monkeypatch.setattr(Programs, "run", spy)
    for text in (most + one, most):
        written.clear()
        host.manifests.write("a.yaml", text)
        assert apply(host).converged
        lines = [line for line in written if not line.startswith(("*", "COMMIT", ":", "-X", "-F"))]
        # A DNAT rule and a link in each family; and the branch that the port hangs on, once.
        assert 4 <= len(lines) <= 4 + 2 * 5, lines
        strange = [line for line in lines if "Container/one " not in line and "-j RC-" not in line]
        assert not [line for line in strange if not re.match(r"-D \S+ \d+$", line)]
