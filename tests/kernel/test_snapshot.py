"""snapshot and diff --against: what a recorded host lacks or has too much of is what the host did."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.agent.reconcile import Preview
from reconciler.cli.session import Options, open_session
from reconciler.host.recorded import RecordedHost
from tests.cli.calls import call, check_changes
from tests.kernel import facts
from tests.kernel.manifests import DUAL, bridge, container, link
from tests.kernel.passes import converge, describe, diff
from tests.kernel.worlds import QUIET
from tests.world import REMOTE, Host, make_namespace, wait_until

SITE = (
    bridge(f"{DUAL}, {QUIET}, ports: [up0]")
    + bridge(f"addresses: [10.2.0.1/24], icc: false, {QUIET}", "br1")
    + container("bridge: br0, publish: ['8080:80', '127.0.0.1:5353:53/udp'], hostname: front")
    + container("bridge: br0, sysctls: {net.ipv4.ip_forward: 1}, extraHosts: {a: 10.9.9.9}", "c2")
    + container("bridge: br1, links: ['c4:db'], expose: [80], publishAll: true", "c3")
    + container("bridge: br1, expose: [5432]", "c4")
    + container("network: none", "c5")
    + link(
        "container: c5, interface: x0, addresses: [10.8.0.1/32], routes: [{to: default}]",
        "container: c1, interface: y0, addresses: [10.8.0.2/32]",
        "rate: 20mbit",
    )
)


@pytest.fixture
def site(host: Host) -> Host:
    """A host with something of every kind of object, and strangers."""
    host.ip("tuntap add up0 mode tap")
    host.ip("link add theirs type bridge")
    host.ip("addr add 10.77.0.1/24 dev theirs")
    host.add_netns("stranger")
    host.run("iptables", "-A", "FORWARD", "-s", "10.66.0.0/16", "-j", "DROP")
    host.manifests.write("all.yaml", SITE)
    converge(host)
    return host


def take(path: Path, *arguments: str) -> Path:
    result = call("snapshot", *arguments)
    assert (result.code, result.stderr) == (0, "")
    path.write_text(result.stdout)
    return path


def recorded(host: Host, snapshot: Path) -> Preview:
    """What `diff --against` shows."""
    with open_session(
        Options((str(host.manifests.folder),)), RecordedHost.load(snapshot)
    ) as session:
        return session.preview()


def same(host: Host, snapshot: Path) -> Preview:
    """The recorded host and this one differ in the same things; the recorded preview."""
    here, there = diff(host), recorded(host, snapshot)
    assert describe(there) == describe(here)
    assert [str(c.key) for c in there.decision.withheld] == [
        str(c.key) for c in here.decision.withheld
    ]
    assert there.desired == here.desired
    assert [str(o) for o in there.plan().operations] == [str(o) for o in here.plan().operations]
    return there


def test_a_host_in_sync_is_in_sync_as_a_snapshot(site: Host, tmp_path: Path):
    assert same(site, take(tmp_path / "host.json")).in_sync


def test_the_snapshot_has_every_kind_of_object(site: Host, tmp_path: Path):
    found = json.loads(take(tmp_path / "host.json").read_text())

    types = {item["type"] for item in found["objects"]}
    assert types >= {
        "Address", "BridgeDevice", "Directory", "File", "FirewallChain", "FirewallRule", "Namespace",
        "OtherDevice", "Port", "Qdisc", "Route", "Veth",
    }  # fmt: skip
    assert found["sysctls"]["common"]
    owners = {item["owner"]["resource"] for item in found["objects"] if "owner" in item}
    assert owners >= {"Bridge/br0", "Bridge/br1", "Link/cable"} | {
        f"Container/c{number}" for number in range(1, 6)
    }
    foreign = {item.get("name") for item in found["objects"] if "owner" not in item}
    assert {"theirs", "stranger", "up0"} <= foreign


def _set_alias(host: Host) -> None:
    host.run("ip", "link", "set", "br0", "alias", "reconciler default Bridge/old")


def delete_namespace(host: Host, name: str) -> None:
    """Delete a namespace, and wait for its devices: the kernel cleans up in the background."""
    device = facts.peer("eth0", host.netns(name))["ifname"]
    host.delete_netns(name)
    wait_until(lambda: device not in facts.links())


DRIFTS: dict[str, tuple[Callable[[Host], object], str]] = {
    "a namespace": (lambda host: delete_namespace(host, "c2"), "netns/c2"),
    "a bridge": (lambda host: host.ip("link del br0"), "device/br0"),
    "a bridge's setting": (lambda host: host.ip("link set br0 type bridge ageing_time 77"),
                           "device/br0"),
    "a pair": (lambda host: host.netns("c2").ip("link del eth0"), "device/rcc2"),
    "a pair's state": (lambda host: host.netns("c2").ip("link set eth0 down"), "device/rcc2"),
    "an interface's name": (lambda host: host.netns("c2").ip("link set eth0 name lan0"),
                            "device/rcc2"),
    "a mark": (_set_alias, "device/br0"),
    "a port": (lambda host: host.ip("link set up0 nomaster"), "port/up0"),
    "a port's device": (lambda host: host.ip("link del up0"), "device/up0"),
    "an address": (lambda host: host.ip("addr del 10.1.0.1/24 dev br0"), "address/br0/10.1.0.1"),
    "an IPv6 address": (lambda host: host.netns("c1").ip("-6 addr flush dev eth0 scope global"),
                        "address/c1:eth0/fd00:1::2"),
    "a route": (lambda host: host.netns("c5").ip("route del default"), "route/c5:default"),
    "a queue": (lambda host: host.run("tc", "-n", "c5", "qdisc", "del", "dev", "x0", "root"),
                "qdisc/c5:x0"),
    "a queue's rate": (
        lambda host: host.run("tc", "-n", "c5", "qdisc", "replace", "dev", "x0", "root", "handle",
                              "5243:", "tbf", "rate", "1mbit", "burst", "16kb", "limit", "100kb"),
        "qdisc/c5:x0"),
    "a parameter of the host": (lambda host: facts.set_sysctl("net.ipv4.ip_forward", "0"),
                                "sysctl/net.ipv4.ip_forward"),
    "a parameter of a device": (
        lambda host: facts.set_sysctl("net.ipv4.conf.br0.route_localnet", "0"),
        "sysctl/net.ipv4.conf.br0.route_localnet"),
    "a parameter of a container": (
        lambda host: facts.set_sysctl("net.ipv4.ip_forward", "0", host.netns("c2")),
        "sysctl/c2:net.ipv4.ip_forward"),
    "a file": (lambda host: Path("/etc/netns/c2/hosts").write_text("10.0.0.1 evil\n"),
               "file/etc/netns/c2/hosts"),
    "a folder": (lambda host: host.run("rm", "-r", "/etc/netns/c2"), "file/etc/netns/c2/hostname"),
    "a folder's mark": (lambda host: Path("/etc/netns/.c2.reconciler").unlink(),
                        "directory/etc/netns/c2"),
    "a published port": (lambda host: host.run("iptables", "-t", "nat", "-F", "RC-DNAT"),
                         "rule/nat/RC-DNAT"),
    "a wall": (lambda host: host.run("iptables", "-F", "RC-OUT"), "rule/filter/RC-OUT"),
    "a hook": (lambda host: host.run("ip6tables", "-D", "FORWARD", "1"),
               "rule/filter6/FORWARD"),
    "all rules": (lambda host: host.run("iptables", "-t", "raw", "-F"), "rule/raw/"),
    "an order": (
        lambda host: host.run("sh", "-ec", "rule=$(iptables -S RC-OUT | grep -m1 ^-A);"
                              " iptables -D RC-OUT 1; eval iptables $rule"),
        "rule/filter/RC-OUT"),
    "a stranger's address": (
        lambda host: (host.ip("link add eth0 netns stranger type veth peer name eth1"),
                      host.netns("stranger").ip("addr add 10.1.0.4/24 dev eth0"),
                      host.manifests.write("new.yaml", container(name="c6"))),
        "address/c6:eth0/10.1.0.4"),
    "a listener": (
        lambda host: host.manifests.write(
            "new.yaml", container("bridge: br0, expose: [99], publishAll: true", "c6")),
        "rule/nat/"),
}  # fmt: skip
"""What somebody does, and how an object begins in which it must be seen."""


@pytest.mark.parametrize(("drift", "seen"), DRIFTS.values(), ids=DRIFTS)
def test_a_drift_of_every_class_is_seen_as_on_the_host(
    site: Host, tmp_path: Path, drift: Callable[[Host], object], seen: str
):
    drift(site)
    snapshot = take(tmp_path / "host.json")

    preview = same(site, snapshot)

    keys = [str(change.key) for change in preview.changes]
    assert [key for key in keys if key.startswith(seen)], keys


def test_elsewhere_without_privilege_it_is_the_diff_of_the_host_then(site: Host, tmp_path: Path):
    """Another network, another /etc/netns, no capability: only the file counts."""
    for name in ("a file", "a route", "a wall", "a queue", "a port", "a parameter of the host"):
        DRIFTS[name][0](site)
    snapshot = take(tmp_path / "host.json")
    here = call("diff", site.manifests, "-o", "json")
    text = call("diff", site.manifests).stdout
    script = site.reconciler("diff", site.manifests, "-o", "commands").stdout
    assert call("teardown").code == 0  # this host is another one now, too

    def there(output: str) -> subprocess.CompletedProcess[str]:
        command = site.command("diff", "--against", snapshot, site.manifests, "-o", output)
        argv = ["unshare", "-n", "setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
        return subprocess.run(
            argv, capture_output=True, text=True, check=False, env=site.subprocess_environment()
        )

    found = there("json")
    assert (found.returncode, found.stderr) == (2, "")
    check_changes(json.loads(found.stdout))
    assert found.stdout == here.stdout
    assert there("text").stdout == text
    assert there("commands").stdout == script


def test_what_only_manifests_lead_to_is_in_a_snapshot_that_gets_them(host: Host, tmp_path: Path):
    """Namespaces without a name, and parameters of devices that hardly anybody sets."""
    box = make_namespace(REMOTE / "box")
    host.manifests.write(
        "all.yaml",
        bridge(DUAL)
        + container(
            f"bridge: br0, runtime: path, target: {REMOTE}/box,"
            " sysctls: {net.ipv4.conf.eth0.shared_media: 0}"
        ),
    )
    converge(host)
    assert same(host, take(tmp_path / "host.json", str(host.manifests.folder))).in_sync

    box.ip("addr flush dev eth0")
    preview = same(host, take(tmp_path / "host.json", str(host.manifests.folder)))
    assert {change.key.type for change in preview.changes} == {"address", "route"}

    blind = recorded(host, take(tmp_path / "host.json"))
    assert any(str(REMOTE / "box") in change.reason for change in blind.changes)


def test_another_sets_things_are_others(site: Host, tmp_path: Path):
    snapshot = take(tmp_path / "host.json")
    site.manifests.write("all.yaml", bridge(DUAL) + container())

    with open_session(
        Options((str(site.manifests.folder),), "two"), RecordedHost.load(snapshot, "two")
    ) as session:
        preview = session.preview()

    reasons = {str(change.key): change.reason for change in preview.changes}
    assert "belongs to set default (Bridge/br0)" in reasons["device/br0"]
