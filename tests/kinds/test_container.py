"""Containers: what goes together in one, and with the Bridges and Containers that it names."""

from ipaddress import ip_address

import pytest

from reconciler.kinds.addresses import AddressRequest
from reconciler.kinds.roles import automatic_families, find_bridge, gateway_interface
from tests.manifest.reading import catalog_of, heads_of, manifest

WEB = manifest("Bridge", "web", "{addresses: [10.0.0.1/24]}")
DB = manifest("Bridge", "db", "{addresses: [10.1.0.1/24, 'fd00:1::1/64'], reserved: [10.1.0.9]}")
INSIDE = manifest("Bridge", "inside", "{addresses: [10.2.0.1/24], internal: true}")
OUTSIDE = manifest("Bridge", "docker", "{external: true, device: docker0}")


def container(spec, name="c"):
    return manifest("Container", name, spec)


def heads(spec, *others):
    found = heads_of(WEB, DB, INSIDE, OUTSIDE, *others, container(spec))
    return [head.removeprefix("Container/c: spec.") for head in found]


def spec_of(spec, *others):
    return (
        catalog_of(WEB, DB, INSIDE, OUTSIDE, *others, container(spec)).resources["Container/c"].spec
    )


SHARED = "does not go with network: container:x; the namespace is Container/x's; write it there"
HOST = "does not go with network: host; the namespace is the host's; leave it out"
NONE = "does not go with network: none; there is no interface on a bridge; leave it out, or leave network out"


@pytest.mark.parametrize(
    ("spec", "head"),
    [
        ("{}", "bridge: is required with network: bridge; write bridge: NAME, or network: none where Links are all that it has"),
        ("{bridge: web, interfaces: [{bridge: db}]}", "bridge: does not go with interfaces; write it in the list of interfaces"),
        ("{interfaces: [{bridge: db}], addresses: [10.1.0.5]}", "addresses: does not go with interfaces; write it in the list of interfaces"),
        ("{interfaces: [{bridge: db}], mac: '02:00:00:00:00:01'}", "mac: does not go with interfaces; write it in the list of interfaces"),
        ("{interfaces: [{bridge: db, gateway: true}, {bridge: web, gateway: true}]}", "interfaces[1].gateway: interface 0 has the default route already; one interface has it"),
        ("{interfaces: [{bridge: db}, {name: eth0, bridge: web, gateway: false}, {name: eth0, bridge: web}]}", "interfaces[2].name: interface eth0 of Container/c is claimed twice, here and in line 24"),
        ("{bridge: web, image: nginx}", "image: does not go with runtime: netns; it goes with runtime: docker or podman"),
        ("{bridge: web, runtime: docker, command: [a]}", "command: needs image; without image the container is somebody else's and is only attached"),
        ("{bridge: web, runtime: path}", "target: must be an absolute path with runtime: path; write target: /var/run/netns/NAME"),
        ("{bridge: web, runtime: path, target: ns/x}", "target: must be an absolute path with runtime: path; write target: /var/run/netns/NAME"),
        ("{bridge: web, runtime: pid}", "target: must be a process id with runtime: pid; write target: 1234"),
        ("{bridge: web, runtime: pid, target: 0}", "target: must be a process id with runtime: pid; write target: 1234"),
        ("{bridge: web, target: a/b}", 'target: "a/b" is not a name of a namespace; write a name without /, 255 bytes at most; a path goes with runtime: path'),
        ("{bridge: web, target: ..}", 'target: ".." is not a name of a namespace; write a name without /, 255 bytes at most; a path goes with runtime: path'),
        ("{bridge: web, runtime: docker, target: a}", 'target: "a" is not a name of a container; engines want two or more letters, digits, _ . or -'),
        ("{bridge: web, routes: [{to: 10.9.0.0/16}]}", "routes[0].via: is required; a Container's routes need a next hop"),
        ("{bridge: web, routes: [{to: 10.9.0.0/16, via: 'fd00::1'}]}", "routes[0].via: fd00::1 is IPv6 and 10.9.0.0/16 is IPv4; use a next hop of the same family"),
        ("{bridge: db, addresses: [auto, auto]}", "addresses[1]: auto is there twice; one auto stands for every family"),
        ("{bridge: wbe}", 'bridge: there is no Bridge "wbe"; did you mean "web"?'),
        ("{interfaces: [{bridge: web}, {bridge: dbb}]}", 'interfaces[1].bridge: there is no Bridge "dbb"; did you mean "db"?'),
        ("{bridge: web, addresses: [10.1.0.5]}", "addresses[0]: 10.1.0.5 is outside Bridge/web, which has 10.0.0.0/24"),
        ("{bridge: db, addresses: [10.0.0.5]}", "addresses[0]: 10.0.0.5 is outside Bridge/db, which has 10.1.0.0/24 and fd00:1::/64"),
        ("{bridge: web, addresses: ['fd00:1::5']}", "addresses[0]: fd00:1::5 is outside Bridge/web, which has 10.0.0.0/24"),
        ("{bridge: web, addresses: [10.0.0.5/16]}", "addresses[0]: 10.0.0.5/16 has another prefix length than Bridge/web; write 10.0.0.5, or 10.0.0.5/24"),
        ("{bridge: web, addresses: [10.0.0.0]}", "addresses[0]: 10.0.0.0 is the address of the network itself"),
        ("{bridge: web, addresses: [10.0.0.255]}", "addresses[0]: 10.0.0.255 is the broadcast address of its network"),
        ("{bridge: web, addresses: [10.0.0.1]}", "addresses[0]: 10.0.0.1 is the gateway's own address on Bridge/web"),
        ("{bridge: web, addresses: [10.0.0.5, auto]}", "addresses[1]: nothing is left for auto: every family of Bridge/web has an address here; leave auto out"),
        ("{interfaces: [{bridge: web, addresses: [10.1.0.5]}]}", "interfaces[0].addresses[0]: 10.1.0.5 is outside Bridge/web, which has 10.0.0.0/24"),
        ("{interfaces: [{bridge: inside, gateway: true}]}", "interfaces[0].gateway: Bridge/inside is internal and has no way out; leave it out"),
        ("{interfaces: [{bridge: db, mtu: 1279}]}", "interfaces[0].mtu: 1279 is too small for the IPv6 address; use 1280 or more"),
        ("{network: container:x}", 'network: there is no Container "x"'),
        ("{network: container:c}", "network: a container cannot share its own namespace"),
        ("{network: 'container:'}", 'network: "" is not a name; use a DNS label: a-z, 0-9 and -, 63 characters at most'),
        ("{bridge: web, links: [c]}", "links[0]: a container cannot link to itself"),
        ("{bridge: web, links: ['x:y']}", 'links[0]: there is no Container "x"'),
    ],
)  # fmt: skip
def test_what_does_not_go_together(spec, head):
    assert heads(spec) == [head]


