"""The fields of a Bridge that act on the kernel.

c1 is a container on br0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.kernel import facts
from tests.kernel.case import case
from tests.kernel.manifests import DUAL, SUBNET, bridge, container
from tests.world import Host

C1 = container()


def _about_bridge(name: str):
    return lambda host: facts.link("br0")["linkinfo"]["info_data"][name]


def _mtus(host: Host) -> object:
    c1 = host.netns("c1")
    ends = facts.link("br0"), facts.peer("eth0", c1), facts.link("eth0", c1)
    return [item["mtu"] for item in ends]


def _c1_address(host: Host) -> object:
    return facts.addresses("eth0", host.netns("c1"))


def _master_and_bridges(host: Host) -> object:
    return facts.peer("eth0", host.netns("c1"))["master"], facts.bridges()


def _gateways(host: Host) -> object:
    c1 = host.netns("c1")
    return facts.addresses("br0"), facts.addresses("eth0", c1), facts.routes(c1)


def _default_routes(host: Host) -> object:
    return facts.routes(host.netns("c1"))


def _forwarding(host: Host) -> object:
    v4 = facts.sysctl("net.ipv4.ip_forward")
    return v4, facts.sysctl("net.ipv6.conf.all.forwarding")


@contextmanager
def _not_forwarding(host: Host) -> Iterator[Mapping[str, str]]:
    # A new namespace inherits IPv4's settings from the machine (net.core.devconf_inherit_init_net).
    facts.set_sysctl("net.ipv4.ip_forward", "0")
    facts.set_sysctl("net.ipv6.conf.all.forwarding", "0")
    yield {}


@contextmanager
def _their_bridges(host: Host) -> Iterator[Mapping[str, str]]:
    for name in ("theirs", "others"):
        host.ip(f"link add {name} type bridge")
        host.ip(f"link set {name} mtu 1400")
    before = [facts.link(name)["ifindex"] for name in ("theirs", "others")]
    yield {}
    after = {name: facts.link(name) for name in ("theirs", "others")}
    assert [item["ifindex"] for item in after.values()] == before
    for name, item in after.items():
        assert "ifalias" not in item, name
        assert "UP" not in item["flags"], name
        assert facts.addresses(name) == set()


@contextmanager
def _uplinks(host: Host) -> Iterator[Mapping[str, str]]:
    for name in ("up0", "up1"):
        host.ip(f"link add {name} type veth peer name {name}-far")
    yield {}
    assert {"up0", "up1"} <= facts.links().keys()


def _ports_of_the_host(host: Host) -> object:
    return {name for name in ("up0", "up1") if facts.link(name).get("master") == "br0"}


GATEWAY4, GATEWAY6 = "default via 10.1.0.1 dev eth0", "default via fd00:1::1 dev eth0 metric 1024"

BRIDGE_CASES = (
    case(
        "Bridge.device",
        _master_and_bridges,
        (bridge() + C1, ("br0", {"br0"})),
        (bridge(f"{SUBNET}, device: brx") + C1, ("brx", {"brx"})),
        (bridge(f"{SUBNET}, device: bry.1") + C1, ("bry.1", {"bry.1"})),
        (bridge() + C1, ("br0", {"br0"})),
    ),
    case(
        "Bridge.external",
        _master_and_bridges,
        (bridge() + C1, ("br0", {"br0", "theirs", "others"})),
        (
            bridge(f"{SUBNET}, device: theirs, external: true") + C1,
            ("theirs", {"theirs", "others"}),
        ),
        (
            bridge(f"{SUBNET}, device: others, external: true") + C1,
            ("others", {"theirs", "others"}),
        ),
        (bridge() + C1, ("br0", {"br0", "theirs", "others"})),
        prepare=_their_bridges,
    ),
    case(
        "Bridge.addresses",
        _gateways,
        (bridge() + C1, ({"10.1.0.1/24"}, {"10.1.0.2/24"}, {GATEWAY4})),
        (
            bridge(DUAL) + C1,
            (
                {"10.1.0.1/24", "fd00:1::1/64"},
                {"10.1.0.2/24", "fd00:1::2/64"},
                {GATEWAY4, GATEWAY6},
            ),
        ),
        (
            bridge('addresses: [10.1.0.254/24, "fd00:1::fe/64"]') + C1,
            (
                {"10.1.0.254/24", "fd00:1::fe/64"},
                {"10.1.0.2/24", "fd00:1::2/64"},
                {
                    "default via 10.1.0.254 dev eth0",
                    "default via fd00:1::fe dev eth0 metric 1024",
                },
            ),
        ),
        (bridge() + C1, ({"10.1.0.1/24"}, {"10.1.0.2/24"}, {GATEWAY4})),
        about="a family more, and another gateway",
    ),
    case(
        "Bridge.addresses",
        _gateways,
        (bridge() + C1, ({"10.1.0.1/24"}, {"10.1.0.2/24"}, {GATEWAY4})),
        (
            bridge("addresses: [10.2.0.1/16]") + C1,
            ({"10.2.0.1/16"}, {"10.2.0.2/16"}, {"default via 10.2.0.1 dev eth0"}),
        ),
        (
            bridge('addresses: ["fd00:2::1/64"]') + C1,
            (
                {"fd00:2::1/64"},
                {"fd00:2::2/64"},
                {"default via fd00:2::1 dev eth0 metric 1024"},
            ),
        ),
        (bridge() + C1, ({"10.1.0.1/24"}, {"10.1.0.2/24"}, {GATEWAY4})),
        about="another subnet, another family",
    ),
    case(
        "Bridge.addresses",
        _gateways,
        (bridge() + C1, ({"10.1.0.1/24"}, {"10.1.0.2/24"}, {GATEWAY4})),
        (
            bridge("addresses: [10.1.0.1/16]") + C1,
            ({"10.1.0.1/16"}, {"10.1.0.2/16"}, {GATEWAY4}),
        ),
        (
            bridge("addresses: [10.1.0.1/29]") + C1,
            ({"10.1.0.1/29"}, {"10.1.0.2/29"}, {GATEWAY4}),
        ),
        (bridge() + C1, ({"10.1.0.1/24"}, {"10.1.0.2/24"}, {GATEWAY4})),
        about="the same address with another prefix length",
    ),
    case(
        "Bridge.ipRange",
        _c1_address,
        (bridge() + C1, {"10.1.0.2/24"}),
        (bridge(f"{SUBNET}, ipRange: 10.1.0.128/25") + C1, {"10.1.0.128/24"}),
        (bridge(f"{SUBNET}, ipRange: [10.1.0.64/26]") + C1, {"10.1.0.64/24"}),
        (bridge() + C1, {"10.1.0.64/24"}),  # what is there and still valid stays
    ),
    case(
        "Bridge.reserved",
        _c1_address,
        (bridge() + C1, {"10.1.0.2/24"}),
        (bridge(f"{SUBNET}, reserved: [10.1.0.2]") + C1, {"10.1.0.3/24"}),
        (bridge(f"{SUBNET}, reserved: [10.1.0.3]") + C1, {"10.1.0.2/24"}),
        (bridge() + C1, {"10.1.0.2/24"}),
    ),
    case(
        "Bridge.mtu",
        _mtus,
        (bridge() + C1, [1500, 1500, 1500]),
        (bridge(f"{SUBNET}, mtu: 9000") + C1, [9000, 9000, 9000]),
        (bridge(f"{SUBNET}, mtu: 1400") + C1, [1400, 1400, 1400]),
        (bridge() + C1, [1500, 1500, 1500]),
    ),
    case(
        "Bridge.mtu",
        _gateways,
        (bridge(f"{SUBNET}, mtu: 1000") + C1, ({"10.1.0.1/24"}, {"10.1.0.2/24"}, {GATEWAY4})),
        (
            bridge(DUAL) + C1,
            (
                {"10.1.0.1/24", "fd00:1::1/64"},
                {"10.1.0.2/24", "fd00:1::2/64"},
                {GATEWAY4, GATEWAY6},
            ),
        ),
        (bridge(f"{SUBNET}, mtu: 1000") + C1, ({"10.1.0.1/24"}, {"10.1.0.2/24"}, {GATEWAY4})),
        (
            bridge(DUAL) + C1,
            (
                {"10.1.0.1/24", "fd00:1::1/64"},
                {"10.1.0.2/24", "fd00:1::2/64"},
                {GATEWAY4, GATEWAY6},
            ),
        ),
        about="below 1280, where the kernel takes IPv6 off the device, and back",
    ),
    case(
        "Bridge.ipForward",
        _forwarding,
        (bridge(f"{DUAL}, ipForward: false") + C1, ("0", "0")),
        (bridge(f"{DUAL}, ipForward: true") + C1, ("1", "1")),
        (bridge(f"{DUAL}, ipForward: false") + C1, ("1", "1")),  # left alone, not switched off
        (bridge(DUAL) + C1, ("1", "1")),
        prepare=_not_forwarding,
    ),
    case(
        "Bridge.internal",
        _default_routes,
        (bridge(DUAL) + C1, {GATEWAY4, GATEWAY6}),
        (bridge(f"{DUAL}, internal: true") + C1, set()),
        (bridge(f"{DUAL}, internal: false") + C1, {GATEWAY4, GATEWAY6}),
        (bridge(DUAL) + C1, {GATEWAY4, GATEWAY6}),
    ),
    case(
        "Bridge.internal",
        _forwarding,
        (bridge(f"{DUAL}, internal: true") + C1, ("0", "0")),
        (bridge(DUAL) + C1, ("1", "1")),
        about="forwards nothing",
        prepare=_not_forwarding,
    ),
    case(
        "Bridge.stp",
        _about_bridge("stp_state"),
        (bridge() + C1, 0),
        (bridge(f"{SUBNET}, stp: true") + C1, 1),
        (bridge(f"{SUBNET}, stp: false") + C1, 0),
        (bridge(f"{SUBNET}, stp: true") + C1, 1),
        (bridge() + C1, 0),  # not written is the kernel's default
    ),
    case(
        "Bridge.forwardDelay",  # the kernel's centiseconds (USER_HZ)
        _about_bridge("forward_delay"),
        (bridge() + C1, 1500),
        (bridge(f"{SUBNET}, forwardDelay: 4") + C1, 400),
        (bridge(f"{SUBNET}, forwardDelay: 2.5") + C1, 250),
        (bridge(f"{SUBNET}, forwardDelay: 0") + C1, 0),
        (bridge() + C1, 1500),  # not written is the kernel's default
    ),
    case(
        "Bridge.stp Bridge.forwardDelay",
        _about_bridge("forward_delay"),
        (bridge(f"{SUBNET}, forwardDelay: 0") + C1, 0),
        (bridge(f"{SUBNET}, stp: true, forwardDelay: 2") + C1, 200),
        (bridge(f"{SUBNET}, stp: true, forwardDelay: 30") + C1, 3000),
        (bridge(f"{SUBNET}, stp: false, forwardDelay: 1") + C1, 100),
        about="a delay that only goes without STP",
    ),
    case(
        "Bridge.ageingTime",
        _about_bridge("ageing_time"),
        (bridge() + C1, 30000),
        (bridge(f"{SUBNET}, ageingTime: 60") + C1, 6000),
        (bridge(f"{SUBNET}, ageingTime: 0.5") + C1, 50),
        (bridge() + C1, 30000),  # not written is the kernel's default
    ),
    case(
        "Bridge.ports",
        _ports_of_the_host,
        (bridge() + C1, set()),
        (bridge(f"{SUBNET}, ports: [up0]") + C1, {"up0"}),
        (bridge(f"{SUBNET}, ports: [up0, up1]") + C1, {"up0", "up1"}),
        (bridge(f"{SUBNET}, ports: [up1]") + C1, {"up1"}),
        (bridge() + C1, set()),
        prepare=_uplinks,
    ),
)
