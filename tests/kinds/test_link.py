"""Links: two ends, in two namespaces, with names and addresses of their own."""

import pytest

from tests.manifest.reading import catalog_of, heads_of, manifest

BRIDGE = manifest("Bridge", "web", "{addresses: [10.0.0.1/24]}")
A = manifest("Container", "a", "{bridge: web}")
B = manifest("Container", "b", "{network: none}")
C = manifest("Container", "c", "{network: container:a}")
H = manifest("Container", "h", "{network: host}")
HERE = "{container: a, interface: x}"


def link(endpoints, more="", name="l"):
    return manifest("Link", name, f"{{endpoints: [{endpoints}]{more}}}")


def heads(endpoints, more=""):
    found = heads_of(BRIDGE, A, B, C, H, link(endpoints, more))
    return [head.removeprefix("Link/l: spec.") for head in found]


@pytest.mark.parametrize(
    ("endpoints", "head"),
    [
        (HERE, "endpoints: must be exactly two, and there are 1"),
        (f"{HERE}, {HERE}, {HERE}", "endpoints: must be exactly two, and there are 3"),
        (f"{HERE}, {{}}", "endpoints[1]: is nowhere; write container: NAME, or host: true"),
        (f"{HERE}, {{host: false}}", "endpoints[1]: is nowhere; write container: NAME, or host: true"),
        (f"{HERE}, {{host: true, container: b, interface: y}}", "endpoints[1]: is on the host and in a container; write container: NAME, or host: true"),
        (f"{HERE}, {{container: b}}", "endpoints[1].interface: is required in a container; name it, for example interface: link0"),
        ("{host: true}, {host: true}", "endpoints[1].host: both ends are on the host; one end must be in a container"),
        (f"{HERE}, {{container: a, interface: y}}", "endpoints[1].container: is a link to itself: both ends are in Container/a; name another container"),
        (f"{HERE}, {{container: bb, interface: y}}", 'endpoints[1].container: there is no Container "bb"; did you mean "b"?'),
        (f"{HERE}, {{container: c, interface: y}}", "endpoints[1].container: Container/c shares a namespace; write container: a"),
        (f"{HERE}, {{container: h, interface: y}}", "endpoints[1].container: Container/h has the host's namespace; write host: true instead"),
        (f"{HERE}, {{host: true, addresses: [10.9.0.1]}}", 'endpoints[1].addresses[0]: "10.9.0.1" is not an address with prefix length; write 10.9.0.1/24, or the prefix length you mean'),
        (f"{HERE}, {{host: true, addresses: [10.9.0.1/32, 10.9.0.1/24]}}", "endpoints[1].addresses[1]: 10.9.0.1 is there twice"),
        ("{container: a, interface: x, addresses: [10.9.0.1/32]}, {host: true, addresses: [10.9.0.1/32]}", "endpoints[1].addresses[0]: both ends have the address 10.9.0.1"),
        ("{container: a, interface: x, mac: '02:00:00:00:00:01'}, {host: true, mac: '02:00:00:00:00:01'}", "endpoints[1].mac: both ends have the MAC 02:00:00:00:00:01"),
        (f"{HERE}, {{host: true, routes: [{{to: 10.9.0.0/16, via: 'fd00::1'}}]}}", "endpoints[1].routes[0].via: fd00::1 is IPv6 and 10.9.0.0/16 is IPv4; use a next hop of the same family"),
        (f"{HERE}, {{host: true, interface: web}}", "endpoints[1].interface: device web of the host is claimed by Bridge/web already (web.yaml:4)"),
        ("{container: a, interface: eth0}, {host: true}", "endpoints[0].interface: interface eth0 of Container/a is claimed by Container/a already (web.yaml:9)"),
        (f"{HERE}, {{host: true, addresses: [10.0.0.9/24]}}", "endpoints[1].addresses[0]: 10.0.0.0/24 is the subnet of Bridge/web, and leads there; give the Link a subnet of its own"),
        ("{container: a, interface: x, addresses: [10.0.0.9/24]}, {host: true}", "endpoints[0].addresses[0]: 10.0.0.0/24 is the subnet of Bridge/web, and leads there; give the Link a subnet of its own"),
        (f"{HERE}, {{host: true, adresses: []}}", 'endpoints[1].adresses: unknown field; did you mean "addresses"?'),
    ],
)  # fmt: skip
def test_what_does_not_go_together(endpoints, head):
    assert heads(endpoints) == [head]


