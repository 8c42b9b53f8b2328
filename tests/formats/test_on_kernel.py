"""On the real kernel: what each request does there."""

import subprocess
from ipaddress import ip_interface
from pathlib import Path

import pytest

from reconciler.formats.address import add_address, delete_address, replace_address
from reconciler.formats.link import BridgeAttributes, PortAttributes, parse_link
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
from reconciler.formats.route import RouteSpec, add_route, delete_route, replace_route
from reconciler.host.namespaces import inside
from tests.formats.kernel import (
    BRIDGE,
    ROUTES,
    A,
    N,
    addresses,
    do,
    link,
    links,
    make_bridge,
    refused,
    routes,
    spec,
)


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
    command = "ip neigh add 10.0.0.9 lladdr 02:00:00:00:00:0d dev br0 nud permanent"
    subprocess.run(command.split(), check=True)

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


def test_a_sysctl_written_inside_stays_inside(nl, blue):
    fd, _ = blue
    name = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")

    with inside(fd):
        name.write_text("1")

    assert name.read_text() == "0\n"
