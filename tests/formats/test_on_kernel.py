"""On the real kernel: what each request does there, and that pyroute2 reads the same."""

import os
import time
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from reconciler.formats.address import (
    add_address,
    delete_address,
    dump_addresses,
    parse_address,
    replace_address,
)
from reconciler.formats.link import (
    BridgeAttributes,
    PortAttributes,
    dump_links,
    get_link,
    parse_link,
)
from reconciler.formats.link_request import (
    LinkSettings,
    create_bridge,
    create_veth,
    delete_group,
    delete_link,
    set_link,
)
from reconciler.formats.neighbour import (
    assign_nsid,
    dump_neighbours,
    get_nsid,
    parse_neighbour,
    parse_nsid,
)
from reconciler.formats.route import (
    RouteSpec,
    add_route,
    delete_route,
    dump_routes,
    parse_route,
    replace_route,
)
from reconciler.host.named_namespaces import make_namespace
from reconciler.host.namespaces import inside, open_namespace, open_socket_in
from reconciler.host.netlink_socket import NetlinkSocket


@pytest.fixture
def nl(host):
    with NetlinkSocket() as sock:
        yield sock


@pytest.fixture
def blue(host):
    """Another namespace: its descriptor and a socket in it."""
    make_namespace("blue", lambda: None, mark="test")
    fd = open_namespace("blue")
    with NetlinkSocket(open_socket_in(fd)) as sock:
        yield fd, sock
    os.close(fd)


def do(nl, *requests):
    """Send, insist that all is done, and give the last echo."""
    replies = nl.request(requests)
    assert [str(reply.refusal) for reply in replies if reply.refusal] == []
    payloads = replies[-1].payloads
    return payloads[0] if payloads else None


def refused(nl, request):
    (reply,) = nl.request([request])
    return reply.refusal and reply.refusal.name


def link(nl, name):
    answer = do(nl, get_link(name))
    return parse_link(answer, 0, len(answer))


def links(nl, **which):
    return {found.name: found for found in nl.dump(dump_links(**which), parse_link)}


def addresses(nl, **which):
    found = nl.dump(dump_addresses(**which), parse_address)
    return {str(a.interface): a for a in found}


def routes(nl, **which):
    return [r for r in nl.dump(dump_routes(**which), parse_route) if r.table != 255]


def spec(found):
    return RouteSpec(
        found.destination,
        found.gateway,
        found.oif,
        found.priority,
        found.protocol,
        found.table,
        found.source,
        onlink=bool(found.flags & 4),
        type=found.type,
    )


BRIDGE = BridgeAttributes(
    forward_delay=300,
    hello_time=150,
    max_age=1900,
    ageing_time=20000,
    stp_state=1,
    priority=9,
    nf_call_iptables=1,
    nf_call_ip6tables=0,
)


def make_bridge(nl, ifindex=100):
    do(nl, create_bridge(LinkSettings(name="br0", up=True, ifindex=ifindex)))
    return ifindex


def test_a_bridge_is_made_whole_in_one_request(nl):
    settings = LinkSettings(
        name="br0",
        up=True,
        mtu=1400,
        mac="02:00:00:00:00:0a",
        group=77,
        txqlen=500,
        ifindex=100,
    )

    echo = do(nl, create_bridge(settings, BRIDGE))

    found = link(nl, "br0")
    assert parse_link(echo, 0, len(echo)).ifindex == found.ifindex == 100
    assert (found.kind, found.up, found.mtu, found.mac) == ("bridge", True, 1400, settings.mac)
    assert (found.group, found.txqlen, found.bridge) == (77, 500, BRIDGE)


def test_an_alias_has_no_effect_when_a_link_is_made(nl):
    """Why the alias is sent by itself afterwards, and cannot be the mark of ownership."""
    do(nl, create_bridge(LinkSettings(name="br0", alias="early")))
    assert link(nl, "br0").alias == ""

    do(nl, set_link("br0", LinkSettings(alias="reconciler default Bridge/web")))
    assert link(nl, "br0").alias == "reconciler default Bridge/web"

    do(nl, set_link("br0", LinkSettings(alias="")))
    assert link(nl, "br0").alias == ""


