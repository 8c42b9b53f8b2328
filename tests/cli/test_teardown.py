"""teardown: all that is ours goes, nothing else, and it says so."""

from tests.cli.calls import SITE, call, call_json, check_changes
from tests.witness import assert_same, kernel_snapshot


def _snapshot():
    """Without the two folders' own times: names have come and gone in them."""
    lines = kernel_snapshot().splitlines()
    return "\n".join(
        line for line in lines if not line.startswith(("/etc/netns: ", "/run/netns: "))
    )


def test_all_that_is_ours_goes_and_nothing_else(host):
    host.ip("link add br0 type bridge")
    host.ip("addr add 192.0.2.1/24 dev br0")
    host.add_netns("stranger")
    host.manifests.write("web.yaml", SITE)
    call("apply", host.manifests)
    call("teardown")
    before = _snapshot()
    call("apply", host.manifests)

    result = call("teardown")

    assert result.code == 0
    assert "Container/web1\n  - netns/web1\n" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("Removed: ")
    assert_same(before, _snapshot())


def test_nothing_to_remove_is_one_line(host):
    assert call("teardown").stdout == (
        "Nothing to remove: nothing on this host belongs to set default.\n"
    )
    assert call("teardown", "--all-sets").stdout == (
        "Nothing to remove: nothing on this host belongs to any set.\n"
    )


def test_teardown_in_json_is_one_object(host):
    host.manifests.write("web.yaml", SITE)
    call("apply", host.manifests)
    call("apply", "--set", "two", "-", stdin=SITE.replace("web", "api").replace("10.1.", "10.2."))

    found, code = call_json("teardown", "--all-sets")
    again, _ = call_json("teardown", "--all-sets")
    once_more, _ = call_json("teardown")

    for one in (found, again, once_more):
        check_changes(one)
        assert one["inSync"]
    assert code == 0
    assert {c["object"] for c in found["changes"]} >= {"device/web", "device/api"}
    assert found["summary"]["delete"] == len(found["changes"])
    assert again["changes"] == once_more["changes"] == []


def test_what_cannot_be_removed_is_reported(host):
    """The name of a namespace stays where /run/netns cannot be written."""
    host.manifests.write("web.yaml", SITE)
    call("apply", host.manifests)
    host.run("mount", "-o", "remount,ro", "/run")

    result = call("teardown", "--run-dir", str(host.manifests.folder))

    assert result.code == 4
    assert "failed: delete netns/web1 of Container/web1: " in result.stderr
    assert "Not converged: " in result.stderr
    assert "  - device/web\n" in result.stdout
    host.run("mount", "-o", "remount,rw", "/run")
    assert call("teardown").code == 0
