"""The fields of a Link that act on the kernel, with its endpoints and their routes.

c1 and c2 are containers that have nothing but the cable between them.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.kernel import facts
from tests.kernel.case import case
from tests.kernel.manifests import container, link
from tests.world import HERE, Host, Namespace

BOTH = container("network: none") + container("network: none", "c2")
THREE = BOTH + container("network: none", "c3")
ONE, OTHER = "container: c1, interface: x0", "container: c2, interface: y0"


def _cable(one: str = "", other: str = "", more: str = "") -> str:
    """The cable between c1 and c2; the words are added to the ends."""
    ends = [f"{end}, {words}" if words else end for end, words in ((ONE, one), (OTHER, other))]
    return BOTH + link(*ends, more)


def _devices(host: Host) -> object:
    """The devices of each container, and the host's."""
    names = sorted(facts.namespaces())
    return {name: set(facts.links(host.netns(name))) for name in names}, set(facts.links())


def _in(name: str, read: Callable[[Namespace], object]) -> Callable[[Host], object]:
    return lambda host: read(host.netns(name))


def _both(read: Callable[[str, Namespace], object]) -> Callable[[Host], object]:
    return lambda host: (read("x0", host.netns("c1")), read("y0", host.netns("c2")))


def _of_link(field: str) -> Callable[[Host], object]:
    return _both(lambda device, namespace: facts.link(device, namespace)[field])


NOTHING = {"c1": set(), "c2": set()}
R1, R2 = "addresses: [10.8.0.0/31]", "addresses: [10.8.0.1/31]"
V6 = "addresses: ['fd00:8::1/64']", "addresses: ['fd00:8::2/64']"


def _route(words: str) -> str:
    return _cable(f"{R1}, routes: [{{{words}}}]", R2)