def test_a_pair_is_made_across_namespaces_in_one_request(nl, blue):
    fd, inner = blue
    bridge = make_bridge(nl)

    echo = do(
        nl,
        create_veth(
            LinkSettings(name="v0", up=True, mtu=1400, master=bridge, group=77),
            LinkSettings(name="eth0", mtu=1400, mac="02:00:00:00:00:0b", group=5, netns_fd=fd),
        ),
    )

    ours, peer = link(nl, "v0"), link(inner, "eth0")
    assert (ours.up, ours.mtu, ours.master, ours.group) == (True, 1400, bridge, 77)
    assert (peer.up, peer.mtu, peer.mac, peer.group) == (False, 1400, "02:00:00:00:00:0b", 5)
    echoed = parse_link(echo, 0, len(echo))
    assert (echoed.ifindex, echoed.link) == (ours.ifindex, peer.ifindex)
    assert (peer.kind, peer.link, peer.link_netnsid is None) == ("veth", ours.ifindex, False)


def test_a_pair_within_one_namespace_has_no_namespace_number(nl):
    do(nl, create_veth(LinkSettings(name="v0"), LinkSettings(name="v1")))

    ours = link(nl, "v0")
    assert (ours.link, ours.link_netnsid) == (link(nl, "v1").ifindex, None)


def test_the_peer_cannot_be_up_in_the_creating_request(nl, blue):
    fd, inner = blue
    peer = LinkSettings(name="eth0", netns_fd=fd, up=True)

    assert refused(nl, create_veth(LinkSettings(name="v0"), peer)) == "ENOTCONN"
    assert "v0" not in links(nl)
    assert "eth0" not in links(inner)


def test_a_link_is_changed_while_it_is_up(nl):
    bridge = make_bridge(nl)
    do(nl, create_veth(LinkSettings(name="v0", up=True), LinkSettings(name="v1")))
    index = link(nl, "v0").ifindex

    do(
        nl,
        set_link(
            index,
            LinkSettings(
                name="w0", mtu=1300, mac="02:00:00:00:00:0c", master=bridge, group=7, txqlen=11
            ),
        ),
    )
    found = link(nl, "w0")
    assert (found.ifindex, found.up, found.mtu) == (index, True, 1300)
    assert (found.mac, found.master, found.group) == ("02:00:00:00:00:0c", bridge, 7)
    assert found.txqlen == 11

    do(nl, set_link("w0", LinkSettings(up=False, master=0)))
    found = link(nl, "w0")
    assert (found.up, found.master, found.mtu) == (False, 0, 1300)


def test_bridge_attributes_are_changed_one_by_one(nl):
    do(nl, create_bridge(LinkSettings(name="br0"), BRIDGE))

    do(nl, set_link("br0", bridge=BridgeAttributes(ageing_time=100)))

    found = link(nl, "br0").bridge
    assert found is not None
    assert (found.ageing_time, found.forward_delay) == (100, 300)


def test_port_attributes_are_set_on_a_port_and_only_there(nl):
    bridge = make_bridge(nl)
    do(nl, create_veth(LinkSettings(name="v0", master=bridge), LinkSettings(name="v1")))

    do(nl, set_link("v0", port=PortAttributes(hairpin=True, isolated=True)))

    expected = PortAttributes(hairpin=True, isolated=True, learning=True, unicast_flood=True)
    assert link(nl, "v0").port == expected
    assert link(nl, "v1").port is None
    assert refused(nl, set_link("v1", port=PortAttributes(hairpin=True))) == "EOPNOTSUPP"


def test_a_device_without_a_generated_address_gets_no_link_local_one(nl):
    """The mode comes before "up", in a request of its own: see the module's docstring."""
    do(nl, create_bridge(LinkSettings(name="br0", ifindex=100)))
    do(nl, set_link(100, LinkSettings(addr_gen_mode=1)), set_link(100, LinkSettings(up=True)))

    assert link(nl, "br0").addr_gen_mode == 1
    assert addresses(nl, ifindex=100) == {}
    early = LinkSettings(name="br1", addr_gen_mode=1)
    assert refused(nl, create_bridge(early)) == "EAFNOSUPPORT"


