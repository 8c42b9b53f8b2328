"""The container image and the compose file: the same rights as the unit, and the parts there are."""

from __future__ import annotations

import re

import pytest
import yaml

from reconciler.cli.main import run
from reconciler.cli.run import command as run_command
from tests.deploy.units import capabilities, read_unit
from tests.world import ROOT

FOLDER = ROOT / "deploy/container"


@pytest.fixture
def service():
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    assert list(compose["services"]) == ["reconciler"]
    return compose["services"]["reconciler"]


@pytest.fixture
def steps():
    """The instructions of the Containerfile: their names and the rest of the line."""
    text = (FOLDER / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


@pytest.fixture
def volumes(service):
    return {volume["target"]: volume for volume in service["volumes"]}


def test_it_has_the_capabilities_of_the_unit_and_no_others(service):
    assert service["cap_drop"] == ["ALL"]
    given = sorted(f"CAP_{name}" for name in service["cap_add"])
    assert given == sorted(capabilities(read_unit()))
    assert "no-new-privileges:true" in service["security_opt"]


def test_it_has_the_limits_of_the_unit(service):
    unit = read_unit()

    assert service["mem_limit"] == unit["MemoryMax"][0].lower()
    assert service["pids_limit"] == int(unit["TasksMax"][0])
    assert service["stop_grace_period"] == f"{unit['TimeoutStopSec'][0]}s"
    assert service["restart"] == unit["Restart"][0]


def test_it_is_on_the_hosts_network_with_the_hosts_process_numbers(service):
    assert (service["network_mode"], service["pid"]) == ("host", "host")


def test_namespaces_that_it_mounts_are_seen_on_the_host(volumes):
    assert volumes["/run/netns"]["source"] == "/run/netns"
    assert volumes["/run/netns"]["bind"]["propagation"] == "shared"


def test_what_it_writes_is_the_hosts_and_all_else_is_read_only(service, volumes):
    unit = read_unit()
    written = {target for target, volume in volumes.items() if not volume.get("read_only")}

    assert service["read_only"] is True
    assert written == {
        "/run/netns", "/etc/netns",
        f"/run/{unit['RuntimeDirectory'][0]}", f"/var/lib/{unit['StateDirectory'][0]}",
    }  # fmt: skip
    assert all(volume["source"] == target for target, volume in volumes.items())
    assert set(volumes) - written == {f"/etc/{unit['ConfigurationDirectory'][0]}"}
    # Docker mounts /proc/sys read-only, and its profile for AppArmor denies mounts.
    assert {"systempaths=unconfined", "apparmor=unconfined"} < set(service["security_opt"])


def test_its_command_lines_are_ours(service, steps, capsys):
    instructions = dict(steps)
    assert yaml.safe_load(instructions["ENTRYPOINT"]) == ["reconciler"]
    for name, *arguments in (service["command"], yaml.safe_load(instructions["CMD"])):
        assert name == "run"
        context = run_command.make_context("run", arguments)
        assert context.params["paths"] == ("/etc/reconciler/manifests",)

    form, *health = service["healthcheck"]["test"]
    assert (form, health[0]) == ("CMD", "reconciler")
    assert run([*health[1:], "--help"]) == 0


def test_its_variables_are_the_programs(service):
    known = {option.envvar for option in run_command.params}

    assert set(service["environment"]) <= known


def test_what_the_image_copies_is_there_and_reaches_the_build(steps):
    ignored = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
    sources = [source for name, rest in steps if name == "COPY" for source in rest.split()[:-1]]

    assert "*" in ignored
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored
    assert {"pyproject.toml", "README.md", "reconciler"} <= set(sources)  # what pip needs


def test_the_build_starts_at_the_checkouts_top(service):
    build = service["build"]

    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]) == FOLDER / "Containerfile"


def test_the_image_has_the_packages_that_running_needs(steps):
    lines = [line.split() for line in (ROOT / "deploy/packages").read_text().splitlines()]
    needed = {line[1] for line in lines if line and line[0] != "#" and line[2] == "run"}
    installed = " ".join(rest for name, rest in steps if name == "RUN").split()

    assert needed <= set(installed)


def test_the_base_image_is_named_without_a_host(steps):
    (base,) = [rest for name, rest in steps if name == "FROM"]

    assert re.fullmatch(r"debian:[a-z]+-slim", base)


def test_the_readme_names_what_there_is():
    text = (ROOT / "deploy/README.md").read_text()
    here = set(re.findall(r"`([a-z]+/[A-Za-z.]+)`", text[: text.index("## ")]))

    assert here == {
        str(path.relative_to(ROOT / "deploy"))
        for folder in ("systemd", "container", "prometheus", "grafana")
        for path in (ROOT / "deploy" / folder).iterdir()
        if path.suffix != ".dockerignore"
    }
