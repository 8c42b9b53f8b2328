"""Policy: what may be done about a change, what waits for what, and the reason that is given."""

from ipaddress import ip_interface, ip_network

import pytest

from reconciler.core.diff import Action, Difference, diff
from reconciler.core.object import HOST, Key, Owner
from reconciler.core.policy import Decision, Policy, decide
from reconciler.core.state import State
from reconciler.objects import (
    Address,
    BridgeDevice,
    FirewallChain,
    Namespace,
    OtherDevice,
    Route,
    Sysctl,
    Veth,
)
from reconciler.objects.keys import device_key
from reconciler.objects.rule import make_rule

BR, C1, C2 = (Owner("default", name) for name in ("Bridge/br", "Container/c1", "Container/c2"))
OTHER = Owner("two", "Bridge/theirs")
SHARED = Owner("default", "Host/firewall")

BRIDGE = BridgeDevice(HOST, "br", mtu=1500, up=True)
GATEWAY = Address(HOST, "br", ip_interface("10.1.0.1/24"))
SPACE = Namespace("c1", loopback=True)
PAIR = Veth(HOST, "v1", "c1", "eth0", master="br", up=True)
FOUR = Address("c1", "eth0", ip_interface("10.1.0.2/24"))
WAY = Route("c1", ip_network("10.9.0.0/16"), "eth0", after=(FOUR.key,))
CHAIN = FirewallChain(4, "filter", "RC-IN-br")
TO_CHAIN = make_rule(
    (4, "filter", "RC-IN"), ("-j", "RC-IN-br"), ("default", "Bridge/br"), order=(0,)
)
WALL = make_rule((4, "filter", "RC-IN-br"), ("-j", "DROP"), ("default", "Bridge/br"), order=(0,))
IN = FirewallChain(4, "filter", "RC-IN")

SITE = [
    (BRIDGE, BR), (GATEWAY, BR), (SPACE, C1), (PAIR, C1), (FOUR, C1), (WAY, C1),
]  # fmt: skip
WALLS = [(IN, SHARED), (CHAIN, SHARED), (TO_CHAIN, BR), (WALL, BR)]


def without(entries, *items):
    gone = {item.key for item in items}
    return [(item, owner) for item, owner in entries if item.key not in gone]


def instead(entries, item, owner=None, name=None):
    """The entries with another object in the place of the one with its key, or *name*'s."""
    key = name.key if name is not None else item.key
    return [(item, owner or o) if i.key == key else (i, o) for i, o in entries]


def decided(desired, observed, **policy) -> Decision:
    wanted, there = State.of(desired), State.of(observed)
    return decide(diff(wanted, there, "default"), wanted, there, Policy(**policy))


def told(decision: Decision) -> dict[str, str]:
    return {str(c.key): f"{c.action}: {c.reason}" for c in decision.changes}


def withheld(decision: Decision) -> list[str]:
    return sorted(f"{c.action} {c.key}" for c in decision.withheld)


def test_what_is_as_declared_is_no_change():
    assert decided(SITE, SITE) == Decision((), ())


def test_nothing_there_is_made_and_everything_undeclared_goes():
    made, gone = decided(SITE, []), decided([], SITE)

    assert {c.action for c in made.changes} == {Action.CREATE}
    assert {c.action for c in gone.changes} == {Action.DELETE}
    assert len(made.changes) == len(gone.changes) == len(SITE)
    assert [c.key for c in made.changes] == sorted(c.key for c in made.changes)
    assert made.withheld == gone.withheld == ()


# --------------------------------------------------------------------------- in the way

STRANGER = OtherDevice("c1", "eth0", kind="tun")


@pytest.mark.parametrize(
    ("owner", "reason"),
    [
        (None, "device/br is there and does not carry our mark; --adopt takes it over"),
        (OTHER, "device/br belongs to set two (Bridge/theirs); --adopt takes it over"),
    ],
)
def test_what_is_foreign_and_in_the_way_is_blocked(owner, reason):
    found = decided([(BRIDGE, BR), (GATEWAY, BR)], [(BRIDGE, owner)])

    assert told(found) == {
        "device/br": f"blocked: {reason}",
        "address/br/10.1.0.1/24": "blocked: needs device/br, which is blocked",
    }


