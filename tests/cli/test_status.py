"""status: what the running loop knows, in lines or as its own JSON object."""

import errno
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from reconciler.agent.journal import Journal
from reconciler.agent.status import ManifestsStatus, ResourceState
from reconciler.cli.status_text import FEW, render_status
from reconciler.core.drift import Mode
from tests.agent.boards import MTU, PROBLEM, resource, status
from tests.cli.calls import call
from tests.cli.loops import answering
from tests.cli.test_startup import imported
from tests.world import ROOT

NOW = 1_700_000_160.0  # a minute after the last pass of the hand-made status


@pytest.fixture
def run(tmp_path):
    """Run the command beside a loop that knows this."""

    def run(*arguments, loop=None, **fields):
        journal = Journal(tmp_path / "drift.jsonl")
        with answering(tmp_path, status(**fields), journal, **(loop or {})):
            return call("status", "--run-dir", tmp_path, *arguments)

    return run


def text(everything=False, **fields):
    """The lines at a fixed moment, without colours."""
    shown = render_status(status(**fields).to_dict(), NOW, everything=everything)
    import click

    return click.unstyle("\n".join(shown))


def test_in_sync_exits_0(run):
    result = run()

    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.startswith("In sync: revision 0123456789ab, set default, mode heal, ")


@pytest.mark.parametrize(
    "fields",
    [
        {"in_sync": False},
        {"manifests": ManifestsStatus(problems=(PROBLEM,))},
    ],
    ids=["the host is not as declared", "what is declared cannot be read"],
)
def test_not_in_sync_exits_2(run, fields):
    assert run(**fields).code == 2


def test_a_loop_that_hangs_exits_2_and_is_said_to(run):
    result = run(loop={"heartbeat_max": 0.0})

    assert result.code == 2
    assert "warning: the loop has not come round for 0 s; this is old" in result.stderr
    assert "In sync" in result.stdout


def test_without_a_loop_it_exits_1_and_names_the_socket(tmp_path):
    result = call("status", "--run-dir", tmp_path)
    in_json = call("status", "--run-dir", tmp_path, "-o", "json")

    message = f"no loop answers at {tmp_path}/reconciler.sock: No such file or directory"
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {message}")
    assert in_json.code == 1
    assert json.loads(in_json.stdout)["errors"][0]["message"].startswith(message)


def test_a_socket_that_nobody_listens_on_is_no_loop(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/reconciler.sock")

    result = call("status", "--run-dir", tmp_path)

    assert result.code == 1
    assert "reconciler.sock: Connection refused" in result.stderr


def test_a_program_that_accepts_and_says_nothing_is_no_loop(tmp_path, monkeypatch):
    monkeypatch.setattr("reconciler.agent.client.get.__defaults__", (0.05,))
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(f"{tmp_path}/reconciler.sock")
        mute.listen()
        result = call("status", "--run-dir", tmp_path)

    assert result.code == 1
    assert "no loop answers at" in result.stderr
    assert "within 0.05 s" in result.stderr


def test_a_socket_that_is_not_for_this_user_exits_77(tmp_path, monkeypatch):
    def connect(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("reconciler.agent.client._UnixConnection.connect", connect)
    result = call("status", "--run-dir", tmp_path)

    assert result.code == 77
    assert f"{tmp_path}/reconciler.sock: Permission denied" in result.stderr


def test_json_is_exactly_what_the_loop_says(run):
    fields = {"drift": (MTU,), "in_sync": False}

    result = run("-o", "json", **fields)

    assert result.code == 2
    assert json.loads(result.stdout) == json.loads(json.dumps(status(**fields).to_dict()))


def test_the_whole_text():
    shown = text(
        in_sync=False,
        mode=Mode.REPORT,
        drift=(MTU,),
        warnings=("br_netfilter is off",),
        manifests=ManifestsStatus((), "abc", 1.0, (PROBLEM,), NOW - 300),
        resources=(
            resource("Bridge/web"),
            resource("Container/web1", ResourceState.DEGRADED, "address: no\x1b[31m room"),
        ),
    )

    local = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_700_000_000))
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW - 300))
    assert shown.split("\n") == [
        f"Not in sync: revision abc, set default, mode report, process 99 since {local} (2m)",
        f"1 problem in the manifests since {since} (5m); the revision above stays in force:",
        '  web.yaml:6:3: Bridge/web: spec.mtuu: unknown field; did you mean "mtu"?',
        "warning: br_netfilter is off",
        "",
        "STATE     RESOURCE        AGE  MESSAGE",
        "Degraded  Container/web1  2m   address: no\ufffd[31m room",
        "Ready     Bridge/web      2m",
        "",
        "Drift: 1 object",
        "  Bridge/web",
        "    ~ device/web  mtu: wanted 1500, found 1400",
        "        by ip (pid 4711), seen 2m ago: reported, left on purpose",
        "",
        "Last pass: number 7, for drift, 3 operations, 1 failed, 500 ms, 60s ago",
    ]


def test_before_the_first_pass_it_is_not_ready():
    shown = text(ready=False, in_sync=False, last_pass=None, manifests=ManifestsStatus())

    assert shown.startswith("Not ready: revision none, ")
    assert "Last pass" not in shown


def test_many_that_are_ready_are_counted_and_what_is_not_is_listed():
    many = tuple(resource(f"Container/web{n}") for n in range(FEW + 1))
    bad = resource("Container/bad", ResourceState.BLOCKED, "in the way")
    resources = (resource("Bridge/web"), *many, bad)

    counted = text(resources=resources).split("\n")
    whole = text(resources=resources, everything=True).split("\n")

    assert "Blocked  Container/bad  2m   in the way" in counted
    assert "Ready: 1 Bridge, 21 Container  (--all lists them)" in counted
    assert not [line for line in counted if "web20" in line]
    assert [line for line in whole if "Container/web20" in line]
    assert whole.index(next(line for line in whole if "bad" in line)) < whole.index(
        next(line for line in whole if "Bridge/web" in line)
    ), "what is not ready comes first"


def test_all_can_be_asked_for(run):
    many = tuple(resource(f"Container/web{n}") for n in range(FEW + 1))

    assert "Container/web20" in run("--all", resources=many).stdout
    assert "Container/web20" not in run(resources=many).stdout


def test_no_escape_sequence_where_nobody_looks(run):
    assert "\x1b" not in run(drift=(MTU,)).stdout


@pytest.mark.parametrize(("given", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_on_a_terminal_it_is_coloured_unless_no_color_is_set(tmp_path, given, coloured):
    master, terminal = os.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    with answering(tmp_path, status(), Journal(tmp_path / "j")):
        subprocess.run(
            [sys.executable, "-m", "reconciler", "status", "--run-dir", tmp_path],
            stdout=terminal,
            check=True,
            env={**environment, "PYTHONPATH": str(ROOT), **given},
        )
    os.close(terminal)
    shown = os.read(master, 65536).decode()
    os.close(master)

    assert "In sync" in shown
    assert ("\x1b[" in shown) is coloured


def test_a_problem_of_a_whole_file_has_no_line():
    whole = replace(PROBLEM, line=0, resource="", field="", message="cannot be read", hint="")

    assert "  web.yaml: cannot be read\n" in text(manifests=ManifestsStatus(problems=(whole,)))


def test_asking_imports_nothing_heavy():
    found = imported("status", "--help")

    heavy = {"pydantic", "pyroute2", "structlog", "asyncio", "yaml", "starlette", "uvicorn"}
    assert not heavy & found
    assert not {name for name in found if name.startswith(("reconciler.host", "reconciler.kinds"))}
