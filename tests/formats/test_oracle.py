"""pyroute2 as the oracle: both must read the same links, addresses and routes."""

import time
from ipaddress import ip_interface

from pyroute2 import IPRoute

from reconciler.formats.address import add_address, dump_addresses, parse_address
from reconciler.formats.link import BridgeAttributes, PortAttributes
from reconciler.formats.link_request import LinkSettings, create_bridge, create_veth, set_link
from reconciler.formats.route import add_route, dump_routes, parse_route
from tests.formats.kernel import BRIDGE, ROUTES, addresses, do, links


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
        (
            *(r.family, str(r.destination), str(r.gateway), r.oif, r.table, r.protocol),
            *(r.scope, r.type, r.priority, str(r.source), r.flags),
        )
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
    everywhere = "0.0.0.0" if m["family"] == 2 else "::"
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
