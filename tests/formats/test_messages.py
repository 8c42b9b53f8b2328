"""Messages: what the requests say is what the parsers read, and the numbers are the kernel's."""

import struct
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from pyroute2.netlink import rtnl
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from reconciler.formats import address, link, neighbour, route
from reconciler.formats.address import AddressMessage, add_address, delete_address, parse_address
from reconciler.formats.link import (
    IFINFO,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    BridgeAttributes,
    LinkMessage,
    PortAttributes,
    parse_link,
    without_counters,
)
from reconciler.formats.link_request import LinkSettings, create_bridge, create_veth, set_link
from reconciler.formats.neighbour import get_nsid, parse_neighbour, parse_nsid
from reconciler.formats.netlink import (
    NetlinkFormatError,
    parse_attributes,
    render_attribute,
    render_nested,
    render_s32,
    render_text,
    render_u8,
    render_u32,
)
from reconciler.formats.route import RouteMessage, RouteSpec, add_route, delete_route, parse_route


def read(parse, body):
    return parse(body, 0, len(body))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (link, ifinfmsg),
        (address, ifaddrmsg),
        (route, rtmsg),
    ],
)
def test_attribute_numbers_are_those_of_pyroute2(ours, theirs):
    """Its tables are as independent of ours as the kernel's headers."""
    numbers = {}
    for position, entry in enumerate(theirs.nla_map):
        name, number = (entry[0], position) if isinstance(entry[0], str) else (entry[1], entry[0])
        numbers[name] = number
    names = [n for n in vars(ours) if n.startswith(theirs.prefix) and n in numbers]

    assert len(names) >= 6
    assert {n: getattr(ours, n) for n in names} == {n: numbers[n] for n in names}


def test_message_types_are_those_of_pyroute2():
    types = {n: v for m in (link, address, route, neighbour) for n, v in vars(m).items()}
    types = {n: v for n, v in types.items() if n.startswith("RTM_")}

    assert types == {name: getattr(rtnl, name) for name in types}


def test_a_bridge_request_says_all_at_once():
    settings = LinkSettings(
        name="web", up=True, mtu=1400, mac="02:00:00:00:00:0a", group=77, txqlen=9, ifindex=100
    )
    attributes = BridgeAttributes(forward_delay=1500, stp_state=1, priority=9, nf_call_iptables=1)

    request = create_bridge(settings, attributes)

    message = read(parse_link, request.body)
    assert message.bridge == attributes
    assert message == LinkMessage(
        ifindex=100,
        flags=1,
        name="web",
        mtu=1400,
        mac="02:00:00:00:00:0a",
        master=0,
        link=0,
        link_netnsid=None,
        kind="bridge",
        alias="",
        group=77,
        operstate=0,
        txqlen=9,
        af_spec=b"",
        info_data=message.info_data,
        port_data=b"",
    )


def test_a_veth_request_has_its_peer_inside():
    request = create_veth(
        LinkSettings(name="v0", up=True, master=4),
        LinkSettings(name="eth0", netns_fd=33, mac="02:00:00:00:00:0b"),
    )

    message = read(parse_link, request.body)
    peer = parse_attributes(message.info_data, 0, len(message.info_data), {1})[1]
    assert (message.name, message.kind, message.master, message.up) == ("v0", "veth", 4, True)
    assert read(parse_link, peer)[2:5] == ("eth0", 0, "02:00:00:00:00:0b")
    assert parse_attributes(peer, 16, len(peer), {28}) == {28: struct.pack("=I", 33)}


def test_what_is_not_set_is_not_said():
    """An unchanged device keeps its flags: the change mask is empty."""
    assert set_link(5).body == struct.pack("=BxHiII", 0, 0, 5, 0, 0)
    assert set_link(5, LinkSettings(up=False)).body == struct.pack("=BxHiII", 0, 0, 5, 0, 1)


def test_a_device_is_not_renamed_by_its_name():
    """The kernel would look the new name up, and change whoever has it already."""
    with pytest.raises(ValueError, match="v0 has to be renamed by its index"):
        set_link("v0", LinkSettings(name="v1"))


def test_an_empty_alias_is_sent_as_nothing_at_all():
    """One NUL would be an alias of one byte to the kernel."""
    assert set_link(5, LinkSettings(alias="")).body[16:] == struct.pack("=HH", 4, 20)


