"""What stays: kept and suspended resources, and the guard against deleting too much."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.core.guard import parse_limit
from reconciler.errors import ReconcilerError
from tests.cli.calls import call
from tests.kernel import facts
from tests.kernel.manifests import DUAL, SUBNET, bridge, container, link
from tests.kernel.passes import apply, assert_settled, converge, describe, diff
from tests.probes import Listener, ask, ping
from tests.world import Host, wait_until

ALL = parse_limit("100%")
OTHER = bridge("addresses: [10.5.0.1/24]", "br5") + container("bridge: br5", "other")


def annotated(text: str, annotation: str, value: str) -> str:
    """All resources of a text with an annotation."""
    return re.sub(
        r"metadata: \{name: ([^}]+)\}",
        rf'metadata: {{name: \1, annotations: {{reconciler/{annotation}: "{value}"}}}}',
        text,
    )


def kept(text: str) -> str:
    return annotated(text, "prune", "false")


def suspended(text: str) -> str:
    return annotated(text, "suspend", "true")


# --------------------------------------------------------------------------- kept

SERVER = container("bridge: br0, addresses: [10.1.0.9, 'fd00:1::9'], publish: ['8080:80']")


def test_a_kept_container_stays_with_all_that_it_needs(host: Host):
    """Nothing declares it any more, nor its bridge: it is reached as before, inside and out."""
    uplink = host.uplink()
    host.manifests.write("all.yaml", bridge(DUAL) + kept(SERVER) + container(name="c2"))
    host.manifests.write("other.yaml", OTHER)
    converge(host)
    number = facts.link("br0")["ifindex"]

    host.manifests.remove("all.yaml")
    report = converge(host, max_deletes=ALL)

    c1 = host.netns("c1")
    assert facts.namespaces() == {"c1", "other"}
    assert facts.link("br0")["ifindex"] == number
    assert report.after.decision.withheld
    with Listener(c1, 80):
        assert ask(uplink.remote, uplink.host4, 8080) == uplink.remote4
        assert ask(uplink.remote, uplink.host6, 8080) == uplink.remote6
    assert ping(c1, uplink.internet4)
    assert ping(c1, "fd00:1::1")
    # Its walls are there still: nobody comes in another way.
    uplink.remote.ip(f"route add 10.1.0.0/24 via {uplink.host4}")
    assert not ping(uplink.remote, "10.1.0.9", timeout=0.3)
    assert not ping(host.netns("other"), "10.1.0.9", timeout=0.3)
    names = {path.name for path in Path("/etc/netns").iterdir()}
    assert {"c1", ".c1.reconciler"} <= names
    assert "c2" not in names
    assert "10.1.0.9\tc1\n" in Path("/etc/netns/c1/hosts").read_text()

    assert main.run(["teardown"]) == 0
    assert (facts.namespaces(), facts.bridges()) == (set(), set())


def test_nobody_gets_what_a_kept_container_has(host: Host):
    """Neither its address nor its host port; and the others of its bridge know it by its name."""
    host.manifests.write(
        "all.yaml",
        bridge() + kept(container("bridge: br0, expose: [80], publishAll: true, hostname: old")),
    )
    converge(host)
    before = facts.addresses("eth0", host.netns("c1"))
    (port,) = _published(host)

    host.manifests.write(
        "all.yaml", bridge() + container("bridge: br0, expose: [80], publishAll: true", "a1")
    )
    converge(host)

    assert facts.addresses("eth0", host.netns("c1")) == before == {"10.1.0.2/24"}
    assert facts.addresses("eth0", host.netns("a1")) == {"10.1.0.3/24"}
    assert len(_published(host)) == 2
    assert port in _published(host)
    assert "10.1.0.2\told c1\n" in Path("/etc/netns/a1/hosts").read_text()
    assert "10.1.0.3\ta1\n" in Path("/etc/netns/c1/hosts").read_text()


def _published(host: Host) -> set[str]:
    rules = host.run("iptables-save", "-t", "nat").stdout
    return set(re.findall(r"--dport (\d+) .*DNAT --to-destination", rules))


def test_a_kept_bridge_and_a_kept_cable_stay_alone(host: Host):
    cable = link(
        "container: c1, interface: x0, addresses: [10.8.0.1/32]",
        "host: true, interface: h0, addresses: [10.8.0.2/32]",
        "rate: 100mbit",
    )
    host.manifests.write("all.yaml", kept(bridge(DUAL)) + container() + kept(cable))
    host.manifests.write("other.yaml", OTHER)
    converge(host)

    host.manifests.remove("all.yaml")
    converge(host, max_deletes=ALL)

    assert facts.addresses("br0") == {"10.1.0.1/24", "fd00:1::1/64"}
    # The cable needs its container's namespace, but not the interface on the bridge.
    c1 = host.netns("c1")
    assert "x0" in facts.links(c1)
    assert facts.rate("x0", c1) == 100_000_000
    assert ping(c1, "10.8.0.2")


def test_what_is_declared_again_without_the_annotation_can_go(host: Host):
    host.manifests.write("other.yaml", OTHER)
    host.manifests.write("all.yaml", bridge() + kept(container()))
    converge(host)

    host.manifests.write("all.yaml", bridge() + container())
    report = converge(host)
    assert {change.key.type for change in report.preview.changes} == {
        "netns",
        "device",
        "directory",
    }

    host.manifests.remove("all.yaml")
    converge(host, max_deletes=ALL)
    assert facts.namespaces() == {"other"}
    assert facts.bridges() == {"br5"}


def test_a_kept_resource_is_healed_and_changed_while_it_is_declared(host: Host):
    host.manifests.write("all.yaml", bridge() + kept(container()))
    converge(host)
    c1 = host.netns("c1")

    c1.ip("addr flush dev eth0")
    converge(host)
    assert ping(c1, "10.1.0.1")

    # An edit may take something of it away: what stays is the resource, not each of its parts.
    host.manifests.write(
        "all.yaml", bridge() + kept(container("bridge: br0, addresses: [10.1.0.9]"))
    )
    converge(host)
    assert facts.addresses("eth0", c1) == {"10.1.0.9/24"}


# --------------------------------------------------------------------------- suspended


def test_a_suspended_container_is_left_as_it_is_and_the_others_are_not(host: Host):
    """Neither drift nor edits of it are touched."""
    host.manifests.write("all.yaml", bridge(DUAL) + container() + container(name="c2"))
    converge(host)
    c1, c2 = host.netns("c1"), host.netns("c2")
    host.manifests.write("all.yaml", bridge(DUAL) + suspended(container()) + container(name="c2"))
    assert_settled(host)

    for space in (c1, c2):
        space.ip("link set eth0 down")
        space.ip("addr flush dev eth0")
        space.ip("link set eth0 mtu 1400")
        Path(f"/etc/netns/{space.name}/hostname").write_text("evil\n")
    converge(host)
    assert "UP" not in facts.link("eth0", c1)["flags"]
    assert (facts.addresses("eth0", c1), facts.link("eth0", c1)["mtu"]) == (set(), 1400)
    assert Path("/etc/netns/c1/hostname").read_text() == "evil\n"
    assert ping(c2, "10.1.0.1")
    assert Path("/etc/netns/c2/hostname").read_text() == "c2\n"

    edited = container("bridge: br0, addresses: [10.1.0.99], publish: ['8080:80']")
    host.manifests.write("all.yaml", bridge(DUAL) + suspended(edited) + container(name="c2"))
    converge(host)
    assert facts.addresses("eth0", c1) == set()
    assert _published(host) == set()

    host.manifests.write("all.yaml", bridge(DUAL) + edited + container(name="c2"))
    converge(host)
    assert facts.addresses("eth0", c1) == {"10.1.0.99/24"}
    assert ping(c1, "10.1.0.1")
    assert _published(host) == {"8080"}


def test_a_suspended_bridge_is_left_with_its_rules(host: Host):
    host.manifests.write("all.yaml", bridge() + container())
    host.manifests.write("other.yaml", OTHER)
    converge(host)

    host.manifests.write("all.yaml", suspended(bridge(f"{SUBNET}, ageingTime: 77")) + container())
    host.run("iptables", "-F", "RC-OUT")
    host.ip("addr add 10.66.0.1/24 dev br0")
    converge(host)

    rules = host.run("iptables-save", "-t", "filter").stdout
    assert not re.search(r"^-A RC-OUT -i br0 ", rules, re.MULTILINE)
    assert re.search(r"^-A RC-OUT -i br5 ", rules, re.MULTILINE)
    assert facts.link("br0")["linkinfo"]["info_data"]["ageing_time"] == 30000

    # Nobody is plugged in anew where the walls are not as declared.
    host.manifests.write(
        "all.yaml", suspended(bridge(f"{SUBNET}, icc: false")) + container() + container(name="c2")
    )
    report = apply(host)
    assert not report.failures
    reasons = [change.reason for change in report.after.changes]
    assert any(reason.endswith("and Bridge/br0 is suspended") for reason in reasons)
    assert facts.links(host.netns("c2")) == {}
    assert ping(host.netns("c1"), "10.1.0.1")

    host.manifests.write("all.yaml", suspended(bridge(f"{SUBNET}, device: lan0")) + container())
    report = apply(host)
    assert not report.failures, [f"{o.operation}: {o.error}" for o in report.failures]
    assert facts.bridges() == {"br0", "br5"}
    assert ping(host.netns("c1"), "10.1.0.1")

    host.manifests.write("all.yaml", bridge(f"{SUBNET}, mtu: 1400, icc: false") + container())
    converge(host)
    assert facts.link("br0")["mtu"] == 1400


def test_what_is_new_and_suspended_is_not_made_and_who_needs_it_waits(host: Host):
    host.manifests.write(
        "all.yaml",
        suspended(bridge()) + container() + suspended(container("network: none", "c2")) + OTHER,
    )

    report = apply(host)

    assert not report.failures
    assert facts.namespaces() == {"c1", "other"}
    assert facts.bridges() == {"br5"}
    assert facts.links(host.netns("c1")) == {}
    endings = ("which is blocked", "and Bridge/br0 is suspended")
    assert all(c.reason.endswith(endings) for c in report.after.changes), describe(report.after)
    assert ping(host.netns("other"), "10.5.0.1")


def test_a_suspended_resource_that_is_no_longer_declared_goes(host: Host):
    host.manifests.write("all.yaml", bridge() + container() + container(name="c2"))
    converge(host)
    host.manifests.write("all.yaml", bridge() + suspended(container()) + container(name="c2"))
    converge(host)
    host.manifests.write("all.yaml", bridge() + container(name="c2"))
    converge(host)

    assert facts.namespaces() == {"c2"}


# --------------------------------------------------------------------------- too many deletes

MANY = "".join(container(name=f"d{number}") for number in range(4))


@pytest.fixture
def crowd(host: Host) -> Host:
    """More is there than is declared now: four of five containers would go."""
    host.manifests.write("all.yaml", bridge() + container() + MANY)
    converge(host)
    host.manifests.write("all.yaml", bridge() + container())
    return host


def test_more_than_half_does_not_go_unasked(crowd: Host):
    before = facts.namespaces()

    result = call("apply", crowd.manifests)

    assert result.code == 1
    assert result.stdout == ""
    assert re.search(r"error: \d+ of the \d+ objects that are ours would be deleted", result.stderr)
    assert "say --max-deletes" in result.stderr
    assert facts.namespaces() == before
    assert call("diff", crowd.manifests).code == 2  # which only shows it


@pytest.mark.parametrize(
    ("limit", "code"),
    [("1", 1), ("0", 1), ("10%", 1), ("100%", 0), ("999", 0), ("ten", 64), ("101%", 64)],
)
def test_a_limit_that_is_said_counts(crowd: Host, limit: str, code: int):
    result = call("apply", "--max-deletes", limit, crowd.manifests)

    assert result.code == code, result.stderr
    assert (facts.namespaces() == {"c1"}) == (code == 0)


def test_the_number_that_is_proposed_is_enough(crowd: Host):
    refused = call("apply", crowd.manifests).stderr
    found = re.search(r"--max-deletes (\d+)", refused)
    assert found is not None

    assert call("apply", "--max-deletes", str(int(found[1]) - 1), crowd.manifests).code == 1
    assert call("apply", "--max-deletes", found[1], crowd.manifests).code == 0
    assert facts.namespaces() == {"c1"}


def test_without_prune_nothing_goes_and_nobody_asks(crowd: Host):
    assert call("apply", "--no-prune", crowd.manifests).code == 0
    assert len(facts.namespaces()) == 5


def test_half_or_ten_objects_may_go(host: Host):
    host.manifests.write("all.yaml", bridge() + container() + container(name="c2"))
    converge(host)

    host.manifests.write("all.yaml", bridge() + container())
    converge(host)

    assert facts.namespaces() == {"c1"}


@pytest.mark.parametrize(("answer", "goes"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_on_a_terminal_somebody_may_say_yes(crowd: Host, answer: str, goes: bool):
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        crowd.command("apply", crowd.manifests),
        stdin=theirs, stdout=theirs, stderr=theirs, env=crowd.subprocess_environment(),
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = ""

        def asked() -> bool:
            nonlocal seen
            seen += os.read(ours, 65536).decode()
            return "Delete them? [y/N]" in seen

        wait_until(asked, 30)
        os.write(ours, answer.encode())
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk.decode()
        except OSError:
            pass  # the terminal's last user has gone (EIO)
        code = process.wait(60)
    os.close(ours)

    assert code == (0 if goes else 1), seen
    assert (facts.namespaces() == {"c1"}) is goes


def test_declaring_nothing_has_to_be_meant(crowd: Host):
    crowd.manifests.remove("all.yaml")
    before = facts.namespaces()

    refused = call("apply", crowd.manifests)
    assert refused.code == 1
    assert "--allow-empty" in refused.stderr
    assert facts.namespaces() == before

    assert call("apply", "--allow-empty", crowd.manifests).code == 0
    assert (facts.namespaces(), facts.links()) == (set(), {})
    assert list(Path("/etc/netns").iterdir()) == []
    for program in ("iptables-save", "ip6tables-save"):
        assert "RC-" not in crowd.run(program).stdout


def test_an_empty_folder_leaves_what_is_kept(host: Host):
    host.manifests.write("all.yaml", bridge() + kept(container()) + container(name="c2"))
    converge(host)
    host.manifests.remove("all.yaml")

    assert call("apply", "--allow-empty", host.manifests).code == 0

    assert facts.namespaces() == {"c1"}
    assert ping(host.netns("c1"), "10.1.0.1")
    with pytest.raises(ReconcilerError, match="--allow-empty"):
        diff(host)
