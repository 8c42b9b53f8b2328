"""One contract for every host: FakeHost must refuse, cascade and complete as Linux does.

Without this suite the laws of tests/properties would hold for a kernel that does not exist.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Protocol

import pytest

from reconciler.core.diff import diff
from reconciler.core.execute import Outcome
from reconciler.core.object import KernelObject, Key, Owner
from reconciler.core.plan import Operation, Plan, Verb, make_plan
from reconciler.core.policy import decide
from reconciler.core.state import State
from reconciler.host.base import Interest
from reconciler.host.fake import FakeHost
from reconciler.host.linux import LinuxHost
from reconciler.objects import (
    Address,
    BridgeDevice,
    FirewallChain,
    FirewallJump,
    FirewallRule,
    Namespace,
    OtherDevice,
    Port,
    Qdisc,
    Route,
    Sysctl,
    Veth,
)
from reconciler.objects.firewall_observed import find_misplaced
from reconciler.objects.keys import IPV6_SWITCH, device_key, sysctl_key
from reconciler.objects.rule import SHARED_RESOURCE, make_jump, make_rule

OWNER = Owner("default", "Container/web1")

BRIDGE = BridgeDevice("", "br0", mtu=1500, up=True, mac="02:00:00:00:00:aa", stp=False)
GATEWAY = Address("", "br0", ip_interface("10.1.0.1/24"))
SPACE = Namespace("web1", loopback=True)
NO_IPV6 = Sysctl("web1", IPV6_SWITCH, "1")
PAIR = Veth(
    "",
    "rcweb1",
    "web1",
    "eth0",
    mtu=1500,
    peer_mtu=1500,
    up=True,
    peer_up=True,
    peer_mac="02:42:0a:01:00:02",
    master="br0",
)
ADDRESS = Address("web1", "eth0", ip_interface("10.1.0.2/24"))
ROUTE = Route("web1", ip_network("0.0.0.0/0"), "eth0", via=ip_address("10.1.0.1"))
WORLD = (BRIDGE, GATEWAY, SPACE, NO_IPV6, PAIR, ADDRESS, ROUTE)

INTEREST = Interest(frozenset({"web1", "web2"}), {"web1": [IPV6_SWITCH]})


class AnyHost(Protocol):
    def observe(self, interest: Interest = ...) -> State: ...
    def execute(self, plan: Plan) -> Iterator[Outcome]: ...


@pytest.fixture(params=["fake", pytest.param("linux", marks=pytest.mark.kernel)])
def kernel(request: pytest.FixtureRequest) -> Iterator[AnyHost]:
    if request.param == "fake":
        yield FakeHost()
        return
    request.getfixturevalue("host")
    linux = LinuxHost()
    yield linux
    linux.close()


def add(kernel: AnyHost, *items: KernelObject) -> None:
    for item in items:
        assert attempt(kernel, Verb.ADD, item) is None, item


def attempt(kernel: AnyHost, verb: Verb, item: KernelObject) -> str | None:
    (outcome,) = kernel.execute(Plan((Operation(verb, item, OWNER),)))
    return outcome.error


def change(kernel: AnyHost, item: KernelObject, **fields: object) -> str | None:
    """Change fields as a plan would: by the difference to what is observed."""
    before = kernel.observe(INTEREST).objects[item.key]
    after = replace(before, **fields)  # type: ignore[type-var]
    differences = diff(State.of([(after, OWNER)]), State.of([(before, OWNER)]))[0].differences
    operation = Operation(Verb.SET, after, OWNER, differences, before)
    (outcome,) = kernel.execute(Plan((operation,)))
    return outcome.error


def keys(kernel: AnyHost) -> set[Key]:
    return set(kernel.observe(INTEREST).owners)


def test_what_is_added_is_observed_as_wanted_and_as_ours(kernel: AnyHost):
    add(kernel, *WORLD)

    observed = kernel.observe(INTEREST)

    desired = State.of((item, OWNER) for item in WORLD)
    assert diff(desired, observed) == ()
    assert {observed.owners[i.key] for i in WORLD if not isinstance(i, Sysctl)} == {OWNER}


def test_what_is_there_cannot_be_added_again(kernel: AnyHost):
    add(kernel, *WORLD)

    for item in (BRIDGE, SPACE, PAIR):
        error = attempt(kernel, Verb.ADD, item)
        assert error is not None
        assert "exists" in error.lower()


def test_a_name_that_the_other_end_of_a_pair_has_is_taken(kernel: AnyHost):
    add(kernel, *WORLD)

    error = attempt(kernel, Verb.ADD, replace(PAIR, name="rcother"))

    assert error is not None
    assert "EEXIST" in error


@pytest.mark.parametrize(
    ("there", "item"),
    [
        ((), GATEWAY),
        ((), NO_IPV6),
        ((BRIDGE,), PAIR),
        ((SPACE,), PAIR),
        ((SPACE,), ADDRESS),
        ((BRIDGE, SPACE, PAIR), ROUTE),
        ((BRIDGE, SPACE, replace(PAIR, peer_up=False), ADDRESS), ROUTE),
        (
            (BRIDGE, SPACE, NO_IPV6, PAIR),
            Address("web1", "eth0", ip_interface("fd00::2/64")),
        ),
    ],
    ids=[
        "address without device",
        "sysctl without namespace",
        "pair without namespace",
        "pair without bridge",
        "address without pair",
        "route without address",
        "route on a device that is down",
        "IPv6 address where IPv6 is off",
    ],
)
def test_what_needs_something_that_is_missing_is_refused(
    kernel: AnyHost, there: tuple[KernelObject, ...], item: KernelObject
):
    add(kernel, *there)

    assert attempt(kernel, Verb.ADD, item) is not None


def test_a_device_that_is_no_bridge_takes_no_ports(kernel: AnyHost):
    add(kernel, SPACE, replace(PAIR, master=None))

    error = attempt(kernel, Verb.ADD, replace(PAIR, name="x0", peer_name="x1", master=PAIR.name))

    assert error is not None


@pytest.mark.parametrize(
    ("item", "fields"),
    [
        (BRIDGE, {"mtu": 1400}),
        (BRIDGE, {"up": False}),
        (BRIDGE, {"mac": "02:00:00:00:00:ab"}),
        (BRIDGE, {"stp": True, "forward_delay": 200}),
        (BRIDGE, {"ageing_time": 1000}),
        (PAIR, {"mtu": 1400}),
        (PAIR, {"peer_mtu": 1400}),
        (PAIR, {"mac": "02:00:00:00:00:ac", "peer_mac": "02:00:00:00:00:ad"}),
        (PAIR, {"master": ""}),
        (PAIR, {"up": False}),
        (PAIR, {"peer_name": "lan0"}),
        (SPACE, {"loopback": False}),
        (NO_IPV6, {"value": "0"}),
    ],
)
def test_a_field_that_is_changed_is_observed_so(
    kernel: AnyHost, item: KernelObject, fields: dict[str, object]
):
    add(kernel, BRIDGE, SPACE, NO_IPV6, PAIR)

    assert change(kernel, item, **fields) is None

    found = kernel.observe(INTEREST).objects[item.key]
    assert {name: getattr(found, name) for name in fields} == fields


def test_addresses_and_routes_follow_a_renamed_device(kernel: AnyHost):
    add(kernel, *WORLD)

    assert change(kernel, PAIR, peer_name="lan0") is None

    assert replace(ADDRESS, device="lan0").key in keys(kernel)
    found = kernel.observe(INTEREST).objects[ROUTE.key]
    assert found == replace(ROUTE, device="lan0", direct=False)


def test_routes_die_with_a_device_that_goes_down_and_addresses_stay(kernel: AnyHost):
    add(kernel, *WORLD)

    assert change(kernel, PAIR, peer_up=False) is None

    assert ROUTE.key not in keys(kernel)
    assert ADDRESS.key in keys(kernel)


def test_a_device_that_goes_down_loses_its_ipv6_addresses_and_keeps_those_of_ipv4(
    kernel: AnyHost,
):
    six = Address("web1", "eth0", ip_interface("fd00::2/64"))
    add(kernel, BRIDGE, SPACE, replace(NO_IPV6, value="0"), PAIR, ADDRESS, six)

    assert change(kernel, PAIR, peer_up=False) is None
    assert change(kernel, PAIR, peer_up=True) is None

    assert six.key not in keys(kernel)
    assert ADDRESS.key in keys(kernel)


def test_an_mtu_below_1280_ends_ipv6_on_the_device(kernel: AnyHost):
    six = Address("web1", "eth0", ip_interface("fd00::2/64"))
    add(kernel, BRIDGE, SPACE, replace(NO_IPV6, value="0"), PAIR, ADDRESS, six)

    assert change(kernel, PAIR, peer_mtu=1200) is None

    assert six.key not in keys(kernel)
    assert ADDRESS.key in keys(kernel)


def test_a_deleted_pair_takes_both_ends_addresses_and_routes_along(kernel: AnyHost):
    add(kernel, *WORLD)

    assert attempt(kernel, Verb.DELETE, PAIR) is None

    assert keys(kernel) == {BRIDGE.key, GATEWAY.key, SPACE.key}


def test_ports_survive_their_bridge_and_lose_their_master(kernel: AnyHost):
    add(kernel, *WORLD)

    assert attempt(kernel, Verb.DELETE, BRIDGE) is None

    found = kernel.observe(INTEREST).objects[PAIR.key]
    assert isinstance(found, Veth)
    assert found.master == ""
    assert GATEWAY.key not in keys(kernel)
    assert ROUTE.key in keys(kernel)


def test_the_last_ipv4_address_takes_the_routes_along(kernel: AnyHost):
    add(kernel, *WORLD)

    assert attempt(kernel, Verb.DELETE, ADDRESS) is None

    assert ROUTE.key not in keys(kernel)


def test_an_address_of_the_same_subnet_outlives_the_one_before_it(kernel: AnyHost):
    add(kernel, *WORLD)
    second = Address("web1", "eth0", ip_interface("10.1.0.3/24"))
    add(kernel, second)

    assert attempt(kernel, Verb.DELETE, ADDRESS) is None

    assert {second.key, ROUTE.key} <= keys(kernel)
    assert ADDRESS.key not in keys(kernel)


def test_switching_ipv6_off_takes_its_addresses(kernel: AnyHost):
    six = Address("web1", "eth0", ip_interface("fd00::2/64"))
    add(kernel, BRIDGE, SPACE, replace(NO_IPV6, value="0"), PAIR, six)

    assert change(kernel, NO_IPV6, value="1") is None

    assert six.key not in keys(kernel)


@pytest.mark.parametrize("item", [BRIDGE, PAIR, ADDRESS, ROUTE, GATEWAY], ids=lambda i: i.key.type)
def test_deleting_what_is_gone_is_no_error(kernel: AnyHost, item: KernelObject):
    add(kernel, *WORLD)
    assert attempt(kernel, Verb.DELETE, item) is None

    assert attempt(kernel, Verb.DELETE, item) is None


def test_many_devices_go_in_one_run_of_deletes(kernel: AnyHost):
    pairs = [replace(PAIR, name=f"rc{n}", peer_name=f"eth{n}", peer_mac=None) for n in range(20)]
    add(kernel, BRIDGE, SPACE, *pairs)

    plan = Plan(tuple(Operation(Verb.DELETE, pair, OWNER) for pair in pairs))
    outcomes = list(kernel.execute(plan))

    assert [o.error for o in outcomes] == [None] * 20
    assert keys(kernel) == {BRIDGE.key, SPACE.key}


def test_a_pair_between_two_namespaces_is_seen_from_either(kernel: AnyHost):
    pair = Veth("web1", "to2", "web2", "to1", mtu=1500, peer_mtu=1500, up=True, peer_up=True)
    add(kernel, SPACE, replace(SPACE, name="web2"), pair)

    observed = kernel.observe(INTEREST)

    assert observed.resolve(device_key("web2", "to1")) == pair.key
    assert diff(State.of([(pair, OWNER)]), State.of([(observed.objects[pair.key], OWNER)])) == ()


def test_a_moved_pair_joins_the_other_bridge_in_place(kernel: AnyHost):
    other = replace(BRIDGE, name="br1", mac="02:00:00:00:00:bb")
    add(kernel, *WORLD, other)

    assert change(kernel, PAIR, master="br1") is None

    found = kernel.observe(INTEREST).objects[PAIR.key]
    assert isinstance(found, Veth)
    assert found.master == "br1"
    assert ROUTE.key in keys(kernel)


def test_a_route_moves_to_another_device_in_place(kernel: AnyHost):
    second = replace(PAIR, name="rcweb1b", peer_name="eth1", peer_mac="02:42:0a:01:00:03")
    add(kernel, *WORLD, second, Address("web1", "eth1", ip_interface("10.1.0.3/24")))

    assert change(kernel, ROUTE, device="eth1") is None

    found = [o for o in kernel.observe(INTEREST).objects.values() if isinstance(o, Route)]
    ours = [r for r in found if r.key == ROUTE.key]
    assert [r.device for r in ours] == ["eth1"]


BUCKET = Qdisc("web1", "eth0", rate=10_000_000, burst=16_384, limit=78_884)


def test_a_token_bucket_is_observed_as_it_was_made_and_changed(kernel: AnyHost):
    add(kernel, *WORLD, BUCKET)
    assert kernel.observe(INTEREST).objects[BUCKET.key] == BUCKET
    assert kernel.observe(INTEREST).owners[BUCKET.key] == OWNER

    faster = {"rate": 100_000_000, "burst": 63_488, "limit": 688_488}
    assert change(kernel, BUCKET, **faster) is None

    assert kernel.observe(INTEREST).objects[BUCKET.key] == replace(BUCKET, **faster)


def test_a_token_bucket_takes_the_place_of_one_that_is_there(kernel: AnyHost):
    add(kernel, *WORLD, BUCKET)
    slower = replace(BUCKET, rate=1_000_000)

    add(kernel, slower)

    assert kernel.observe(INTEREST).objects[BUCKET.key] == slower


def test_a_token_bucket_goes_when_it_is_deleted_and_its_device_stays(kernel: AnyHost):
    add(kernel, *WORLD, BUCKET)

    assert attempt(kernel, Verb.DELETE, BUCKET) is None

    assert BUCKET.key not in kernel.observe(INTEREST).objects
    assert {PAIR.key, ADDRESS.key, ROUTE.key} <= keys(kernel)


def test_a_token_bucket_needs_its_device_and_dies_with_it(kernel: AnyHost):
    add(kernel, SPACE)
    assert attempt(kernel, Verb.ADD, BUCKET) is not None
    add(kernel, BRIDGE, PAIR, BUCKET)

    assert attempt(kernel, Verb.DELETE, PAIR) is None

    assert BUCKET.key not in kernel.observe(INTEREST).objects
    assert attempt(kernel, Verb.DELETE, BUCKET) is None


def test_a_token_bucket_outlives_a_device_that_goes_down_and_follows_its_name(kernel: AnyHost):
    add(kernel, BRIDGE, SPACE, PAIR, BUCKET)

    assert change(kernel, PAIR, peer_up=False) is None
    assert change(kernel, PAIR, peer_name="lan0") is None

    moved = replace(BUCKET, device="lan0")
    assert kernel.observe(INTEREST).objects[moved.key] == moved


def test_a_plan_made_from_nothing_is_accepted_and_converges(kernel: AnyHost):
    desired = State.of((item, OWNER) for item in WORLD)
    observed = kernel.observe(Interest.of(desired))
    changes = decide(diff(desired, observed), desired, observed).changes

    outcomes = list(kernel.execute(make_plan(changes, desired, observed)))

    assert [o.error for o in outcomes] == [None] * len(WORLD)
    assert diff(desired, kernel.observe(Interest.of(desired))) == ()


def test_a_sysctl_is_observed_only_on_request(kernel: AnyHost):
    add(kernel, SPACE, NO_IPV6)

    assert sysctl_key("web1", IPV6_SWITCH) not in kernel.observe(Interest()).objects


def test_a_strangers_device_is_plugged_in_and_pulled_out_and_stays_itself(kernel: AnyHost):
    place_stranger(kernel, "tun0")
    port = Port("", "tun0", "br0")
    add(kernel, BRIDGE, port)
    observed = kernel.observe(INTEREST)
    assert observed.objects[port.key] == port
    assert observed.owners[port.key].set == OWNER.set
    assert device_key("", "tun0") not in observed.owners

    assert attempt(kernel, Verb.DELETE, port) is None

    observed = kernel.observe(INTEREST)
    assert port.key not in observed.objects
    assert device_key("", "tun0") in observed.objects


def test_a_port_needs_its_device_and_its_bridge(kernel: AnyHost):
    place_stranger(kernel, "tun0")

    assert attempt(kernel, Verb.ADD, Port("", "tun0", "br0")) is not None
    add(kernel, BRIDGE)
    assert attempt(kernel, Verb.ADD, Port("", "tun1", "br0")) is not None


def test_a_port_moves_to_another_bridge_with_its_mark(kernel: AnyHost):
    place_stranger(kernel, "tun0")
    port = Port("", "tun0", "br0")
    add(kernel, BRIDGE, replace(BRIDGE, name="br1", mac="02:00:00:00:00:bb"), port)

    assert change(kernel, port, master="br1") is None

    observed = kernel.observe(INTEREST)
    assert observed.objects[port.key] == replace(port, master="br1")
    assert port.key in observed.owners


def test_what_somebody_else_plugs_in_is_not_ours(kernel: AnyHost):
    place_stranger(kernel, "tun0")
    add(kernel, BRIDGE)
    plug_by_hand(kernel, "tun0", "br0")

    observed = kernel.observe(INTEREST)

    port = Port("", "tun0", "br0")
    assert observed.objects[port.key] == port
    assert port.key not in observed.owners


def place_stranger(kernel: AnyHost, name: str) -> None:
    """Make a device that we would never make."""
    if isinstance(kernel, FakeHost):
        kernel.place(OtherDevice("", name, kind="tun", mtu=1500, up=False))
    else:
        ip("tuntap", "add", name, "mode", "tap")


def plug_by_hand(kernel: AnyHost, name: str, bridge: str) -> None:
    if isinstance(kernel, FakeHost):
        kernel.place(Port("", name, bridge))
    else:
        ip("link", "set", name, "master", bridge)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


# ---------------------------------------------------------------- the firewall

SHARED = Owner("default", SHARED_RESOURCE)
FORWARD, INTO = FirewallChain(4, "filter", "RC-FORWARD"), FirewallChain(4, "filter", "RC-IN")
HOOK = make_jump((4, "filter", "FORWARD"), ("-j", "RC-FORWARD"), (0,))
TO_INTO = make_jump((4, "filter", "RC-FORWARD"), ("-j", "RC-IN"), (1,))


def accept(number: int, chain: FirewallChain = INTO) -> FirewallRule:
    words = ("-p", "tcp", "--dport", str(number), "-j", "ACCEPT")
    place = (chain.family, chain.table, chain.name)
    return make_rule(place, words, (OWNER.set, OWNER.resource), order=(number,))


FIREWALL = (FORWARD, INTO, HOOK, TO_INTO, accept(10), accept(20), accept(30))


def firewall_state(items: Iterable[KernelObject]) -> State:
    return State.of((i, OWNER if isinstance(i, FirewallRule) else SHARED) for i in items)


def write(
    kernel: AnyHost,
    verb: Verb,
    *items: KernelObject,
    desired: Iterable[KernelObject] = (),
) -> list[str | None]:
    """Operations of one transaction; what it leads to decides the order."""
    wanted = firewall_state([*(() if verb is Verb.DELETE else items), *desired])
    operations = tuple(Operation(verb, item, wanted.owners.get(item.key, OWNER)) for item in items)
    return [outcome.error for outcome in kernel.execute(Plan(operations, wanted))]


def chain_of(kernel: AnyHost, name: str = "RC-IN") -> list[KernelObject]:
    """Its rules, in order."""
    found = kernel.observe(INTEREST).objects.values()
    rules = [o for o in found if isinstance(o, FirewallRule | FirewallJump) and o.chain == name]
    return sorted(rules, key=lambda rule: rule.order)


def identities(rules: Iterable[KernelObject]) -> list[str]:
    return [rule.identity for rule in rules]  # type: ignore[attr-defined]


def unsettled(kernel: AnyHost, items: Iterable[KernelObject]) -> list[str]:
    desired = firewall_state(items)
    observed = find_misplaced(desired, kernel.observe(Interest.of(desired)))
    return [f"{change.action} {change.key}" for change in diff(desired, observed)]


def test_a_firewall_is_observed_as_it_was_made(kernel: AnyHost):
    six = (FirewallChain(6, "filter", "RC-IN"), accept(10, FirewallChain(6, "filter", "RC-IN")))

    assert write(kernel, Verb.ADD, *FIREWALL, *six) == [None] * 9

    assert unsettled(kernel, [*FIREWALL, *six]) == []
    observed = kernel.observe(INTEREST)
    assert observed.owners[accept(10).key] == OWNER
    assert observed.owners[HOOK.key] == observed.owners[FORWARD.key] == SHARED


def test_a_rule_is_put_where_it_belongs(kernel: AnyHost):
    rules = [accept(10), accept(20), accept(30)]
    write(kernel, Verb.ADD, INTO, rules[0], rules[2])

    write(kernel, Verb.ADD, rules[1], desired=[INTO, rules[0], rules[2]])

    assert identities(chain_of(kernel)) == identities(rules)
    assert unsettled(kernel, [INTO, *rules]) == []


def test_a_rule_of_another_order_moves_there(kernel: AnyHost):
    first, second = accept(10), accept(20)
    write(kernel, Verb.ADD, INTO, first, second)
    last = replace(first, order=(99,))
    desired = firewall_state([INTO, second, last])
    observed = find_misplaced(desired, kernel.observe(Interest.of(desired)))

    (change,) = diff(desired, observed)
    list(kernel.execute(make_plan([change], desired, observed)))

    assert identities(chain_of(kernel)) == identities([second, last])


def test_a_rule_needs_its_chain_and_the_one_it_leads_to(kernel: AnyHost):
    assert write(kernel, Verb.ADD, accept(10)) != [None]
    write(kernel, Verb.ADD, FORWARD)
    assert write(kernel, Verb.ADD, TO_INTO, desired=[FORWARD]) != [None]
    assert chain_of(kernel, "RC-FORWARD") == []


def test_chains_and_rules_that_are_there_are_no_error(kernel: AnyHost):
    """Several sets want the same ones."""
    write(kernel, Verb.ADD, *FIREWALL)
    assert write(kernel, Verb.ADD, *FIREWALL) == [None] * len(FIREWALL)
    assert len(chain_of(kernel)) == 3


def test_a_deleted_rule_goes_alone_and_once(kernel: AnyHost):
    write(kernel, Verb.ADD, *FIREWALL)
    left = [item for item in FIREWALL if item is not FIREWALL[5]]

    for _ in range(2):
        assert write(kernel, Verb.DELETE, FIREWALL[5], desired=left) == [None]

    assert unsettled(kernel, left) == []


def test_a_deleted_chain_takes_its_rules_along(kernel: AnyHost):
    write(kernel, Verb.ADD, INTO, accept(10), accept(20))

    assert write(kernel, Verb.DELETE, INTO) == [None]

    assert not {INTO.key, accept(10).key} & kernel.observe(INTEREST).objects.keys()
    assert write(kernel, Verb.DELETE, INTO) == [None]


def test_a_chain_that_a_rule_leads_to_stays(kernel: AnyHost):
    write(kernel, Verb.ADD, *FIREWALL)

    (error,) = write(kernel, Verb.DELETE, INTO, desired=[FORWARD, HOOK, TO_INTO])

    assert error is not None
    assert INTO.key in kernel.observe(INTEREST).objects


def test_chains_that_lead_to_each_other_go_together(kernel: AnyHost):
    """In whichever order: all are emptied first."""
    write(kernel, Verb.ADD, *FIREWALL)

    assert write(kernel, Verb.DELETE, HOOK, INTO, FORWARD) == [None] * 3

    assert kernel.observe(INTEREST).objects.keys().isdisjoint(item.key for item in FIREWALL)


def test_a_jump_in_the_kernels_chain_comes_first_and_is_put_back_there(kernel: AnyHost):
    stand_in_the_way(kernel)
    write(kernel, Verb.ADD, FORWARD, HOOK)
    assert unsettled(kernel, [FORWARD, HOOK]) == []

    stand_in_the_way(kernel)
    desired = firewall_state([FORWARD, HOOK])
    observed = kernel.observe(Interest.of(desired))
    (change,) = diff(desired, observed)
    assert [d.field for d in change.differences] == ["misplaced"]
    list(kernel.execute(make_plan([change], desired, observed)))

    assert unsettled(kernel, [FORWARD, HOOK]) == []
    assert write(kernel, Verb.DELETE, HOOK, FORWARD) == [None, None]
    assert strangers_rules(kernel) == 2


def stand_in_the_way(kernel: AnyHost) -> None:
    """Put a stranger's rule first into the chain FORWARD."""
    if isinstance(kernel, FakeHost):
        if HOOK.key in kernel.objects:
            kernel.change(HOOK.key, misplaced=True)
    else:
        subprocess.run(["iptables", "-w", "-I", "FORWARD", "1", "-j", "ACCEPT"], check=True)


def strangers_rules(kernel: AnyHost) -> int:
    if isinstance(kernel, FakeHost):
        return 2  # it has none, and so cannot lose any
    done = subprocess.run(["iptables", "-S", "FORWARD"], check=True, capture_output=True, text=True)
    return done.stdout.count("-A FORWARD -j ACCEPT")
