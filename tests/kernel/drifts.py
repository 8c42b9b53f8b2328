"""Drifts: what somebody may do to a network of ours behind our back, each as one function.

Every one takes the host and a source of choice, breaks one thing, and says what it did.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

from tests.kernel import facts
from tests.world import HERE, REMOTE, Host, Namespace, make_namespace

Drift = Callable[[Host, Random], str]
DRIFTS: list[Drift] = []

ADDRESSED = ("c1", "c2", "c3", "c4", "c6", "c7", "c8", "c9")
"""Containers with an eth0 on a bridge."""
CABLED = (("c5", "x0"), ("c3", "y0"), ("c10", "z0"), ("c6", "z0"))
"""Ends of Links."""
DUAL_STACK = ("c1", "c2", "c6", "c7")
BRIDGES = ("br0", "br1")


def drift(function: Drift) -> Drift:
    """Enter a function into the list."""
    DRIFTS.append(function)
    return function


def _container(host: Host, choose: Random) -> Namespace:
    return host.netns(choose.choice(ADDRESSED))


def _eth0(host: Host, choose: Random) -> tuple[str, Namespace]:
    c = _container(host, choose)
    return facts.peer("eth0", c)["ifname"], c


def _stray(host: Host) -> Namespace:
    """A namespace that `ip netns` does not know, as a process may hold it."""
    path = REMOTE / "stray"
    return Namespace("stray", path) if path.exists() else make_namespace(path)


@drift
def deletes_the_hosts_end(host: Host, choose: Random) -> str:
    device, _ = _eth0(host, choose)
    host.ip(f"link del {device}")
    return device


@drift
def deletes_the_inner_end(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    c.ip("link del eth0")
    return c.name


@drift
def deletes_a_cable(host: Host, choose: Random) -> str:
    name, device = choose.choice(CABLED)
    host.netns(name).ip(f"link del {device}")
    return f"{name}:{device}"


@drift
def renames_the_hosts_end(host: Host, choose: Random) -> str:
    device, _ = _eth0(host, choose)
    host.ip(f"link set {device} name veth123")
    return device


@drift
def renames_the_inner_end(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    c.ip("link set eth0 name wan0")
    return c.name


@drift
def renames_an_end_of_a_cable(host: Host, choose: Random) -> str:
    name, device = choose.choice(CABLED)
    host.netns(name).ip(f"link set {device} name wan1")
    return f"{name}:{device}"


@drift
def moves_the_inner_end_to_another_container(host: Host, choose: Random) -> str:
    one, other = choose.sample(ADDRESSED, 2)
    host.netns(one).ip(f"link set eth0 netns {other} name moved0")
    return f"{one} -> {other}"


@drift
def moves_the_inner_end_to_the_host(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    # By a descriptor: process 1, as on a real host, would be on the machine.
    home = os.open(HERE.path, os.O_RDONLY)
    here = f"/proc/{os.getpid()}/fd/{home}"
    c.ip(f"link set eth0 netns {here} name moved1")
    os.close(home)
    return c.name


@drift
def moves_the_inner_end_out_of_sight(host: Host, choose: Random) -> str:
    c, stray = _container(host, choose), _stray(host)
    c.ip(f"link set eth0 netns {stray.path} name moved2")
    return c.name


@drift
def moves_the_hosts_end_out_of_sight(host: Host, choose: Random) -> str:
    (device, _), stray = _eth0(host, choose), _stray(host)
    host.ip(f"link set {device} netns {stray.path} name moved3")
    return device


@drift
def moves_an_end_of_a_cable(host: Host, choose: Random) -> str:
    name, device = choose.choice(CABLED)
    host.netns(name).ip(f"link set {device} netns c9 name moved4")
    return f"{name}:{device}"


@drift
def takes_the_hosts_end_down(host: Host, choose: Random) -> str:
    device, _ = _eth0(host, choose)
    host.ip(f"link set {device} down")
    return device


@drift
def takes_the_inner_end_down(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    c.ip("link set eth0 down")
    return c.name


@drift
def takes_a_bridge_down(host: Host, choose: Random) -> str:
    device = choose.choice(BRIDGES)
    host.ip(f"link set {device} down")
    return device


@drift
def takes_a_cable_down(host: Host, choose: Random) -> str:
    name, device = choose.choice(CABLED)
    host.netns(name).ip(f"link set {device} down")
    return f"{name}:{device}"


@drift
def takes_lo_down(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    c.ip("link set lo down")
    return c.name


@drift
def changes_the_mtu_of_the_inner_end(host: Host, choose: Random) -> str:
    c, mtu = _container(host, choose), choose.choice((1300, 1000, 9000))
    c.ip(f"link set eth0 mtu {mtu}")  # below 1280 all of IPv6 goes with it
    return f"{c.name} {mtu}"


@drift
def changes_the_mtu_of_the_hosts_end(host: Host, choose: Random) -> str:
    device, _ = _eth0(host, choose)
    host.ip(f"link set {device} mtu {choose.choice((1300, 9000))}")
    return device


@drift
def changes_the_mtu_of_a_bridge(host: Host, choose: Random) -> str:
    device, mtu = choose.choice(BRIDGES), choose.choice((1300, 1000))
    host.ip(f"link set {device} mtu {mtu}")
    return f"{device} {mtu}"


@drift
def changes_a_mac(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    c.ip("link set eth0 address 02:00:00:00:00:99")
    return c.name


@drift
def changes_a_bridges_mac(host: Host, choose: Random) -> str:
    device = choose.choice(BRIDGES)
    host.ip(f"link set {device} address 02:00:00:00:00:98")
    return device


@drift
def removes_an_address(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    address = choose.choice(sorted(facts.addresses("eth0", c)))
    c.ip(f"addr del {address} dev eth0")
    return f"{c.name} {address}"


@drift
def changes_an_address(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    address = choose.choice(sorted(facts.addresses("eth0", c)))
    c.ip(f"addr del {address} dev eth0")
    c.ip("addr add 10.99.0.1/24 dev eth0")
    return f"{c.name} {address}"


@drift
def flushes_all_addresses(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    c.ip("addr flush dev eth0")
    return c.name


@drift
def removes_a_gateways_address(host: Host, choose: Random) -> str:
    device = choose.choice(BRIDGES)
    address = choose.choice(sorted(facts.addresses(device)))
    host.ip(f"addr del {address} dev {device}")
    return f"{device} {address}"


@drift
def removes_an_address_of_a_cable(host: Host, choose: Random) -> str:
    name, device = choose.choice(CABLED)
    space = host.netns(name)
    address = choose.choice(sorted(facts.addresses(device, space)))
    space.ip(f"addr del {address} dev {device}")
    return f"{name} {address}"


@drift
def gives_an_address_another_prefix_length(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    address = next(a for a in sorted(facts.addresses("eth0", c)) if "." in a)
    c.ip(f"addr del {address} dev eth0")
    c.ip(f"addr add {address.partition('/')[0]}/16 dev eth0")
    return c.name


@drift
def removes_the_default_route(host: Host, choose: Random) -> str:
    name = choose.choice(("c1", "c2", "c6", "c7"))
    host.netns(name).ip("route del default")
    return name


@drift
def changes_the_default_route(host: Host, choose: Random) -> str:
    name = choose.choice(("c1", "c2", "c6", "c7"))
    host.netns(name).ip("route change default via 10.1.0.77 dev eth0 proto 0x5c")
    return name


@drift
def removes_the_ipv6_default_route(host: Host, choose: Random) -> str:
    name = choose.choice(DUAL_STACK)
    host.netns(name).ip("-6 route del default")
    return name


@drift
def removes_a_route_over_a_cable(host: Host, choose: Random) -> str:
    name, device = choose.choice((("c5", "x0"), ("c3", "y0")))
    space = host.netns(name)
    route = choose.choice(sorted(r for r in facts.routes(space) if f"dev {device}" in r))
    space.ip(f"route del {route}")
    return f"{name} {route}"


@drift
def takes_a_port_out_of_its_bridge(host: Host, choose: Random) -> str:
    device, _ = _eth0(host, choose)
    host.ip(f"link set {device} nomaster")
    return device


@drift
def puts_a_port_into_another_bridge(host: Host, choose: Random) -> str:
    device, _ = _eth0(host, choose)
    if "theirs" not in facts.bridges():
        host.ip("link add theirs type bridge")
    host.ip(f"link set {device} master theirs")
    return device


@drift
def swaps_two_ports(host: Host, choose: Random) -> str:
    device, c = _eth0(host, choose)
    other = {"br0": "br1", "br1": "br0"}[facts.link(device)["master"]]
    host.ip(f"link set {device} master {other}")
    return f"{c.name} to {other}"


@drift
def clears_an_alias_of_the_hosts_end(host: Host, choose: Random) -> str:
    device, _ = _eth0(host, choose)
    host.run("ip", "link", "set", device, "alias", "")
    return device


@drift
def clears_the_alias_of_both_ends(host: Host, choose: Random) -> str:
    device, c = _eth0(host, choose)
    host.run("ip", "link", "set", device, "alias", "")
    c.run("ip", "link", "set", "eth0", "alias", "")
    return device


@drift
def clears_a_bridges_alias(host: Host, choose: Random) -> str:
    device = choose.choice(BRIDGES)
    host.run("ip", "link", "set", device, "alias", "")
    return device


@drift
def deletes_a_namespace(host: Host, choose: Random) -> str:
    c = _container(host, choose)
    host.delete_netns(c.name)
    return c.name


@drift
def deletes_a_namespace_of_cables(host: Host, choose: Random) -> str:
    name = choose.choice(("c5", "c10"))
    host.delete_netns(name)
    return name


@drift
def deletes_a_bridge(host: Host, choose: Random) -> str:
    device = choose.choice(BRIDGES)
    host.ip(f"link del {device}")
    return device


@drift
def flips_stp(host: Host, choose: Random) -> str:
    host.ip("link set br0 type bridge stp_state 1")
    return "br0"


@drift
def changes_a_bridges_times(host: Host, choose: Random) -> str:
    host.ip("link set br0 type bridge ageing_time 77 forward_delay 400")
    return "br0"


@drift
def flips_a_sysctl_of_the_host(host: Host, choose: Random) -> str:
    names = (
        "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.br0.disable_ipv6",
        "net.ipv6.conf.br0.accept_ra",
    )  # fmt: skip
    name = choose.choice(names)
    facts.set_sysctl(name, "1" if facts.sysctl(name) == "0" else "0")
    return name


@drift
def switches_ipv6_off_inside(host: Host, choose: Random) -> str:
    name = choose.choice(DUAL_STACK)
    facts.set_sysctl("net.ipv6.conf.all.disable_ipv6", "1", host.netns(name))
    return name


@drift
def flips_a_sysctl_inside(host: Host, choose: Random) -> str:
    facts.set_sysctl("net.ipv4.ip_forward", "0", host.netns("c2"))
    return "c2"


def is_foreign(address: str) -> bool:
    """Whether an address is one that a drift added: it is not ours, so it stays."""
    return address == "10.99.0.1/24" or address.endswith("/16")


def managed_by_kernel(name: str) -> bool:
    """Whether a device's MAC is the kernel's choice: that of a container's end on the host."""
    return name.startswith("rcc")


def shape(host: Host) -> dict[str, object]:
    """All that a pass has to bring back, without what a new device has anew (its number)."""
    return {space.name: _shape_of(space) for space in (HERE, *_spaces(host))}


def _spaces(host: Host) -> list[Namespace]:
    return [host.netns(name) for name in sorted(facts.namespaces())]


def _shape_of(space: Namespace) -> object:
    devices = {
        name: (
            item["mtu"],
            None if managed_by_kernel(name) else item["address"],
            "UP" in item["flags"],
            item.get("master"),
            item.get("ifalias"),
            sorted(a for a in facts.addresses(name, space) if not is_foreign(a)),
        )
        for name, item in facts.links(space).items()
        if name != "theirs"
    }
    lo = "UP" in facts.all_links(space)["lo"]["flags"]
    switches = ("net.ipv4.ip_forward", "net.ipv6.conf.all.disable_ipv6")
    return devices, facts.routes(space), lo, [facts.sysctl(name, space) for name in switches]
