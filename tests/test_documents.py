"""The documents say what is so: their commands, files, outputs and examples are tried."""

import re
import subprocess
import tomllib

import pytest

from reconciler import __version__
from reconciler.cli.main import COMMANDS
from tests.cli.calls import call, call_json
from tests.tour import README, take_tour, without_chance
from tests.world import ROOT

COOKBOOK = ROOT / "manifests/README.md"
ARCHITECTURE = ROOT / "reconciler/ARCHITECTURE.md"
PAGES = [README, COOKBOOK, ARCHITECTURE, ROOT / "tests/README.md"]
RECIPES = re.findall(
    r"^## (.*?)\n.*?^```yaml\n(.*?)^```", COOKBOOK.read_text(), re.MULTILINE | re.DOTALL
)
EXAMPLES = sorted((ROOT / "manifests").glob("*.yaml"))


def test_the_tour_prints_what_the_page_shows(host, tmp_path):
    """`python -m tests.tour` writes the output anew where it is meant to change."""
    page = README.read_text()

    assert without_chance(take_tour(page, tmp_path)) == without_chance(page)


def test_the_tour_shows_every_kind_of_change():
    tour = README.read_text()

    for shown in ("  + device/", "  ~ device/", "  - netns/", "In sync: ", "did you mean"):
        assert shown in tour


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_is_there(page):
    named = set(re.findall(r"(?:`|^|\$ )reconciler ([a-z]+)", page.read_text(), re.MULTILINE))

    # The mark on a device, `reconciler default Bridge/web`, begins with the same word.
    assert named - {"default"} <= COMMANDS.keys()


def test_the_readme_lists_every_command():
    listed = re.findall(r"^\| `reconciler ([a-z]+)", README.read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    named = {
        path
        for path in re.findall(r"[`(]((?:[\w.-]+/)*[\w.-]+\.(?:md|py|toml|yaml)|\w+/\w+)[`)]", text)
        if path.split("/")[0] in TOP or path.endswith((".py", ".md"))
    }
    bases = (ROOT, page.parent, ROOT / "reconciler")

    assert {path for path in named if not any((base / path).exists() for base in bases)} == set()


TOP = {path.name for path in ROOT.iterdir() if path.is_dir()}


def test_every_option_of_the_readme_is_one():
    text = re.sub(r"^ +[-+~] .*", "", README.read_text(), flags=re.MULTILINE)  # but output
    helps = "".join(call(command, "--help").stdout for command in COMMANDS)
    helps += call("--help").stdout

    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert {option for option in options if option not in helps} == set()


def test_the_exit_codes_of_the_readme_are_those_of_the_program():
    from reconciler.cli import exit_codes

    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README.read_text(), re.MULTILINE)}
    known = {value for name, value in vars(exit_codes).items() if name.isupper()}

    assert listed <= known
    assert listed >= {0, 1, 2, 4, 5, 64, 77, 130}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_valid_with_the_others_and_acts_in_full(path):
    result = call("validate", *EXAMPLES)

    assert (result.code, result.stderr) == (0, "")
    assert path.read_text().startswith("# "), "it says what it shows"


def test_the_examples_converge_together(host):
    applied = call("apply", ROOT / "manifests")
    again, code = call_json("apply", ROOT / "manifests")

    assert (applied.code, applied.stderr) == (0, "")
    assert (code, again["changes"]) == (0, [])


@pytest.mark.parametrize(("title", "recipe"), RECIPES, ids=[title for title, _ in RECIPES])
def test_a_recipe_works_as_it_stands(host, title, recipe):
    host.ip("link add br0 type bridge")  # that somebody else owns
    host.add_netns("service")
    host.manifests.write("recipe.yaml", recipe)

    applied = call("apply", host.manifests)
    again = call("apply", host.manifests)

    assert (applied.code, applied.stderr) == (0, "")
    assert again.stdout.startswith("In sync: ")


def test_the_cookbook_says_which_address_the_range_gives(host):
    recipe = dict(RECIPES)["Where automatic addresses come from"]
    (said,) = re.findall(r"# ([0-9.]+),", recipe)
    call("apply", "-", stdin=recipe)

    assert f" {said}/16 " in host.netns("first").ip("-br addr show eth0")


def test_the_changelog_tells_of_this_version():
    assert f"## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text()


def test_the_map_names_every_folder_and_only_modules_that_are_there():
    rows = dict(re.findall(r"^\| `(\w+)/` \| (.*) \|$", ARCHITECTURE.read_text(), re.MULTILINE))
    folders = {path.parent.name for path in (ROOT / "reconciler").glob("*/__init__.py")}

    assert rows.keys() == folders
    for folder, text in rows.items():
        for module in re.findall(r"`(\w+)`", text):
            place = ROOT / "reconciler" / folder / module
            there = place.is_dir() or place.with_suffix(".py").exists() or module in COMMANDS
            assert there, f"{folder}/{module}"


def test_the_license_is_the_one_that_the_package_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["license"]["text"] == "Apache-2.0"
    assert (
        "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()
    )


def test_no_page_shows_a_place_that_is_nowhere():
    """Links lead to files of the repository, or to the two conventions of the changelog."""
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        links = re.findall(r"\]\(([^)]+)\)", page.read_text())
        outside = [link for link in links if "://" in link]
        assert all("keepachangelog.com" in link or "semver.org" in link for link in outside)
        for link in set(links) - set(outside):
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_the_two_commands_of_the_first_page_can_be_run():
    first = README.read_text().split("## Why")[0]

    for script in ("deploy/demo", "tests/run"):
        assert f"\n{script} " in first
        subprocess.run(["sh", "-n", ROOT / script], check=True)