def test_an_address_that_is_there_twice():
    assert heads("{bridge: web, addresses: [10.0.0.5, 10.0.0.5/24]}")[0] == (
        "addresses[1]: 10.0.0.5 is there twice; write it once"
    )


@pytest.mark.parametrize(
    "spec",
    [
        "{network: none}",
        "{network: host}",
        "{network: host, hostname: h, expose: [80], dns: [9.9.9.9]}",
        "{network: none, routes: [{to: default, via: 10.9.0.1}], sysctls: {net.ipv4.ip_forward: 1}}",
        "{bridge: docker, addresses: [172.17.0.5, auto]}",
        "{bridge: db, addresses: [10.1.0.9]}",
        "{bridge: db, addresses: ['fd00:1::5/64', auto]}",
        "{interfaces: [{bridge: web, mtu: 500}, {bridge: db, addresses: [10.1.0.5], mtu: 500}]}",
        "{bridge: web, runtime: pid, target: 1234}",
        "{bridge: web, runtime: path, target: /proc/1/ns/net}",
        "{bridge: web, runtime: podman, image: x, command: [a], env: {A: b}, restart: always, user: 0}",
        "{bridge: web, target: 'a name of its own'}",
    ],
)
def test_what_goes_together(spec):
    assert heads(spec) == []


@pytest.mark.parametrize(
    ("network", "reason", "refused"),
    [
        (
            "container:x",
            SHARED,
            (
                "interfaces bridge addresses mac hostname domainname dns dnsSearch dnsOptions extraHosts expose publish "
                "publishAll links routes sysctls"
            ),
        ),
        ("host", HOST, "interfaces bridge addresses mac publish publishAll links routes sysctls"),
        ("none", NONE, "interfaces bridge addresses mac publish publishAll links"),
    ],
)
def test_a_network_mode_refuses_what_it_has_no_use_for(network, reason, refused):
    values = {
        "interfaces": "[{bridge: web}]", "bridge": "web", "addresses": "[10.0.0.5]", "mac": "'02:00:00:00:00:01'",
        "hostname": "h", "domainname": "d", "dns": "[9.9.9.9]", "dnsSearch": "[d]", "dnsOptions": "[o]",
        "extraHosts": "{h: 10.0.0.9}", "expose": "[80]", "publish": "[80]", "publishAll": "true",
        "links": "[x]", "routes": "[{to: 10.9.0.0/16, via: 10.0.0.9}]", "sysctls": "{net.x: 1}",
    }  # fmt: skip
    other = container("{bridge: web, addresses: [10.0.0.7]}", "x")
    for field, value in values.items():
        found = [
            h
            for h in heads(f"{{network: {network}, {field}: {value}}}", other)
            if "does not go" in h
        ]

        assert found == ([f"{field}: {reason}"] if field in refused.split() else []), field