@pytest.mark.parametrize(
    ("end", "more", "head"),
    [
        (
            "addresses: ['fd00::1/64']",
            ", mtu: 1000",
            "mtu: 1000 is too small for the IPv6 address; use 1280 or more",
        ),
        (
            "addresses: ['fd00::1/64'], mtu: 1000",
            "",
            "endpoints[1].mtu: 1000 is too small for the IPv6 address; use 1280 or more",
        ),
    ],
)
def test_ipv6_needs_room(end, more, head):
    assert heads(f"{HERE}, {{host: true, {end}}}", more) == [head]


@pytest.mark.parametrize(
    "endpoints",
    [
        f"{HERE}, {{host: true}}",
        f"{{host: true, interface: l0}}, {HERE}",
        f"{HERE}, {{container: b, interface: x}}",
        "{container: a, interface: x, addresses: [10.9.0.0/31]}, {container: b, interface: x, addresses: [10.9.0.1/31]}",
        "{container: a, interface: x, addresses: [10.9.0.1/32, 'fd00::1/128']}, {host: true, addresses: [10.9.0.2/32]}",
        f"{HERE}, {{host: true, routes: [{{to: 10.1.0.0/16}}, {{to: default, metric: 10}}]}}",
        "{container: b, interface: x, addresses: [10.0.0.9/24]}, {container: a, interface: y}",
    ],
)
def test_what_goes_together(endpoints):
    assert heads(endpoints) == []


def test_an_interface_name_is_used_once_in_a_container():
    one = link("{container: a, interface: x}, {host: true}", name="one")
    two = link("{container: a, interface: x}, {container: b, interface: x}", name="two")

    assert heads_of(BRIDGE, A, B, one, two) == [
        "Link/two: spec.endpoints[0].interface: interface x of Container/a is claimed by Link/one already (web.yaml:19)"
    ]


def test_two_links_do_not_share_an_address_or_a_subnet_in_one_namespace():
    def pair(name, interface, address, other):
        ends = f"{{container: b, interface: {interface}, addresses: [{address}]}}, {other}"
        return link(ends, name=name)

    host = "{host: true}"
    assert heads_of(
        BRIDGE, A, B, pair("p", "x", "10.9.0.1/32", host), pair("q", "y", "10.9.0.1/32", host)
    ) == [
        (
            "Link/q: spec.endpoints[0].addresses[0]: "
            "address 10.9.0.1 in Container/b is claimed by Link/p already (web.yaml:19)"
        )
    ]
    assert heads_of(
        BRIDGE, A, B, pair("p", "x", "10.9.0.1/24", host), pair("q", "y", "10.9.0.2/24", host)
    ) == [
        (
            "Link/q: spec.endpoints[0].addresses[0]: "
            "subnet 10.9.0.0/24 in Container/b is claimed by Link/p already (web.yaml:19)"
        )
    ]
    assert (
        heads_of(
            BRIDGE, A, B, pair("p", "x", "10.9.0.1/32", host), pair("q", "y", "10.9.0.2/32", host)
        )
        == []
    )


def test_the_mtu_of_an_end_is_its_own_or_the_links():
    catalog = catalog_of(
        BRIDGE, A, link("{container: a, interface: x, mtu: 1400}, {host: true}", ", mtu: 9000")
    )
    spec = catalog.resources["Link/l"].spec

    assert [spec.mtu_of(endpoint) for endpoint in spec.endpoints] == [1400, 9000]
    plain = catalog_of(BRIDGE, A, link(f"{HERE}, {{host: true}}")).resources["Link/l"].spec
    assert plain.mtu_of(plain.endpoints[0]) is None
