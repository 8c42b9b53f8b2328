"""Calls: the command line run in this process, and checks of the JSON that it promises."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from unittest.mock import patch

from reconciler.cli import main
from tests.world import Result

BRIDGE = """\
apiVersion: reconciler/v1
kind: Bridge
metadata: {name: web}
spec: {addresses: [10.1.0.1/24]}
"""

CONTAINER = """\
apiVersion: reconciler/v1
kind: Container
metadata: {name: NAME}
spec: {bridge: web}
"""

LONELY = """\
apiVersion: reconciler/v1
kind: Container
metadata: {name: lonely}
spec: {network: none}
"""

BROKEN = """\
apiVersion: reconciler/v1
kind: Bridge
metadata: {name: broken}
spec: {adresses: [10.9.0.1/24], mtu: lots}
"""


def container(name: str, extra: str = "") -> str:
    """A container on the bridge `web`, with more fields in flow style."""
    text = CONTAINER.replace("NAME", name)
    return text.replace("bridge: web", f"bridge: web, {extra}") if extra else text


def documents(*texts: str) -> str:
    """Several manifests as one file."""
    return "---\n".join(texts)


SITE = documents(BRIDGE, container("web1"), container("web2"))


def call(*arguments: str | os.PathLike[str], stdin: str | None = None) -> Result:
    """Run the command line in this process, which is much faster than starting another."""
    out, err = io.StringIO(), io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        given = io.TextIOWrapper(io.BytesIO((stdin or "").encode()))
        stack.enter_context(patch.object(sys, "stdin", given))
        code = main.run([os.fspath(argument) for argument in arguments])
    return Result(out.getvalue(), err.getvalue(), code)


def call_json(*arguments: str | os.PathLike[str], stdin: str | None = None) -> tuple[dict, int]:
    """Run a command with `-o json` and give its object; nothing else may be on its output."""
    result = call(*arguments, "-o", "json", stdin=stdin)
    return json.loads(result.stdout), result.code


ACTIONS = ("create", "update", "replace", "delete", "blocked")


def check_changes(found: dict) -> None:
    """Check the object that `diff` and `apply` print, field by field."""
    assert list(found) == ["version", "inSync", "summary", "changes", "warnings", "errors"]
    assert found["version"] == 1
    assert isinstance(found["inSync"], bool)
    assert list(found["summary"]) == [*ACTIONS, "unchanged"]
    assert all(type(number) is int and number >= 0 for number in found["summary"].values())
    for change in found["changes"]:
        _check_change(change)
    for action in ACTIONS:
        counted = sum(change["action"] == action for change in found["changes"])
        assert found["summary"][action] == counted
    for complaint in (*found["warnings"], *found["errors"]):
        assert isinstance(complaint["message"], str)
        assert complaint["message"]


def _check_change(change: dict) -> None:
    assert list(change) == ["action", "object", "owner", "source", "differences", "reason"]
    assert change["action"] in ACTIONS
    kind, _, name = change["object"].partition("/")
    assert kind
    assert name
    assert change["owner"].count("/") == 1
    assert isinstance(change["source"], str)
    assert change["reason"]
    for difference in change["differences"]:
        assert list(difference) == ["field", "before", "after"]
        assert difference["before"] != difference["after"]
        for value in (difference["before"], difference["after"]):
            assert value is None or isinstance(value, bool | int | float | str)
