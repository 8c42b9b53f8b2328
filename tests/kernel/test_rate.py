"""The rate of a Link: what passes, how it heals, and what is left alone."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.kernel import facts
from tests.kernel.manifests import container, link
from tests.kernel.passes import apply, assert_settled, converge, describe, diff
from tests.world import HERE, Host, Namespace, inside, wait_until

ONE, OTHER = "addresses: [10.8.0.0/31]", "addresses: [10.8.0.1/31]"
PORT = 5201  # iperf3's
SECONDS = 3


def cable(more: str) -> str:
    ends = f"container: c1, interface: x0, {ONE}", f"container: c2, interface: y0, {OTHER}"
    return "".join(container("network: none", name) for name in ("c1", "c2")) + link(*ends, more)


def throughput(source: Namespace, target: Namespace, address: str) -> float:
    """Bits a second that arrive by TCP, its own headers not counted."""
    with inside(target):
        server = subprocess.Popen(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: f":{PORT} " in target.run("ss", "-Htln").stdout)
        answer = source.run("iperf3", "-c", address, "-t", str(SECONDS), "-J").stdout
        server.wait(10)
    finally:
        server.kill()
        server.wait()
    return float(json.loads(answer)["end"]["sum_received"]["bits_per_second"])


@pytest.mark.parametrize("megabits", [10, 100])
def test_each_direction_of_a_link_carries_its_rate(host: Host, megabits: int):
    """Within a tenth, of which the headers are 4.4 % (66 bytes of every 1,514)."""
    host.manifests.write("all.yaml", cable(f"rate: {megabits}mbit"))
    converge(host)
    c1, c2 = host.netns("c1"), host.netns("c2")

    for source, target, address in ((c1, c2, "10.8.0.1"), (c2, c1, "10.8.0.0")):
        # A machine that is busy may send less; nothing can send more.
        found: list[float] = []
        while len(found) < 4 and (not found or max(found) < 0.9 * megabits):
            found.append(throughput(source, target, address) / 1_000_000)
        assert 0.9 * megabits <= max(found) <= 1.1 * megabits, found


def test_a_link_without_a_rate_is_not_held_back(host: Host):
    host.manifests.write("all.yaml", cable("rate: 10mbit"))
    converge(host)
    host.manifests.write("all.yaml", cable(""))
    converge(host)

    assert throughput(host.netns("c1"), host.netns("c2"), "10.8.0.1") > 200_000_000


def test_the_host_s_end_of_a_link_is_held_back_too(host: Host):
    ends = f"container: c1, interface: x0, {ONE}", f"host: true, interface: y0, {OTHER}"
    host.manifests.write("all.yaml", container("network: none") + link(*ends, "rate: 5mbit"))

    converge(host)

    assert (facts.rate("x0", host.netns("c1")), facts.rate("y0")) == (5_000_000, 5_000_000)


@pytest.mark.parametrize(
    "fault",
    [
        "qdisc delete dev x0 root",
        "qdisc change dev x0 root handle 5c: tbf rate 1mbit burst 16kb limit 78750",
        "qdisc replace dev x0 root tbf rate 1mbit burst 16kb limit 78750",
        "qdisc change dev x0 root handle 5c: tbf rate 10mbit burst 64kb limit 78884",
        "qdisc change dev x0 root handle 5c: tbf rate 10mbit burst 16kb limit 30000",
    ],
)
def test_what_somebody_does_to_a_rate_is_healed_by_one_apply(host: Host, fault: str):
    host.manifests.write("all.yaml", cable("rate: 10mbit"))
    converge(host)
    c1 = host.netns("c1")
    c1.run("tc", *fault.split())
    assert not diff(host).in_sync

    report = converge(host)

    assert [str(o.operation.key) for o in report.outcomes] == ["qdisc/c1:x0"]
    assert facts.rate("x0", c1) == 10_000_000


@pytest.mark.parametrize(
    "strangers",
    [
        "handle 7: tbf rate 1mbit burst 16kb limit 78750",
        "handle 7: pfifo limit 9",
    ],
)
def test_a_stranger_s_queue_is_in_the_way_until_it_is_adopted(host: Host, strangers: str):
    host.manifests.write("all.yaml", cable("rate: 10mbit"))
    converge(host)
    c1 = host.netns("c1")
    c1.run("tc", "qdisc", "delete", "dev", "x0", "root")
    c1.run("tc", "qdisc", "add", "dev", "x0", "root", *strangers.split())

    report = apply(host)

    assert report.outcomes == ()
    assert "does not carry our mark" in describe(report.after)
    assert " 7: " in c1.run("tc", "qdisc", "show", "dev", "x0").stdout
    converge(host, adopt=True)
    assert facts.rate("x0", c1) == 10_000_000


def test_one_that_is_exactly_as_declared_is_what_we_want_whoever_put_it_there(host: Host):
    host.manifests.write("all.yaml", cable("rate: 10mbit"))
    converge(host)
    c1 = host.netns("c1")
    as_declared = "tbf rate 10mbit burst 16kb limit 78884"
    c1.run("tc", "qdisc", "delete", "dev", "x0", "root")
    c1.run("tc", "qdisc", "add", "dev", "x0", "root", *as_declared.split())

    assert_settled(host)


def test_without_a_rate_a_stranger_s_queue_is_left_alone(host: Host):
    host.manifests.write("all.yaml", cable(""))
    converge(host)
    c1 = host.netns("c1")
    c1.run("tc", "qdisc", "add", "dev", "x0", "root", "handle", "7:", "pfifo", "limit", "9")

    assert_settled(host)

    assert "pfifo 7: " in c1.run("tc", "qdisc", "show", "dev", "x0").stdout


def test_a_rate_is_part_of_a_snapshot(host: Host):
    host.manifests.write("all.yaml", cable("rate: 10mbit"))
    converge(host)
    snapshot = host.reconciler("snapshot")
    recorded = host.manifests.folder.parent / "recorded.json"
    recorded.write_text(snapshot.stdout)
    found = [o for o in json.loads(snapshot.stdout)["objects"] if o["type"] == "Qdisc"]
    assert [(o["device"], o["rate"]) for o in found] == [("x0", 10_000_000), ("y0", 10_000_000)]

    same = host.reconciler("diff", "--against", recorded, host.manifests)
    host.manifests.write("all.yaml", cable("rate: 20mbit"))
    other = host.reconciler("diff", "--against", recorded, "-o", "json", host.manifests)

    assert same.code == 0, same.stdout
    changes = json.loads(other.stdout)["changes"]
    assert other.code == 2
    assert {c["object"]: c["action"] for c in changes} == {
        "qdisc/c1:x0": "update",
        "qdisc/c2:y0": "update",
    }


def test_devices_of_one_name_are_told_apart_by_their_namespace(host: Host):
    HERE.ip("link add name x0 index 1002 type veth peer name x1")
    host.manifests.write("all.yaml", cable("rate: 10mbit"))

    converge(host)

    assert facts.rate("x0") is None
    assert facts.rate("x0", host.netns("c1")) == 10_000_000
