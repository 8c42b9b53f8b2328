"""drift: what nobody asked for, from the loop, its journal, or a look of one's own."""

import json
import sys
import time
from dataclasses import replace
from types import ModuleType

import click
import pytest

from reconciler.agent.journal import Journal, journal_path
from reconciler.agent.status import drift_to_dict
from reconciler.cli.drift_text import age, duration, render_drift, render_past
from reconciler.core.diff import Action, Change, Difference
from reconciler.core.drift import Fate
from tests.agent.boards import AFTER, BEFORE, MTU, status
from tests.cli.calls import call
from tests.cli.loops import answering

RECORD = drift_to_dict(MTU, lambda _: "web.yaml:1")
HEALED = RECORD | {"fate": "healed", "settled": RECORD["seen"] + 0.012, "message": ""}
NOW = RECORD["seen"] + 30


class Places:
    """A run and a state directory, with a journal in it."""

    def __init__(self, folder, set_name="default"):
        self.run_dir, self.state_dir = folder / "run", folder / "state"
        self.journal = Journal(journal_path(self.state_dir, set_name))

    def drift(self, *arguments):
        places = ("--run-dir", self.run_dir, "--state-dir", self.state_dir)
        return call("drift", *places, *arguments)

    def loop(self, **fields):
        return answering(self.run_dir, status(**fields), self.journal)


@pytest.fixture
def places(tmp_path):
    return Places(tmp_path)


@pytest.fixture
def looked(monkeypatch):
    """What a look of one's own is asked for; it finds what the test puts into `found`."""
    module = ModuleType("reconciler.cli.drift_look")
    module.found, module.asked = [RECORD], []

    def find_drift(paths, set_name, state_dir):
        module.asked.append((paths, set_name, state_dir))
        return module.found

    module.find_drift = find_drift
    monkeypatch.setitem(sys.modules, "reconciler.cli.drift_look", module)
    return module


def plain(lines):
    return [click.unstyle(line) for line in lines]


# --- from the loop


def test_drift_that_the_loop_knows_exits_2(places, looked):
    with places.loop(drift=(MTU,)):
        result = places.drift()

    assert (result.code, result.stderr) == (2, "")
    assert "~ device/web  mtu: wanted 1500, found 1400" in result.stdout
    assert looked.asked == []


def test_no_drift_exits_0(places, looked):
    with places.loop():
        result = places.drift()

    assert (result.code, result.stdout) == (0, "No drift.\n")


def test_json_has_drift_and_history(places):
    places.journal.append(HEALED)
    with places.loop(drift=(MTU,)):
        alone = places.drift("-o", "json")
        both = places.drift("-o", "json", "--history")

    record = json.loads(json.dumps(drift_to_dict(MTU, lambda _: "")))
    assert json.loads(alone.stdout) == {"version": 1, "drift": [record], "history": []}
    assert json.loads(both.stdout) == {"version": 1, "drift": [record], "history": [HEALED]}
    assert alone.code == both.code == 2


def test_history_of_a_loop_exits_by_what_is_open_now(places):
    places.journal.append(HEALED)
    with places.loop() as board:
        before = places.drift("--history")
        board.publish(status(drift=(MTU,)))
        after = places.drift("--history")

    assert (before.code, after.code) == (0, 2)
    assert before.stdout == after.stdout
    assert "healed after 12 ms" in before.stdout


# --- without one


@pytest.mark.parametrize(("found", "code"), [([RECORD], 2), ([], 0)])
def test_without_a_loop_it_looks_by_itself(places, looked, monkeypatch, found, code):
    monkeypatch.setenv("RECONCILER_MANIFESTS", "/etc/manifests")
    looked.found = found

    assert places.drift().code == code
    assert looked.asked == [(("/etc/manifests",), "default", places.state_dir)]


def test_with_a_path_it_looks_by_itself_although_a_loop_runs(places, looked):
    looked.found = []
    with places.loop(drift=(MTU,)):
        result = places.drift("a.yaml", "b")

    assert result.code == 0
    assert looked.asked == [(("a.yaml", "b"), "default", places.state_dir)]


