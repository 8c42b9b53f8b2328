"""PATH: which manifests are read, and what happens when one cannot be."""

import os
import signal
from pathlib import Path

import pytest

from tests.cli.calls import BRIDGE, BROKEN, LONELY, SITE, call, call_json, container
from tests.world import wait_until


def test_a_directory_is_read_with_its_sub_folders(manifests):
    manifests.write("web.yaml", BRIDGE)
    manifests.write("team/a/web1.yml", container("web1"))
    manifests.write("team/web2.json", '{"apiVersion": "reconciler/v1", "kind": "Container",'
                    ' "metadata": {"name": "web2"}, "spec": {"bridge": "web"}}')  # fmt: skip
    manifests.write("README.md", "not a manifest")
    manifests.write(".hidden.yaml", BROKEN)

    assert call("validate", manifests).stdout == "3 resources are valid.\n"


def test_a_file_several_and_standard_input(manifests):
    web = manifests.write("web.yaml", BRIDGE)
    web1 = manifests.write("web1.yaml", container("web1"))

    assert call("validate", web).stdout == "1 resource is valid.\n"
    assert call("validate", web, web1).stdout == "2 resources are valid.\n"
    assert call("validate", web, "-", stdin=container("web3")).stdout == "2 resources are valid.\n"
    assert call("validate", "-", stdin=SITE).stdout == "3 resources are valid.\n"


def test_a_file_that_is_named_twice_is_read_once(manifests):
    web = manifests.write("web.yaml", BRIDGE)

    assert call("validate", web, manifests, web).stdout == "1 resource is valid.\n"


def test_manifests_in_the_current_folder_are_the_default(manifests, monkeypatch):
    manifests.write("web.yaml", BRIDGE)
    monkeypatch.chdir(manifests.folder.parent)

    assert call("validate").stdout == "1 resource is valid.\n"


def test_the_environment_names_another_default(manifests, monkeypatch, tmp_path):
    manifests.write("web.yaml", BRIDGE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECONCILER_MANIFESTS", str(manifests.folder))

    assert call("validate").stdout == "1 resource is valid.\n"
    assert call("validate", "elsewhere").code == 1


def test_what_a_shell_substitutes_is_read(manifests):
    """`reconciler diff <(kustomize build)` gives /dev/fd/N, which is a pipe."""
    reader, writer = os.pipe()
    os.write(writer, SITE.encode())
    os.close(writer)
    try:
        assert call("validate", f"/dev/fd/{reader}").stdout == "3 resources are valid.\n"
    finally:
        os.close(reader)


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "---\n---\n"])
def test_nothing_declared_is_an_error_unless_it_is_meant(manifests, text):
    if text is not None:
        manifests.write("empty.yaml", text)

    refused = call("validate", manifests)

    assert (refused.code, refused.stdout) == (1, "")
    assert "no manifests there; if nothing is to exist, say so with --allow-empty" in refused.stderr
    assert call("validate", "--allow-empty", manifests).stdout == "0 resources are valid.\n"


def test_a_missing_directory_is_an_error_even_where_nothing_is_allowed(manifests):
    result = call("validate", "--allow-empty", manifests.folder / "missing")

    assert result.code == 1
    assert "missing: cannot be read: No such file or directory" in result.stderr


def test_every_problem_of_every_file_is_told_at_once(manifests):
    manifests.write("a.yaml", BROKEN)
    manifests.write("b.yaml", "kind: [")
    manifests.write("web.yaml", BRIDGE)

    result = call("validate", manifests)

    assert (result.code, result.stdout) == (1, "")
    assert "a.yaml:4:8: Bridge/broken: spec.adresses: unknown field" in result.stderr
    assert "a.yaml:4:38: Bridge/broken: spec.mtu: " in result.stderr
    assert "b.yaml:" in result.stderr
    assert result.stderr.endswith("3 errors in the manifests; nothing was changed.\n")


def test_a_link_out_of_the_directory_is_refused(manifests, tmp_path):
    secret = tmp_path / "secret.yaml"
    secret.write_text(BRIDGE)
    manifests.write("web.yaml", BRIDGE)
    (manifests.folder / "more.yaml").symlink_to(secret)

    result = call("validate", manifests)

    assert result.code == 1
    assert "more.yaml: a symbolic link that leads out of the directory, to" in result.stderr


def test_a_folder_outside_is_not_entered_by_a_link(manifests, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "web.yaml").write_text(BRIDGE)
    (manifests.folder / "team").symlink_to(outside)

    assert "leads out of the directory" in call("validate", manifests).stderr


def test_links_inside_are_followed_and_read_once(manifests):
    manifests.write("web.yaml", BRIDGE)
    (manifests.folder / "again.yaml").symlink_to("web.yaml")
    (manifests.folder / "loop").symlink_to(".")

    assert call("validate", manifests).stdout == "1 resource is valid.\n"


