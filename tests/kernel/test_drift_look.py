"""`reconciler drift PATH` without a loop: what nobody asked for is told from what is to be done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.kernel import facts
from tests.kernel.manifests import bridge, container
from tests.witness import QuietKernel
from tests.world import Host, Result

GATEWAY = "10.1.0.1/24"
ADDRESS = f"address/br0/{GATEWAY}"


class Places:
    """The host, with places of its own for what is kept."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.state = host, folder / "state"
        self.dirs = ("--run-dir", folder / "run", "--state-dir", self.state)

    def call(self, command: str, *options: str) -> Result:
        return self.host.reconciler(command, self.host.manifests, *self.dirs, *options)

    def apply(self) -> None:
        done = self.call("apply")
        assert done.code == 0, done

    def drift(self) -> tuple[int, list[str]]:
        """Exit code, and the objects that have drifted."""
        done = self.call("drift", "-o", "json")
        assert done.stderr == ""
        return done.code, [record["object"] for record in self.records(done)]

    @staticmethod
    def records(done: Result) -> list[dict[str, Any]]:
        return json.loads(done.stdout)["drift"]


NONE: tuple[int, list[str]] = (0, [])
THE_ADDRESS = (2, [ADDRESS])


@pytest.fixture
def places(host: Host, tmp_path: Path) -> Places:
    """A bridge and two containers, that are not applied yet."""
    host.manifests.write("br0.yaml", bridge())
    host.manifests.write("c1.yaml", container(name="c1"))
    host.manifests.write("c2.yaml", container("network: none", "c2"))
    return Places(host, tmp_path)


def break_it(host: Host) -> None:
    host.ip(f"addr del {GATEWAY} dev br0")


def edit(host: Host) -> None:
    """Ask for something of every kind: a change, something more, something less."""
    host.manifests.write("c1.yaml", container("bridge: br0, publish: ['8080:80']", "c1"))
    host.manifests.write("c3.yaml", container("network: none", "c3"))
    host.manifests.remove("c2.yaml")


def test_what_was_never_applied_is_no_drift(places: Places):
    assert places.drift() == NONE
    assert places.call("diff").code == 2


def test_what_is_as_it_was_applied_is_no_drift(places: Places):
    places.apply()
    assert places.drift() == NONE


def test_a_deleted_address_is_drift_and_is_named_with_its_line(places: Places):
    places.apply()
    break_it(places.host)
    assert places.drift() == THE_ADDRESS
    (record,) = places.records(places.call("drift", "-o", "json"))
    assert (record["owner"], record["action"]) == ("Bridge/br0", "create")
    assert record["source"] == f"{places.host.manifests.folder}/br0.yaml:2"
    said = places.call("drift")
    assert said.code == 2
    assert ADDRESS in said.stdout
    assert facts.addresses("br0") == set()


def test_what_an_edit_asks_for_is_no_drift(places: Places):
    places.apply()
    edit(places.host)
    assert places.call("diff").code == 2
    assert places.drift() == NONE


def test_what_an_edit_brings_about_in_other_resources_is_no_drift(places: Places):
    places.apply()
    places.host.manifests.write("c3.yaml", container("bridge: br0, publish: ['8081:80']", "c3"))
    owners = {
        change["owner"]
        for change in json.loads(places.call("diff", "-o", "json").stdout)["changes"]
    }
    assert "Bridge/br0" in owners
    assert places.drift() == NONE


def test_of_an_edit_and_a_deleted_address_only_the_address_is_drift(places: Places):
    places.apply()
    edit(places.host)
    break_it(places.host)
    assert places.drift() == THE_ADDRESS


def test_once_an_edit_is_applied_what_is_done_to_it_is_drift(places: Places):
    places.apply()
    edit(places.host)
    places.apply()
    places.host.delete_netns("c3")
    code, found = places.drift()
    assert code == 2
    assert "netns/c3" in found


def test_without_its_record_what_is_there_counts_as_applied(places: Places):
    places.apply()
    shutil.rmtree(places.state)
    break_it(places.host)
    places.host.manifests.write("c3.yaml", container("network: none", "c3"))
    assert places.drift() == THE_ADDRESS


def test_what_is_suspended_is_no_drift(places: Places):
    text = bridge().replace("{name: br0}", '{name: br0, annotations: {reconciler/suspend: "true"}}')
    places.apply()
    places.host.manifests.write("br0.yaml", text)
    places.apply()
    break_it(places.host)
    assert places.drift() == NONE


def test_after_a_teardown_nothing_is_drift(places: Places):
    places.apply()
    assert places.host.reconciler("teardown", *places.dirs).code == 0
    assert places.drift() == NONE


def test_to_look_for_drift_writes_nothing(places: Places):
    places.apply()
    break_it(places.host)
    with QuietKernel(places.state) as quiet:
        assert places.drift() == THE_ADDRESS
    assert quiet.changes() == []


def test_manifests_that_are_not_valid_are_an_error_and_not_drift(places: Places):
    places.apply()
    places.host.manifests.write("br0.yaml", "kind: [\n")
    done = places.call("drift")
    assert done.code == 1
    assert "br0.yaml" in done.stderr
