"""Stale flows: those that have lost their way, and no other."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest

from reconciler.core.object import KernelObject, Owner
from reconciler.core.plan import Operation, Verb
from reconciler.core.state import State
from reconciler.formats.conntrack import Flow, Tuple
from reconciler.objects import Address, FirewallRule, Namespace, Veth
from reconciler.objects.flows import Translation, find_stale_flows, parse_translation
from reconciler.objects.rule import make_rule

OWNER = Owner("default", "Container/web")
HOST, CLIENT, SERVER = "203.0.113.2", "203.0.113.9", "10.0.0.2"
TCP, UDP = 6, 17


def published(
    port: int = 8080, target: str = SERVER, host: str = "", protocol: str = "udp", to: int = 53
) -> FirewallRule:
    where = f"-d {host} " if host else ""
    at = f"[{target}]" if ":" in target else target
    words = f"{where}-p {protocol} --dport {port} -j DNAT --to-destination {at}:{to}"
    family = 6 if ":" in target else 4
    return make_rule((family, "nat", "RC-X"), tuple(words.split()), ("default", "C/w"), order=(1,))


def flow(
    *,
    to: str = HOST,
    port: int = 8080,
    served: str = SERVER,
    by: int = 53,
    protocol: int = UDP,
    client: str = CLIENT,
) -> Flow:
    """From a client to a port of the host, answered by somebody."""
    there, back = ip_address(client), ip_address(client)
    original = Tuple(there, ip_address(to), protocol, 40000, port)
    reply = Tuple(ip_address(served), back, protocol, by, 40000)
    return Flow(10 if ":" in to else 2, original, reply, b"")


def done(*steps: tuple[Verb, KernelObject]) -> list[Operation]:
    return [Operation(verb, item, OWNER) for verb, item in steps]


def seen(*items: KernelObject) -> State:
    return State.of((item, OWNER) for item in items)


UPLINK = Address("", "eth0", ip_interface(f"{HOST}/24"))
INSIDE = Address("web", "eth0", ip_interface(f"{SERVER}/24"))
PAIR = Veth("", "rcweb", "web", "eth0")


# ---------------------------------------------------------------- a published port goes


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
def test_the_flows_of_a_port_that_goes_are_stale(protocol: str):
    number = {"tcp": 6, "udp": 17, "sctp": 132}[protocol]
    stale = find_stale_flows(done((Verb.DELETE, published(protocol=protocol))))

    assert stale.has(flow(protocol=number))
    assert not stale.has(flow(protocol=number, port=8081))
    assert not stale.has(flow(protocol=number, served="10.0.0.3"))
    assert not stale.has(flow(protocol=number, by=54))
    assert not stale.has(flow(protocol=1))


def test_a_port_that_was_bound_to_one_address_leaves_the_flows_of_the_others():
    """One port of the host may lead to one container by two addresses."""
    stale = find_stale_flows(done((Verb.DELETE, published(host="127.0.0.1"))))

    assert stale.has(flow(to="127.0.0.1"))
    assert not stale.has(flow(to=HOST))


def test_a_port_that_is_bound_otherwise_keeps_the_flows_that_it_still_leads():
    anywhere, here = published(), published(host=HOST)
    narrower = find_stale_flows(done((Verb.DELETE, anywhere), (Verb.ADD, here)))
    wider = find_stale_flows(done((Verb.DELETE, here), (Verb.ADD, anywhere)))

    assert [narrower.has(flow(to=to)) for to in (HOST, "127.0.0.1")] == [False, True]
    assert [wider.has(flow(to=to)) for to in (HOST, "127.0.0.1")] == [False, False]


def test_a_rule_that_is_only_moved_or_written_anew_leaves_its_flows():
    rule = published()
    assert not find_stale_flows(done((Verb.DELETE, rule), (Verb.ADD, rule))).has(flow())
    assert not find_stale_flows(done((Verb.SET, rule))).has(flow())


def test_a_port_that_leads_elsewhere_now_has_lost_its_old_flows():
    """Else a client that goes on sending would never reach the new container."""
    steps = done((Verb.DELETE, published()), (Verb.ADD, published(target="10.0.0.3")))
    stale = find_stale_flows(steps, seen(UPLINK))

    assert stale.has(flow())
    assert not stale.has(flow(served="10.0.0.3"))


def test_rules_that_translate_nothing_say_nothing():
    wall = make_rule((4, "filter", "RC-X"), ("-j", "DROP"), ("default", "C/w"), order=(1,))
    other = make_rule((4, "nat", "RC-SNAT"), ("-j", "MASQUERADE"), ("default", "C/w"), order=(1,))
    assert not find_stale_flows(done((Verb.DELETE, wall), (Verb.DELETE, other)))


# ---------------------------------------------------------------- a container goes


def test_all_flows_of_an_address_that_goes_are_stale():
    stale = find_stale_flows(done((Verb.DELETE, INSIDE)), seen(UPLINK, INSIDE))

    assert stale.has(flow())  # to it, by the host
    assert stale.has(flow(to=SERVER))  # straight at it
    assert stale.has(flow(client=SERVER, to="192.0.2.1", served="192.0.2.1"))  # from it
    assert not stale.has(flow(served="10.0.0.3"))


@pytest.mark.parametrize("item", [PAIR, Namespace("web")], ids=["device", "namespace"])
def test_an_address_goes_with_its_device_and_with_its_namespace(item: KernelObject):
    """The kernel takes it along: there is no operation for it."""
    other = Address("db", "eth0", ip_interface("10.0.0.3/24"))
    there = seen(UPLINK, INSIDE, other, PAIR, Namespace("web"), Namespace("db"))
    stale = find_stale_flows(done((Verb.DELETE, item)), there)

    assert stale.has(flow())
    assert not stale.has(flow(served="10.0.0.3"))


def test_an_address_that_comes_back_at_once_keeps_its_flows():
    """A pair that is made again, with what was on it."""
    there = seen(INSIDE, PAIR, Namespace("web"))
    steps = done((Verb.DELETE, PAIR), (Verb.ADD, PAIR), (Verb.ADD, INSIDE))
    assert not find_stale_flows(steps, there).has(flow())


def test_an_address_that_another_container_gets_has_lost_its_flows():
    heir = Address("other", "eth0", INSIDE.interface)
    steps = done((Verb.DELETE, INSIDE), (Verb.ADD, heir))
    assert find_stale_flows(steps, seen(INSIDE)).has(flow())


def test_an_address_of_the_host_that_goes_is_no_containers():
    gateway = Address("", "br0", ip_interface("10.0.0.1/24"))
    stale = find_stale_flows(done((Verb.DELETE, gateway)), seen(gateway))
    assert not stale
    assert not stale.has(flow(to="10.0.0.1", served="10.0.0.1"))


# ---------------------------------------------------------------- a UDP port comes


def test_a_new_udp_port_takes_over_what_went_to_the_host_itself():
    stale = find_stale_flows(done((Verb.ADD, published())), seen(UPLINK))
    to_host = flow(served=HOST, by=8080)

    assert stale.has(to_host)
    assert stale.has(flow(to="127.0.0.1", served="127.0.0.1", by=8080))
    assert not stale.has(flow(port=8081, served=HOST, by=8081))
    assert not stale.has(flow())  # it goes the new way already


def test_a_new_udp_port_takes_nothing_that_passes_by():
    """A container that asks a name server outside, when port 53 is published here."""
    stale = find_stale_flows(done((Verb.ADD, published(53))), seen(UPLINK))
    assert not stale.has(flow(to="192.0.2.53", port=53, served="192.0.2.53", client=SERVER))


def test_a_new_udp_port_of_one_address_takes_over_that_ones_flows():
    second = Address("", "eth0", ip_interface("203.0.113.3/24"))
    stale = find_stale_flows(done((Verb.ADD, published(host=HOST))), seen(UPLINK, second))

    assert stale.has(flow(served=HOST, by=8080))
    assert not stale.has(flow(to="203.0.113.3", served="203.0.113.3", by=8080))


def test_a_new_udp_port_of_one_family_leaves_the_other():
    six = Address("", "eth0", ip_interface("2001:db8::1/64"))
    to_host = flow(to="2001:db8::1", served="2001:db8::1", by=8080, client="2001:db8::9")
    steps = [published(), published(target="fd00::2")]

    assert not find_stale_flows(done((Verb.ADD, steps[0])), seen(six)).has(to_host)
    assert find_stale_flows(done((Verb.ADD, steps[1])), seen(six)).has(to_host)


def test_a_new_tcp_port_cuts_no_connection():
    stale = find_stale_flows(done((Verb.ADD, published(protocol="tcp"))), seen(UPLINK))
    assert not stale
    assert not stale.has(flow(protocol=TCP, served=HOST, by=8080))


def test_where_nothing_was_done_no_flow_is_stale():
    assert not find_stale_flows([], seen(UPLINK, INSIDE))
    assert not find_stale_flows(done((Verb.ADD, INSIDE)), seen(UPLINK))


# ---------------------------------------------------------------- what a rule says

MARK = '-m comment --comment "reconciler default Container/web 8080->53/udp #q5eqnr2cmlxvzu4a"'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "-p udp --dport 8080 -j DNAT --to-destination 10.0.0.2:53",
            Translation(UDP, 8080, ip_address("10.0.0.2"), 53),
        ),
        (
            f"-p udp -m udp --dport 8080 {MARK} -j DNAT --to-destination 10.0.0.2:53",
            Translation(UDP, 8080, ip_address("10.0.0.2"), 53),
        ),
        (
            f"-d 127.0.0.1/32 -p tcp {MARK} -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:80",
            Translation(TCP, 80, ip_address("10.0.0.2"), 80, ip_address("127.0.0.1")),
        ),
        (
            (
                "-d 2001:db8::1/128 ! -s fe80::/10 -p sctp --dport 1 -j DNAT "
                "--to-destination [fd00::2]:65535"
            ),
            Translation(132, 1, ip_address("fd00::2"), 65535, ip_address("2001:db8::1")),
        ),
        ("-j MASQUERADE", None),
        ("-p udp --dport 1:5 -j DNAT --to-destination 10.0.0.2:53", None),
        ("-p tcp --dport 80 -j DNAT --to-destination 10.0.0.2", None),
        ("-p tcp --dport 80 -j DNAT --to-destination 10.0.0.2-10.0.0.9:80", None),
        ("-p tcp --dport 80 -j DNAT --to-destination 1.2.3.4.5:80", None),
        ("-p icmp -j DNAT --to-destination 10.0.0.2:80", None),
    ],
)
def test_a_rule_is_read_as_it_is_written_and_as_it_is_saved(text, found):
    assert parse_translation(text) == found