def test_namespaces_are_shared_with_their_owner_only():
    owner, member = container("{bridge: web}", "a"), container("{network: container:a}", "b")

    assert heads("{network: container:a}", owner) == []
    assert heads("{network: container:b}", owner, member) == [
        "network: Container/b has no namespace of its own: container:a; write network: container:a"
    ]
    assert heads("{network: container:a}", container("{network: host}", "a")) == [
        "network: Container/a has no namespace of its own: host; write network: host"
    ]


def test_a_cycle_of_shared_namespaces_is_reported_at_each():
    found = heads_of(
        container("{network: container:b}", "a"), container("{network: container:a}", "b")
    )

    assert found == [
        "Container/a: spec.network: Container/b has no namespace of its own: container:a",
        "Container/b: spec.network: Container/a has no namespace of its own: container:b",
    ]


def test_links_reach_containers_on_the_same_bridge():
    assert heads("{bridge: web, links: [a]}", container("{bridge: web}", "a")) == []
    assert heads("{bridge: web, links: [a]}", container("{bridge: db}", "a")) == [
        "links[0]: Container/a is on none of this one's bridges; links work between containers on one Bridge"
    ]


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ("icc: false", []),
        ("iptables: false", []),
        (
            "icc: false, iptables: false",
            [
                (
                    "Container/c: spec.links[0]: Bridge/shut has icc: false and iptables: false; "
                    "its ports are isolated in layer 2 and no rule can open them; leave out one of both"
                )
            ],
        ),
    ],
)
def test_no_link_opens_what_is_isolated_in_layer_2(switches, expected):
    shut = manifest("Bridge", "shut", f"{{addresses: [10.3.0.1/24], {switches}}}")
    a, c = container("{bridge: shut}", "a"), container("{bridge: shut, links: ['a:alias']}")

    assert heads_of(shut, a, c) == expected


def test_a_link_over_another_bridge_is_open_all_the_same():
    shut = manifest("Bridge", "shut", "{addresses: [10.3.0.1/24], icc: false, iptables: false}")
    both = "{interfaces: [{bridge: shut}, {bridge: web}]"

    assert heads_of(WEB, shut, container(both + "}", "a"), container(both + ", links: [a]}")) == []


CLASHES = [
    ("{bridge: web, addresses: [10.0.0.5]}", "{bridge: web, addresses: [10.0.0.5/24]}", "addresses[0]: address 10.0.0.5 on Bridge/web is claimed by Container/a already (web.yaml:24)"),
    ("{bridge: web, mac: '02:00:00:00:00:01'}", "{bridge: web, mac: '02-00-00-00-00-01'}", "mac: MAC 02:00:00:00:00:01 on Bridge/web is claimed by Container/a already (web.yaml:24)"),
    ("{bridge: web, target: t}", "{network: none, target: t}", "target: netns t is claimed by Container/a already (web.yaml:24)"),
    ("{bridge: web, target: c}", "{bridge: web}", "target: netns c is claimed by Container/a already (web.yaml:24)"),
    ("{bridge: web, publish: [8080:80]}", "{bridge: db, publish: [8080:81]}", "publish[0]: host port 8080/tcp is claimed by Container/a already (web.yaml:24)"),
    ("{bridge: web, publish: ['0.0.0.0:8080:80']}", "{bridge: web, publish: ['127.0.0.1:8080:80']}", "publish[0]: host port 8080/tcp is claimed by Container/a already (web.yaml:24)"),
    ("{bridge: web, publish: ['127.0.0.1:8080:80']}", "{bridge: web, publish: ['8080:80']}", "publish[0]: host port 8080/tcp is claimed by Container/a already (web.yaml:24)"),
    ("{bridge: web, publish: [8080-8090:80-90]}", "{bridge: web, publish: [1:1, 8085:80]}", "publish[1]: host port 8085/tcp is claimed by Container/a already (web.yaml:24)"),
    ("{bridge: web, publish: ['[::1]:80:80']}", "{bridge: web, publish: ['[::]:80:80']}", "publish[0]: host port 80/tcp is claimed by Container/a already (web.yaml:24)"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "head"), CLASHES)