@pytest.mark.parametrize(("owner", "before"), [(None, None), (OTHER, "Bridge/theirs of set two")])
def test_adopt_takes_it_over_and_says_whose_it_was(owner, before):
    found = decided([(BRIDGE, BR)], [(BRIDGE, owner)], adopt=True)

    (change,) = found.changes
    assert (change.action, change.reason) == (Action.UPDATE, "adopted")
    assert change.differences == (Difference("owner", before, "Bridge/br"),)


def test_a_stranger_under_the_other_ends_name_blocks_the_pair():
    there = [(BRIDGE, BR), (GATEWAY, BR), (SPACE, C1), (STRANGER, None)]

    assert told(decided(SITE, there)) == {
        "device/v1": "blocked: device/c1:eth0 is there and does not carry our mark; --adopt takes it over",
        "address/c1:eth0/10.1.0.2/24": "blocked: needs device/v1, which is blocked",
        "route/c1:10.9.0.0/16": "blocked: needs device/v1, which is blocked",
    }


def test_adopt_moves_a_stranger_out_of_the_way():
    there = [(BRIDGE, BR), (GATEWAY, BR), (SPACE, C1), (STRANGER, None)]

    found = told(decided(SITE, there, adopt=True))

    assert found["device/c1:eth0"] == "delete: in the way of device/v1"
    assert found["device/v1"] == "create: not on the host"


def test_what_is_ours_and_in_the_way_goes_without_asking():
    old = Veth(HOST, "old", "c1", "eth0", master="br", up=True)

    found = told(decided(SITE, instead(without(SITE, FOUR, WAY), old, C2, PAIR)))

    assert found["device/old"] == "delete: no longer declared"
    assert found["device/v1"] == "create: not on the host"


def test_what_is_external_and_missing_is_blocked():
    wanted = [(BridgeDevice(HOST, "br", external=True), BR), (SPACE, C1), (PAIR, C1)]

    assert told(decided(wanted, [(SPACE, C1)])) == {
        "device/br": "blocked: device/br is not there; it belongs to somebody else, who has to make it",
        "device/v1": "blocked: needs device/br, which is blocked",
    }


def test_a_parameter_is_set_whoever_has_set_it():
    want, have = Sysctl(HOST, "net.ipv4.ip_forward", "1"), Sysctl(HOST, "net.ipv4.ip_forward", "0")

    (change,) = decided([(want, BR)], [(have, None)]).changes

    assert (change.action, change.reason) == (Action.UPDATE, "value not as declared")


# --------------------------------------------------------------------------- what stays


def test_without_prune_what_is_undeclared_is_withheld():
    found = decided([(BRIDGE, BR), (GATEWAY, BR)], SITE, prune=False)

    assert found.changes == ()
    assert withheld(found) == [
        "delete address/c1:eth0/10.1.0.2/24", "delete device/v1", "delete netns/c1",
        "delete route/c1:10.9.0.0/16",
    ]  # fmt: skip


def keep(entries, *owners):
    return [(item, owner._replace(keep=True) if owner in owners else owner)
            for item, owner in entries]  # fmt: skip


def test_what_is_kept_stays_with_all_that_it_needs():
    """A container's bridge, and all of that: with its address and its walls."""
    there = [*keep(SITE, C1), *WALLS]

    found = decided([], there)

    assert found.changes == ()
    assert len(found.withheld) == len(there)


def test_what_a_kept_resource_does_not_need_goes():
    stray = [(Namespace("c2", loopback=True), C2), (BridgeDevice(HOST, "other"), C2)]

    found = decided([], [*keep(SITE, C1), *stray])

    assert [str(c.key) for c in found.changes] == ["device/other", "netns/c2"]


