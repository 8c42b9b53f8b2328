"""Bridges: what goes together in one, and between one and what is on it."""

from ipaddress import ip_interface, ip_network

import pytest

from reconciler.kinds.bridge_checks import free_addresses
from tests.manifest.reading import catalog_of, heads_of, manifest, problems_of


def bridge(spec, name="web"):
    return manifest("Bridge", name, spec)


@pytest.mark.parametrize(
    ("spec", "head"),
    [
        ("{}", "addresses: is required; for example addresses: [10.0.0.1/24]"),
        ("{addresses: [10.0.0.1/24, 10.1.0.1/24]}", "addresses[1]: there is another IPv4 address; at most one IPv4 and one IPv6"),
        ("{addresses: ['fd00::1/64'], mtu: 1279}", "mtu: 1279 is too small for the IPv6 address; use 1280 or more"),
        ("{addresses: [10.0.0.1/24], ipRange: 10.0.1.0/25}", "ipRange[0]: 10.0.1.0/25 is outside 10.0.0.0/24"),
        ("{addresses: [10.0.0.1/24], ipRange: 10.0.0.0/23}", "ipRange[0]: 10.0.0.0/23 is outside 10.0.0.0/24"),
        ("{addresses: [10.0.0.1/24], ipRange: 'fd00::/64'}", "ipRange[0]: fd00::/64 is outside 10.0.0.0/24"),
        ("{addresses: [10.0.0.1/24], ipRange: [10.0.0.0/25, 10.0.0.128/25]}", "ipRange: has two ranges of one family; one IPv4, one IPv6"),
        ("{addresses: [10.0.0.1/24, 'fd00::1/64'], reserved: [10.0.0.9, 10.0.1.9]}", "reserved[1]: 10.0.1.9 is outside 10.0.0.0/24 and fd00::/64"),
        ("{addresses: [10.0.0.1/24], bindAddress: [192.0.2.1, 192.0.2.2]}", "bindAddress: has two addresses of one family; one IPv4, one IPv6"),
        ("{addresses: [10.0.0.1/24], stp: true, forwardDelay: 1}", "forwardDelay: 1 is too short with stp: true; write 2 to 30"),
        ("{external: true, ports: [eth1]}", "ports: does not go with external: true; an external device is never changed; leave it out"),
        ("{external: true, stp: false}", "stp: does not go with external: true; an external device is never changed; leave it out"),
        ("{addresses: [10.0.0.1/24], mode: {ipv4: natt}}", 'mode.ipv4: "natt" is not known; did you mean "nat"?'),
        ("{addresses: [10.0.0.1/24], mode: {ip4: nat}}", 'mode.ip4: unknown field; did you mean "ipv4"?'),
        ("{addresses: [10.0.0.1/24], mode: isolated}", 'mode: "isolated" is not known; write nat, nat-unprotected or routed'),
        ("{addresses: [10.0.0.1/24], mode: [nat]}", "mode: must be text or a mapping, and is a list; write nat or routed"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(spec, head):
    assert heads_of(bridge(spec)) == [f"Bridge/web: spec.{head}"]


@pytest.mark.parametrize(
    "spec",
    [
        "{addresses: [10.0.0.1/24], mtu: 68}",
        "{addresses: ['fd00::1/64'], mtu: 1280}",
        "{external: true}",
        "{external: true, device: docker0, mtu: 1400, addresses: [172.17.0.1/16]}",
        "{addresses: [10.0.0.1/24], forwardDelay: 0}",
        "{addresses: [10.0.0.1/24], stp: false, forwardDelay: 0}",
        "{addresses: [10.0.0.1/24], stp: true, forwardDelay: 2}",
        "{addresses: [10.0.0.1/24], internal: true, mode: routed, icc: false, iptables: false}",
        "{addresses: [10.0.0.1/24, 'fd00::1/64'], ipRange: [10.0.0.0/24, 'fd00::/120'], reserved: ['fd00::5']}",
    ],
)
def test_what_goes_together(spec):
    assert heads_of(bridge(spec)) == []


def test_the_device_has_the_resources_name_or_its_own():
    named = catalog_of(bridge("{external: true}"), bridge("{external: true, device: br0}", "db"))

    assert named.resources["Bridge/web"].spec.device_name == "web"
    assert named.resources["Bridge/db"].spec.device_name == "br0"


def test_a_name_that_is_too_long_for_a_device_wants_one():
    assert heads_of(bridge("{addresses: [10.0.0.1/24]}", "sixteen-letters-")) != []
    assert heads_of(bridge("{addresses: [10.0.0.1/24]}", "sixteen-lettersx")) == [
        (
            "Bridge/sixteen-lettersx: spec.device: sixteen-lettersx is too long for the name of a device; "
            "write device: with 15 bytes at most"
        )
    ]
    assert heads_of(bridge("{addresses: [10.0.0.1/24], device: x}", "sixteen-lettersx")) == []


def test_the_mode_may_differ_by_family():
    def modes(written):
        spec = f"{{addresses: [10.0.0.1/24], mode: {written}}}"
        mode = catalog_of(bridge(spec)).resources["Bridge/web"].spec.mode
        return mode.ipv4, mode.ipv6

    assert modes("routed") == ("routed", "routed")
    assert modes("{ipv6: routed}") == ("nat", "routed")
    assert modes("{ipv4: nat-unprotected, ipv6: routed}") == ("nat-unprotected", "routed")


def test_automatic_addresses_come_from_the_range_or_the_subnet():
    spec = catalog_of(bridge("{addresses: [10.0.0.1/24, 'fd00::1/64'], ipRange: 'fd00::100/120'}"))
    spec = spec.resources["Bridge/web"].spec

    assert spec.automatic_range(4) == ip_network("10.0.0.0/24")
    assert spec.automatic_range(6) == ip_network("fd00::100/120")
    assert spec.address_of(6) == ip_interface("fd00::1/64")
    assert (
        catalog_of(bridge("{external: true}")).resources["Bridge/web"].spec.automatic_range(4)
        is None
    )


@pytest.mark.parametrize(
    ("one", "other", "head"),
    [
        (
            "10.0.0.1/24",
            "10.0.0.2/24",
            "subnet 10.0.0.0/24 overlaps subnet 10.0.0.0/24 of Bridge/a (web.yaml:4)",
        ),
        (
            "10.0.0.1/16",
            "10.0.5.1/24",
            "subnet 10.0.5.0/24 overlaps subnet 10.0.0.0/16 of Bridge/a (web.yaml:4)",
        ),
        (
            "10.0.5.1/24",
            "10.0.0.1/16",
            "subnet 10.0.0.0/16 overlaps subnet 10.0.5.0/24 of Bridge/a (web.yaml:4)",
        ),
        (
            "fd00::1/64",
            "fd00::2/96",
            "subnet fd00::/96 overlaps subnet fd00::/64 of Bridge/a (web.yaml:4)",
        ),
    ],
)
def test_subnets_do_not_overlap(one, other, head):
    heads = heads_of(
        bridge(f"{{addresses: ['{one}']}}", "a"), bridge(f"{{addresses: ['{other}']}}", "b")
    )

    assert heads == [f"Bridge/b: spec.addresses[0]: {head}"]


def test_each_of_many_overlaps_is_found():
    subnets = [
        "10.0.0.1/8",
        "10.1.0.1/16",
        "10.1.1.1/24",
        "10.2.0.1/16",
        "11.255.255.1/24",
        "12.0.0.1/24",
    ]
    documents = [bridge(f"{{addresses: [{subnet}]}}", f"b{n}") for n, subnet in enumerate(subnets)]

    assert [problem.resource for problem in problems_of(*documents)] == [
        "Bridge/b1",
        "Bridge/b2",
        "Bridge/b3",
    ]


def test_a_device_belongs_to_one_bridge():
    heads = heads_of(
        bridge("{addresses: [10.0.0.1/24], ports: [eth1, db]}"),
        bridge("{addresses: [10.1.0.1/24], ports: [eth1]}", "db"),
        bridge("{external: true, device: web}", "other"),
    )

    assert heads == [
        "Bridge/db: spec.device: device db of the host is claimed by Bridge/web already (web.yaml:4)",
        "Bridge/db: spec.ports[0]: device eth1 of the host is claimed by Bridge/web already (web.yaml:4)",
        "Bridge/other: spec.device: device web of the host is claimed by Bridge/web already (web.yaml:4)",
    ]


def test_a_bridge_has_no_more_ports_than_the_kernel_gives():
    def count(containers, ports):
        devices = ", ".join(f"eth{n}" for n in range(ports))
        one = bridge(f"{{addresses: [10.0.0.1/16], ports: [{devices}]}}")
        return heads_of(
            one, *(manifest("Container", f"c{n}", "{bridge: web}") for n in range(containers))
        )

    assert count(1021, 2) == []
    assert count(1022, 2) == [
        "Bridge/web: spec: has 1024 ports, and a bridge can have 1023; move some to another Bridge"
    ]


def automatic(count):
    return [manifest("Container", f"c{n}", "{bridge: web}") for n in range(count)]


@pytest.mark.parametrize(
    ("spec", "room"),
    [
        ("{addresses: [10.0.0.1/29]}", 5),
        ("{addresses: [10.0.0.1/29], reserved: [10.0.0.2, 10.0.0.1]}", 4),
        ("{addresses: [10.0.0.0/31]}", 1),
        ("{addresses: [10.0.0.1/24], ipRange: 10.0.0.0/30}", 2),
        ("{addresses: [10.0.0.1/24], ipRange: 10.0.0.252/30}", 3),
        ("{addresses: [10.0.0.1/24], ipRange: 10.0.0.128/30}", 4),
        ("{addresses: ['fd00::1/126']}", 2),
    ],
)
def test_a_range_that_is_exhausted_is_an_error(spec, room):
    assert heads_of(bridge(spec), *automatic(room)) == []
    (head,) = heads_of(bridge(spec), *automatic(room + 1))
    assert head.startswith(f"Bridge/web: spec.{'ipRange' if 'ipRange' in spec else 'addresses'}: ")
    assert f"has room for {room} automatic addresses, and {room + 1} are wanted" in head


def test_explicit_addresses_take_room():
    explicit = manifest("Container", "c", "{bridge: web, addresses: [10.0.0.2]}")

    assert heads_of(bridge("{addresses: [10.0.0.1/29]}"), explicit, *automatic(4)) == []
    assert heads_of(bridge("{addresses: [10.0.0.1/29]}"), explicit, *automatic(5)) == [
        (
            "Bridge/web: spec.addresses: 10.0.0.0/29 has room for 4 automatic addresses, and 5 are wanted; "
            "use a larger subnet, or more Bridges"
        )
    ]


def test_free_addresses_of_a_huge_pool():
    network = ip_network("fd00::/64")

    assert free_addresses(network, network, {ip_interface("fd00::1/64").ip}) == 2**64 - 2
