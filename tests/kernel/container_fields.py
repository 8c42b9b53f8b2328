"""The fields of a Container that act on the kernel, with its interfaces and routes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tests.kernel import facts
from tests.kernel.case import case
from tests.kernel.manifests import DUAL, bridge, container
from tests.world import REMOTE, Host, Namespace, make_namespace, wait_until

BR0 = bridge()
BR1 = bridge("addresses: [10.2.0.1/24]", name="br1")
TWO = BR0 + BR1


def _c1(read: Callable[[Namespace], object]) -> Callable[[Host], object]:
    return lambda host: read(host.netns("c1"))


def _interfaces(host: Host) -> object:
    """Of c1: every interface with its addresses, and the bridge that it leads to."""
    c1 = host.netns("c1")
    return {
        name: (facts.peer(name, c1)["master"], facts.addresses(name, c1))
        for name in facts.links(c1)
    }


def _where(host: Host) -> object:
    """Which of the namespaces that c1 can be has its address, and the names we made."""
    places = {"box": Namespace("box", REMOTE / "box"), "c1": host.netns("c1")}
    places["process"] = Namespace("process", REMOTE / "process")
    holding = {
        name
        for name, place in places.items()
        if place.path.exists() and "eth0" in facts.links(place) and facts.addresses("eth0", place)
    }
    return holding, facts.namespaces()


@contextmanager
def _boxes(host: Host) -> Iterator[Mapping[str, str]]:
    """A namespace that is only a file, and one that only a process holds."""
    make_namespace(REMOTE / "box")
    argv = ["unshare", "-n", "sh", "-c", "echo there; read line"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        (REMOTE / "process").symlink_to(f"/proc/{process.pid}/ns/net")
        try:
            yield {"PID": str(process.pid), "BOX": str(REMOTE / "box")}
        finally:
            process.kill()
    wait_until(lambda: process.returncode is not None)


ETH0 = {"eth0": ("br0", {"10.1.0.2/24"})}
GATEWAY = "default via 10.1.0.1 dev eth0"


def _routed(*routes: str) -> set[str]:
    return {GATEWAY, *routes}


CONTAINER_CASES = (
    case(
        "Container.runtime",
        _where,
        (BR0 + container(), ({"c1"}, {"c1"})),
        (BR0 + container("bridge: br0, runtime: path, target: BOX"), ({"box"}, set())),
        (BR0 + container("bridge: br0, runtime: pid, target: 'PID'"), ({"process"}, set())),
        (BR0 + container("bridge: br0, runtime: path, target: BOX"), ({"box"}, set())),
        (BR0 + container(), ({"c1"}, {"c1"})),
        prepare=_boxes,
    ),
    case(
        "Container.target",
        lambda host: facts.namespaces(),
        (BR0 + container(), {"c1"}),
        (BR0 + container("bridge: br0, target: web.1"), {"web.1"}),
        (BR0 + container("bridge: br0, target: Web_2"), {"Web_2"}),
        (BR0 + container(), {"c1"}),
    ),
    case(
        "Container.network",
        _interfaces,
        (BR0 + container(), ETH0),
        (BR0 + container("network: none"), {}),
        (BR0 + container("network: bridge, bridge: br0"), ETH0),
        (BR0 + container(), ETH0),
    ),
    case(
        "Container.network",
        lambda host: facts.namespaces(),
        (BR0 + container() + container(name="c2"), {"c1", "c2"}),
        (BR0 + container("network: host") + container(name="c2"), {"c2"}),
        (BR0 + container("network: none") + container(name="c2"), {"c1", "c2"}),
        (BR0 + container("network: 'container:c2'") + container(name="c2"), {"c2"}),
        (BR0 + container() + container(name="c2"), {"c1", "c2"}),
        about="a namespace of its own, or not",
    ),
    case(
        "Container.bridge",
        _interfaces,
        (TWO + container("network: none"), {}),
        (TWO + container("bridge: br0"), ETH0),
        (TWO + container("bridge: br1"), {"eth0": ("br1", {"10.2.0.2/24"})}),
        (TWO + container("network: none"), {}),
    ),
    case(
        "Container.interfaces Container.interfaces.bridge",
        _interfaces,
        (TWO + container("bridge: br0, addresses: [10.1.0.2]"), ETH0),
        (
            TWO + container("interfaces: [{bridge: br0}, {bridge: br1}]"),
            ETH0 | {"eth1": ("br1", {"10.2.0.2/24"})},
        ),
        (
            TWO
            + container(
                "interfaces: [{bridge: br1}, {bridge: br0, addresses: [10.1.0.2]},"
                " {bridge: br0, addresses: [10.1.0.3]}]"
            ),
            {
                "eth0": ("br1", {"10.2.0.2/24"}),
                "eth1": ("br0", {"10.1.0.2/24"}),
                "eth2": ("br0", {"10.1.0.3/24"}),
            },
        ),
        (TWO + container("bridge: br0, addresses: [10.1.0.2]"), ETH0),
    ),
    case(
        "Container.interfaces.name",
        _interfaces,
        (BR0 + container("interfaces: [{bridge: br0, addresses: [10.1.0.2]}]"), ETH0),
        (
            BR0 + container("interfaces: [{name: front, bridge: br0, addresses: [10.1.0.2]}]"),
            {"front": ("br0", {"10.1.0.2/24"})},
        ),
        (
            BR0 + container("interfaces: [{name: front.10, bridge: br0, addresses: [10.1.0.2]}]"),
            {"front.10": ("br0", {"10.1.0.2/24"})},
        ),
        (BR0 + container("interfaces: [{bridge: br0, addresses: [10.1.0.2]}]"), ETH0),
    ),
    case(
        "Container.interfaces.addresses",
        _interfaces,
        (
            bridge(DUAL) + container("interfaces: [{bridge: br0, addresses: [10.1.0.9]}]"),
            {"eth0": ("br0", {"10.1.0.9/24"})},
        ),
        (
            bridge(DUAL) + container("interfaces: [{bridge: br0, addresses: [10.1.0.9, auto]}]"),
            {"eth0": ("br0", {"10.1.0.9/24", "fd00:1::2/64"})},
        ),
        (
            bridge(DUAL)
            + container(
                'interfaces: [{bridge: br0, addresses: [10.1.0.7/24, 10.1.0.8, "fd00:1::7"]}]'
            ),
            {"eth0": ("br0", {"10.1.0.7/24", "10.1.0.8/24", "fd00:1::7/64"})},
        ),
        (
            bridge(DUAL) + container("interfaces: [{bridge: br0}]"),
            {"eth0": ("br0", {"10.1.0.7/24", "fd00:1::7/64"})},
        ),  # what is there and valid stays
    ),
    case(
        "Container.interfaces.mac",
        _c1(lambda c1: facts.link("eth0", c1)["address"]),
        # Where none is written: Docker's, of the IPv4 address.
        (BR0 + container("interfaces: [{bridge: br0}]"), "02:42:0a:01:00:02"),
        (
            BR0 + container("interfaces: [{bridge: br0, mac: '02:00:00:00:00:05'}]"),
            "02:00:00:00:00:05",
        ),
        (
            BR0 + container("interfaces: [{bridge: br0, mac: 02-00-00-00-00-AB}]"),
            "02:00:00:00:00:ab",
        ),
        (BR0 + container("interfaces: [{bridge: br0}]"), "02:42:0a:01:00:02"),
    ),
    case(
        "Container.interfaces.mtu",
        _c1(lambda c1: (facts.link("eth0", c1)["mtu"], facts.peer("eth0", c1)["mtu"])),
        (BR0 + container("interfaces: [{bridge: br0}]"), (1500, 1500)),
        (BR0 + container("interfaces: [{bridge: br0, mtu: 1400}]"), (1400, 1400)),
        (BR0 + container("interfaces: [{bridge: br0, mtu: 1300}]"), (1300, 1300)),
        (BR0 + container("interfaces: [{bridge: br0}]"), (1500, 1500)),
    ),
    case(
        "Container.interfaces.gateway",
        _c1(facts.routes),
        (TWO + container("interfaces: [{bridge: br0}, {bridge: br1}]"), {GATEWAY}),
        (
            TWO + container("interfaces: [{bridge: br0}, {bridge: br1, gateway: true}]"),
            {"default via 10.2.0.1 dev eth1"},
        ),
        (
            TWO + container("interfaces: [{bridge: br0, gateway: false}, {bridge: br1}]"),
            {"default via 10.2.0.1 dev eth1"},
        ),
        (
            TWO + container("interfaces: [{bridge: br0, gateway: false}]"),
            set(),
        ),
        (TWO + container("interfaces: [{bridge: br0}, {bridge: br1}]"), {GATEWAY}),
    ),
    case(
        "Container.addresses",
        _interfaces,
        (bridge(DUAL) + container(), {"eth0": ("br0", {"10.1.0.2/24", "fd00:1::2/64"})}),
        (
            bridge(DUAL) + container("bridge: br0, addresses: [10.1.0.9]"),
            {"eth0": ("br0", {"10.1.0.9/24"})},
        ),
        (
            bridge(DUAL) + container('bridge: br0, addresses: ["fd00:1::9/64"]'),
            {"eth0": ("br0", {"fd00:1::9/64"})},
        ),
        (
            bridge(DUAL) + container('bridge: br0, addresses: [auto, "fd00:1::8"]'),
            {"eth0": ("br0", {"10.1.0.2/24", "fd00:1::8/64"})},
        ),
        (bridge(DUAL) + container(), {"eth0": ("br0", {"10.1.0.2/24", "fd00:1::8/64"})}),
    ),
    case(
        "Container.mac",
        _c1(lambda c1: facts.link("eth0", c1)["address"]),
        (BR0 + container(), "02:42:0a:01:00:02"),
        (BR0 + container("bridge: br0, mac: '02:00:00:00:00:05'"), "02:00:00:00:00:05"),
        (BR0 + container("bridge: br0, mac: '02:00:00:00:00:06'"), "02:00:00:00:00:06"),
        (BR0 + container(), "02:42:0a:01:00:02"),
    ),
    case(
        "Container.routes Container.routes.to",
        _c1(facts.routes),
        (BR0 + container(), _routed()),
        (
            BR0 + container("bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.7}]"),
            _routed("10.9.0.0/16 via 10.1.0.7 dev eth0"),
        ),
        (
            BR0 + container("bridge: br0, routes: [{to: 10.9.0.0/17, via: 10.1.0.7}]"),
            _routed("10.9.0.0/17 via 10.1.0.7 dev eth0"),
        ),
        (
            BR0 + container("bridge: br0, routes: [{to: 10.9.0.1, via: 10.1.0.7}]"),
            _routed("10.9.0.1 via 10.1.0.7 dev eth0"),
        ),
        (BR0 + container(), _routed()),
    ),
    case(
        "Container.routes.via",
        _c1(facts.routes),
        (
            bridge(DUAL) + container("bridge: br0, addresses: ['fd00:1::9']"),
            {"default via fd00:1::1 dev eth0 metric 1024"},
        ),
        (
            bridge(DUAL)
            + container(
                "bridge: br0, addresses: ['fd00:1::9'], routes: [{to: 'fd09::/48', via: 'fd00:1::7'}]"
            ),
            {
                "default via fd00:1::1 dev eth0 metric 1024",
                "fd09::/48 via fd00:1::7 dev eth0 metric 1024",
            },
        ),
        (
            bridge(DUAL)
            + container(
                "bridge: br0, addresses: ['fd00:1::9'], routes: [{to: 'fd09::/48', via: 'fd00:1::8'}]"
            ),
            {
                "default via fd00:1::1 dev eth0 metric 1024",
                "fd09::/48 via fd00:1::8 dev eth0 metric 1024",
            },
        ),
        (
            bridge(DUAL) + container("bridge: br0, addresses: ['fd00:1::9']"),
            {"default via fd00:1::1 dev eth0 metric 1024"},
        ),
        about="IPv6",
    ),
    case(
        "Container.routes.via",
        _c1(facts.routes),
        (
            TWO
            + container(
                "interfaces: [{bridge: br0}, {bridge: br1}],"
                " routes: [{to: 10.9.0.0/16, via: 10.1.0.7}]"
            ),
            _routed("10.9.0.0/16 via 10.1.0.7 dev eth0"),
        ),
        (
            TWO
            + container(
                "interfaces: [{bridge: br0}, {bridge: br1}],"
                " routes: [{to: 10.9.0.0/16, via: 10.2.0.7}]"
            ),
            _routed("10.9.0.0/16 via 10.2.0.7 dev eth1"),
        ),
        about="through another interface",
    ),
    case(
        "Container.routes.metric",
        _c1(facts.routes),
        (
            BR0 + container("bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.7}]"),
            _routed("10.9.0.0/16 via 10.1.0.7 dev eth0"),
        ),
        (
            BR0 + container("bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.7, metric: 5}]"),
            _routed("10.9.0.0/16 via 10.1.0.7 dev eth0 metric 5"),
        ),
        (
            BR0 + container("bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.7, metric: 9}]"),
            _routed("10.9.0.0/16 via 10.1.0.7 dev eth0 metric 9"),
        ),
        (
            BR0
            + container(
                "bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.7, metric: 9},"
                " {to: 10.9.0.0/16, via: 10.1.0.8, metric: 3}]"
            ),
            _routed(
                "10.9.0.0/16 via 10.1.0.7 dev eth0 metric 9",
                "10.9.0.0/16 via 10.1.0.8 dev eth0 metric 3",
            ),
        ),
        (
            BR0 + container("bridge: br0, routes: [{to: 10.9.0.0/16, via: 10.1.0.7}]"),
            _routed("10.9.0.0/16 via 10.1.0.7 dev eth0"),
        ),
    ),
    case(
        "Container.sysctls",
        _c1(
            lambda c1: (
                facts.sysctl("net.ipv4.ip_forward", c1),
                facts.sysctl("net.ipv4.ip_local_port_range", c1),
                facts.sysctl("net.ipv4.conf.eth0.rp_filter", c1),
            )
        ),
        (
            BR0
            + container(
                "bridge: br0, sysctls: {net.ipv4.ip_forward: 0, net.ipv4.conf.eth0.rp_filter: 0}"
            ),
            ("0", "32768\t60999", "0"),
        ),
        (
            BR0
            + container(
                "bridge: br0, sysctls: {net.ipv4.ip_forward: 1,"
                " net.ipv4.ip_local_port_range: 20000 30000,"
                " net.ipv4.conf.eth0.rp_filter: 2}"
            ),
            ("1", "20000\t30000", "2"),
        ),
        (
            BR0
            + container(
                "bridge: br0, sysctls: {net.ipv4.ip_forward: 0,"
                " net.ipv4.ip_local_port_range: 20000 30001,"
                " net.ipv4.conf.eth0.rp_filter: 1}"
            ),
            ("0", "20000\t30001", "1"),
        ),
        (BR0 + container(), ("0", "20000\t30001", "1")),  # not written is not managed
    ),
)