def test_a_kept_bridge_does_not_keep_its_containers():
    found = decided([], keep(SITE, BR))

    assert {str(c.owner) for c in found.changes} == {"Container/c1"}
    assert {str(c.owner) for c in found.withheld} == {"Bridge/br"}


def test_only_parts_of_a_kept_resource_may_carry_the_mark():
    """A rule cannot say it; that any of its resource does is enough."""
    there = [(IN, SHARED), (BRIDGE, BR._replace(keep=True)), (TO_CHAIN, BR), (CHAIN, SHARED)]

    assert decided([], there).changes == ()


def test_a_teardown_takes_what_is_kept():
    assert len(decided([], keep(SITE, C1, BR), keep=False).changes) == len(SITE)


def test_a_kept_resource_that_is_declared_loses_what_it_no_longer_wants():
    kept = keep(SITE, C1)

    found = decided(without(kept, WAY), kept, declared=frozenset({"Container/c1"}))

    assert told(found) == {"route/c1:10.9.0.0/16": "delete: no longer declared"}


def test_what_is_suspended_is_left_as_it_is():
    changed = BridgeDevice(HOST, "br", mtu=9000, up=True)
    wanted = without(instead(SITE, changed), GATEWAY)

    found = decided(wanted, without(SITE, WAY), suspended=frozenset({"Bridge/br"}))

    assert told(found) == {"route/c1:10.9.0.0/16": "create: not on the host"}
    assert withheld(found) == ["delete address/br/10.1.0.1/24", "update device/br"]


def test_who_needs_something_suspended_that_is_not_there_waits():
    found = decided(SITE, [], suspended=frozenset({"Bridge/br"}))

    assert told(found) == {
        "netns/c1": "create: not on the host",
        "device/v1": "blocked: needs device/br, and Bridge/br is suspended",
        "address/c1:eth0/10.1.0.2/24": "blocked: needs device/v1, which is blocked",
        "route/c1:10.9.0.0/16": "blocked: needs device/v1, which is blocked",
    }


# --------------------------------------------------------------------------- successors that wait


def test_a_device_whose_successor_is_blocked_goes_on_serving():
    """With all that is on it, and the walls about it."""
    renamed = BridgeDevice(HOST, "lan", mtu=1500, up=True)
    chain = FirewallChain(4, "filter", "RC-IN-lan")
    to_chain = make_rule(
        (4, "filter", "RC-IN"), ("-j", "RC-IN-lan"), ("default", "Bridge/br"), order=(0,)
    )
    wanted = [
        (renamed, BR), (Address(HOST, "lan", GATEWAY.interface), BR), (SPACE, C1),
        (Veth(HOST, "v1", "c1", "eth0", master="lan", up=True), C1), (FOUR, C1), (WAY, C1),
        (IN, SHARED), (chain, BR), (to_chain, BR),
    ]  # fmt: skip
    there = [*SITE, *WALLS, (OtherDevice(HOST, "lan"), None)]

    found = told(decided(wanted, there))

    waits = "is left until device/lan can be, which is blocked"
    assert found["device/br"] == f"blocked: {waits}"
    assert found["address/br/10.1.0.1/24"] == f"blocked: {waits}"
    assert found[str(TO_CHAIN.key)] == f"blocked: {waits}"
    assert found[str(to_chain.key)] == "blocked: is about device/lan, which is blocked"
    assert found["chain/filter/RC-IN-br"].startswith("blocked: is needed by rule/filter/")
    assert found["device/v1"] == "blocked: needs device/lan, which is blocked"
    assert {text.partition(":")[0] for text in found.values()} == {"blocked", "create"}
    assert [key for key, text in found.items() if text.startswith("create")] == [
        "chain/filter/RC-IN-lan"
    ]


