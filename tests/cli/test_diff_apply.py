"""diff and apply: what one shows the other does, and how both say it."""

import pytest

from tests.cli.calls import BRIDGE, SITE, call, call_json, check_changes, container, documents


def test_apply_does_what_diff_showed_and_then_nothing(host):
    host.manifests.write("web.yaml", SITE)

    shown, differs = call_json("diff", host.manifests)
    done, applied = call_json("apply", host.manifests)
    again, unchanged = call_json("apply", host.manifests)

    check_changes(shown)
    check_changes(done)
    check_changes(again)
    assert (differs, applied, unchanged) == (2, 0, 0)
    assert (shown["inSync"], done["inSync"], again["inSync"]) == (False, True, True)
    assert done["changes"] == shown["changes"]
    assert done["summary"] == shown["summary"]
    assert again["changes"] == []
    assert again["summary"]["unchanged"] == len(shown["changes"]) + shown["summary"]["unchanged"]


EDITS = {
    "mtu": (SITE.replace("10.1.0.1/24]", "10.1.0.1/24], mtu: 1400"), {"update": 3}),
    "stp": (SITE.replace("10.1.0.1/24]", "10.1.0.1/24], stp: true"), {"update": 1}),
    "renumbered": (SITE.replace("10.1.0.1/24", "10.2.0.1/24"), None),
    "gone": (documents(BRIDGE, container("web1")), None),
    "another": (SITE + "---\n" + container("web3"), None),
}


@pytest.mark.parametrize("edit", EDITS)
def test_apply_does_what_diff_showed_after_an_edit(host, edit):
    after, counts = EDITS[edit]
    host.manifests.write("web.yaml", SITE)
    call("apply", host.manifests)
    host.manifests.write("web.yaml", after)

    shown, differs = call_json("diff", host.manifests)
    done, applied = call_json("apply", host.manifests)
    _, left = call_json("diff", host.manifests)

    check_changes(shown)
    assert (differs, applied, left) == (2, 0, 0)
    assert done["changes"] == shown["changes"]
    if counts is not None:
        assert {k: v for k, v in shown["summary"].items() if v and k != "unchanged"} == counts


def test_the_text_of_apply_is_that_of_diff_but_for_the_last_line(host):
    host.manifests.write("web.yaml", SITE)

    shown = call("diff", host.manifests)
    done = call("apply", host.manifests)
    again = call("apply", host.manifests)

    *changes, plan = shown.stdout.splitlines()
    *carried_out, applied = done.stdout.splitlines()
    assert carried_out == changes
    assert plan.startswith("Plan: ")
    assert plan.endswith(" unchanged.")
    assert applied == plan.replace("Plan:", "Applied:").replace("to create", "created").replace(
        "to update", "updated"
    )
    assert again.stdout.count("\n") == 1
    assert again.stdout.startswith("In sync: ")
    assert (shown.stderr, done.stderr, again.stderr) == ("", "", "")


def test_a_diff_reads_from_the_outside_in(host):
    """Within a resource: namespace, device, addresses, routes, parameters; web2 before web10."""
    host.manifests.write("web.yaml", documents(BRIDGE, container("web10"), container("web2")))

    lines = call("diff", host.manifests).stdout.splitlines()

    headings = [line.split("  ")[0] for line in lines if line and line[0] != " "]
    assert headings[:3] == ["Bridge/web", "Container/web2", "Container/web10"]
    start = next(n for n, line in enumerate(lines) if line.startswith("Container/web2"))
    types = [line.split()[1].split("/")[0] for line in lines[start + 1 : lines.index("", start)]]
    assert types[:5] == ["netns", "device", "address", "route", "sysctl"]


def test_a_heading_names_the_line_of_the_manifest(host):
    host.manifests.write("web.yaml", SITE)

    text = call("diff", host.manifests).stdout

    assert f"Container/web1  {host.manifests.folder}/web.yaml:6\n" in text