def test_port_attributes_are_read_back():
    wanted = PortAttributes(hairpin=True, isolated=False, learning=True)
    body = set_link("v0", port=wanted).body

    assert read(parse_link, body).port == wanted


def test_the_data_of_other_masters_is_not_a_port_of_a_bridge():
    info = [render_text(4, "bond"), render_nested(5, [render_u8(4, 1)])]
    body = struct.pack("=BxHiII", 0, 1, 5, 0, 0) + render_text(3, "e") + render_nested(18, info)

    assert read(parse_link, body).port is None


def test_a_link_in_an_unknown_namespace_is_minus_one():
    body = struct.pack("=BxHiII", 0, 1, 5, 0, 0) + render_text(3, "e")

    assert read(parse_link, body).link_netnsid is None
    assert read(parse_link, body + render_s32(37, -1)).link_netnsid == -1


def test_the_address_generation_mode_is_read_back():
    body = set_link("v0", LinkSettings(addr_gen_mode=1)).body

    assert read(parse_link, body).addr_gen_mode == 1
    assert read(parse_link, set_link("v0").body).addr_gen_mode is None


@pytest.mark.parametrize(
    ("text", "broadcast"),
    [
        ("10.0.0.5/24", ip_address("10.0.0.255")),
        ("10.0.0.5/30", ip_address("10.0.0.7")),
        ("10.0.0.5/31", None),
        ("10.0.0.5/32", None),
        ("fd00::5/64", None),
    ],
)
def test_an_address_request_is_read_back(text, broadcast):
    """IPv4 networks with room for a broadcast address get one, as ip-address(8) gives with brd +."""
    wanted = ip_interface(text)

    body = add_address(3, wanted, protocol=44).body

    message = read(parse_address, body)
    sent = parse_attributes(body, 8, len(body), {4}).get(4)
    assert message.interface == wanted
    assert (message.ifindex, message.protocol, message.scope) == (3, 44, 0)
    assert sent == (broadcast.packed if broadcast else None)


def test_an_ipv6_address_is_usable_at_once_unless_asked_otherwise():
    def flags(**options):
        return read(parse_address, add_address(3, ip_interface("fd00::5/64"), **options).body).flags

    assert flags() == 2
    assert flags(nodad=False) == 0


def test_a_loopback_address_stays_on_the_host():
    assert read(parse_address, add_address(1, ip_interface("127.0.0.2/8")).body).scope == 254


def test_of_a_point_to_point_address_our_side_is_read():
    header = struct.pack("=BBBBI", 2, 32, 0x80, 0, 3)
    body = header + render_attribute(1, b"\x0a\0\0\2") + render_attribute(2, b"\x0a\0\0\1")

    assert read(parse_address, body).interface == ip_interface("10.0.0.1/32")


def test_an_address_is_deleted_by_itself_alone():
    body = delete_address(3, ip_interface("fd00::5/64")).body

    assert read(parse_address, body) == AddressMessage(
        3, 10, ip_address("fd00::5").packed, 64, 0, 0, 0, ""
    )


def test_long_flags_replace_the_short_ones():
    header = struct.pack("=BBBBI", 2, 24, 0x80, 0, 3)
    body = header + render_attribute(1, b"\x0a\0\0\2") + render_u32(8, 0x480)

    assert read(parse_address, body).flags == 0x480


ROUTES = [
    RouteSpec(ip_network("0.0.0.0/0"), ip_address("10.0.0.1"), oif=3, protocol=186),
    RouteSpec(ip_network("::/0"), ip_address("fd00::1"), oif=3, metric=50),
    RouteSpec(ip_network("10.9.0.0/16"), oif=3, table=1000, source=ip_address("10.0.0.2")),
    RouteSpec(ip_network("10.9.0.0/16"), ip_address("fd00::1"), oif=3),
    RouteSpec(ip_network("10.9.0.7/32"), ip_address("10.0.0.1"), onlink=True),
    RouteSpec(ip_network("10.9.0.0/16"), type=7),
]


