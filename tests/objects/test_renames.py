"""Renames: what is observed is told in the names that are wanted, so that only a name differs."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from reconciler.core.diff import Action, diff
from reconciler.core.object import HOST, Owner
from reconciler.core.state import State
from reconciler.objects import (
    Address,
    BridgeDevice,
    Namespace,
    OtherDevice,
    Port,
    Route,
    Sysctl,
    Veth,
)
from reconciler.objects.keys import device_key, device_parameter
from reconciler.objects.qdisc import token_bucket
from reconciler.objects.renames import follow_renames

BR, C1, C2, CABLE = (
    Owner("default", name) for name in ("Bridge/br", "Container/c1", "Container/c2", "Link/cable")
)
OTHER_SET = Owner("two", "Bridge/br")


def bridge(name="br0"):
    """A bridge with all that is on it and knows its name."""
    return [
        (BridgeDevice(HOST, name, mtu=1500, up=True), BR),
        (Address(HOST, name, ip_interface("10.1.0.1/24")), BR),
        (Sysctl(HOST, device_parameter("ipv6", name, "accept_ra"), "0", name), BR),
        (Port(HOST, "up0", name), BR),
    ]


def container(device="v1", interface="eth0", master="br0", netns="c1"):
    """A container with all that is on its interface and knows its name."""
    return [
        (Namespace(netns, loopback=True), C1),
        (Veth(HOST, device, netns, interface, mtu=1500, peer_mtu=1500, master=master), C1),
        (Address(netns, interface, ip_interface("10.1.0.2/24")), C1),
        (
            Route(netns, ip_network("0.0.0.0/0"), interface, ip_address("10.1.0.1")),
            C1,
        ),
        (Sysctl(netns, device_parameter("ipv4", interface, "rp_filter"), "1", interface), C1),
        (token_bucket(netns, interface, 10**6, 1500), C1),
    ]


def observed(*entries):
    return State.of([*entries, (OtherDevice(HOST, "up0"), None)])


def differences(wanted, there, set_name="default"):
    """What a diff finds once renames are followed, without what is external anyway."""
    desired = State.of(wanted)
    told = follow_renames(desired, there, set_name)
    return {
        str(change.key): (change.action, [(d.field, d.before, d.after) for d in change.differences])
        for change in diff(desired, told, set_name)
    }


def test_nothing_is_told_otherwise_where_no_name_differs():
    entries = [*bridge(), *container()]
    there = observed(*entries)

    assert follow_renames(State.of(entries), there, "default") is there


@pytest.mark.parametrize(("old", "new"), [("br0", "lan0"), ("br0", "lan.7"), ("lan.7", "br0")])
def test_a_bridge_with_another_device_name_differs_in_its_name_alone(old, new):
    """With its addresses, ports and parameters, and the containers that are plugged into it."""
    there = observed(*bridge(old), *container(master=old))
    wanted = [*bridge(new), *container(master=new)]

    assert differences(wanted, there) == {f"device/{new}": (Action.UPDATE, [("name", old, new)])}


def test_other_differences_come_beside_the_name():
    wanted = bridge("lan0")
    wanted[0] = (BridgeDevice(HOST, "lan0", mtu=9000, up=True), BR)

    assert differences(wanted, observed(*bridge())) == {
        "device/lan0": (Action.UPDATE, [("name", "br0", "lan0"), ("mtu", 1500, 9000)])
    }


@pytest.mark.parametrize("new", ["lan0", "lan.7", "eth1"])
def test_an_interface_with_another_name_differs_in_its_name_alone(new):
    """The host's end has a name that is made of the interface's, so that both ends change."""
    there = observed(*container("v1", "eth0"))

    assert differences(container("v2", new), there) == {
        "device/v2": (Action.UPDATE, [("name", "v1", "v2"), ("peer_name", "eth0", new)])
    }


def test_a_peer_that_somebody_renamed_is_told_by_its_wanted_name():
    there = observed(*container("v1", "evil"))

    assert differences(container("v1", "eth0"), there) == {
        "device/v1": (Action.UPDATE, [("peer_name", "evil", "eth0")])
    }


def test_the_hosts_end_that_somebody_renamed_is_found_by_whose_it_is():
    there = observed(*bridge(), *container("veth123"))

    assert differences([*bridge(), *container("v1")], there) == {
        "device/v1": (Action.UPDATE, [("name", "veth123", "v1")])
    }


def test_the_pair_answers_to_both_names_of_its_peer():
    """Somebody's claim on the old name is still a conflict."""
    desired = State.of(container("v2", "lan0"))
    told = follow_renames(desired, observed(*container("v1", "eth0")), "default")

    pair = device_key(HOST, "v2")
    assert told.resolve(device_key("c1", "eth0")) == pair
    assert told.resolve(device_key("c1", "lan0")) == pair
    assert told.renamed[pair] == container("v1", "eth0")[1][0]