def test_two_containers_that_claim_one_thing(first, second, head):
    assert heads(second, container(first, "a")) == [head]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            "{bridge: web, publish: ['127.0.0.1:80:80']}",
            "{bridge: web, publish: ['127.0.0.2:80:80']}",
        ),
        ("{bridge: web, publish: ['0.0.0.0:80:80']}", "{bridge: web, publish: ['[::]:80:80']}"),
        ("{bridge: web, publish: ['80:80/udp']}", "{bridge: web, publish: ['80:80']}"),
        ("{bridge: web, publish: [80]}", "{bridge: web, publish: [80]}"),
        ("{bridge: web, publish: [8000-8010:80]}", "{bridge: web, publish: [8000-8010:80]}"),
        ("{bridge: web, mac: '02:00:00:00:00:01'}", "{bridge: db, mac: '02:00:00:00:00:01'}"),
        ("{bridge: web, runtime: docker, target: tt}", "{bridge: web, target: tt}"),
        ("{network: host, target: t}", "{bridge: web, target: t}"),
    ],
)
def test_what_two_containers_can_both_have(first, second):
    assert heads(second, container(first, "a")) == []


def test_one_container_that_claims_a_port_twice():
    assert heads("{bridge: web, publish: ['80:80', '127.0.0.1:80:81']}") == [
        "publish[1]: host port 80/tcp is claimed twice, here and in line 24"
    ]


def test_a_port_without_address_is_on_the_bridges_bind_address():
    one = manifest("Bridge", "one", "{addresses: [10.5.0.1/24], bindAddress: 192.0.2.1}")
    two = manifest("Bridge", "two", "{addresses: [10.6.0.1/24], bindAddress: 192.0.2.2}")
    a, b = (
        container("{bridge: one, publish: ['80:80']}", "a"),
        container("{bridge: two, publish: ['80:80']}", "b"),
    )
    c = container("{bridge: two, publish: ['192.0.2.1:80:80']}", "c")

    assert heads_of(one, two, a, b) == []
    assert heads_of(one, two, a, c) == [
        "Container/c: spec.publish[0]: host port 80/tcp is claimed by Container/a already (web.yaml:14)"
    ]


def test_the_short_form_is_one_interface():
    spec = spec_of("{bridge: web, addresses: [10.0.0.5], mac: '02:00:00:00:00:01'}")

    (interface,) = spec.attachments
    assert (interface.name, interface.bridge, interface.mac) == ("eth0", "web", "02:00:00:00:00:01")
    assert interface.addresses == (AddressRequest(ip_address("10.0.0.5")),)
    assert (interface.mtu, interface.gateway) == (None, None)


def test_interfaces_without_name_get_the_lowest_free_one():
    spec = spec_of(
        "{interfaces: [{bridge: web}, {bridge: db, name: eth0}, {bridge: inside}, {bridge: db, name: x}]}"
    )

    assert [interface.name for interface in spec.attachments] == ["eth1", "eth0", "eth2", "x"]


@pytest.mark.parametrize("spec", ["{network: none}", "{network: host}", "{network: container:a}"])
def test_no_bridge_no_attachments(spec):
    assert spec_of(spec, container("{bridge: web}", "a")).attachments == ()


def test_the_target_is_the_name_or_what_is_written():
    assert spec_of("{network: none}").target_name == "c"
    assert spec_of("{network: none, target: t}").target_name == "t"
    assert spec_of("{network: container:a}", container("{bridge: web}", "a")).shared_with == "a"
    assert spec_of("{network: none}").shared_with is None


@pytest.mark.parametrize(
    ("addresses", "families"),
    [
        ("[]", (4, 6)),
        ("[auto]", (4, 6)),
        ("[10.1.0.5]", ()),
        ("[10.1.0.5, auto]", (6,)),
        ("['fd00:1::5', auto]", (4,)),
    ],
)
def test_the_families_of_automatic_addresses(addresses, families):
    catalog = catalog_of(DB, container(f"{{bridge: db, addresses: {addresses}}}"))
    (interface,) = catalog.resources["Container/c"].spec.attachments

    assert automatic_families(interface, find_bridge(catalog, "db")) == families


@pytest.mark.parametrize(
    ("interfaces", "name"),
    [
        ("[{bridge: web}, {bridge: db}]", "eth0"),
        ("[{bridge: inside}, {bridge: db}]", "eth1"),
        ("[{bridge: web}, {bridge: db, gateway: true}]", "eth1"),
        ("[{bridge: web, gateway: false}, {bridge: db}]", "eth1"),
        ("[{bridge: inside}]", None),
        ("[{bridge: web, gateway: false}]", None),
    ],
)
def test_the_interface_of_the_default_route(interfaces, name):
    catalog = catalog_of(WEB, DB, INSIDE, container(f"{{interfaces: {interfaces}}}"))
    found = gateway_interface(catalog, catalog.resources["Container/c"].spec)

    assert (found.name if found else None) == name
