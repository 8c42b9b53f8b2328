"""What a loop does about drift: heal, report or leave; and what it cannot put right."""

from __future__ import annotations

import signal
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.kernel import facts
from tests.kernel.daemon import Daemon, Record, running
from tests.kernel.manifests import bridge, container
from tests.world import Host

GATEWAYS = {"br0": "10.1.0.1/24", "br1": "10.2.0.1/24"}
TTL = "net.ipv4.ip_default_ttl"


def annotated(text: str, annotation: str, value: str) -> str:
    """One resource of one line of metadata, with an annotation."""
    return text.replace("}\n", f', annotations: {{reconciler/{annotation}: "{value}"}}}}\n', 1)


def declare(host: Host, name: str, annotation: str = "", value: str = "", more: str = "") -> None:
    """A bridge in a file of its own."""
    text = bridge(f"addresses: [{GATEWAYS[name]}]{more}", name)
    host.manifests.write(f"{name}.yaml", annotated(text, annotation, value) if annotation else text)


def break_it(host: Host, name: str) -> None:
    """Take a bridge's address away."""
    assert is_whole(name)
    host.ip(f"addr del {GATEWAYS[name]} dev {name}")


def is_whole(name: str) -> bool:
    return facts.addresses(name) == {GATEWAYS[name]}


def drift_of(daemon: Daemon, name: str) -> list[Record]:
    return [d for d in daemon.status()["drift"] if d["object"].startswith(f"address/{name}/")]


def resource(daemon: Daemon, id_: str) -> Record:
    found = {f"{one['kind']}/{one['name']}": one for one in daemon.status()["resources"]}
    return found[id_]


def look_again(daemon: Daemon) -> None:
    """Have it look at everything, and wait until it has."""

    def passes() -> int:
        return sum(r["event"] == "pass" and r["cause"] == "signal" for r in daemon.log)

    before = passes()
    daemon.signal(signal.SIGHUP)
    daemon.wait(lambda: passes() > before)


# --- the mode of a run


def test_what_is_to_be_reported_is_named_and_left_until_the_manifests_change(
    host: Host, tmp_path: Path
):
    declare(host, "br0")
    with running(host, tmp_path / "daemon", "--drift", "report") as daemon:
        assert daemon.command("drift").code == 0

        break_it(host, "br0")
        (drift,) = daemon.wait(lambda: drift_of(daemon, "br0"))

        assert drift["object"] == f"address/br0/{GATEWAYS['br0']}"
        assert (drift["mode"], drift["fate"], drift["action"]) == ("report", "reported", "create")
        assert (drift["owner"], drift["foundBy"]) == ("Bridge/br0", "event")
        assert drift["source"] == f"{host.manifests.folder}/br0.yaml:2"
        state = resource(daemon, "Bridge/br0")
        assert state["state"] == "Degraded"
        assert drift["object"] in state["message"]
        assert "report" in state["message"]
        status, said = daemon.command("status"), daemon.command("drift")
        assert (status.code, said.code) == (2, 2)
        assert drift["object"] in status.stdout
        assert drift["object"] in said.stdout

        look_again(daemon)
        assert not is_whole("br0")

        declare(host, "br1")
        daemon.wait(lambda: is_whole("br0"))
        daemon.wait_in_sync()
        daemon.wait(lambda: resource(daemon, "Bridge/br0")["state"] == "Ready")
        assert daemon.command("status").code == 0
        assert daemon.command("drift").code == 0
        assert [r["fate"] for r in daemon.history()] == ["reported", "healed"]


def test_what_is_to_be_reported_and_goes_by_itself_is_no_drift_any_more(host: Host, tmp_path: Path):
    declare(host, "br0")
    with running(host, tmp_path / "daemon", "--drift", "report") as daemon:
        host.ip("link set br0 mtu 1400")
        daemon.wait(lambda: daemon.status()["drift"])
        host.ip("link set br0 mtu 1500")
        daemon.wait_in_sync()
        assert [r["fate"] for r in daemon.history()] == ["reported", "gone"]


