"""A kernel to try messages on: sockets, what they read, and a bridge with routes."""

from ipaddress import ip_address, ip_network

from reconciler.formats.address import dump_addresses, parse_address
from reconciler.formats.link import BridgeAttributes, dump_links, get_link, parse_link
from reconciler.formats.link_request import LinkSettings, create_bridge
from reconciler.formats.route import RouteSpec, dump_routes, parse_route


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
