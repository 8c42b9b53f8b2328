"""Random worlds: what somebody may want, and what a kernel may hold, foreign things included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network

from hypothesis import strategies as st

from reconciler.core.object import KernelObject, Key, Owner
from reconciler.core.state import State
from reconciler.host.fake import FakeHost
from reconciler.objects import Address, BridgeDevice, Namespace, OtherDevice, Route, Sysctl, Veth
from reconciler.objects.keys import IPV6_SWITCH, device_key
from reconciler.objects.qdisc import token_bucket

SET = "default"
BRIDGES = ("b0", "b1", "b2")
CONTAINERS = ("c0", "c1", "c2", "c3")


@dataclass(frozen=True)
class BridgeWish:
    mtu: int
    stp: bool
    ipv6: bool
    other_name: bool

    def device(self, name: str) -> str:
        return f"{name}x" if self.other_name else name


@dataclass(frozen=True)
class PortWish:
    bridge: str
    interface: str
    host_number: int
    mac: str


@dataclass(frozen=True)
class World:
    """What manifests would say, without their language."""

    bridges: dict[str, BridgeWish]
    containers: dict[str, tuple[PortWish, ...]]
    links: frozenset[tuple[str, str]]


def worlds() -> st.SearchStrategy[World]:
    bridge = st.builds(
        BridgeWish,
        mtu=st.sampled_from([1400, 1500]),
        stp=st.booleans(),
        ipv6=st.booleans(),
        other_name=st.booleans(),
    )
    return st.dictionaries(st.sampled_from(BRIDGES), bridge, max_size=3).flatmap(_with_containers)


def _with_containers(bridges: dict[str, BridgeWish]) -> st.SearchStrategy[World]:
    if bridges:
        port = st.builds(
            PortWish,
            bridge=st.sampled_from(sorted(bridges)),
            interface=st.sampled_from(["eth0", "eth1", "lan0"]),
            host_number=st.integers(0, 3),
            mac=st.sampled_from(["02:42:00:00:00:01", "02:42:00:00:00:02"]),
        )
        ports = st.lists(port, max_size=2, unique_by=lambda p: p.interface).map(tuple)
    else:
        ports = st.just(())
    return st.builds(
        World,
        bridges=st.just(bridges),
        containers=st.dictionaries(st.sampled_from(CONTAINERS), ports, max_size=4),
        links=st.frozensets(
            st.sampled_from([("c0", "c1"), ("c1", "c2"), ("c2", "c3")]), max_size=2
        ),
    )


def entries(world: World, set_name: str = SET) -> Iterator[tuple[KernelObject, Owner]]:
    """The objects of *world*, as the kinds would make them."""
    for name, wish in world.bridges.items():
        for item in _bridge(name, wish):
            yield item, Owner(set_name, f"Bridge/{name}")
    for name, ports in world.containers.items():
        for item in _container(name, ports, world):
            yield item, Owner(set_name, f"Container/{name}")
    for a, b in sorted(world.links):
        if {a, b} <= world.containers.keys():
            for item in _link(a, b):
                yield item, Owner(set_name, f"Link/{a}-{b}")


def _bridge(name: str, wish: BridgeWish) -> Iterator[KernelObject]:
    number = BRIDGES.index(name)
    name = wish.device(name)
    yield BridgeDevice(
        "", name, mtu=wish.mtu, up=True, mac=f"02:00:00:00:01:0{number}", stp=wish.stp
    )
    yield Address("", name, ip_interface(f"10.{number}.0.1/24"))
    if wish.ipv6:
        yield Address("", name, ip_interface(f"fd00:{number}::1/64"))
    yield Sysctl("", "net.ipv4.ip_forward", "1")


def _container(name: str, ports: tuple[PortWish, ...], world: World) -> Iterator[KernelObject]:
    yield Namespace(name, loopback=True)
    ipv6 = any(world.bridges[p.bridge].ipv6 for p in ports)
    yield Sysctl(name, IPV6_SWITCH, "0" if ipv6 else "1")
    routed = False
    for port in ports:
        number = BRIDGES.index(port.bridge)
        wish = world.bridges[port.bridge]
        yield Veth(
            "",
            f"v{name}-{port.interface}",
            name,
            port.interface,
            mtu=wish.mtu,
            peer_mtu=wish.mtu,
            up=True,
            peer_up=True,
            peer_mac=port.mac,
            master=wish.device(port.bridge),
        )
        host = 10 + 4 * CONTAINERS.index(name) + port.host_number
        address = Address(name, port.interface, ip_interface(f"10.{number}.0.{host}/24"))
        yield address
        if wish.ipv6:
            yield Address(name, port.interface, ip_interface(f"fd00:{number}::{host:x}/64"))
        if not routed:
            routed = True
            yield Route(
                name,
                ip_network("0.0.0.0/0"),
                port.interface,
                via=ip_address(f"10.{number}.0.1"),
                after=(address.key,),
            )


def _link(a: str, b: str) -> Iterator[KernelObject]:
    left, right = f"to-{b}", f"to-{a}"
    yield Veth(a, left, b, right, mtu=1500, peer_mtu=1500, up=True, peer_up=True)
    ends = ((a, left, "1", "2"), (b, right, "2", "1"))
    for netns, device, mine, theirs in ends:
        yield token_bucket(netns, device, 10_000_000, 1500)
        address = Address(netns, device, ip_interface(f"192.0.2.{mine}/32"))
        yield address
        yield Route(
            netns, ip_network(f"192.0.2.{theirs}/32"), device, direct=True, after=(address.key,)
        )


def desired_states() -> st.SearchStrategy[State]:
    return worlds().map(lambda world: State.of(entries(world)))


@st.composite
def kernels(draw: st.DrawFn) -> FakeHost:
    """A host on which an earlier pass, drift, other sets and strangers have been at work."""
    host = FakeHost.holding(entries(draw(worlds())))
    for _ in range(draw(st.integers(0, 6))):
        _disturb(host, draw)
    return host


def _disturb(host: FakeHost, draw: st.DrawFn) -> None:
    kind = draw(st.sampled_from(["remove", "disown", "other set", "change", "stranger"]))
    keys = sorted(host.objects)
    if kind == "stranger":
        _stranger(host, draw)
    elif keys:
        key = draw(st.sampled_from(keys))
        match kind:
            case "remove":
                host.remove(key)
            case "disown":
                host.owners.pop(key, None)
            case "other set":
                if key in host.owners:
                    host.owners[key] = Owner("other", "Container/x")
            case _:
                _change(host, key, draw)


def _stranger(host: FakeHost, draw: st.DrawFn) -> None:
    spaces = ["", *(k.name for k in host.objects if k.type == "netns")]
    netns = draw(st.sampled_from(sorted(spaces)))
    name = draw(st.sampled_from(["b0", "b1", "eth0", "eth1", "to-c1", "vc0-eth0", "tun0"]))
    item = draw(
        st.sampled_from(
            [
                OtherDevice(netns, name, kind="macvlan", mtu=1500, up=True),
                BridgeDevice(netns, name),
                Namespace(draw(st.sampled_from(CONTAINERS))),
            ]
        )
    )
    taken = {*host.objects, *(c for o in host.objects.values() for c in o.claims)}
    if item.key not in taken:
        host.place(item, draw(st.sampled_from([None, None, Owner(SET, "Bridge/gone")])))


_CHANGES = (
    ("mtu", [1300, 9000]),
    ("peer_mtu", [1300]),
    ("up", [False]),
    ("peer_up", [False]),
    ("mac", ["02:0b:ad:00:00:00"]),
    ("peer_mac", ["02:0b:ad:00:00:00"]),
    ("master", [""]),
    ("peer_name", ["renamed"]),
    ("peer_netns", [None]),
    ("stp", [True, False]),
    ("loopback", [False]),
    ("mounted", [False]),
    ("value", ["7"]),
    ("via", [ip_address("10.0.0.1")]),
    ("rate", [8_000]),
    ("kind", ["pfifo"]),
)


def _change(host: FakeHost, key: Key, draw: st.DrawFn) -> None:
    item = host.objects[key]
    possible = [(f, v) for f, v in _CHANGES if hasattr(item, f)]
    if not possible:
        return
    name, values = draw(st.sampled_from(possible))
    value = draw(st.sampled_from(values))
    if name == "via" and item.via is None:
        return
    if name == "mounted":
        for other in list(host.objects):
            if other.netns == key.name:
                host.remove(other)
        host.remove(key)
        host.place(Namespace(key.name, loopback=False, mounted=False), Owner(SET, "Container/x"))
        return
    if name == "peer_name" and device_key(item.peer_netns or "", value) in {
        c for o in host.objects.values() for c in (o.key, *o.claims)
    }:
        return
    if name == "peer_netns":
        if item.peer_netns is None:
            return
        host._drop_on(item.peer_netns, item.peer_name)
        host.change(key, peer_netns=None, peer_name=None)
        return
    host.change(key, **{name: value})