def cable(interface, mtu=1500):
    return [
        (Veth("c1", interface, "c2", "y0", mtu=mtu, peer_mtu=mtu), CABLE),
        (Address("c1", interface, ip_interface("10.8.0.1/32")), CABLE),
        (Address("c2", "y0", ip_interface("10.8.0.2/32")), CABLE),
    ]


def test_the_first_end_of_a_cable_is_followed():
    assert differences(cable("x1"), observed(*cable("x0"))) == {
        "device/c1:x1": (Action.UPDATE, [("name", "x0", "x1")])
    }


def test_a_parameter_of_another_kind_keeps_its_name():
    """Only the third word of net.FAMILY.conf.DEVICE.NAME is a device."""
    names = (
        "net.ipv4.ip_forward",
        "net.ipv4.conf.all.rp_filter",
        "net.ipv4.neigh.br0.retrans_time_ms",
    )
    others = [(Sysctl(HOST, name, "1"), BR) for name in names]
    there = observed(*bridge(), *others)

    told = follow_renames(State.of([*bridge("lan0"), *others]), there, "default")

    assert {item.key for item, _ in others} <= told.objects.keys()


# --------------------------------------------------------------------------- what is no rename


def both_gone(wanted, there, old, new):
    """The one is made and the other deleted."""
    found = differences(wanted, there)
    assert found[new][0] is Action.CREATE
    assert found[old][0] is Action.DELETE


def test_a_device_of_another_resource_is_another_device():
    wanted = [(replace(bridge("lan0")[0][0]), Owner("default", "Bridge/other"))]

    both_gone(wanted, observed(bridge()[0]), "device/br0", "device/lan0")


def test_a_device_of_another_set_is_not_ours_to_rename():
    there = observed((BridgeDevice(HOST, "br0", mtu=1500, up=True), OTHER_SET))

    assert differences([bridge("lan0")[0]], there) == {"device/lan0": (Action.CREATE, [])}


def test_a_foreign_device_is_not_renamed():
    there = observed((BridgeDevice(HOST, "br0", mtu=1500, up=True), None))

    assert differences([bridge("lan0")[0]], there) == {"device/lan0": (Action.CREATE, [])}


def test_a_pair_into_another_namespace_is_another_pair():
    both_gone(container("v2", netns="c2"), observed(*container("v1")), "device/v1", "device/v2")


def test_where_two_could_be_meant_none_is_renamed():
    """A container loses two interfaces and gets one: which of them it is, nobody can tell."""
    two = [
        (Veth(HOST, name, "c1", peer, mtu=1500, peer_mtu=1500, master="br0"), C1)
        for name, peer in (("v1", "eth0"), ("v2", "eth1"))
    ]
    wanted = [(Veth(HOST, "v3", "c1", "eth2", mtu=1500, peer_mtu=1500, master="br0"), C1)]

    found = differences(wanted, observed(*two))

    assert {key: action for key, (action, _) in found.items()} == {
        "device/v1": Action.DELETE, "device/v2": Action.DELETE, "device/v3": Action.CREATE,
    }  # fmt: skip


@pytest.mark.parametrize("owner", [None, C2], ids=["a stranger", "another container of ours"])
def test_a_name_that_is_taken_is_for_the_policy_to_judge(owner):
    taken = (OtherDevice("c1", "lan0", kind="tun"), owner)

    both_gone(container("v2", "lan0"), observed(*container("v1"), taken), "device/v1", "device/v2")


def test_a_peer_whose_wanted_name_is_taken_keeps_its_own():
    there = observed(*container("v1", "evil"), (OtherDevice("c1", "eth0", kind="tun"), None))
    desired = State.of(container("v1", "eth0"))

    assert follow_renames(desired, there, "default") is there


def test_a_peer_that_nobody_can_see_is_left_alone():
    blind = (Veth(HOST, "v1", None, None, mtu=1500, master="br0"), C1)
    there = observed(blind)

    assert follow_renames(State.of(container()), there, "default") is there


def test_a_bridge_of_others_is_never_a_rename_of_ours():
    wanted = [(BridgeDevice(HOST, "theirs", external=True), BR)]

    found = differences(wanted, observed(*bridge()))

    assert found["device/br0"][0] is Action.DELETE
    assert found["device/theirs"][0] is Action.BLOCKED
