"""Alerts and dashboard: they ask for what a loop really says, and Prometheus understands them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
import yaml

from reconciler.agent.board import Board
from reconciler.agent.metrics import Metrics
from reconciler.agent.status import ResourceState, Status
from reconciler.core.drift import Fate
from reconciler.core.object import Owner
from reconciler.core.state import State
from reconciler.objects import BridgeDevice
from tests.world import ROOT

ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
CASES = ROOT / "tests/deploy/alerts.yaml"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"

_NAME = re.compile(r"\breconciler_[a-z_]+\b")
_SELECTOR = re.compile(r"\b(reconciler_[a-z_]+)\{([^}]*)\}")
_GROUPED = re.compile(r"\b(?:by|without) *\(([^)]*)\)")
OF_PROMETHEUS = {"job", "instance", "le"}


def said() -> dict[str, set[str]]:
    """Every series of a loop that has done a little of everything, with its labels."""
    bridge = BridgeDevice("", "web", mtu=1500, up=True, mac="02:00:00:00:00:01")
    observed = State.of([(bridge, Owner("default", "Bridge/web"))])
    metrics = Metrics(Board(Status(version="1.2.3", observed=observed)))
    metrics.pass_done("drift", {"observe": 0.1, "total": 0.2})
    metrics.operation_done("address", "add", "failed")
    metrics.drift_seen("address", "event")
    metrics.missed_event("address")
    metrics.overrun()
    metrics.healed(0.1)
    text = metrics.render()[0].decode()
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line and line[0] != "#":
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def rules() -> list[dict]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict:
    return json.loads(DASHBOARD.read_text())


def of_dashboard() -> list[str]:
    found = dashboard()
    targets = [t["expr"] for panel in found["panels"] for t in panel.get("targets", ())]
    variables = [v["query"]["query"] for v in found["templating"]["list"] if v["type"] == "query"]
    return [*targets, *variables, *(a["expr"] for a in found["annotations"]["list"])]


EXPRESSIONS = [rule["expr"] for rule in rules()] + of_dashboard()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_asks_for_what_a_loop_says(expression):
    known = said()
    names = set(_NAME.findall(expression))

    assert names <= known.keys()
    labels = set().union(*(known[name] for name in names), OF_PROMETHEUS)
    for name, selector in _SELECTOR.findall(expression):
        assert set(re.findall(r"(\w+) *[=!]", selector)) <= known[name] | OF_PROMETHEUS
    for group in _GROUPED.findall(expression):
        assert {label.strip() for label in group.split(",")} <= labels


def test_every_metric_of_a_loop_is_on_the_dashboard():
    asked = {name for expression in of_dashboard() for name in _NAME.findall(expression)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in said()}

    assert families == {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}


def test_values_that_alerts_select_exist():
    text = ALERTS.read_text()

    assert set(re.findall(r'fate!?="(\w+)"', text)) <= {fate.value for fate in Fate}
    assert set(re.findall(r'state!?="(\w+)"', text)) <= {state.value for state in ResourceState}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_long_how_bad_which_host_and_what_to_do(rule):
    assert rule["alert"].startswith("Reconciler")
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
    assert len(rule["annotations"]["description"]) > 40


def test_alerts_have_different_names():
    names = [rule["alert"] for rule in rules()]

    assert len(set(names)) == len(names)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not():
    cases = yaml.safe_load(CASES.read_text())["tests"]
    asked = [case for test in cases for case in test["alert_rule_test"]]

    for rule in rules():
        mine = [
            bool(case.get("exp_alerts")) for case in asked if case["alertname"] == rule["alert"]
        ]
        assert set(mine) == {True, False}, rule["alert"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
@pytest.mark.parametrize("what", [("check", ALERTS), ("test", CASES)], ids=["syntax", "cases"])
def test_prometheus_agrees(what):
    verb, path = what

    done = subprocess.run(
        ["promtool", verb, "rules", str(path)], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_can_be_imported():
    found = dashboard()
    panels = found["panels"]

    assert found["title"]
    assert found["uid"]
    assert "id" not in found  # Grafana gives it
    assert found["schemaVersion"] >= 36
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    for panel in panels:
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"
            assert [target["refId"] for target in panel["targets"]]
    names = [variable["name"] for variable in found["templating"]["list"]]
    assert names == ["datasource", "job", "instance"]


def test_its_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_readme_says_of_every_alert_what_to_do_first():
    text = (ROOT / "deploy/README.md").read_text()
    table = text[text.index("| alert |") :]

    assert set(re.findall(r"\bReconciler\w+", table)) == {r["alert"] for r in rules()}
