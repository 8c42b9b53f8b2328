"""demo: the whole story, on a host of its own."""

from pathlib import Path

from reconciler.cli import demo, demo_traffic
from tests.cli.calls import BRIDGE, BROKEN, call, container, documents
from tests.world import ROOT

SIX = "[10.1.0.1/24, 'fd00:1::1/64']"


def test_the_story_is_told_to_its_end(host):
    result = host.reconciler("demo", ROOT / "manifests")

    assert (result.code, result.stderr) == (0, "")
    steps = [
        "$ reconciler diff ", "Plan: ", "$ reconciler apply ", "Applied: ", "$ reconciler show",
        "├── ", " → ", " ms\n", "$ ip link set ", " no answer\n", "ways still work\n",
        "master (none) → ", "Applied: ", " ms\n", "In sync: ", "$ reconciler teardown", "Removed: ",
        "That was all.",
    ]  # fmt: skip
    place = 0
    for step in steps:
        place = result.stdout.index(step, place) + 1
    assert not list(Path("/run/netns").iterdir()), "nothing of it happened on this host"


def test_other_manifests_tell_the_same_story(host):
    host.manifests.write("a.yaml", documents(BRIDGE.replace("[10.1.0.1/24]", SIX),
                                             container("a"), container("b")))  # fmt: skip

    result = host.reconciler("demo", host.manifests)

    assert result.code == 0
    assert "fd00:1::2" in result.stdout


def test_with_nobody_to_talk_to_the_story_is_shorter(host):
    host.manifests.write("a.yaml", documents(BRIDGE, container("a")))

    result = host.reconciler("demo", host.manifests)

    assert result.code == 0
    assert "no answer" not in result.stdout


def test_the_story_ends_where_it_goes_another_way(host):
    host.manifests.write("a.yaml", BROKEN)

    result = host.reconciler("demo", host.manifests)

    assert result.code == 1
    assert "spec.adresses: unknown field" in result.stderr
    assert "$ reconciler apply" not in result.stdout


def test_a_fault_that_stays_is_not_told_as_healed(host, monkeypatch, capsys):
    host.manifests.write("a.yaml", documents(BRIDGE, container("a"), container("b")))
    monkeypatch.setattr(demo_traffic, "tcp_probe", lambda *_: None)

    assert demo._Story((str(host.manifests.folder),)).tell() == 1
    assert "Not everything arrives." in capsys.readouterr().err


def test_sandbox_gives_the_exit_code_of_its_command(host):
    assert host.reconciler("sandbox", "--", "sh", "-c", "exit 7").code == 7
    assert call("--version").code == 0
