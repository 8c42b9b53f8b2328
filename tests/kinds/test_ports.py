"""Ports: Docker's grammar of `-p` and `--expose`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from reconciler.kinds.ports import PROTOCOLS, PublishedPort, parse_expose, parse_publish
from reconciler.manifest.scalar import parse_plain
from tests.manifest.reading import BRIDGE, catalog_of, heads_of, manifest


@pytest.mark.parametrize(
    ("written", "ports"),
    [
        ("80", ["80/tcp"]),
        ("80/udp", ["80/udp"]),
        ("80/SCTP", ["80/sctp"]),
        ("8080:80", ["8080:80/tcp"]),
        ("22:22", ["22:22/tcp"]),
        (":80", ["80/tcp"]),
        ("127.0.0.1:8080:80", ["127.0.0.1:8080:80/tcp"]),
        ("127.0.0.1::80", ["127.0.0.1::80/tcp"]),
        ("0.0.0.0:53:53/udp", ["0.0.0.0:53:53/udp"]),
        ("[::1]:8080:80", ["[::1]:8080:80/tcp"]),
        ("[::1]::80", ["[::1]::80/tcp"]),
        ("[::]:1:2/udp", ["[::]:1:2/udp"]),
        ("80-82", ["80/tcp", "81/tcp", "82/tcp"]),
        ("8000-8001:80-81", ["8000:80/tcp", "8001:81/tcp"]),
        ("8000-8010:80", ["8000-8010:80/tcp"]),
        ("10.0.0.1:8000-8001:80-81/udp", ["10.0.0.1:8000:80/udp", "10.0.0.1:8001:81/udp"]),
        ("10.0.0.1::80-81", ["10.0.0.1::80/tcp", "10.0.0.1::81/tcp"]),
        ("7-7:9", ["7:9/tcp"]),
        ({"containerPort": "80"}, ["80/tcp"]),
        ({"hostPort": "8080", "containerPort": "80", "protocol": "udp"}, ["8080:80/udp"]),
        (
            {"hostIP": "::1", "hostPort": "80-81", "containerPort": "1-2"},
            ["[::1]:80:1/tcp", "[::1]:81:2/tcp"],
        ),
        ({"hostIP": None, "hostPort": 8080, "containerPort": 80}, ["8080:80/tcp"]),
    ],
)
def test_what_is_published(written, ports):
    assert [str(port) for port in parse_publish(written)] == ports


FORMS = "write [IP:][HOST:]CONTAINER[/PROTOCOL], as 8080:80 or 127.0.0.1:53:53/udp"
LIMIT = "ports are numbers from 1 to 65535"


@pytest.mark.parametrize(
    ("written", "head"),
    [
        ("''", f'"" is not a port; {LIMIT}'),
        ("http", f'"http" is not a port; {LIMIT}'),
        ("8080:http", f'"http" is not a port; {LIMIT}'),
        ("'8080:'", f'"" is not a port; {LIMIT}'),
        ("0", f'"0" is not a port; {LIMIT}'),
        ("65536:80", f'"65536" is not a port; {LIMIT}'),
        ("1.10", f'"1.10" is not a port; {LIMIT}'),
        ("0x50", f'"0x50" is not a port; {LIMIT}'),
        ("'٨٠'", f'"٨٠" is not a port; {LIMIT}'),
        ("80/icmp", '"icmp" is not a protocol; write tcp or udp or sctp'),
        ("80/tpc", '"tpc" is not a protocol; did you mean "tcp"?'),
        ("80/", '"" is not a protocol; write tcp or udp or sctp'),
        ("82-80", "the range 82-80 ends before it begins; write 80-82"),
        ("80-", f'"80-" is not a port; {LIMIT}'),
        ("8000-8002:80-81", "the ranges 8000-8002 and 80-81 differ in length; give both the same number of ports, or one container port"),
        ("8000:80-81", "the ranges 8000-8000 and 80-81 differ in length; give both the same number of ports, or one container port"),
        ("eth0:8080:80", f'"eth0" is not a host address; {FORMS}'),
        ("127.0.0.1:80", '"127.0.0.1" is not a port; write 127.0.0.1::80 for a free host port there'),
        ("'fd00::1:8080:80'", '"fd00::1:8080:80" is not a port mapping; write [fd00::1]:8080:80'),
        ("1:2:3:4", f'"1:2:3:4" is not a port mapping; {FORMS}'),
        ("'[::1]:80'", f'"[::1]:80" is not a port mapping; {FORMS}'),
        ("'[fe80::1%eth0]:80:80'", f'"fe80::1%eth0" is not a host address; {FORMS}'),
        ("[80]", f"must be text or a mapping, and is a list; {FORMS}"),
        ("{hostPort: 80}", "containerPort is required; write {hostPort: 8080, containerPort: 80}"),
        ("{containerPort: 80, hostprot: 1}", 'unknown field "hostprot"; did you mean "hostPort"?'),
        ("{containerPort: 80, x: 1}", 'unknown field "x"; known here: hostIP, hostPort, containerPort, protocol'),
        ("{containerPort: [80]}", "containerPort must be text or a number, and is a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_published(written, head):
    heads = heads_of(BRIDGE, manifest("Container", "c", f"{{bridge: web, publish: [{written}]}}"))

    assert heads == [f"Container/c: spec.publish[0]: {head}"]


def test_unquoted_ports_are_never_sexagesimal():
    spec = (
        catalog_of(
            BRIDGE,
            manifest("Container", "c", "{bridge: web, publish: [22:22, 8080:80, 443, 10-11]}"),
        )
        .resources["Container/c"]
        .spec
    )

    assert [str(port) for port in spec.published_ports] == [
        "22:22/tcp", "8080:80/tcp", "443/tcp", "10/tcp", "11/tcp",
    ]  # fmt: skip


def test_a_range_of_host_ports_is_no_certain_port():
    (any_of,) = parse_publish("8000-8010:80")
    (certain,) = parse_publish("8000:80")
    (free,) = parse_publish("80")

    assert (any_of.host_port, any_of.host_ports) == (None, (8000, 8010))
    assert (certain.host_port, certain.host_ports) == (8000, (8000, 8000))
    assert (free.host_port, free.host_ports) == (None, None)


@pytest.mark.parametrize(
    ("written", "ports"),
    [
        ("80", ["80/tcp"]),
        (80, ["80/tcp"]),
        ("53/udp", ["53/udp"]),
        ("1-3/sctp", ["1/sctp", "2/sctp", "3/sctp"]),
    ],
)
def test_what_is_exposed(written, ports):
    assert [str(port) for port in parse_expose(written)] == ports


@pytest.mark.parametrize(
    ("written", "head"),
    [
        ("8080:80", '"8080:80" maps a port; expose names container ports; use publish'),
        ("[80]", "must be a port, and is a list; write 80, 53/udp or 8000-8010"),
        ("70000", f'"70000" is not a port; {LIMIT}'),
    ],
)
def test_what_cannot_be_exposed(written, head):
    heads = heads_of(BRIDGE, manifest("Container", "c", f"{{bridge: web, expose: [{written}]}}"))

    assert heads == [f"Container/c: spec.expose[0]: {head}"]


PORTS = st.integers(1, 65535)
PUBLISHED = st.builds(
    PublishedPort,
    container_port=PORTS,
    protocol=st.sampled_from(PROTOCOLS),
    host_ports=st.none() | st.tuples(PORTS, PORTS).map(lambda pair: (min(pair), max(pair))),
    host_ip=st.none() | st.ip_addresses().filter(lambda ip: "%" not in str(ip)),
)


@given(PUBLISHED)
def test_what_is_printed_is_read_as_the_same(port):
    assert parse_publish(str(port)) == (port,)


@given(st.text(alphabet="0123456789:.-/[]tcpudfx%", max_size=40) | st.text(max_size=40))
def test_any_text_is_ports_or_our_error(text):
    for parse in (parse_publish, parse_expose):
        try:
            ports = parse(parse_plain(text) or "")
        except PydanticCustomError:
            continue
        else:
            assert ports
