"""Mutations: for every field that is compared, of every object, what somebody may do to it.

`test_loop_mutations` holds this list to the object modules: a field without a mutation fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.kernel import facts
from tests.kernel.manifests import DUAL, bridge, container, link
from tests.world import REMOTE, Host, Namespace, make_namespace, wait_until

NETWORK = (
    bridge(f"{DUAL}, forwardDelay: 0, ageingTime: 100, stp: false, ports: [theirs0]")
    + container("bridge: br0, publish: ['8080:80']", "c1")
    + container("bridge: br0, sysctls: {net.ipv4.ip_forward: '1'}", "c2")
    + container("network: none", "c3")
    + bridge("addresses: [10.2.0.1/24], icc: false, forwardDelay: 0", "br1")
    + link(
        "container: c2, interface: x0, addresses: [10.8.0.0/31], routes: [{to: 10.9.9.0/24}]",
        "container: c3, interface: y0, addresses: [10.8.0.1/31], routes: [{to: 10.9.0.0/16}]",
        "rate: 10mbit",
    )
    + link(
        "container: c2, interface: z0, addresses: [10.8.9.1/32]",
        "container: c3, interface: z0, addresses: [10.8.9.2/32]",
        name="cable2",
    )
)


def prepare(host: Host) -> None:
    """Make what the manifests say belongs to somebody else."""
    host.ip("link add theirs0 type veth peer name theirs1")


@dataclass(frozen=True, slots=True)
class Mutation:
    """One deed, and in which object it has to be seen."""

    object: str
    """The class in `reconciler.objects`."""
    field: str
    """One of its compared fields, or `there`."""
    seen: str
    """How the object's key begins."""
    do: Callable[[Host], object]
    fate: str = "healed"
    undo: Callable[[Host], object] = lambda _: None
    """By hand, where it is not ours to heal."""


def _host_end(host: Host, name: str = "c1") -> str:
    return facts.peer("eth0", host.netns(name))["ifname"]


def _gone(host: Host, name: str) -> None:
    """Delete a namespace, and wait for its device, by its number: its name may be back at once."""
    index = facts.peer("eth0", host.netns(name))["ifindex"]
    host.delete_netns(name)
    wait_until(lambda: index not in {link["ifindex"] for link in facts.links().values()}, 20)


def _stray() -> Namespace:
    path = REMOTE / "stray"
    return Namespace("stray", path) if path.exists() else make_namespace(path)


def _unmounted(host: Host, name: str) -> None:
    """The name stays, as a plain file that says whose it is; the namespace is gone."""
    host.run("umount", f"/run/netns/{name}")


def _move_last_rule_first(host: Host, chain: str, table: str = "filter") -> None:
    rules = host.run("iptables", "-t", table, "-S", chain).stdout.splitlines()
    rules = [rule for rule in rules if rule.startswith("-A")]
    assert len(rules) > 1, rules
    last = rules[-1].replace(f"-A {chain}", f"-I {chain} 1", 1)
    script = f"iptables -t {table} -D {chain} {len(rules)}; iptables -t {table} {last}"
    host.run("sh", "-ec", script)


def _jump_second(host: Host) -> None:
    """A stranger's rule before our jump: it would have the first word."""
    host.run("iptables", "-I", "FORWARD", "1", "-i", "nobody0", "-j", "ACCEPT")


def _c(host: Host, name: str = "c1") -> Namespace:
    return host.netns(name)


