"""snapshot and diff --against: a host compared elsewhere, without privilege and without a kernel."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.calls import BRIDGE, LONELY, SITE, call, call_json, check_changes


def test_the_recorded_host_gives_the_same_diff(host, without_privilege, tmp_path):
    """In another network namespace, with no capability."""
    host.manifests.write("web.yaml", SITE)
    call("apply", host.manifests)
    host.ip("-n web1 addr flush dev eth0")
    host.manifests.write("more.yaml", LONELY)
    snapshot = tmp_path / "host.json"
    snapshot.write_text(call("snapshot").stdout)
    here, _ = call_json("diff", host.manifests)

    there = subprocess.run(
        ["unshare", "-n", "setpriv", "--bounding-set=-all", "--inh-caps=-all",
         *host.command("diff", "--against", snapshot, host.manifests, "-o", "json")],
        capture_output=True, text=True, check=False, env=host.subprocess_environment(),
    )  # fmt: skip

    assert there.returncode == 2, there.stderr
    found = json.loads(there.stdout)
    check_changes(found)
    assert found == here
    assert found["summary"]["create"] > 0


def test_a_recorded_host_in_sync_is_in_sync(host, without_privilege, tmp_path):
    host.manifests.write("web.yaml", SITE)
    call("apply", host.manifests)
    snapshot = tmp_path / "host.json"
    snapshot.write_text(call("snapshot").stdout)
    call("teardown")

    result = without_privilege("diff", "--against", snapshot, host.manifests)

    assert result.code == 0
    assert result.stdout.startswith("In sync: ")


def test_the_environment_names_the_snapshot(host, tmp_path, monkeypatch):
    host.manifests.write("web.yaml", SITE)
    (tmp_path / "host.json").write_text(call("snapshot").stdout)
    call("apply", host.manifests)
    monkeypatch.setenv("RECONCILER_AGAINST", str(tmp_path / "host.json"))

    assert call("diff", host.manifests).code == 2


def test_a_snapshot_says_where_it_comes_from(host):
    found = json.loads(call("snapshot").stdout)

    assert found["version"] == 1
    assert set(found["about"]) == {"reconciler", "kernel", "host"}


def test_a_snapshot_holds_no_keys(host):
    """From these the kernel makes addresses and cookies (ip-sysctl)."""
    Path("/proc/sys/net/ipv6/conf/default/stable_secret").write_text("fd00::5ec:2e7")

    text = call("snapshot").stdout

    assert "stable_secret" not in text
    assert "2e7" not in text
    assert "fastopen_key" not in text


def test_taking_a_snapshot_of_a_set_knows_it_again(host, tmp_path):
    host.manifests.write("web.yaml", SITE)
    call("apply", "--set", "two", host.manifests)
    (tmp_path / "host.json").write_text(call("snapshot").stdout)
    against = ("--against", tmp_path / "host.json", host.manifests)

    assert call("diff", "--set", "two", *against).code == 0
    assert call("diff", *against).code == 2


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1}', "[" * 100_000, "\x00", "null",
     '{"version": 1, "objects": [{"type": "Nonesuch"}], "sysctls": {"common": {}, "namespaces": {}}}'],
)  # fmt: skip
def test_a_corrupt_snapshot_is_an_error_that_names_it(manifests, tmp_path, text):
    manifests.write("web.yaml", BRIDGE)
    path = tmp_path / "host.json"
    path.write_text(text)

    result = call("diff", "--against", path, manifests)
    found, code = call_json("diff", "--against", path, manifests)

    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {path}: ")
    check_changes(found)
    assert code == 1


def test_a_snapshot_that_is_not_there_is_an_error(manifests, tmp_path):
    manifests.write("web.yaml", BRIDGE)

    result = call("diff", "--against", tmp_path / "missing.json", manifests)

    assert result.code == 1
    assert "missing.json: No such file or directory" in result.stderr