def test_a_suspended_run_leaves_drift_also_when_the_manifests_change(host: Host, tmp_path: Path):
    declare(host, "br0")
    with running(host, tmp_path / "daemon", "--drift", "suspend") as daemon:
        break_it(host, "br0")
        daemon.wait(lambda: resource(daemon, "Bridge/br0")["state"] == "Suspended")
        (drift,) = drift_of(daemon, "br0")
        assert drift["mode"] == "suspend"

        look_again(daemon)
        declare(host, "br1")
        daemon.wait(lambda: "br1" in facts.links() and is_whole("br1"))
        daemon.wait(lambda: resource(daemon, "Bridge/br1")["state"] == "Ready")
        assert not is_whole("br0")
        assert resource(daemon, "Bridge/br0")["state"] == "Suspended"


def test_a_run_that_only_reports_builds_what_is_not_there_at_all(host: Host, tmp_path: Path):
    """As after a reboot: the record says that it was applied, and the kernel has nothing."""
    declare(host, "br0")
    with running(host, tmp_path / "daemon") as daemon:
        assert daemon.stop() == 0
        assert daemon.command("teardown").code == 0
        assert facts.bridges() == set()
    with running(host, tmp_path / "daemon", "--drift", "report") as daemon:
        assert is_whole("br0")
        assert daemon.history() == []


def test_what_has_drifted_while_no_loop_ran_is_drift_at_its_start(host: Host, tmp_path: Path):
    declare(host, "br0")
    with running(host, tmp_path / "daemon") as daemon:
        assert daemon.stop() == 0
    break_it(host, "br0")
    with running(host, tmp_path / "daemon", "--drift", "report", in_sync=False) as daemon:
        (drift,) = daemon.wait(lambda: drift_of(daemon, "br0"))
        assert (drift["fate"], drift["foundBy"]) == ("reported", "start")
        assert not is_whole("br0")
        assert daemon.stop() == 0
    with running(host, tmp_path / "daemon"):
        assert is_whole("br0")


# --- the mode of a resource


@pytest.mark.parametrize(
    ("run", "own", "state"),
    [
        ("heal", "report", "Degraded"),
        ("heal", "suspend", "Suspended"),
        ("report", "suspend", "Suspended"),
    ],
)
def test_a_resource_may_be_left_whatever_the_run_does(
    host: Host, tmp_path: Path, run: str, own: str, state: str
):
    declare(host, "br0", "drift", own)
    declare(host, "br1", "drift", "heal")
    with running(host, tmp_path / "daemon", "--drift", run) as daemon:
        break_it(host, "br0")
        (drift,) = daemon.wait(lambda: drift_of(daemon, "br0"))
        assert drift["mode"] == own
        break_it(host, "br1")
        daemon.wait(lambda: is_whole("br1"))
        assert not is_whole("br0")
        daemon.wait(lambda: resource(daemon, "Bridge/br1")["state"] == "Ready")
        assert resource(daemon, "Bridge/br0")["state"] == state


@pytest.mark.parametrize("run", ["report", "suspend"])
def test_a_resource_may_be_healed_whatever_the_run_does(host: Host, tmp_path: Path, run: str):
    declare(host, "br0")
    declare(host, "br1", "drift", "heal")
    with running(host, tmp_path / "daemon", "--drift", run) as daemon:
        break_it(host, "br0")
        break_it(host, "br1")
        daemon.wait(lambda: is_whole("br1"))
        assert not is_whole("br0")
        (drift,) = daemon.wait(lambda: drift_of(daemon, "br0"))
        assert drift["mode"] == run


def test_a_suspended_resource_is_left_exactly_as_it_is_until_it_is_no_longer_suspended(
    host: Host, tmp_path: Path
):
    declare(host, "br0", "suspend", "true")
    declare(host, "br1")
    host.manifests.write("c1.yaml", container())
    with running(host, tmp_path / "daemon", in_sync=False) as daemon:
        # It was never there: suspended means that it is not made either.
        daemon.wait(lambda: "br1" in facts.links() and is_whole("br1"))
        assert "br0" not in facts.links()
        declare(host, "br0")
        daemon.wait(lambda: "br0" in facts.links() and is_whole("br0"))
        daemon.wait_in_sync()

        declare(host, "br0", "suspend", "true", more=", mtu: 1400")
        daemon.wait(lambda: resource(daemon, "Bridge/br0")["state"] == "Suspended")
        break_it(host, "br0")
        host.ip("link set br0 mtu 1300")
        look_again(daemon)
        break_it(host, "br1")
        daemon.wait(lambda: is_whole("br1"))

        assert facts.addresses("br0") == set()
        assert facts.link("br0")["mtu"] == 1300
        assert resource(daemon, "Bridge/br0")["state"] == "Suspended"
        assert not drift_of(daemon, "br0")

        declare(host, "br0", more=", mtu: 1400")
        daemon.wait(lambda: is_whole("br0") and facts.link("br0")["mtu"] == 1400)
        # The kernel is put right before the status says so.
        daemon.wait(lambda: resource(daemon, "Bridge/br0")["state"] == "Ready")
        daemon.wait_in_sync()


