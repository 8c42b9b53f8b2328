"""The form of problems, whole: what a user sees on the terminal."""

import pytest

from reconciler.kinds import ManifestFile, parse_catalog
from reconciler.manifest.problem import ManifestErrors

HEAD = "apiVersion: reconciler/v1\nkind: {}\nmetadata:\n  name: {}\nspec:\n"
BRIDGE = HEAD.format("Bridge", "web") + "  addresses: [10.0.0.1/24]\n"
CONTAINER = HEAD.format("Container", "c")


def rendered(text):
    with pytest.raises(ManifestErrors) as errors:
        parse_catalog([ManifestFile("net/web.yaml", text.encode())])
    return str(errors.value)


CASES = {
    "unknown field": (
        BRIDGE + "  mtuu: 9000\n",
        """\
net/web.yaml:7:3: Bridge/web: spec.mtuu: unknown field; did you mean "mtu"?
  mtuu: 9000
  ^~~~""",
    ),
    "wrong type": (
        BRIDGE + "  mtu: 'big'  # bytes\n",
        """\
net/web.yaml:7:8: Bridge/web: spec.mtu: must be a whole number from 68 to 65535, and is the text "big"
  mtu: 'big'  # bytes
       ^~~~~""",
    ),
    "not a boolean": (
        BRIDGE + "  icc: no\n",
        """\
net/web.yaml:7:8: Bridge/web: spec.icc: "no" is not a boolean; write true or false
  icc: no
       ^~""",
    ),
    "the network's own address": (
        BRIDGE.replace("0.1/24", "0.0/24"),
        """\
net/web.yaml:6:15: Bridge/web: spec.addresses[0]: 10.0.0.0/24 is the address of the network itself; \
write one inside, as 10.0.0.1/24
  addresses: [10.0.0.0/24]
              ^~~~~~~~~~~""",
    ),
    "missing": (
        HEAD.format("Bridge", "web") + "  mtu: 1500\n",
        """\
net/web.yaml:5:1: Bridge/web: spec.addresses: is required; for example addresses: [10.0.0.1/24]
spec:
^~~~""",
    ),
    "duplicate key": (
        BRIDGE + "  addresses: []\n",
        """\
net/web.yaml:7:3: duplicate key "addresses"; it stands in line 6 already
  addresses: []
  ^~~~~~~~~""",
    ),
    "unknown kind": (
        BRIDGE.replace("Bridge", "Brdige"),
        """\
net/web.yaml:2:7: Brdige/web: kind: unknown kind "Brdige"; did you mean "Bridge"?
kind: Brdige
      ^~~~~~""",
    ),
    "no such bridge": (
        BRIDGE + "---\n" + CONTAINER + "  bridge: wbe\n",
        """\
net/web.yaml:13:11: Container/c: spec.bridge: there is no Bridge "wbe"; did you mean "web"?
  bridge: wbe
          ^~~""",
    ),
    "outside the subnet, in a list": (
        BRIDGE + "---\n" + CONTAINER + "  bridge: web\n  addresses:\n  - 10.1.0.5\n",
        """\
net/web.yaml:15:5: Container/c: spec.addresses[0]: 10.1.0.5 is outside Bridge/web, which has 10.0.0.0/24
  - 10.1.0.5
    ^~~~~~~~""",
    ),
    "a port twice": (
        BRIDGE
        + "---\n"
        + CONTAINER
        + "  bridge: web\n  publish:\n  - 80:80\n  - hostPort: 80\n    containerPort: 8\n",
        """\
net/web.yaml:16:5: Container/c: spec.publish[1]: host port 80/tcp is claimed twice, here and in line 15
  - hostPort: 80
    ^""",
    ),
    "refused by the network mode": (
        CONTAINER + "  network: host\n  publish:\n    - 80\n",
        """\
net/web.yaml:7:3: Container/c: spec.publish: does not go with network: host; \
the namespace is the host's; leave it out
  publish:
  ^~~~~~~""",
    ),
    "a name": (
        BRIDGE.replace("name: web", 'name: "Web Server"'),
        """\
net/web.yaml:4:9: Bridge/Web Server: metadata.name: "Web Server" is not a name; \
use a DNS label: a-z, 0-9 and -, 63 characters at most, as "web-server"
  name: "Web Server"
        ^~~~~~~~~~~~""",
    ),
    "syntax": (
        BRIDGE + "  mtu: 1500: 2\n",
        """\
net/web.yaml:7:12: not valid YAML: mapping values are not allowed in this context; \
quote text that contains ": "
  mtu: 1500: 2
           ^""",
    ),
    "a sysctl, by its key": (
        CONTAINER + "  network: none\n  sysctls:\n    kernel.shmmax: 1\n",
        """\
net/web.yaml:7:3: Container/c: spec.sysctls: "kernel.shmmax" is not a sysctl of a network namespace; \
only net.* belongs to a network namespace, as net.ipv4.ip_forward
  sysctls:
  ^~~~~~~""",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_form(case):
    text, expected = CASES[case]

    assert rendered(text) == expected