@pytest.mark.parametrize("wanted", ROUTES, ids=str)
def test_a_route_request_is_read_back(wanted):
    message = read(parse_route, add_route(wanted).body)

    read_back = RouteSpec(
        destination=message.destination,
        gateway=message.gateway,
        oif=message.oif,
        metric=message.priority,
        protocol=message.protocol,
        table=message.table,
        source=message.source,
        onlink=message.flags == 4,
        type=message.type,
    )
    assert read_back == wanted
    assert not message.multipath


def test_only_an_ipv4_route_without_a_gateway_has_the_scope_of_the_link():
    scopes = [read(parse_route, add_route(wanted).body).scope for wanted in ROUTES]

    assert scopes == [0, 0, 253, 0, 0, 0]


def test_a_route_is_deleted_whatever_its_scope():
    assert read(parse_route, delete_route(ROUTES[0]).body).scope == 255


@pytest.mark.parametrize("kind", [9, 30])
def test_several_next_hops_are_noticed(kind):
    """RTA_MULTIPATH, and a next-hop object (RTA_NH_ID)."""
    body = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + render_u32(kind, 0)

    message: RouteMessage | None = read(parse_route, body)
    assert message is not None
    assert message.multipath
    assert message.destination == ip_network("0.0.0.0/0")


@pytest.mark.parametrize(
    ("parse", "body"),
    [
        (parse_address, struct.pack("=BBBBI", 45, 0, 0, 0, 3)),
        (parse_route, struct.pack("=BBBBBBBBI", 128, 0, 0, 0, 254, 4, 0, 1, 0)),
        (parse_neighbour, struct.pack("=BxHiHBB", 7, 0, 3, 2, 0, 0)),
    ],
)
def test_other_families_are_nobody_of_ours(parse, body):
    """A dump of all families has MCTP addresses, multicast routes and forwarding entries in it."""
    assert read(parse, body) is None


@pytest.mark.parametrize(
    ("parse", "body"),
    [
        (parse_link, b"\0" * 16),
        (parse_link, b"\0" * 15),
        (parse_link, b"\0" * 16 + render_text(3, "e") + render_u8(4, 1)),
        (parse_address, struct.pack("=BBBBI", 2, 24, 0, 0, 3)),
        (parse_address, struct.pack("=BBBBI", 2, 24, 0, 0, 3) + render_attribute(1, b"12345")),
        (parse_address, struct.pack("=BBBBI", 2, 33, 0, 0, 3) + render_attribute(1, b"1234")),
        (parse_route, struct.pack("=BBBBBBBBI", 2, 33, 0, 0, 254, 4, 0, 1, 0)),
        (parse_route, struct.pack("=BBBBBBBBI", 10, 0, 0, 0, 0, 4, 0, 1, 0) + render_u32(1, 1)),
        (parse_route, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 0, 4, 0, 1, 0) + render_u8(5, 1)),
        (parse_neighbour, struct.pack("=BxHiHBB", 2, 0, 3, 2, 0, 0)),
        (parse_nsid, b"\0" * 4 + render_u8(1, 1)),
    ],
)
def test_a_message_of_the_wrong_shape_is_refused(parse, body):
    with pytest.raises(NetlinkFormatError):
        read(parse, body)


def test_a_neighbour_is_read():
    attributes = render_attribute(1, b"\x0a\0\0\2") + render_attribute(2, b"\2\0\0\0\0\x0a")
    body = struct.pack("=BxHiHBB", 2, 0, 3, 128, 0, 1) + attributes + render_u8(12, 44)

    assert read(parse_neighbour, body) == (
        3,
        ip_address("10.0.0.2"),
        "02:00:00:00:00:0a",
        128,
        0,
        44,
    )


def test_a_namespace_without_a_number_has_none():
    assert read(parse_nsid, b"\0" * 4 + render_s32(1, -1)) is None
    assert read(parse_nsid, b"\0" * 4 + render_s32(1, 3)) == 3
    assert get_nsid(9).body == b"\0" * 4 + render_u32(3, 9)


def test_what_packets_change_is_left_out_of_a_link_and_nothing_else():
    head = IFINFO.pack(0, 1, 2, 0, 0)
    name, alias = render_text(IFLA_IFNAME, "eth0"), render_text(IFLA_IFALIAS, "words")
    counters = [render_attribute(kind, bytes(size)) for kind, size in ((23, 200), (7, 96))]

    found = without_counters(head + name + b"".join(counters) + alias)

    assert found == head + name + alias
    assert without_counters(found) == found
