"""Cascades: what the kernel takes away by itself, which a fake host has to imitate."""

from ipaddress import ip_interface
from pathlib import Path

import pytest

from reconciler.formats.address import add_address, delete_address
from reconciler.formats.link_request import LinkSettings, create_veth, delete_link, set_link
from reconciler.formats.route import add_route
from tests.formats.kernel import ROUTES, addresses, do, link, make_bridge, refused, routes, spec


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
    """Secondary addresses of its subnet, and routes that prefer it as their source; no others."""
    do(routed, add_address(100, ip_interface("10.0.0.3/24")))
    do(routed, add_address(100, ip_interface("10.1.0.1/32")))
    do(routed, *[add_route(route) for route in ROUTES[:4]])

    do(routed, delete_address(100, ip_interface("10.0.0.2/24")))

    assert set(addresses(routed, family=2, ifindex=100)) == {"10.1.0.1/32"}
    left = {str(r.destination) for r in routes(routed, family=2)}
    assert left == {"0.0.0.0/0", "10.51.0.7/32", "10.52.0.0/16"}


def test_with_the_last_ipv4_address_the_kernel_takes_all_routes_of_the_device(routed):
    do(routed, *[add_route(route) for route in ROUTES[:5]], add_route(ROUTES[5]))

    do(routed, delete_address(100, ip_interface("10.0.0.2/24")))

    assert [str(r.destination) for r in routes(routed, family=2)] == ["10.54.0.0/16"]


def test_with_an_ipv6_address_only_the_route_of_its_prefix_goes(routed):
    do(routed, add_route(ROUTES[7]), add_route(ROUTES[8]))

    do(routed, delete_address(100, ip_interface("fd00::2/64")))

    destinations = {str(r.destination) for r in routes(routed, family=10)}
    assert destinations >= {"::/0", "fd99::/64"}
    assert "fd00::/64" not in destinations


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