def test_one_changed_field_stands_on_its_line(host):
    host.manifests.write("web.yaml", BRIDGE)
    call("apply", host.manifests)
    host.ip("link set web mtu 1400")

    assert "  ~ device/web  mtu 1400 → 1500\n" in call("diff", host.manifests).stdout


def test_times_are_told_in_seconds(host):
    host.manifests.write("web.yaml", BRIDGE)
    call("apply", host.manifests)
    times = "[10.1.0.1/24], forwardDelay: 4, ageingTime: 20.5"
    host.manifests.write("web.yaml", BRIDGE.replace("[10.1.0.1/24]", times))

    text = call("diff", host.manifests).stdout
    found, _ = call_json("diff", host.manifests)

    assert "forward delay 15 s → 4 s\n" in text
    assert "ageing time 300 s → 20.5 s\n" in text
    assert found["changes"][0]["differences"] == [
        {"field": "forward_delay", "before": 15, "after": 4},
        {"field": "ageing_time", "before": 300, "after": 20.5},
    ]


def test_a_resource_that_is_gone_is_said_to_be_no_longer_declared(host):
    host.manifests.write("a.yaml", BRIDGE)
    host.manifests.write("b.yaml", container("web1"))
    call("apply", host.manifests)
    host.manifests.remove("b.yaml")

    text = call("diff", host.manifests).stdout
    found, _ = call_json("diff", host.manifests)

    assert "Container/web1  no longer declared\n  - netns/web1\n" in text
    deleted = [change for change in found["changes"] if change["owner"] == "Container/web1"]
    assert {(c["action"], c["source"]) for c in deleted} == {("delete", "")}


def test_a_suspended_resource_is_left_alone_and_named(host):
    suspended = "metadata: {name: web, annotations: {reconciler/suspend: 'true'}}"
    host.manifests.write("web.yaml", BRIDGE)
    call("apply", host.manifests)
    host.ip("link set web mtu 1400")
    host.manifests.write("web.yaml", BRIDGE.replace("metadata: {name: web}", suspended))

    result = call("apply", host.manifests)

    assert result.code == 0
    assert "Left alone: Bridge/web, suspended by an annotation.\n" in result.stdout
    assert "mtu 1400" in host.ip("link show web")


def test_fields_without_effect_are_warned_of_on_standard_error(host):
    site = documents(BRIDGE, container("web1", "image: nginx, runtime: docker"))
    path = host.manifests.write("web.yaml", site)

    valid = call("validate", path)
    found, _ = call_json("validate", path)

    assert valid.code == 0
    assert valid.stderr.startswith(f"warning: {path}:")
    assert valid.stdout == "2 resources are valid.\n"
    assert found["warnings"]
    assert all(warning["message"].startswith("has no effect") for warning in found["warnings"])


@pytest.mark.parametrize("command", ["diff", "apply"])
def test_errors_in_json_are_one_object_and_nothing_else(host, command):
    host.manifests.write("web.yaml", "kind: Bridge\nspec: {mtu: lots}\n")

    result = call(command, "-o", "json", host.manifests)
    found, code = call_json(command, host.manifests)

    check_changes(found)
    assert (code, result.stderr) == (1, "")
    assert not found["inSync"]
    assert {"path", "line", "column", "resource", "field", "message", "hint"} <= set(
        found["errors"][0]
    )
    assert found["errors"][0]["path"].endswith("web.yaml")


def test_errors_of_validate_in_json(manifests):
    manifests.write("web.yaml", "kind: Bridge\nspec: {mtu: lots}\n")

    found, code = call_json("validate", manifests)

    assert code == 1
    assert list(found) == ["version", "valid", "resources", "warnings", "errors"]
    assert (found["version"], found["valid"], found["resources"]) == (1, False, 0)
    assert found["errors"]
    manifests.write("web.yaml", BRIDGE)
    assert call_json("validate", manifests) == (
        {"version": 1, "valid": True, "resources": 1, "warnings": [], "errors": []},
        0,
    )


def test_other_errors_in_json_have_a_message_too(manifests):
    found, code = call_json("diff", manifests)

    check_changes(found)
    assert code == 1
    assert "--allow-empty" in found["errors"][0]["message"]
