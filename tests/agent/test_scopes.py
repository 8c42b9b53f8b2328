"""Where to look: after an operation on any object, and after any news of the kernel."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network

import pytest

from reconciler.agent.scopes import culprit_of, scope_heard, scope_of, scope_of_object, told
from reconciler.core.drift import Culprit
from reconciler.core.object import Owner
from reconciler.core.plan import Operation, Verb
from reconciler.host.base import NOWHERE, Scope
from reconciler.host.monitor import Heard
from reconciler.objects import (
    OBJECTS,
    Address,
    BridgeDevice,
    Directory,
    File,
    FirewallChain,
    FirewallJump,
    FirewallRule,
    Listener,
    Namespace,
    OtherDevice,
    Port,
    Qdisc,
    Route,
    Sysctl,
    Veth,
)
from reconciler.objects.qdisc import token_bucket

WEB = Owner("default", "Bridge/web")
IP = Culprit(4711, "ip")
HERE = frozenset({""})


def names(*found: str) -> frozenset[str]:
    return frozenset(found)


BRIDGE = BridgeDevice("", "br0")
PAIR = Veth("", "v1", "c1", "eth0", master="br0")
CABLE = Veth("c1", "x0", "c2", "y0")
INNER = Address("c1", "eth0", ip_interface("10.1.0.2/24"))
GATEWAY = Address("", "br0", ip_interface("10.1.0.1/24"))
RULE = FirewallRule(4, "filter", "RC-OUT", "#abc")
RULE6 = FirewallRule(6, "filter", "RC-OUT", "#abc")

WHERE = [
    (Namespace("c1"), Scope(spaces=True, namespaces=names("c1"))),
    (BRIDGE, Scope(names=names("br0"), sysctls=HERE)),
    (PAIR, Scope(names=names("v1", "br0"), namespaces=names("c1"), sysctls=names("", "c1"))),
    (CABLE, Scope(namespaces=names("c1", "c2"), sysctls=names("c1", "c2"))),
    (Veth("", "v1", None, None), Scope(names=names("v1"), sysctls=HERE)),
    (OtherDevice("", "tun0"), Scope(names=names("tun0"), sysctls=HERE)),
    (INNER, Scope(namespaces=names("c1"))),
    (GATEWAY, Scope(names=names("br0"))),
    (Route("c1", ip_network("0.0.0.0/0"), "eth0"), Scope(namespaces=names("c1"))),
    (Route("", ip_network("10.9.0.0/16"), "br0"), Scope(names=names("br0"))),
    (Sysctl("", "net.ipv4.ip_forward", "1"), Scope(sysctls=HERE)),
    (
        Sysctl("c1", "net.ipv6.conf.all.disable_ipv6", "1"),
        Scope(sysctls=names("c1"), namespaces=names("c1")),
    ),
    (Directory("/etc/netns/c1"), Scope(folders=names("/etc/netns/c1"))),
    (File("/etc/netns/c1", "hosts"), Scope(folders=names("/etc/netns/c1"))),
    (Port("", "tun0", "br0"), Scope(names=names("tun0", "br0"))),
    (token_bucket("c1", "eth0", 1_000_000, 1500), Scope(namespaces=names("c1"))),
    (token_bucket("", "br0", 1_000_000, 1500), Scope(names=names("br0"))),
    (FirewallChain(4, "filter", "RC-OUT"), Scope(families=frozenset({4}))),
    (FirewallChain(6, "nat", "RC-OUT"), Scope(families=frozenset({6}))),
    (RULE, Scope(families=frozenset({4}))),
    (RULE6, Scope(families=frozenset({6}))),
    (FirewallJump(6, "raw", "PREROUTING", "#abc"), Scope(families=frozenset({6}))),
]


def test_every_type_of_object_that_is_written_has_its_place():
    assert {type(item) for item, _ in WHERE} == {*OBJECTS} - {Listener}


@pytest.mark.parametrize(("item", "scope"), WHERE, ids=lambda x: str(getattr(x, "key", "")))
def test_an_object_is_looked_at_where_it_is(item, scope):
    assert scope_of_object(item) == scope


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("item", [item for item, _ in WHERE], ids=lambda item: str(item.key))
def test_every_operation_on_an_object_leads_to_it(item, verb):
    assert scope_of([Operation(verb, item, WEB)]) == scope_of_object(item)


def test_an_update_leads_to_where_the_object_was_too():
    before, after = Veth("", "v1", "c1", "wan0", master="br9"), PAIR
    operation = Operation(Verb.SET, after, WEB, before=before)

    assert scope_of([operation]).names == {"v1", "br0", "br9"}


def test_several_operations_lead_to_all_their_places():
    found = scope_of(Operation(Verb.ADD, item, WEB) for item in (GATEWAY, INNER, RULE))

    assert found == Scope(names=names("br0"), namespaces=names("c1"), families=frozenset({4}))
    assert scope_of([]) == NOWHERE


# --------------------------------------------------------------------------- what the kernel told


def test_what_was_told_is_looked_at():
    heard = Heard(
        places={("", 7): IP, ("c1", 0): None},
        devices_changed={"c1"},
        families={6: None},
        spaces=True,
    )

    assert scope_heard(heard) == Scope(
        spaces=True,
        devices=frozenset({7}),
        namespaces=names("c1"),
        families=frozenset({6}),
        sysctls=names("c1"),
    )
    assert scope_heard(Heard()) == NOWHERE


def test_after_an_overrun_everything_is_looked_at():
    assert scope_heard(Heard(places={("", 7): IP}, overrun=True)) == Scope(everything=True)


@pytest.mark.parametrize(
    ("item", "heard", "announced"),
    [
        (INNER, Heard(places={("c1", 0): IP}), True),
        (INNER, Heard(places={("c2", 0): IP}), False),
        (GATEWAY, Heard(places={("", 7): IP}), True),
        (GATEWAY, Heard(places={("c1", 0): IP}), False),
        (PAIR, Heard(places={("c1", 0): IP}), True),
        (PAIR, Heard(places={("", 7): IP}), True),
        (INNER, Heard(spaces=True), True),
        (Namespace("c1"), Heard(spaces=True), True),
        (Namespace("c1"), Heard(places={("c1", 0): None}), True),
        (Namespace("c1"), Heard(places={("", 7): IP}), False),
        (RULE, Heard(families={4: IP}), True),
        (RULE6, Heard(families={4: IP}), False),
        (RULE, Heard(places={("", 7): IP}, spaces=True), False),
        (Sysctl("c1", "net.ipv4.ip_forward", "1"), Heard(places={("c1", 0): IP}), False),
        (Sysctl("c1", "net.ipv4.ip_forward", "1"), Heard(spaces=True), False),
        (File("/etc/netns/c1", "hosts"), Heard(places={("", 7): IP}, spaces=True), False),
        (INNER, Heard(), False),
    ],
)
def test_what_was_heard_announces_what_is_where_it_was_heard(item, heard, announced):
    assert told(item, heard) is announced


# --------------------------------------------------------------------------- who did it


def nowhere(name: str) -> int:
    return 0


def test_who_changed_something_in_a_namespace_may_have_changed_what_is_there():
    heard = Heard(places={("c1", 0): IP})

    assert culprit_of(INNER, heard, nowhere) == IP
    assert culprit_of(PAIR, heard, nowhere) == IP
    assert culprit_of(CABLE, heard, nowhere) == IP
    assert culprit_of(GATEWAY, heard, nowhere) is None


def test_a_device_of_the_host_is_found_by_its_index():
    heard = Heard(places={("", 7): IP, ("", 8): Culprit(1, "other")})

    assert culprit_of(GATEWAY, heard, {"br0": 7}.__getitem__) == IP


def test_a_device_of_the_host_that_is_gone_is_found_by_the_name_that_it_had():
    heard = Heard(places={("", 7): IP}, names={"br0": IP})

    assert culprit_of(BRIDGE, heard, nowhere) == IP


def test_who_wrote_rules_of_a_family_may_have_changed_a_rule_of_it():
    heard = Heard(families={4: Culprit(99, "iptables")})

    assert culprit_of(RULE, heard, nowhere) == Culprit(99, "iptables")
    assert culprit_of(FirewallChain(4, "nat", "RC-SNAT"), heard, nowhere) is not None
    assert culprit_of(RULE6, heard, nowhere) is None


def test_nobody_is_named_for_what_nobody_told_of():
    assert culprit_of(PAIR, Heard(), nowhere) is None
    assert (
        culprit_of(File("/etc/netns/c1", "hosts"), Heard(places={("c1", 0): IP}), nowhere) is None
    )


def test_a_qdisc_is_on_a_device():
    bucket = token_bucket("", "br0", 1_000_000, 1500)
    assert isinstance(bucket, Qdisc)
    assert culprit_of(bucket, Heard(names={"br0": IP}), nowhere) == IP
