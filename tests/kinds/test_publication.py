"""Publication: which host ports containers get, given the rules and listeners that are observed."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from reconciler.allocate.ports import PortsExhaustedError
from reconciler.core.object import KernelObject, Owner
from reconciler.core.state import State
from reconciler.kinds.expand import expand_catalog
from reconciler.kinds.port_conflicts import PortConflict, PortsInUseError
from reconciler.kinds.publication import publish
from reconciler.manifest.catalog import Catalog
from reconciler.objects import FirewallRule, Listener, Sysctl
from reconciler.objects.keys import LOCAL_RANGE, RESERVED_PORTS
from tests.manifest.reading import catalog_of, manifest

BRIDGE = "addresses: [10.0.0.1/24, 'fd00::1/64']"
RANGE = Sysctl("", LOCAL_RANGE, "1000\t1009")


def catalog(*containers: str, bridge: str = "") -> Catalog:
    """Containers c1, c2, … with these fields, on one bridge."""
    return catalog_of(
        manifest("Bridge", "br0", f"{{{BRIDGE}, {bridge}}}"),
        *(
            manifest("Container", f"c{n}", f"{{bridge: br0, {fields}}}")
            for n, fields in enumerate(containers, 1)
        ),
    )


def looked(found: State | None = None, *more: KernelObject) -> State:
    """What is observed after *found* was made: its rules with their owners, and *more*."""
    found = found or State()
    items = [RANGE, *more]
    entries = [(item, found.owners.get(key)) for key, item in found.objects.items()]
    return State.of([*entries, *((item, None) for item in items)])


def ports(
    declared: Catalog, observed: State | None = None, *, partial: bool = False
) -> dict[str, list[str]]:
    found = publish(declared, observed or looked(), "default", partial=partial)
    return {name: [one.what for one in ones] for name, ones in found.items()}


def made(declared: Catalog, observed: State | None = None, set_name: str = "default") -> State:
    """What is there after an apply."""
    return looked(expand_catalog(declared, observed or looked(), set_name))


def listener(address: str, port: int, protocol: str = "tcp") -> Listener:
    return Listener(protocol, ip_address(address), port, inode=7)


def conflicts(
    declared: Catalog, observed: State, *, partial: bool = False
) -> list[tuple[str, int, str]]:
    try:
        publish(declared, observed, "default", partial=partial)
    except PortsInUseError as error:
        return [(c.container, c.port, c.protocol) for c in error.conflicts]
    return []


# ---------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("publish: ['8080:80']", ["8080->80/tcp"]),
        ("publish: ['8080:80/udp', '9000:90/sctp']", ["8080->80/udp", "9000->90/sctp"]),
        ("publish: ['80']", ["1000->80/tcp"]),
        ("publish: ['127.0.0.1::80']", ["127.0.0.1:1000->80/tcp"]),
        ("publish: ['[::1]:8080:80']", ["::1:8080->80/tcp"]),
        ("publish: ['0.0.0.0:8080:80']", ["0.0.0.0:8080->80/tcp"]),
        ("publish: ['[::]:8080:80']", [":::8080->80/tcp"]),
        ("publish: ['8000-8002:80-82']", ["8000->80/tcp", "8001->81/tcp", "8002->82/tcp"]),
        ("publish: ['8000-8010:80']", ["8000->80/tcp"]),
        ("publish: ['80', '80']", ["1000->80/tcp", "1001->80/tcp"]),
        ("expose: [80]", []),
        ("expose: [80, 53/udp], publishAll: true", ["1000->53/udp", "1000->80/tcp"]),
        ("expose: [80, 81], publishAll: true, publish: ['8080:80']", ["8080->80/tcp", "1000->81/tcp"]),
    ],
)  # fmt: skip
def test_each_form_of_a_port_gets_its_host_port(fields: str, found: list[str]):
    assert ports(catalog(fields)) == ({"c1": found} if found else {})


@pytest.mark.parametrize(
    ("bind", "found"),
    [
        ("192.0.2.1", ["192.0.2.1:1000->80/tcp"]),
        (
            "[192.0.2.1, '2001:db8::1']",
            ["192.0.2.1:1000->80/tcp", "2001:db8::1:1000->80/tcp"],
        ),
        ("0.0.0.0", ["0.0.0.0:1000->80/tcp"]),
        ("[0.0.0.0, '::']", ["1000->80/tcp"]),
    ],
)
@pytest.mark.parametrize("fields", ["publish: ['80']", "expose: [80], publishAll: true"])
def test_the_bridges_bind_address_is_where_ports_are_bound_that_name_none(bind, found, fields):
    """All of them on one port, also those that publishAll adds."""
    assert ports(catalog(fields, bridge=f"bindAddress: {bind}")) == {"c1": found}


def test_a_written_host_address_wins_over_the_bridges():
    fields = "publish: ['127.0.0.1:8080:80']"
    found = ports(catalog(fields, bridge="bindAddress: 192.0.2.1"))
    assert found == {"c1": ["127.0.0.1:8080->80/tcp"]}


@pytest.mark.parametrize("bridge", ["internal: true", "iptables: false"])
def test_a_bridge_without_a_way_in_publishes_nothing(bridge: str):
    assert ports(catalog("publish: ['8080:80', '80']", bridge=bridge)) == {}


def test_the_unspecified_address_opens_its_own_family_alone():
    desired = expand_catalog(
        catalog("publish: ['0.0.0.0:8080:80', '[::]:9090:80']"), looked(), "default"
    )
    rules = [
        r for r in desired.objects.values() if isinstance(r, FirewallRule) and "DNAT --to" in r.text
    ]

    assert sorted((r.family, r.what) for r in rules) == [
        (4, "0.0.0.0:8080->80/tcp"),
        (6, ":::9090->80/tcp"),
    ]
    assert not [r for r in rules if " -d " in f" {r.text}"]


# ---------------------------------------------------------------- what is there, stays


def test_a_random_port_outlives_newcomers_and_those_who_go():
    one = catalog("publish: ['80']", "publish: ['80']")
    there = made(one)
    assert ports(one, there) == {"c1": ["1000->80/tcp"], "c2": ["1001->80/tcp"]}

    left = catalog_of(
        manifest("Bridge", "br0", f"{{{BRIDGE}}}"),
        manifest("Container", "c2", "{bridge: br0, publish: ['80']}"),
        manifest("Container", "a0", "{bridge: br0, publish: ['80', '81']}"),
    )

    assert ports(left, there) == {"a0": ["1000->80/tcp", "1002->81/tcp"], "c2": ["1001->80/tcp"]}


def test_two_ports_of_one_container_port_both_stay():
    both = catalog("publish: ['80', '80', '1004-1006:80']")
    there = made(both, looked(None, listener("::", 1000), listener("::", 1004)))
    found = {"c1": ["1001->80/tcp", "1002->80/tcp", "1005->80/tcp"]}
    assert ports(both, there) == found

    assert ports(both, looked(there)) == found


def test_what_is_published_stays_though_a_process_listens_there_later():
    """Its packets never reached the process, which may only have an outgoing UDP socket."""
    fields = "publish: ['8080:80', '80', '53/udp', '1004-1006:90']"
    there = made(catalog(fields))
    busy = [listener("::", port, p) for port in (8080, 1000, 1004) for p in ("tcp", "udp")]

    assert ports(catalog(fields), looked(there, *busy)) == ports(catalog(fields), there)


def test_a_container_that_is_renamed_keeps_its_certain_port_though_a_process_listens_there():
    there = made(catalog("publish: ['8080:80']"))
    renamed = catalog_of(
        manifest("Bridge", "br0", f"{{{BRIDGE}}}"),
        manifest("Container", "web", "{bridge: br0, publish: ['8080:80']}"),
    )

    assert conflicts(renamed, looked(there, listener("0.0.0.0", 8080))) == []


def test_a_surplus_copy_of_a_rule_moves_nobody():
    """Somebody has loaded a saved ruleset on top: the copies are drift, and say nothing."""
    declared = catalog("publish: ['80', '8080:80']")
    there = made(declared)
    rules = [r for r in there.objects.values() if isinstance(r, FirewallRule) and "->" in r.what]
    copies = [(replace(r, identity=f"{r.identity}~2"), Owner("default", "?")) for r in rules]
    entries = [(item, there.owners.get(key)) for key, item in there.objects.items()]

    observed = State.of([*entries, *copies])
    assert ports(declared, observed) == ports(declared, there)
    assert ports(declared, observed, partial=True) == ports(declared, there)
    assert len(copies) == 4


# ---------------------------------------------------------------- what others have


def test_random_ports_and_ranges_avoid_listeners_reserved_ports_and_other_sets():
    theirs = made(catalog("publish: ['1001:80']"), set_name="theirs")
    observed = looked(
        theirs,
        listener("127.0.0.1", 1000),
        listener("::", 1002, "udp"),
        Sysctl("", RESERVED_PORTS, "1003,1005-1007"),
    )

    found = ports(catalog("publish: ['80', '81', '82/udp', '1000-1009:83']"), observed)

    assert found == {
        "c1": ["1004->80/tcp", "1008->81/tcp", "1000->82/udp", "1002->83/tcp"],
    }


def test_ports_of_containers_that_go_in_this_pass_are_free():
    """Else a container could not be renamed whose range has no other port."""
    there = made(catalog("publish: ['1000-1001:80', '1000-1001:81']"))
    renamed = catalog_of(
        manifest("Bridge", "br0", f"{{{BRIDGE}}}"),
        manifest("Container", "web", "{bridge: br0, publish: ['1000-1001:80', '1000-1001:81']}"),
    )

    assert ports(renamed, there) == {"web": ["1000->80/tcp", "1001->81/tcp"]}
    with pytest.raises(PortsExhaustedError):
        ports(renamed, there, partial=True)


def test_ports_of_containers_that_stay_undeclared_are_not_free():
    there = made(catalog("publish: ['80']"))
    kept = State.of(
        [
            *((item, there.owners.get(key)) for key, item in there.objects.items()),
            (Listener("sctp", ip_address("::"), 1, 1), Owner("default", "Container/c1", keep=True)),
        ]
    )
    other = catalog_of(
        manifest("Bridge", "br0", f"{{{BRIDGE}}}"),
        manifest("Container", "web", "{bridge: br0, publish: ['80']}"),
    )

    assert ports(other, there) == {"web": ["1000->80/tcp"]}
    assert ports(other, there, partial=True) == {"web": ["1001->80/tcp"]}
    assert ports(other, kept) == {"web": ["1001->80/tcp"]}


ANY, V4, V6 = "", "192.0.2.1:", "[2001:db8::1]:"


@pytest.mark.parametrize(
    ("bound", "address", "clash"),
    [
        (ANY, "0.0.0.0", True),
        (ANY, "::", True),
        (ANY, "127.0.0.1", True),
        (ANY, "10.9.9.9", True),
        (ANY, "::1", True),
        (V4, "0.0.0.0", True),
        (V4, "::", True),  # hears IPv4 too
        (V4, "192.0.2.1", True),
        (V4, "::ffff:192.0.2.1", True),  # the same, bound through a socket of IPv6
        (V4, "::ffff:0.0.0.0", True),
        (V4, "192.0.2.2", False),
        (V4, "::1", False),
        (V6, "::", True),
        (V6, "2001:db8::1", True),
        (V6, "0.0.0.0", False),
        (V6, "2001:db8::2", False),
        ("0.0.0.0:", "127.0.0.1", True),
        ("0.0.0.0:", "::", True),
        ("0.0.0.0:", "::1", False),
        ("[::]:", "::1", True),
        ("[::]:", "0.0.0.0", False),
    ],
)
def test_a_port_clashes_with_a_process_where_a_packet_could_be_meant_for_both(
    bound, address, clash
):
    declared = catalog(f"publish: ['{bound}8080:80']")

    found = conflicts(declared, looked(None, listener(address, 8080)))

    assert found == ([("c1", 8080, "tcp")] if clash else [])


def test_another_port_or_protocol_is_no_clash():
    declared = catalog("publish: ['8080:80']")
    observed = looked(None, listener("::", 8081), listener("::", 8080, "udp"))

    assert conflicts(declared, observed) == []


def test_all_clashes_are_told_at_once_and_who_has_the_port():
    declared = catalog("publish: ['8080:80', '8081:81']", "publish: ['5353:53/udp']")
    busy = [listener("::", 8080), listener("0.0.0.0", 8081), listener("::", 5353, "udp")]

    with pytest.raises(PortsInUseError) as error:
        publish(declared, looked(None, *busy), "default")

    assert error.value.conflicts == (
        PortConflict("c1", 8080, "tcp", busy[0]),
        PortConflict("c1", 8081, "tcp", busy[1]),
        PortConflict("c2", 5353, "udp", busy[2]),
    )
    assert str(error.value) == "in use on this host: 8080/tcp, 8081/tcp, 5353/udp"


def test_a_port_that_another_set_publishes_is_in_use():
    theirs = made(catalog("publish: ['8080:80', '127.0.0.1:8081:81']"), set_name="theirs")
    observed = looked(theirs)

    with pytest.raises(PortsInUseError) as error:
        publish(catalog("publish: ['8080:80']"), observed, "default")
    assert error.value.conflicts[0].holder == Owner("theirs", "Container/c1")
    assert conflicts(catalog("publish: ['192.0.2.1:8081:81']"), observed) == []
    assert conflicts(catalog("publish: ['8081:81']"), observed) == [("c1", 8081, "tcp")]


def test_a_port_of_a_container_that_goes_is_handed_on_and_of_one_that_stays_is_not():
    there = made(catalog("publish: ['8080:80']"))
    other = catalog_of(
        manifest("Bridge", "br0", f"{{{BRIDGE}}}"),
        manifest("Container", "web", "{bridge: br0, publish: ['8080:80']}"),
    )

    assert conflicts(other, there) == []
    assert conflicts(other, there, partial=True) == [("web", 8080, "tcp")]


def test_what_rules_say_that_are_not_of_published_ports_is_not_read():
    odd = [
        ("->", "nat"), ("8080->", "nat"), ("x->80/tcp", "nat"), ("8080->y/tcp", "nat"),
        ("1000->80/tcp", "filter"), ("back in where it came from", "nat"),
    ]  # fmt: skip
    rules = [
        FirewallRule(4, table, "RC-X", f"#{n}", what=what) for n, (what, table) in enumerate(odd)
    ]

    assert ports(catalog("publish: ['80']"), looked(None, *rules)) == {"c1": ["1000->80/tcp"]}


@pytest.mark.parametrize(
    ("value", "port"), [("", 32768), ("garbage", 32768), ("40000\t40001\n", 40000)]
)
def test_the_range_of_free_ports_is_the_hosts_or_the_kernels_default(value: str, port: int):
    observed = State.of([(Sysctl("", LOCAL_RANGE, value), None)])

    assert ports(catalog("publish: ['80']"), observed) == {"c1": [f"{port}->80/tcp"]}
