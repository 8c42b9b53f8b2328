"""The command line itself: exit codes, help, environment variables, signals, pipes."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from reconciler import __version__
from reconciler.cli.main import COMMANDS
from tests.cli.calls import BRIDGE, SITE, call, container, documents
from tests.world import ROOT, wait_until

MANY = documents(BRIDGE, *(container(f"web{number}") for number in range(150)))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonesuch"],
        ["--nonesuch"],
        ["help", "nonesuch"],
        ["diff", "--nonesuch"],
        ["diff", "-o", "yaml"],
        ["diff", "--set"],
        ["apply", "--nonesuch", "x"],
        ["teardown", "manifests"],
        ["show", "manifests"],
    ],
)
def test_a_wrong_command_line_exits_64_and_prints_to_standard_error(arguments):
    result = call(*arguments)

    assert (result.code, result.stdout) == (64, "")
    assert result.stderr


def test_without_a_command_the_commands_are_listed(host):
    result = call()

    assert all(f" {name} " in result.stderr for name in COMMANDS)


def test_a_misspelt_command_is_guessed():
    assert "There is no command 'aply'. Did you mean 'apply'?" in call("aply").stderr


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_names_every_command(arguments):
    result = call(*arguments)

    assert (result.code, result.stderr) == (0, "")
    assert all(f" {name} " in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_a_usage_line(command):
    result = call(command, "--help")

    assert (result.code, result.stderr) == (0, "")
    assert f"Usage: reconciler {command} " in result.stdout
    assert call("help", command) == result


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_its_environment_variable(command):
    """RECONCILER_ and the longest name of the option, in capitals."""
    found = import_module(f"reconciler.cli.{command}").command.params
    options = {p for p in found if p.param_type_name == "option"}

    for option in options:
        name = max(option.opts, key=len).removeprefix("--").replace("-", "_").upper()
        assert option.envvar == f"RECONCILER_{name}", option.opts


def test_version():
    assert call("--version").stdout == f"reconciler, version {__version__}\n"


def test_the_module_and_the_installed_command_are_one():
    """What pip writes into bin/reconciler imports the function and calls it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["reconciler"].split(":")
    script = f"import sys; from {module} import {function}; sys.exit({function}())"

    outputs = [
        subprocess.run(
            [sys.executable, *start, "diff", "--nonesuch"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        for start in (["-m", "reconciler"], ["-c", script])
    ]

    assert [done.returncode for done in outputs] == [64, 64]
    assert outputs[0].stderr == outputs[1].stderr


def test_options_from_the_environment(host, monkeypatch):
    host.manifests.write("a.yaml", SITE)
    call("apply", host.manifests)
    host.manifests.write("a.yaml", BRIDGE)

    monkeypatch.setenv("RECONCILER_PRUNE", "false")
    monkeypatch.setenv("RECONCILER_OUTPUT", "json")
    found = json.loads(call("diff", host.manifests).stdout)

    assert found["summary"]["delete"] == 0


@pytest.mark.parametrize("arguments", [["apply"], ["teardown"]])
def test_changing_without_privilege_exits_77(host, without_privilege, arguments):
    host.manifests.write("web.yaml", SITE)
    paths = [host.manifests] if arguments == ["apply"] else []

    result = without_privilege(*arguments, *paths)
    in_json = without_privilege(*arguments, "-o", "json", *paths)

    assert (result.code, result.stdout) == (77, "")
    assert "needs CAP_NET_ADMIN and CAP_SYS_ADMIN: run it as root" in result.stderr
    assert in_json.code == 77
    assert "CAP_NET_ADMIN" in json.loads(in_json.stdout)["errors"][0]["message"]


@pytest.mark.parametrize("arguments", [["diff"], ["show"], ["snapshot"]])
def test_looking_into_namespaces_without_privilege_exits_77(host, without_privilege, arguments):
    host.manifests.write("web.yaml", SITE)
    call("apply", host.manifests)
    paths = [host.manifests] if arguments == ["diff"] else []

    result = without_privilege(*arguments, *paths)

    assert (result.code, result.stdout) == (77, "")
    assert result.stderr.startswith("error: ")


def test_validating_needs_no_privilege(host, without_privilege):
    host.manifests.write("web.yaml", SITE)

    assert without_privilege("validate", host.manifests).stdout == "3 resources are valid.\n"


def _start(host, *arguments):
    return subprocess.Popen(
        host.command(*arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=host.subprocess_environment(),
        # Whoever started these tests in the background has had SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def test_an_interrupt_while_reading_exits_130(host):
    process = _start(host, "validate", "-")
    process.stdin.write(b"# more than a pipe holds, so that it is being read\n" * 4000)
    process.stdin.flush()

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err.strip()) == (130, b"", b"")


def test_what_an_interrupt_leaves_is_finished_by_the_next_apply(host):
    host.manifests.write("web.yaml", MANY)
    process = _start(host, "apply", host.manifests)
    wait_until(lambda: Path("/run/netns/web20").exists(), 20)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)

    assert (process.returncode, err.strip()) == (130, b"")
    assert len(list(Path("/run/netns").iterdir())) < 150
    assert call("apply", host.manifests).code == 0
    assert call("diff", host.manifests).code == 0


def test_a_reader_that_has_seen_enough_is_no_error(host):
    host.manifests.write("web.yaml", MANY)
    command = " ".join(host.command("diff", host.manifests))

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -1"],
        capture_output=True,
        text=True,
        check=False,
        env=host.subprocess_environment(),
    )

    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert done.returncode == 141, "as any program that a signal ends when nobody reads"


def test_a_closed_standard_output_is_no_error(host):
    host.manifests.write("web.yaml", BRIDGE)
    command = " ".join(host.command("validate", host.manifests))

    done = subprocess.run(
        ["sh", "-c", f"{command} >&-"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=host.subprocess_environment(),
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_apply_is_told_who_works_on_this_host(host):
    host.manifests.write("web.yaml", MANY)
    first = _start(host, "apply", host.manifests)
    lock = Path("/run/reconciler/lock")
    wait_until(lambda: lock.exists() and lock.read_text(), 20)
    first.send_signal(signal.SIGSTOP)

    second = call("apply", host.manifests)
    in_json = call("apply", "-o", "json", host.manifests)
    torn_down = call("teardown")
    shown = call("diff", host.manifests)
    first.send_signal(signal.SIGCONT)
    first.communicate(timeout=60)

    holder = f"error: process {first.pid} (reconciler apply) works on this host"
    assert (second.code, second.stdout) == (5, "")
    assert second.stderr.startswith(holder)
    assert in_json.code == torn_down.code == 5
    assert str(first.pid) in json.loads(in_json.stdout)["errors"][0]["message"]
    assert shown.code == 2, "looking needs no lock"
    assert first.returncode == 0


def test_a_killed_holder_holds_nothing(host):
    host.manifests.write("web.yaml", MANY)
    first = _start(host, "apply", host.manifests)
    lock = Path("/run/reconciler/lock")
    wait_until(lambda: lock.exists() and lock.read_text(), 20)
    first.kill()
    first.communicate(timeout=20)

    assert call("apply", host.manifests).code == 0
    assert call("diff", host.manifests).code == 0


def test_the_lock_lies_where_run_dir_says(host, tmp_path):
    host.manifests.write("web.yaml", BRIDGE)

    assert call("apply", "--run-dir", tmp_path / "a" / "b", host.manifests).code == 0
    assert (tmp_path / "a" / "b" / "lock").exists()
    assert not os.path.lexists("/run/reconciler/lock")


def test_a_run_dir_that_cannot_be_made_is_an_error(host, tmp_path):
    host.manifests.write("web.yaml", BRIDGE)
    (tmp_path / "file").touch()

    result = call("apply", "--run-dir", tmp_path / "file", host.manifests)

    assert result.code == 1
    assert f"error: {tmp_path}/file" in result.stderr
    assert "web" not in host.ip("-br link")