MUTATIONS = (
    Mutation("Namespace", "there", "netns/c2", lambda h: _gone(h, "c2")),
    Mutation("Namespace", "mounted", "netns/c3", lambda h: _unmounted(h, "c3")),
    Mutation("Namespace", "loopback", "netns/c1", lambda h: _c(h).ip("link set lo down")),
    Mutation("BridgeDevice", "there", "device/br0", lambda h: h.ip("link del br0")),
    Mutation("BridgeDevice", "mtu", "device/br0", lambda h: h.ip("link set br0 mtu 1400")),
    Mutation("BridgeDevice", "up", "device/br0", lambda h: h.ip("link set br0 down")),
    Mutation("BridgeDevice", "mac", "device/br0",
             lambda h: h.ip("link set br0 address 02:00:00:00:00:98")),
    Mutation("BridgeDevice", "stp", "device/br0",
             lambda h: h.ip("link set br0 type bridge stp_state 1")),
    Mutation("BridgeDevice", "forward_delay", "device/br1",
             lambda h: h.ip("link set br1 type bridge forward_delay 900")),
    Mutation("BridgeDevice", "ageing_time", "device/br0",
             lambda h: h.ip("link set br0 type bridge ageing_time 7700")),
    Mutation("BridgeDevice", "nf_call_iptables", "device/br1",
             lambda h: h.ip("link set br1 type bridge nf_call_iptables 0")),
    Mutation("BridgeDevice", "nf_call_ip6tables", "device/br1",
             lambda h: h.ip("link set br1 type bridge nf_call_ip6tables 0")),
    Mutation("Veth", "there", "device/", lambda h: h.ip(f"link del {_host_end(h)}")),
    Mutation("Veth", "peer_netns", "device/",
             lambda h: _c(h).ip(f"link set eth0 netns {_stray().path} name moved0")),
    Mutation("Veth", "peer_name", "device/", lambda h: _c(h).ip("link set eth0 name wan0")),
    Mutation("Veth", "mtu", "device/", lambda h: h.ip(f"link set {_host_end(h)} mtu 1300")),
    Mutation("Veth", "peer_mtu", "device/", lambda h: _c(h).ip("link set eth0 mtu 1300")),
    Mutation("Veth", "up", "device/", lambda h: h.ip(f"link set {_host_end(h)} down")),
    Mutation("Veth", "peer_up", "device/", lambda h: _c(h).ip("link set eth0 down")),
    Mutation("Veth", "mac", "device/c2:x0",
             lambda h: _c(h, "c2").ip("link set x0 address 02:00:00:00:00:97")),
    Mutation("Veth", "peer_mac", "device/",
             lambda h: _c(h).ip("link set eth0 address 02:00:00:00:00:99")),
    Mutation("Veth", "master", "device/", lambda h: h.ip(f"link set {_host_end(h)} nomaster")),
    Mutation("Veth", "hairpin", "device/",
             lambda h: h.ip(f"link set {_host_end(h)} type bridge_slave hairpin off")),
    Mutation("Veth", "isolated", "device/",
             lambda h: h.ip(f"link set {_host_end(h)} type bridge_slave isolated on")),
    Mutation("Address", "there", "address/c1:eth0",
             lambda h: _c(h).ip("addr del 10.1.0.2/24 dev eth0")),
    Mutation("Route", "there", "route/c1:default", lambda h: _c(h).ip("route del default")),
    Mutation("Route", "device", "route/c2:10.9.9.0/24",
             lambda h: _c(h, "c2").ip("route change 10.9.9.0/24 dev eth0 proto 0x5c")),
    Mutation("Route", "via", "route/c1:default",
             lambda h: _c(h).ip("route change default via 10.1.0.77 dev eth0 proto 0x5c")),
    Mutation("Route", "direct", "route/c2:10.8.9.2/32", lambda h: _c(h, "c2").ip(
        "route change 10.8.9.2/32 via 10.8.0.1 dev z0 onlink proto 0x5c")),
    Mutation("Sysctl", "there", "sysctl/", lambda h: h.ip("link del br0")),
    Mutation("Sysctl", "value", "sysctl/c2:net.ipv4.ip_forward",
             lambda h: facts.set_sysctl("net.ipv4.ip_forward", "0", _c(h, "c2"))),
    Mutation("Directory", "there", "directory/etc/netns/c1",
             lambda _: Path("/etc/netns/.c1.reconciler").unlink()),
    Mutation("File", "there", "file/etc/netns/c1/resolv.conf",
             lambda _: Path("/etc/netns/c1/resolv.conf").unlink()),
    Mutation("File", "content", "file/etc/netns/c1/resolv.conf",
             lambda _: Path("/etc/netns/c1/resolv.conf").write_text("nameserver 192.0.2.9\n")),
    Mutation("File", "target", "file/etc/netns/c2/hosts", lambda _: (
        Path("/etc/netns/c2/hosts").unlink(), Path("/etc/netns/c2/hosts").symlink_to("nowhere"))),
    Mutation("Port", "there", "port/theirs0", lambda h: h.ip("link set theirs0 nomaster")),
    # Whose bridge a stranger's device is in is the stranger's business, once he has moved it.
    Mutation("Port", "master", "port/theirs0", lambda h: h.ip("link set theirs0 master br1"),
             fate="blocked", undo=lambda h: h.ip("link set theirs0 master br0")),
    Mutation("Qdisc", "there", "qdisc/c2:x0", lambda h: _c(h, "c2").run(
        *["tc", "qdisc", "del", "dev", "x0", "root"])),
    # A discipline of another kind is somebody else's, whatever its number.
    Mutation("Qdisc", "kind", "qdisc/c2:x0", lambda h: _c(h, "c2").run(
        "sh", "-ec", "tc qdisc del dev x0 root; tc qdisc add dev x0 root handle 5c: htb"),
             fate="blocked", undo=lambda h: _c(h, "c2").run(*["tc", "qdisc", "del", "dev", "x0", "root"])),
    Mutation("Qdisc", "rate", "qdisc/c2:x0", lambda h: _c(h, "c2").run(
        *["tc", "qdisc", "change", "dev", "x0", "root", "handle", "5c:", "tbf", "rate", "5mbit", "burst", "32kb", "latency", "50ms"])),
    Mutation("Qdisc", "burst", "qdisc/c2:x0", lambda h: _c(h, "c2").run(
        *["tc", "qdisc", "change", "dev", "x0", "root", "handle", "5c:", "tbf", "rate", "10mbit", "burst", "64kb", "latency", "50ms"])),
    Mutation("Qdisc", "limit", "qdisc/c2:x0", lambda h: _c(h, "c2").run(
        *["tc", "qdisc", "change", "dev", "x0", "root", "handle", "5c:", "tbf", "rate", "10mbit", "burst", "16kb", "limit", "99999"])),
    Mutation("FirewallChain", "there", "chain/filter/RC-", lambda h: h.run(
        "sh", "-ec", "iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X")),
    Mutation("FirewallRule", "there", "rule/filter/RC-OUT",
             lambda h: h.run("iptables", "-F", "RC-OUT")),
    Mutation("FirewallRule", "misplaced", "rule/nat/RC-SNAT",
             lambda h: _move_last_rule_first(h, "RC-SNAT", "nat")),
    Mutation("FirewallJump", "there", "rule/filter/FORWARD",
             lambda h: h.run("iptables", "-D", "FORWARD", "1")),
    Mutation("FirewallJump", "misplaced", "rule/filter/FORWARD", _jump_second),
)  # fmt: skip


UNMANAGED = {("Veth", "peer_master")}
"""Fields that are read and that nothing wants: what is done to them is nobody's drift."""


def undo_foreign(host: Host) -> None:
    """Take away what a deed has put there and what is none of our business."""
    rule = ("-i", "nobody0", "-j", "ACCEPT")
    if host.run("iptables", "-C", "FORWARD", *rule, check=False).returncode == 0:
        host.run("iptables", "-D", "FORWARD", *rule)