def test_the_layout_of_a_kubernetes_config_map_works(manifests):
    """The files are links through ..data, which is a link to a hidden folder of one revision."""
    manifests.write("..2026_11_24/web.yaml", BRIDGE)
    (manifests.folder / "..data").symlink_to("..2026_11_24")
    (manifests.folder / "web.yaml").symlink_to("..data/web.yaml")

    assert call("validate", manifests).stdout == "1 resource is valid.\n"


@pytest.mark.parametrize("name", ["lost.yaml", "lost"])
def test_a_link_to_nothing_is_half_a_checkout(manifests, name):
    """It could have led to a folder of manifests: what it held must not be pruned."""
    manifests.write("web.yaml", BRIDGE)
    (manifests.folder / name).symlink_to("not-there-yet")

    result = call("validate", manifests)

    assert result.code == 1
    assert f"{name}: a symbolic link to {manifests.folder}/not-there-yet, which" in result.stderr


def test_a_link_to_itself_is_an_error(manifests):
    manifests.write("web.yaml", BRIDGE)
    (manifests.folder / "loop").symlink_to("loop")

    assert call("validate", manifests).code == 1


@pytest.fixture
def impatient():
    """Whoever waits for more than a few seconds is interrupted."""
    former = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


def test_a_named_pipe_does_not_hold_everything_up(manifests, impatient):
    os.mkfifo(manifests.folder / "pipe.yaml")

    assert "pipe.yaml: not a regular file" in call("validate", manifests).stderr
    assert "not a regular file" in call("validate", manifests.folder / "pipe.yaml").stderr


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_no_manifest(device, impatient):
    assert call("validate", device).code == 1


def test_an_unreadable_file_is_an_error(host, without_privilege):
    """Root may read everything, so it is read without any capability."""
    host.manifests.write("web.yaml", BRIDGE)
    host.manifests.write("secret.yaml", container("web1")).chmod(0)

    result = without_privilege("validate", host.manifests)

    assert result.code == 1
    assert "secret.yaml: cannot be read: Permission denied" in result.stderr


@pytest.mark.parametrize("broken", ["missing", "unreadable", "invalid", "empty", "dangling"])
def test_nothing_is_deleted_or_changed_when_manifests_cannot_be_read(host, broken):
    site = host.manifests.write("web.yaml", SITE)
    call("apply", host.manifests)
    before = call("snapshot").stdout
    match broken:
        case "missing":
            site.rename(site.parent.parent / "elsewhere.yaml")
            host.manifests.folder.rmdir()
        case "unreadable":
            host.manifests.remove("web.yaml")
            os.mkfifo(site)
        case "invalid":
            host.manifests.write("web.yaml", container("web9") + "---\n" + BRIDGE)
            host.manifests.write("other.yaml", BROKEN)
        case "empty":
            host.manifests.remove("web.yaml")
        case "dangling":
            host.manifests.remove("web.yaml")
            site.symlink_to("../..data/web.yaml")

    for command in ("diff", "apply"):
        result = call(command, host.manifests)
        assert (result.code, result.stdout) == (1, ""), command
        assert result.stderr
    assert call("snapshot").stdout == before


def test_an_empty_directory_prunes_where_that_is_said(host):
    host.manifests.write("web.yaml", SITE)
    call("apply", host.manifests)
    host.manifests.remove("web.yaml")

    result = call("apply", "--allow-empty", host.manifests)

    assert result.code == 0
    assert "- netns/web1" in result.stdout
    wait_until(lambda: not list(Path("/run/netns").iterdir()))


@pytest.mark.parametrize("form", ["file", "stdin", "directory", "several"])
@pytest.mark.parametrize("flag", [None, "--prune", "--no-prune"])
def test_only_a_directory_is_the_whole_truth_unless_asked(host, form, flag):
    host.manifests.write("a.yaml", SITE)
    host.manifests.write("b.yaml", LONELY)
    call("apply", host.manifests)
    host.manifests.remove("b.yaml")
    path = host.manifests.folder / "a.yaml"
    paths = {"file": [path], "stdin": ["-"], "directory": [host.manifests],
             "several": [host.manifests, path]}[form]  # fmt: skip

    found, code = call_json("diff", *paths, *([flag] if flag else []), stdin=SITE)

    pruned = flag == "--prune" or (flag is None and form == "directory")
    assert (found["summary"]["delete"] > 0) == pruned
    assert code == (2 if pruned else 0)


def test_what_is_left_alone_is_said(host):
    host.manifests.write("a.yaml", SITE)
    host.manifests.write("b.yaml", LONELY)
    call("apply", host.manifests)

    result = call("diff", host.manifests.folder / "a.yaml")

    assert (
        "of this set that nothing here declares (see --prune, and the annotation reconciler/prune)."
        in result.stdout
    )
    assert result.code == 0