def test_what_makes_room_goes_although_another_device_of_its_resource_waits():
    old = Veth(HOST, "v1", "c1", "eth0", master="br", up=True)
    new = Veth(HOST, "w1", "c1", "eth0", master="br", up=True)
    wait = Veth(HOST, "w2", "c1", "lan0", master="br", up=True)
    base = [(BRIDGE, BR), (GATEWAY, BR), (SPACE, C1)]

    found = told(
        decided([*base, (new, C1), (wait, C1)],
                [*base, (old, C1), (OtherDevice("c1", "lan0"), None)])
    )  # fmt: skip

    assert found["device/v1"] == "delete: no longer declared"
    assert found["device/w1"] == "create: not on the host"
    assert found["device/w2"].startswith("blocked: ")


def test_a_bridge_that_is_handed_over_stays_until_the_other_is_there():
    theirs = (BridgeDevice(HOST, "theirs", external=True), BR)

    found = told(decided([theirs], [(BRIDGE, BR), (GATEWAY, BR)]))

    waits = "blocked: is left until device/theirs can be, which is blocked"
    assert (found["device/br"], found["address/br/10.1.0.1/24"]) == (waits, waits)
    gone = told(decided([theirs], [(BRIDGE, BR), (BridgeDevice(HOST, "theirs"), None)]))
    assert gone == {"device/br": "delete: no longer declared"}


def test_a_missing_port_does_not_hold_what_is_no_successor_of_it():
    port = (OtherDevice(HOST, "up0", external=True), BR)
    renamed = (BridgeDevice(HOST, "lan", mtu=1500, up=True), BR)

    found = told(decided([port, renamed], [(BRIDGE, BR)]))

    assert found["device/br"] == "delete: no longer declared"
    assert found["device/lan"] == "create: not on the host"


# --------------------------------------------------------------------------- consequences

ELSEWHERE = Veth(HOST, "v1", "c2", "eth0", master="br", up=True)


def test_what_lives_on_something_that_is_replaced_goes_with_it():
    """And what of its contents would be changed anyway is made anew, not changed."""
    wanted = SITE
    there = instead(SITE, ELSEWHERE)
    there = instead(there, Address("c2", "eth0", FOUR.interface), name=FOUR)
    there = [*without(there, WAY), (Namespace("c2", loopback=True), C2)]

    found = told(decided(wanted, there))

    assert found["device/v1"] == "replace: peer_netns cannot change in place"
    assert found["route/c1:10.9.0.0/16"] == "create: not on the host"
    assert found["address/c1:eth0/10.1.0.2/24"] == "create: not on the host"


def test_ports_of_a_bridge_that_is_made_anew_are_set_again():
    """A stranger's device of another type by its name is replaced, with consent."""
    there = instead(without(SITE, GATEWAY), OtherDevice(HOST, "br", kind="tun"), OTHER, BRIDGE)

    found = decided(SITE, there, adopt=True)

    assert told(found)["device/br"] == "replace: adopted"
    (port,) = [c for c in found.changes if c.key == PAIR.key]
    assert (port.action, port.reason) == (Action.UPDATE, "device/br is made again")
    assert port.differences == (Difference("master", None, "br"),)


def test_children_of_a_replaced_namespace_come_back():
    """A mount point without its mount: what is in it, is in another namespace now."""
    there = instead(SITE, Namespace("c1", loopback=False, mounted=False))
    there = without(there, PAIR, FOUR, WAY)

    found = told(decided(SITE, there))

    assert found["netns/c1"] == "replace: mounted cannot change in place"
    assert found["device/v1"] == "create: not on the host"


def test_the_decision_does_not_depend_on_the_order_of_the_changes():
    wanted, there = State.of(SITE), State.of(instead(without(SITE, FOUR), ELSEWHERE))
    changes = diff(wanted, there, "default")

    forwards, backwards = (decide(c, wanted, there) for c in (changes, tuple(reversed(changes))))

    assert forwards == backwards
    assert isinstance(forwards.changes[0].key, Key)
    assert device_key(HOST, "v1") in {change.key for change in forwards.changes}
