"""Trouble: what is in the way, what the kernel refuses, and what is done all the same."""

from pathlib import Path

from tests.cli.calls import BRIDGE, SITE, call, call_json, check_changes, container, documents


def test_a_strangers_bridge_is_in_the_way(host):
    host.ip("link add web type bridge")
    path = host.manifests.write("web.yaml", SITE)

    shown = call("diff", host.manifests)
    found, differs = call_json("diff", host.manifests)
    done = call("apply", host.manifests)

    check_changes(found)
    assert (shown.code, differs, done.code) == (2, 2, 4)
    assert "  ! device/web: is there and does not carry our mark; --adopt takes it over" in (
        shown.stdout
    )
    assert "  ! address/web/10.1.0.1/24: needs device/web, which is blocked" in shown.stdout
    blocked = next(c for c in found["changes"] if c["object"] == "device/web")
    assert (blocked["action"], blocked["owner"]) == ("blocked", "Bridge/web")
    assert "does not carry our mark" in blocked["reason"]
    assert (
        f"blocked: device/web of Bridge/web ({path}:1): is there and does not carry our mark"
        in done.stderr
    )
    assert done.stderr.splitlines()[-1].startswith("Not converged: ")
    assert done.stderr.count("\n") == 2, "what only waits for the bridge is counted, not listed"


def test_what_does_not_need_the_blocked_thing_is_done(host):
    host.ip("link add web type bridge")
    other = BRIDGE.replace("web", "api").replace("10.1.", "10.2.")
    host.manifests.write("web.yaml", documents(SITE, other))

    done = call("apply", host.manifests)

    assert done.code == 4
    assert "  + device/api" in done.stdout
    assert "  + netns/web1" in done.stdout
    assert "device/rcweb1" not in done.stdout, "only what was done is shown"
    assert "device/web" not in done.stdout


def test_adopting_takes_over_what_is_in_the_way(host):
    host.ip("link add web type bridge")
    host.manifests.write("web.yaml", SITE)

    shown, differs = call_json("diff", "--adopt", host.manifests)
    done = call("apply", "--adopt", host.manifests)

    change = next(c for c in shown["changes"] if c["object"] == "device/web")
    assert (differs, change["action"], change["reason"]) == (2, "update", "adopted")
    assert "  ~ device/web  (adopted)\n" in done.stdout
    assert "      owner (unset) → Bridge/web\n" in done.stdout
    assert done.code == 0
    assert call("diff", host.manifests).code == 0
    assert "reconciler default Bridge/web" in host.ip("link show web")


def test_an_address_of_somebody_else_in_the_way_is_told(host):
    host.manifests.write("web.yaml", BRIDGE)
    call("apply", host.manifests)
    host.add_netns("web1")
    host.manifests.write("web.yaml", SITE)

    done, code = call_json("apply", host.manifests)

    assert code == 4
    reasons = {c["object"]: c["reason"] for c in done["changes"] if c["action"] == "blocked"}
    assert reasons["netns/web1"].startswith("netns/web1 is there and does not carry our mark")
    assert reasons["address/web1:eth0/10.1.0.2/24"].endswith("which is blocked")
    assert done["errors"] == []
    assert not done["inSync"]


def test_a_refused_parameter_is_reported_with_the_kernels_reason_and_the_line(host):
    sysctls = "sysctls: {net.ipv4.ip_forward: banana, net.ipv4.nonesuch: '1'}"
    site = documents(BRIDGE, container("web1", sysctls), container("web2"))
    path = host.manifests.write("web.yaml", site)

    done = call("apply", host.manifests)

    assert done.code == 4
    refused, missing, last = done.stderr.splitlines()
    assert refused.startswith(
        f"failed: add sysctl/web1:net.ipv4.ip_forward of Container/web1 ({path}:6): "
    )
    assert refused.endswith("the kernel does not take one of the values (EINVAL)")
    assert "net.ipv4.nonesuch" in missing
    assert missing.endswith("(ENOENT)")
    assert last.startswith("Not converged: 2 failed; ")
    assert "ip_forward  banana" not in done.stdout
    assert "  + address/web2:eth0/10.1.0.3/24\n" in done.stdout, "the rest is done"


def test_a_refused_operation_in_json(host):
    sysctls = "sysctls: {net.ipv4.nonesuch: '1'}"
    host.manifests.write("web.yaml", documents(BRIDGE, container("web1", sysctls)))
    shown, _ = call_json("diff", host.manifests)

    done, code = call_json("apply", host.manifests)

    check_changes(done)
    assert code == 4
    assert done["changes"] == shown["changes"]
    (error,) = done["errors"]
    assert error == {
        "state": "failed",
        "operation": "add sysctl/web1:net.ipv4.nonesuch",
        "object": "sysctl/web1:net.ipv4.nonesuch",
        "owner": "Container/web1",
        "source": f"{host.manifests.folder}/web.yaml:6",
        "message": error["message"],
    }
    assert error["message"].endswith("(ENOENT)")


def test_what_needs_the_failed_thing_is_not_tried(host):
    """No name for a namespace can be made where /run/netns cannot be written."""
    Path("/run/netns").mkdir(exist_ok=True)
    host.run("mount", "-t", "tmpfs", "-o", "ro", "none", "/run/netns")
    path = host.manifests.write("web.yaml", documents(BRIDGE, container("web1")))

    done = call("apply", host.manifests)
    found, code = call_json("apply", host.manifests)

    assert (done.code, code) == (4, 4)
    assert f"failed: add netns/web1 of Container/web1 ({path}:6): " in done.stderr
    assert "Read-only file system" in done.stderr
    assert "  + device/web  " in done.stdout, "what does not need it is done"
    states = {error["object"]: error["state"] for error in found["errors"]}
    assert states["netns/web1"] == "failed"
    assert states["address/web1:eth0/10.1.0.2/24"] == "not tried"
    host.run("umount", "/run/netns")
    assert call("apply", host.manifests).code == 0


def test_a_full_range_of_addresses_is_an_error_before_anything_is_done(host):
    few = BRIDGE.replace("10.1.0.1/24", "10.1.0.1/30")
    host.manifests.write(
        "web.yaml", documents(few, *(container(f"web{number}") for number in range(3)))
    )

    result = call("apply", host.manifests)

    assert (result.code, result.stdout) == (1, "")
    assert "web" in result.stderr
    assert "lo" in host.ip("-br link")
    assert "web" not in host.ip("-br link")
