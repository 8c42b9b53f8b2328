"""`validate -o github`: problems as annotations of GitHub Actions."""

import re

import pytest

from reconciler.cli.github import render_annotation
from reconciler.manifest.problem import Problem
from tests.cli.calls import BRIDGE, BROKEN, call, call_json

_UNESCAPED = {"%25": "%", "%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ","}


def read_command(line):
    """A workflow command as the runner reads it (actions/runner, ActionCommand.cs)."""
    head, _, data = line.removeprefix("::").partition("::")
    level, _, properties = head.partition(" ")
    pairs = dict(pair.split("=", 1) for pair in properties.split(",") if pair)
    return level, {name: unescape(value) for name, value in pairs.items()}, unescape(data)


def unescape(text):
    return re.sub("%(25|0D|0A|3A|2C)", lambda found: _UNESCAPED[found[0]], text)


def test_every_error_is_an_annotation_of_its_line(manifests):
    path = manifests.write("broken.yaml", BROKEN)
    result = call("validate", "-o", "github", manifests)
    problems, _ = call_json("validate", manifests)

    assert (result.code, result.stderr) == (1, "")
    found = [read_command(line) for line in result.stdout.splitlines()]
    assert [level for level, _, _ in found] == ["error"] * len(problems["errors"])
    for (_, properties, message), problem in zip(found, problems["errors"], strict=True):
        assert properties == {
            "file": str(path),
            "line": str(problem["line"]),
            "col": str(problem["column"]),
            "title": f"{problem['resource']}: {problem['field']}",
        }
        assert message == "; ".join(part for part in (problem["message"], problem["hint"]) if part)


def test_an_annotation_in_full():
    problem = Problem(
        "net/web.yaml", 7, 3, "Bridge/web", "spec.mtuu", "unknown field", 'did you mean "mtu"?'
    )

    assert render_annotation(problem) == (
        '::error file=net/web.yaml,line=7,col=3,title=Bridge/web%3A spec.mtuu::unknown field; did you mean "mtu"?'
    )


@pytest.mark.parametrize("text", ["100%", "a:b,c", "a\r\nb", "%0A", "::error::x", "%25,:"])
def test_what_would_end_a_property_or_the_line_is_escaped(text):
    problem = Problem(f"{text}.yaml", 1, 2, "", f"spec.{text}", text, text)
    line = render_annotation(problem, "warning")

    assert len(line.splitlines()) == 1
    assert read_command(line) == (
        "warning",
        {"file": f"{text}.yaml", "line": "1", "col": "2", "title": f"spec.{text}"},
        f"{text}; {text}",
    )


def test_a_problem_of_a_whole_file_has_no_line(manifests):
    missing = manifests.folder / "missing.yaml"
    result = call("validate", "-o", "github", missing)

    assert result.code == 1
    assert result.stdout == f"::error file={missing}::cannot be read: No such file or directory\n"


def test_an_error_of_no_file_is_an_annotation_too(manifests):
    result = call("validate", "-o", "github", manifests)

    assert result.code == 1
    level, properties, message = read_command(result.stdout.rstrip("\n"))
    assert (level, properties) == ("error", {})
    assert "no manifests there" in message


def test_what_has_no_effect_is_a_warning_and_valid(manifests):
    manifests.write("web.yaml", BRIDGE.replace("]}", "], hairpin: true}"))
    result = call("validate", "-o", "github", manifests)
    found, _ = call_json("validate", manifests)

    assert (result.code, result.stderr) == (0, "")
    *lines, last = result.stdout.splitlines()
    assert last == "1 resource is valid."
    assert [read_command(line)[2] for line in lines] == [
        warning["message"] for warning in found["warnings"]
    ]
    assert all(read_command(line)[0] == "warning" for line in lines)


def test_nothing_wrong_is_no_annotation(manifests):
    manifests.write("web.yaml", BRIDGE)

    assert call("validate", "-o", "github", manifests).stdout == "1 resource is valid.\n"
