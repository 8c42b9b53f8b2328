"""show: what there is, as a tree, as JSON and as graphs."""

from tests.cli.calls import SITE, call, call_json

LINKED = """\
---
apiVersion: reconciler/v1
kind: Container
metadata: {name: lonely}
spec: {network: none}
---
apiVersion: reconciler/v1
kind: Link
metadata: {name: cable}
spec:
  endpoints:
    - {container: lonely, interface: c0, addresses: [10.9.0.1/32]}
    - {host: true, interface: c1, addresses: [10.9.0.2/32]}
"""

TREE = """\
Bridge/web  10.1.0.1/24  mtu 1500  up
├── web1:eth0  10.1.0.2/24
└── web2:eth0  10.1.0.3/24
Container/lonely
└── c0  10.9.0.1/32  MAC  to host:c1
Container/web1
├── eth0  10.1.0.2/24  02:42:0a:01:00:02  on web
└── default via 10.1.0.1
Container/web2
├── eth0  10.1.0.3/24  02:42:0a:01:00:03  on web
└── default via 10.1.0.1
Link/cable
├── host:c1    10.9.0.2/32
└── lonely:c0  10.9.0.1/32
"""


def test_a_tree_with_addresses(host):
    call("apply", "-", stdin=SITE + LINKED)
    mac = host.netns("lonely").ip("-br link show c0").split()[2]

    result = call("show")

    assert result.code == 0
    assert result.stdout.replace(mac, "MAC") == TREE


def test_what_is_down_stands_out(host):
    call("apply", "-", stdin=SITE)
    host.netns("web1").ip("link set eth0 down")
    host.ip("link set web down")

    text = call("show").stdout

    assert "Bridge/web  10.1.0.1/24  mtu 1500  DOWN\n" in text
    assert "on web  DOWN\n" in text


def test_nothing_of_ours(host):
    host.ip("link add br0 type bridge")

    assert call("show").stdout == "Nothing here is ours.\n"


def test_the_same_as_json(host):
    call("apply", "-", stdin=SITE)

    found, code = call_json("show")

    assert code == 0
    assert (found["version"], list(found)) == (1, ["version", "bridges", "spaces", "cables"])
    (bridge,) = found["bridges"]
    assert (bridge["name"], bridge["addresses"]) == ("web", ["10.1.0.1/24"])
    assert [port["netns"] for port in bridge["ports"]] == ["web1", "web2"]


def test_the_same_as_graphs(host):
    call("apply", "-", stdin=SITE + LINKED)

    mermaid = call("show", "-o", "mermaid").stdout
    dot = call("show", "-o", "dot").stdout

    assert mermaid.startswith("graph LR\n")
    assert '{{"web 10.1.0.1/24"}}' in mermaid
    assert '|"eth0 10.1.0.2/24"|' in mermaid
    assert dot.startswith("graph reconciler {\n")
    assert '"b_web" -- "n_web1" [label="eth0 10.1.0.2/24"];' in dot
    assert dot.endswith("}\n")