def test_a_set_that_the_loop_does_not_serve_is_looked_at(places, looked):
    with places.loop(set_name="blue"):
        places.drift("--set", "green")
        of_the_loop = places.drift()

    assert [asked[1] for asked in looked.asked] == ["green"]
    assert of_the_loop.code == 0


def test_history_without_a_loop_is_read_from_the_journal(tmp_path, looked):
    places = Places(tmp_path, "blue")
    for n in range(2):
        places.journal.append(HEALED | {"object": f"device/web{n}"})

    result = places.drift("--history", "--set", "blue")
    nothing = places.drift("--history")

    assert result.code == 0
    assert result.stdout.index("web0") < result.stdout.index("web1"), "newest last"
    assert (nothing.code, nothing.stdout) == (0, "No drift was seen.\n")
    assert looked.asked == []


def test_a_journal_that_cannot_be_read_is_an_error(places):
    places.journal.path.mkdir(parents=True)

    result = places.drift("--history", "-o", "json")

    found = json.loads(result.stdout)
    assert result.code == 1
    assert found["errors"] == [{"message": f"{places.journal.path}: Is a directory"}]
    assert (found["drift"], found["history"]) == ([], [])


# --- text


def test_a_drift_that_lasts_is_told_with_owner_field_and_culprit():
    assert plain(render_drift(RECORD | {"times": 3}, NOW)) == [
        "Bridge/web  web.yaml:1",
        "  ~ device/web  mtu: wanted 1500, found 1400",
        "      by ip (pid 4711), seen 30s ago, 3 times lately: reported, left on purpose",
    ]


def test_a_drift_of_the_past_is_told_with_what_became_of_it():
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(RECORD["seen"]))

    assert plain(render_past(HEALED)) == [
        f"{when} ~ device/web  Bridge/web  mtu: wanted 1500, found 1400",
        "      by ip (pid 4711): healed after 12 ms",
    ]


@pytest.mark.parametrize(
    ("action", "before", "after", "line"),
    [
        (Action.CREATE, None, AFTER, "  + device/web  missing"),
        (Action.DELETE, BEFORE, None, "  - device/web  not declared"),
    ],
)
def test_what_is_missing_or_too_much_needs_no_fields(action, before, after, line):
    change = Change(action, MTU.change.key, before, after, MTU.change.owner)
    record = drift_to_dict(replace(MTU, change=change, culprit=None), str)

    assert record["differences"]
    assert plain(render_drift(record, NOW))[1:] == [
        line,
        "      seen 30s ago: reported, left on purpose",
    ]


def test_several_fields_have_a_line_each_and_many_are_cut():
    many = tuple(Difference(f"field{n}", None, True) for n in range(9))
    record = drift_to_dict(replace(MTU, change=replace(MTU.change, differences=many)), str)

    lines = plain(render_drift(record, NOW))

    assert lines[1:3] == ["  ~ device/web", "      field0: wanted yes, found nothing"]
    assert lines[8] == "      and 3 more"


def test_a_text_of_several_lines_is_told_by_their_number():
    texts = (Difference("content", "a\x1b[31m\n", "a\nb\n"),)
    record = drift_to_dict(replace(MTU, change=replace(MTU.change, differences=texts)), str)

    line = plain(render_drift(record, NOW))[1]

    assert line == "  ~ device/web  content: wanted 2 lines, found a\ufffd[31m"


def test_a_culprit_that_has_ended_is_known_by_its_number():
    record = RECORD | {"by": {"pid": 5, "program": ""}}

    assert "by a process that has ended (pid 5)" in "".join(render_drift(record, NOW))


@pytest.mark.parametrize("fate", Fate)
def test_every_fate_is_named(fate):
    assert fate.value in "".join(render_past(RECORD | {"fate": fate.value}))


def test_a_record_of_another_version_is_told_as_far_as_it_goes():
    assert plain(render_past({"object": "device/x", "action": "paint", "fate": ""}))
    assert plain(render_drift({}, NOW))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (200_000, "2d")],
)
def test_an_age_has_one_unit(seconds, text):
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 ms"), (0.0123, "12 ms"), (3.44, "3.4 s"), (300, "5m")]
)
def test_a_duration_is_in_the_unit_that_fits(seconds, text):
    assert duration(seconds) == text