def test_an_end_is_moved_to_another_namespace(nl, blue):
    """It arrives down and without its addresses."""
    fd, inner = blue
    do(nl, create_veth(LinkSettings(name="v0", up=True), LinkSettings(name="v1")))
    do(nl, add_address(link(nl, "v0").ifindex, ip_interface("10.0.0.1/24")))

    do(nl, set_link("v0", LinkSettings(netns_fd=fd)))

    assert set(links(nl)) == {"lo", "v1"}
    assert not link(inner, "v0").up
    assert "10.0.0.1/24" not in addresses(inner)


def test_links_are_deleted_one_by_one_and_by_group(nl):
    for number in range(4):
        settings = LinkSettings(name=f"b{number}", ifindex=50 + number, group=number // 2 + 1)
        do(nl, create_bridge(settings))

    do(nl, delete_link(50))
    do(nl, delete_group(2))

    assert set(links(nl)) == {"lo", "b1"}


def test_the_kernel_filters_links(nl):
    bridge = make_bridge(nl)
    do(nl, create_veth(LinkSettings(name="v0", master=bridge), LinkSettings(name="v1")))

    assert set(links(nl)) == {"lo", "br0", "v0", "v1"}
    assert set(links(nl, kind="veth")) == {"v0", "v1"}
    assert set(links(nl, kind="bridge")) == {"br0"}
    assert set(links(nl, master=bridge)) == {"v0"}


@pytest.mark.parametrize("text", ["10.0.0.5/24", "10.0.0.5/32", "fd00::5/64", "fd00::5/128"])
def test_an_address_carries_our_mark_and_comes_and_goes(nl, text):
    """IFA_PROTO goes there and back for both families."""
    bridge, wanted = make_bridge(nl), ip_interface(text)

    do(nl, add_address(bridge, wanted, protocol=44))
    found = addresses(nl, ifindex=bridge)[text]
    assert (found.ifindex, found.protocol, found.interface) == (bridge, 44, wanted)
    assert refused(nl, add_address(bridge, wanted)) == "EEXIST"

    do(nl, replace_address(bridge, wanted, protocol=55))
    assert addresses(nl)[text].protocol == 55

    do(nl, delete_address(bridge, wanted))
    assert text not in addresses(nl)
    assert refused(nl, delete_address(bridge, wanted)) == "EADDRNOTAVAIL"


def test_an_ipv6_address_is_not_tentative(nl):
    bridge = make_bridge(nl)

    do(nl, add_address(bridge, ip_interface("fd00::5/64")))

    assert not addresses(nl)["fd00::5/64"].flags & 0x40


def test_the_kernel_filters_addresses(nl):
    bridge = make_bridge(nl)
    do(nl, set_link("lo", LinkSettings(up=True)))
    do(nl, add_address(bridge, ip_interface("10.0.0.5/24")))
    do(nl, add_address(bridge, ip_interface("fd00::5/64")))

    assert "127.0.0.1/8" in addresses(nl)
    assert "fd00::5/64" in addresses(nl, family=10, ifindex=bridge)
    assert set(addresses(nl, family=2, ifindex=bridge)) == {"10.0.0.5/24"}


N, A = ip_network, ip_address
ROUTES = [
    RouteSpec(N("0.0.0.0/0"), A("10.0.0.1"), 100, protocol=186),
    RouteSpec(N("10.50.0.0/16"), A("10.0.0.9"), 100, 50, 186, source=A("10.0.0.2")),
    RouteSpec(N("10.51.0.7/32"), None, 100, protocol=186),
    RouteSpec(N("10.52.0.0/16"), A("10.77.0.1"), 100, protocol=186, onlink=True),
    RouteSpec(N("10.53.0.0/16"), A("fd00::7"), 100, protocol=186),
    RouteSpec(N("10.54.0.0/16"), type=7),
    RouteSpec(N("10.55.0.0/16"), None, 100, table=1000),
    RouteSpec(N("::/0"), A("fd00::1"), 100, 1024, 186),
    RouteSpec(N("fd99::/64"), None, 100, 77, 186),
]


@pytest.fixture
def routed(nl):
    """A bridge with addresses, on which routes can be tried."""
    bridge = make_bridge(nl)
    do(nl, add_address(bridge, ip_interface("10.0.0.2/24")))
    do(nl, add_address(bridge, ip_interface("fd00::2/64")))
    return nl


@pytest.mark.parametrize("wanted", ROUTES, ids=str)
def test_a_route_comes_and_goes(routed, wanted):
    do(routed, add_route(wanted))
    assert wanted in [spec(found) for found in routes(routed)]
    assert refused(routed, add_route(wanted)) == "EEXIST"

    do(routed, delete_route(wanted))
    assert wanted not in [spec(found) for found in routes(routed)]
    assert refused(routed, delete_route(wanted)) == "ESRCH"


def test_a_route_of_another_owner_is_not_deleted(routed):
    """The protocol is part of what a deletion says."""
    ours = RouteSpec(N("10.51.0.0/16"), A("10.0.0.1"), 100, protocol=186)
    theirs = RouteSpec(N("10.51.0.0/16"), A("10.0.0.1"), 100, protocol=3)
    do(routed, add_route(theirs))

    assert refused(routed, delete_route(ours)) == "ESRCH"
    assert theirs in [spec(found) for found in routes(routed)]


def test_a_route_is_replaced_in_place(routed):
    do(routed, add_route(RouteSpec(N("10.51.0.0/16"), A("10.0.0.1"), 100, protocol=3)))
    wanted = RouteSpec(N("10.51.0.0/16"), A("10.0.0.7"), 100, protocol=186)

    do(routed, replace_route(wanted))

    assert [spec(r) for r in routes(routed) if r.destination == wanted.destination] == [wanted]


def test_the_kernel_filters_routes_of_both_families(routed):
    do(routed, *[add_route(route) for route in ROUTES])

    assert {r.family for r in routes(routed)} == {2, 10}
    assert {r.table for r in routes(routed, table=254)} == {254}
    assert {r.table for r in routes(routed, family=2, table=1000)} == {1000}
    assert {(r.family, r.protocol) for r in routes(routed, protocol=186)} == {(2, 186), (10, 186)}


def test_a_neighbour_is_listed(routed):
    os.system("ip neigh add 10.0.0.9 lladdr 02:00:00:00:00:0d dev br0 nud permanent")  # noqa: S605, S607

    (found,) = [
        n
        for n in routed.dump(dump_neighbours(ifindex=100), parse_neighbour)
        if n.address == A("10.0.0.9")
    ]
    assert (found.ifindex, found.mac, found.state) == (100, "02:00:00:00:00:0d", 128)
    assert routed.dump(dump_neighbours(family=10, ifindex=1), parse_neighbour) == []


def test_a_namespace_gets_a_number(nl, blue):
    fd, _ = blue

    def number():
        answer = do(nl, get_nsid(fd))
        return parse_nsid(answer, 0, len(answer))

    assert number() is None
    do(nl, assign_nsid(fd))
    assert number() == 0
    assert refused(nl, assign_nsid(fd)) == "EEXIST"


def theirs_link(message):
    attributes = dict(message["attrs"])
    info = attributes.get("IFLA_LINKINFO")
    return (
        message["index"],
        message["flags"],
        attributes["IFLA_IFNAME"],
        attributes["IFLA_MTU"],
        attributes.get("IFLA_ADDRESS", ""),
        attributes.get("IFLA_MASTER", 0),
        attributes.get("IFLA_LINK", 0),
        attributes.get("IFLA_LINK_NETNSID"),
        (info.get_attr("IFLA_INFO_KIND") or "") if info else "",
        attributes.get("IFLA_IFALIAS", ""),
        attributes["IFLA_GROUP"],
        attributes["IFLA_TXQLEN"],
        attributes["IFLA_OPERSTATE"],
    )


def theirs_details(message):
    info = message.get_attr("IFLA_LINKINFO")
    bridge = port = None
    if info and info.get_attr("IFLA_INFO_KIND") == "bridge":
        data = info.get_attr("IFLA_INFO_DATA")
        names = (f for f in BridgeAttributes.__slots__)
        bridge = BridgeAttributes(*(data.get_attr(f"IFLA_BR_{name.upper()}") for name in names))
    if info and info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge":
        data = info.get_attr("IFLA_INFO_SLAVE_DATA")
        names = ("MODE", "ISOLATED", "LEARNING", "UNICAST_FLOOD")
        port = PortAttributes(*(bool(data.get_attr(f"IFLA_BRPORT_{name}")) for name in names))
    return bridge, port, message.get_attr("IFLA_AF_SPEC").get_attr("AF_INET6")


def ours_link(m):
    first = (m.ifindex, m.flags, m.name, m.mtu, m.mac, m.master, m.link, m.link_netnsid)
    states = ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP")
    return (*first, m.kind, m.alias, m.group, m.txqlen, states[m.operstate])


def test_pyroute2_reads_the_same(routed, blue):
    """Links with all their details, addresses and routes, ours and the kernel's own."""
    fd, _ = blue
    pairs = [
        create_veth(
            LinkSettings(name=f"v{n}", up=True, master=100, group=n),
            LinkSettings(name=f"eth{n}", netns_fd=fd if n % 2 else None),
        )
        for n in range(6)
    ]
    do(routed, *pairs, create_bridge(LinkSettings(name="br1"), BRIDGE))
    do(routed, set_link("v1", LinkSettings(alias="reconciler default Container/web1")))
    do(routed, set_link("v2", port=PortAttributes(hairpin=True, isolated=True)))
    do(routed, set_link("v3", LinkSettings(addr_gen_mode=1)))
    do(routed, set_link("eth0", LinkSettings(up=True)), set_link("lo", LinkSettings(up=True)))
    do(routed, *[add_route(route) for route in ROUTES])
    do(routed, add_address(100, ip_interface("10.3.0.1/31"), protocol=44))
    deadline = time.monotonic() + 5
    while any(a.flags & 0x40 for a in addresses(routed).values()):  # until nothing moves any more
        assert time.monotonic() < deadline

    found = links(routed)
    with IPRoute(ext_ack=True, strict_check=True) as ipr:
        their_links = list(ipr.get_links())
        their_addresses = list(ipr.get_addr())
        their_routes = [*ipr.get_routes(family=2), *ipr.get_routes(family=10)]

    assert [ours_link(m) for m in found.values()] == [theirs_link(m) for m in their_links]
    for message in their_links:
        ours = found[message.get_attr("IFLA_IFNAME")]
        bridge, port, inet6 = theirs_details(message)
        mode = inet6 and inet6.get_attr("IFLA_INET6_ADDR_GEN_MODE")
        assert (ours.bridge, ours.port, ours.addr_gen_mode) == (bridge, port, mode)
    assert [
        (a.ifindex, str(a.interface), a.flags, a.protocol, a.scope, a.label)
        for a in routed.dump(dump_addresses(), parse_address)
    ] == [theirs_address(m) for m in their_addresses]
    ours = sorted(
        (r.family, str(r.destination), str(r.gateway), r.oif, r.table, r.protocol, r.scope)
        + (r.type, r.priority, str(r.source), r.flags)
        for r in routed.dump(dump_routes(), parse_route)
    )
    assert ours == sorted(theirs_route(m) for m in their_routes)
    assert len(ours) > 25


def theirs_address(m):
    address = m.get_attr("IFA_LOCAL") or m.get_attr("IFA_ADDRESS")
    return (
        m["index"],
        str(ip_interface(f"{address}/{m['prefixlen']}")),
        m.get_attr("IFA_FLAGS"),
        m.get_attr("IFA_PROTO") or 0,
        m["scope"],
        m.get_attr("IFA_LABEL") or "",
    )


def theirs_route(m):
    everywhere = "0.0.0.0" if m["family"] == 2 else "::"  # noqa: S104
    via = m.get_attr("RTA_VIA")
    return (
        m["family"],
        f"{m.get_attr('RTA_DST') or everywhere}/{m['dst_len']}",
        str(m.get_attr("RTA_GATEWAY") or (via and via["addr"])),
        m.get_attr("RTA_OIF") or 0,
        m.get_attr("RTA_TABLE"),
        m["proto"],
        m["scope"],
        m["type"],
        m.get_attr("RTA_PRIORITY") or 0,
        str(m.get_attr("RTA_PREFSRC")),
        m["flags"],
    )


def test_the_kernel_takes_the_addresses_of_ipv6_with_the_device(routed):
    """What a fake host has to imitate when a device goes down and up again."""
    do(routed, add_route(ROUTES[0]), add_route(ROUTES[7]))

    do(routed, set_link(100, LinkSettings(up=False)))
    assert set(addresses(routed, ifindex=100)) == {"10.0.0.2/24"}
    assert routes(routed) == []

    do(routed, set_link(100, LinkSettings(up=True)))
    assert "fd00::2/64" not in addresses(routed)
    assert [str(r.destination) for r in routes(routed, family=2)] == ["10.0.0.0/24"]


def test_the_kernel_takes_what_depends_on_an_ipv4_address_with_it(routed):
    """Secondary addresses of the subnet, and routes that prefer the address as their source."""
    do(routed, add_address(100, ip_interface("10.0.0.3/24")))
    do(routed, *[add_route(route) for route in ROUTES[:4]])

    do(routed, delete_address(100, ip_interface("10.0.0.2/24")))

    assert set(addresses(routed, family=2, ifindex=100)) == set()
    assert {str(r.destination) for r in routes(routed, family=2)} == {
        "0.0.0.0/0",
        "10.51.0.7/32",
        "10.52.0.0/16",
    } - (
        {"0.0.0.0/0", "10.51.0.7/32", "10.52.0.0/16"} if not addresses(routed, family=2) else set()
    )


@pytest.mark.parametrize("how", ["mtu", "sysctl"])
def test_the_kernel_takes_ipv6_from_a_device(routed, blue, how):
    """With an MTU below 1280, or with disable_ipv6."""
    do(routed, add_route(ROUTES[7]), add_route(ROUTES[0]))

    if how == "mtu":
        do(routed, set_link(100, LinkSettings(mtu=1200)))
    else:
        Path("/proc/sys/net/ipv6/conf/br0/disable_ipv6").write_text("1")

    assert addresses(routed, family=10, ifindex=100) == {}
    assert {r.family for r in routes(routed)} == {2}
    assert len(routes(routed, family=2)) == 2
    if how == "sysctl":
        assert refused(routed, add_address(100, ip_interface("fd00::2/64"))) == "EACCES"


def test_the_ports_of_a_bridge_survive_it(nl):
    bridge = make_bridge(nl)
    do(nl, create_veth(LinkSettings(name="v0", up=True, master=bridge), LinkSettings(name="v1")))

    do(nl, delete_link(bridge))

    assert (link(nl, "v0").master, link(nl, "v0").up) == (0, True)


def test_a_device_is_renamed_while_it_is_up_and_keeps_all(routed):
    do(routed, *[add_route(route) for route in ROUTES])
    before = addresses(routed).keys(), [spec(r) for r in routes(routed)]

    do(routed, set_link(100, LinkSettings(name="web")))

    assert (addresses(routed).keys(), [spec(r) for r in routes(routed)]) == before
    assert link(routed, "web").up


def test_a_sysctl_written_inside_stays_inside(nl, blue):
    fd, _ = blue
    name = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")

    with inside(fd):
        name.write_text("1")

    assert name.read_text() == "0\n"
