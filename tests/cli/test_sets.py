"""Sets: two sources of manifests on one host leave each other alone."""

import pytest

from tests.cli.calls import BRIDGE, LONELY, SITE, call, call_json

OTHER = BRIDGE.replace("web", "api").replace("10.1.", "10.2.")


def test_a_set_prunes_only_what_is_its_own(host):
    host.manifests.write("one/web.yaml", SITE)
    host.manifests.write("two/api.yaml", OTHER)
    one, two = (host.manifests.folder / name for name in ("one", "two"))
    call("apply", one)
    call("apply", "--set", "two", two)

    assert call("diff", one).code == 0
    assert call("diff", "--set", "two", two).code == 0
    assert "reconciler two Bridge/api" in host.ip("link show api")
    found, _ = call_json("teardown", "--set", "two")
    assert found["summary"]["delete"] > 0
    assert call("diff", one).code == 0
    assert "api" not in host.ip("-br link")


def test_what_another_set_owns_is_in_the_way(host):
    host.manifests.write("web.yaml", SITE)
    call("apply", "--set", "one", host.manifests)

    found, code = call_json("diff", "--set", "two", host.manifests)

    blocked = next(c for c in found["changes"] if c["object"] == "device/web")
    assert (code, blocked["action"]) == (2, "blocked")
    assert blocked["reason"] == (
        "device/web belongs to set one (Bridge/web); --adopt takes it over"
    )
    assert call("apply", "--set", "two", host.manifests).code == 4
    assert call("diff", "--set", "one", host.manifests).code == 0


def test_the_environment_chooses_the_set(host, monkeypatch):
    host.manifests.write("a.yaml", LONELY)
    monkeypatch.setenv("RECONCILER_SET", "two")

    assert call("apply", host.manifests).code == 0

    monkeypatch.delenv("RECONCILER_SET")
    assert call("diff", "--set", "two", host.manifests).code == 0


@pytest.mark.parametrize("name", ["Two", "a b", "-a", "a-", "a/b", "ä", "a" * 64, "a\n", "a.b"])
@pytest.mark.parametrize("command", ["diff", "apply", "teardown", "snapshot"])
def test_a_name_that_is_no_dns_label_is_a_wrong_command_line(command, name, capsys):
    result = call(command, "--set", name)

    assert (result.code, result.stdout) == (64, "")


def test_teardown_takes_one_set_or_all(host):
    host.manifests.write("one/web.yaml", SITE)
    host.manifests.write("two/api.yaml", OTHER)
    call("apply", host.manifests.folder / "one")
    call("apply", "--set", "two", host.manifests.folder / "two")

    result = call("teardown", "--all-sets")

    assert result.code == 0
    assert "Set default\n" in result.stdout
    assert "Set two\n" in result.stdout
    assert host.ip("-br link").split()[0] == "lo"
    assert len(host.ip("-br link").splitlines()) == 1
