"""Which addresses are announced: what moved, and not what is new."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface

from reconciler.core.diff import Difference
from reconciler.core.object import KernelObject, Owner
from reconciler.core.plan import Operation, Plan, Verb
from reconciler.core.state import State
from reconciler.objects import Address, BridgeDevice, Namespace, Veth
from reconciler.objects.announcements import announcements

OWNER = Owner("default", "Container/c1")
BRIDGE = BridgeDevice("", "br0", mac="02:00:00:00:00:aa")
GATEWAY = Address("", "br0", ip_interface("10.1.0.1/24"))
PAIR = Veth("", "v1", "c1", "eth0", peer_mac="02:00:00:00:00:01", master="br0")
FOUR = Address("c1", "eth0", ip_interface("10.1.0.2/24"))
SIX = Address("c1", "eth0", ip_interface("fd00:1::2/64"))
OTHER_PAIR = Veth("", "v2", "c2", "eth0", master="br0")
BUILT = (BRIDGE, GATEWAY, Namespace("c1"), PAIR, FOUR, SIX)


def add(*items: KernelObject) -> list[Operation]:
    return [Operation(Verb.ADD, item, OWNER) for item in items]


def delete(*items: KernelObject) -> list[Operation]:
    return [Operation(Verb.DELETE, item, OWNER) for item in items]


def change(before: KernelObject, **fields: object) -> list[Operation]:
    found = tuple(Difference(name, getattr(before, name), new) for name, new in fields.items())
    after = replace(before, **fields)  # type: ignore[type-var]
    return [Operation(Verb.SET, after, OWNER, found, before=before)]


def told(operations: list[Operation], *observed: KernelObject) -> list[str]:
    """What is announced, as NAMESPACE:DEVICE ADDRESS; a new device has a plus."""
    found = announcements(Plan(tuple(operations)), State.of((item, OWNER) for item in observed))
    return [f"{a.netns}:{a.device} {a.interface.ip}{'+' if a.fresh else ''}" for a in found]


def test_what_is_new_is_not_announced():
    assert told(add(*BUILT)) == []
    assert told(add(Namespace("c2"), OTHER_PAIR, replace(FOUR, netns="c2")), BRIDGE, GATEWAY) == []


def test_an_address_that_comes_to_an_old_device_is_announced():
    assert told(add(FOUR, SIX), BRIDGE, PAIR) == ["c1:eth0 10.1.0.2", "c1:eth0 fd00:1::2"]


def test_an_address_that_was_elsewhere_is_announced_on_a_new_device():
    moved = replace(FOUR, netns="c2")

    operations = [*add(Namespace("c2"), OTHER_PAIR, moved), *delete(PAIR, Namespace("c1"))]

    assert told(operations, *BUILT) == ["c2:eth0 10.1.0.2+"]


def test_the_prefix_does_not_count():
    moved = Address("c2", "eth0", ip_interface("10.1.0.2/16"))

    assert told(add(OTHER_PAIR, moved), *BUILT) == ["c2:eth0 10.1.0.2+"]


def test_another_mac_announces_all_that_the_end_keeps():
    gone = [*change(PAIR, peer_mac="02:00:00:00:00:02"), *delete(SIX)]

    assert told(gone, *BUILT) == ["c1:eth0 10.1.0.2"]
    assert told(change(BRIDGE, mac="02:00:00:00:00:ab"), *BUILT) == [":br0 10.1.0.1"]


def test_another_mac_of_the_host_s_end_announces_nothing_of_the_container():
    assert told(change(PAIR, mac="02:00:00:00:00:03"), *BUILT) == []


def test_another_mac_and_another_address_are_announced_once_each():
    operations = [*change(PAIR, peer_mac="02:00:00:00:00:02"), *add(FOUR)]

    assert told(operations, *BUILT) == ["c1:eth0 10.1.0.2", "c1:eth0 fd00:1::2"]


def test_a_port_that_is_plugged_in_elsewhere_announces_what_is_behind_it():
    assert told(change(PAIR, master="br1"), *BUILT) == ["c1:eth0 10.1.0.2", "c1:eth0 fd00:1::2"]


def test_what_does_not_move_anybody_is_not_announced():
    for fields in ({"mtu": 1400}, {"peer_up": True}, {"up": True}, {"peer_mtu": 9}):
        assert told(change(PAIR, **fields), *BUILT) == []
    assert told(delete(FOUR), *BUILT) == []


def test_addresses_are_found_by_the_name_that_their_device_had():
    """What was observed has the old names; what is announced goes out by the new ones."""
    before = replace(PAIR, peer_name="old0")
    held = replace(FOUR, device="old0")

    operations = change(before, peer_name="eth0", peer_mac="02:00:00:00:00:02")

    assert told(operations, BRIDGE, before, held) == ["c1:eth0 10.1.0.2"]


def test_loopback_addresses_have_no_neighbours():
    assert told(add(Address("c1", "eth0", ip_interface("127.0.0.9/8"))), PAIR) == []