LINK_CASES = (
    case(
        "Link.endpoints Link.endpoints.interface",
        _devices,
        (BOTH, (NOTHING, set())),
        (_cable(), ({"c1": {"x0"}, "c2": {"y0"}}, set())),
        (
            BOTH + link("container: c1, interface: a.1", "container: c2, interface: b0"),
            ({"c1": {"a.1"}, "c2": {"b0"}}, set()),
        ),
        # One name changes, the other stays: of the pair's two ends one is its key.
        (
            BOTH + link("container: c1, interface: a.1", "container: c2, interface: b1"),
            ({"c1": {"a.1"}, "c2": {"b1"}}, set()),
        ),
        (
            BOTH + link("container: c1, interface: a2", "container: c2, interface: b1"),
            ({"c1": {"a2"}, "c2": {"b1"}}, set()),
        ),
        (BOTH, (NOTHING, set())),
    ),
    case(
        "Link.endpoints.container",
        _devices,
        (THREE, (NOTHING | {"c3": set()}, set())),
        (THREE + link(ONE, OTHER), ({"c1": {"x0"}, "c2": {"y0"}, "c3": set()}, set())),
        (
            THREE + link(ONE, "container: c3, interface: y0"),
            ({"c1": {"x0"}, "c2": set(), "c3": {"y0"}}, set()),
        ),
        (
            THREE + link("container: c2, interface: x0", "container: c3, interface: y0"),
            ({"c1": set(), "c2": {"x0"}, "c3": {"y0"}}, set()),
        ),
        (THREE, (NOTHING | {"c3": set()}, set())),
    ),
    case(
        "Link.endpoints.host",
        _devices,
        (_cable(), ({"c1": {"x0"}, "c2": {"y0"}}, set())),
        (BOTH + link(ONE, "host: true, interface: y0"), ({"c1": {"x0"}, "c2": set()}, {"y0"})),
        (
            BOTH + link("host: true, interface: x0", OTHER),
            ({"c1": set(), "c2": {"y0"}}, {"x0"}),
        ),
        (_cable(), ({"c1": {"x0"}, "c2": {"y0"}}, set())),
    ),
    case(
        "Link.endpoints.addresses",
        lambda host: (
            _both(facts.addresses)(host),
            facts.routes(host.netns("c1")),
            facts.routes(host.netns("c2")),
        ),
        (_cable(), ((set(), set()), set(), set())),
        (_cable(R1, R2), (({"10.8.0.0/31"}, {"10.8.0.1/31"}), set(), set())),
        (
            _cable("addresses: [10.8.0.1/32]", "addresses: [10.8.0.2/32]"),
            (({"10.8.0.1/32"}, {"10.8.0.2/32"}), {"10.8.0.2 dev x0"}, {"10.8.0.1 dev y0"}),
        ),
        (
            _cable("addresses: ['fd00:8::1/128']", "addresses: ['fd00:8::2/128', 10.8.0.2/32]"),
            (
                ({"fd00:8::1/128"}, {"fd00:8::2/128", "10.8.0.2/32"}),
                {"fd00:8::2 dev x0 metric 1024"},
                {"fd00:8::1 dev y0 metric 1024"},
            ),
        ),
        (
            _cable("addresses: [10.8.0.1/24, 'fd00:8::1/64']", "addresses: [10.8.0.2/24]"),
            (({"10.8.0.1/24", "fd00:8::1/64"}, {"10.8.0.2/24"}), set(), set()),
        ),
        (_cable(), ((set(), set()), set(), set())),
    ),
    case(
        "Link.endpoints.mac",
        lambda host: (
            facts.link("x0", host.netns("c1"))["address"] == "02:00:00:00:00:05"
            or facts.link("y0", host.netns("c2"))["address"]
        ),
        (_cable("mac: '02:00:00:00:00:05'"), True),
        (_cable(other="mac: '02:00:00:00:00:06'"), "02:00:00:00:00:06"),
        (_cable(other="mac: '02:00:00:00:00:07'"), "02:00:00:00:00:07"),
        (_cable("mac: '02:00:00:00:00:05'"), True),
    ),
    case(
        "Link.endpoints.mtu",
        _of_link("mtu"),
        (_cable(), (1500, 1500)),
        (_cable("mtu: 1400"), (1400, 1500)),
        (_cable("mtu: 9000", "mtu: 1300"), (9000, 1300)),
        (_cable(), (1500, 1500)),
    ),
    case(
        "Link.mtu",
        _of_link("mtu"),
        (_cable(*V6), (1500, 1500)),
        (_cable(*V6, more="mtu: 9000"), (9000, 9000)),
        (_cable(*V6, more="mtu: 1280"), (1280, 1280)),
        (_cable(f"{V6[0]}, mtu: 1400", V6[1], "mtu: 1280"), (1400, 1280)),
        (_cable(*V6), (1500, 1500)),
    ),
    case(
        "Link.rate",
        _both(facts.rate),
        (_cable(R1, R2), (None, None)),
        (_cable(R1, R2, "rate: 10mbit"), (10_000_000, 10_000_000)),
        (_cable(R1, R2, "rate: 2.5gbit"), (2_500_000_000, 2_500_000_000)),
        (_cable(R1, R2, "rate: 8kbit, mtu: 9000"), (8_000, 8_000)),
        (_cable(R1, R2), (None, None)),
    ),
    case(
        "Link.endpoints.routes Link.endpoints.routes.to",
        _in("c1", facts.routes),
        (_cable(R1, R2), set()),
        (_route("to: 10.9.0.0/16"), {"10.9.0.0/16 via 10.8.0.1 dev x0"}),
        (_route("to: 10.9.0.7"), {"10.9.0.7 via 10.8.0.1 dev x0"}),
        (_route("to: default"), {"default via 10.8.0.1 dev x0"}),
        (_cable(R1, R2), set()),
    ),
    case(
        "Link.endpoints.routes.via Link.endpoints.routes.metric",
        _in("c1", facts.routes),
        (
            _cable(
                "addresses: [10.8.0.2/24], routes: [{to: 10.9.0.0/16}]", "addresses: [10.8.0.3/24]"
            ),
            {"10.9.0.0/16 via 10.8.0.3 dev x0"},
        ),
        (
            _cable(
                "addresses: [10.8.0.2/24], routes: [{to: 10.9.0.0/16, via: 10.8.0.9, metric: 7}]",
                "addresses: [10.8.0.3/24]",
            ),
            {"10.9.0.0/16 via 10.8.0.9 dev x0 metric 7"},
        ),
        (
            _cable(
                "addresses: [10.8.0.2/24], routes: [{to: 10.9.0.0/16, via: 10.8.0.10, metric: 8}]",
                "addresses: [10.8.0.3/24]",
            ),
            {"10.9.0.0/16 via 10.8.0.10 dev x0 metric 8"},
        ),
        (
            _cable(
                "addresses: [10.8.0.2/24], routes: [{to: 10.9.0.0/16}]", "addresses: [10.8.0.3/24]"
            ),
            {"10.9.0.0/16 via 10.8.0.3 dev x0"},
        ),
    ),
    case(
        "Link.endpoints.routes.to",
        lambda host: facts.routes(HERE),
        (
            BOTH
            + link(
                ONE + ", addresses: [10.8.0.1/32]",
                "host: true, addresses: [10.8.0.2/32], interface: y0",
            ),
            {"10.8.0.1 dev y0"},
        ),
        (
            BOTH
            + link(
                ONE + ", addresses: [10.8.0.1/32]",
                "host: true, addresses: [10.8.0.2/32], interface: y0, routes: [{to: 10.9.0.0/16}]",
            ),
            {"10.8.0.1 dev y0", "10.9.0.0/16 via 10.8.0.1 dev y0"},
        ),
        (
            BOTH
            + link(
                ONE + ", addresses: [10.8.0.1/32]",
                "host: true, addresses: [10.8.0.2/32], interface: y0, routes: [{to: 10.9.0.0/17}]",
            ),
            {"10.8.0.1 dev y0", "10.9.0.0/17 via 10.8.0.1 dev y0"},
        ),
        (
            BOTH
            + link(
                ONE + ", addresses: [10.8.0.1/32]",
                "host: true, addresses: [10.8.0.2/32], interface: y0",
            ),
            {"10.8.0.1 dev y0"},
        ),
        about="on the host",
    ),
)