# --- what cannot be put right


def test_what_is_in_the_way_blocks_with_its_reason_and_heals_when_it_is_gone(
    host: Host, tmp_path: Path
):
    declare(host, "br0")
    declare(host, "br1")
    with running(host, tmp_path / "daemon") as daemon:
        daemon.signal(signal.SIGSTOP)  # or it would be the first to make the bridge anew
        host.ip("link del br0")
        host.ip("link add br0 type veth peer name theirs")
        daemon.signal(signal.SIGCONT)

        found = daemon.wait(
            lambda: (r := resource(daemon, "Bridge/br0"))["state"] == "Blocked" and r
        )
        assert "device/br0 is there and does not carry our mark" in found["message"]
        status = daemon.command("status")
        assert status.code == 2
        assert found["message"] in status.stdout
        assert [d["fate"] for d in daemon.status()["drift"] if d["object"] == "device/br0"] == [
            "blocked"
        ]
        assert daemon.command("drift").code == 2
        break_it(host, "br1")
        daemon.wait(lambda: is_whole("br1"))
        assert facts.link("br0")["linkinfo"]["info_kind"] == "veth"

        host.ip("link del br0")
        daemon.wait(lambda: "br0" in facts.bridges() and is_whole("br0"))
        daemon.wait_in_sync()
        daemon.wait(lambda: resource(daemon, "Bridge/br0")["state"] == "Ready")


def test_what_the_kernel_refuses_is_tried_ever_more_rarely_and_holds_up_nothing_else(
    host: Host, tmp_path: Path
):
    tries = 7
    declare(host, "br0")
    host.manifests.write("bad.yaml", container(f"bridge: br0, sysctls: {{{TTL}: '999'}}", "bad"))
    host.manifests.write("good.yaml", container(name="good"))
    with running(host, tmp_path / "daemon", in_sync=False) as daemon:
        assert facts.addresses("eth0", host.netns("good"))
        found = daemon.wait(
            lambda: (r := resource(daemon, "Container/bad"))["state"] == "Degraded" and r
        )
        assert "the kernel does not take one of the values (EINVAL)" in found["message"]
        assert TTL in found["message"]
        assert daemon.command("status").code == 2
        assert daemon.status()["drift"] == []
        assert resource(daemon, "Container/good")["state"] == "Ready"

        break_it(host, "br0")
        daemon.wait(lambda: is_whole("br0"))

        def failures() -> list[float]:
            failed = [r for r in daemon.log if r["event"] == "failed" and TTL in r["object"]]
            return [datetime.fromisoformat(r["timestamp"]).timestamp() for r in failed]

        daemon.wait(lambda: len(failures()) >= tries, 30)
        pauses = [after - before for before, after in pairwise(failures()[:tries])]
        assert pauses == sorted(pauses)
        assert pauses[-1] > 8 * pauses[0]
        # A try is a pass, and there are no passes in between.
        retries = daemon.metrics()['reconciler_passes_total{cause="retry"}']
        assert retries <= len(failures())
        assert daemon.metric("reconciler_passes_total") < 3 * len(failures())
        assert daemon.status()["lastPass"]["failures"] == 1

        host.manifests.write("bad.yaml", container(f"bridge: br0, sysctls: {{{TTL}: '99'}}", "bad"))
        daemon.wait_in_sync()
        assert facts.sysctl(TTL, host.netns("bad")) == "99"
        assert resource(daemon, "Container/bad")["state"] == "Ready"
