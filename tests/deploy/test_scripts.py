"""The scripts of the README's first page: on a fresh machine, without root, a second time."""

import shutil
import stat
import subprocess

import pytest

from tests.world import ROOT

SCRIPTS = ["deploy/demo", "deploy/setup.sh", "tests/run", ".ci/run"]

# Stands for every Python: it makes an environment with the same in it, and what pip would install.
PYTHON = """#!/bin/sh
echo "python $*" >> "$LOG"
case "$*" in
"--version") echo "Python 3.11.7" ;;
*version_info\\ *) exit "${TOO_OLD:-0}" ;;
*"import ensurepip"*) command -v venv-is-there >/dev/null ;;
*"python3.%d-venv"*) echo python3.11-venv ;;
"-m venv "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
"-m pip --version") ;;
"-m pip install"*)
    [ -z "${OFFLINE:-}" ] || { echo "no network" >&2; exit 1; }
    for program in reconciler ruff mypy lint-imports; do
        printf '#!/bin/sh\\necho "%s $*"\\n[ "$FAIL" != %s ]\\n' $program $program \\
            > "${0%/*}/$program"
        chmod +x "${0%/*}/$program"
    done ;;
"-m pytest"*) echo "pytest $*"; [ "$FAIL" != pytest ] ;;
*) exit 99 ;;
esac
"""

APT_GET = """#!/bin/sh
echo "apt-get $*" >> "$LOG"
[ "$DEBIAN_FRONTEND" = noninteractive ] || exit 98
for word in "$@"; do
    case $word in
    nonesuch-package) printf '#!/bin/sh\\n' > "$BIN/nonesuch"; chmod +x "$BIN/nonesuch" ;;
    *-venv) printf '#!/bin/sh\\n' > "$BIN/venv-is-there"; chmod +x "$BIN/venv-is-there" ;;
    esac
done
"""

NEEDED = ["sh", "dirname", "cat", "grep", "cksum", "cp", "mkdir", "mktemp", "rm", "chmod", "tr"]


class Machine:
    """A fresh machine: a PATH with little on it, and a checkout whose packages are all missing."""

    def __init__(self, folder):
        self.bin, self.log = folder / "bin", folder / "log"
        self.checkout = folder / "a checkout"
        self.bin.mkdir()
        self.log.touch()
        for program in NEEDED:
            (self.bin / program).symlink_to(shutil.which(program))
        self.program("python3", PYTHON)
        self.program("apt-get", APT_GET)
        self.user(0)
        for name in ("pyproject.toml", *SCRIPTS):
            (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.checkout / name)
        (self.checkout / "README.md").touch()
        (self.checkout / "reconciler").mkdir()
        self.packages("nonesuch nonesuch-package run")
        self.environment = {
            "PATH": str(self.bin), "LOG": str(self.log), "BIN": str(self.bin), "CI": "true",
            "HOME": str(folder), "FAIL": "",
        }  # fmt: skip

    def program(self, name, text):
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def user(self, number):
        self.program("id", f"#!/bin/sh\necho {number}\n")

    def packages(self, *lines):
        (self.checkout / "deploy/packages").write_text("# a comment\n" + "\n".join(lines) + "\n")

    def run(self, script, *arguments, **environment):
        self.log.write_text("")
        return subprocess.run(
            [str(self.checkout / script), *arguments],
            env={**self.environment, **environment},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def logged(self, program):
        return [line for line in self.log.read_text().splitlines() if line.startswith(program)]


@pytest.fixture
def fresh(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_plain_sh_and_can_be_run(script):
    path = ROOT / script

    subprocess.run(["sh", "-n", str(path)], check=True)
    if script != "deploy/setup.sh":
        assert path.read_text().startswith("#!/bin/sh\n")
        assert path.stat().st_mode & stat.S_IXUSR


def test_root_gets_what_is_missing_and_then_the_demo(fresh):
    done = fresh.run("deploy/demo", "--fast")

    assert (done.returncode, done.stdout) == (0, "reconciler demo --fast\n")
    update, install = fresh.logged("apt-get")
    assert update.endswith(" update")
    assert install.endswith("install -y --no-install-recommends nonesuch-package python3.11-venv")


def test_an_ordinary_user_is_told_the_command_to_install_it(fresh):
    fresh.user(1000)

    done = fresh.run("deploy/demo")

    assert done.returncode == 77
    assert done.stderr.endswith("    sudo apt-get install -y nonesuch-package python3.11-venv\n")
    assert fresh.logged("apt-get") == []


def test_an_ordinary_user_who_lacks_nothing_is_not_asked_for_root(fresh):
    fresh.run("deploy/demo")
    fresh.user(1000)

    assert fresh.run("deploy/demo").stdout == "reconciler demo\n"


def test_another_distribution_is_told_the_names(fresh):
    (fresh.bin / "apt-get").unlink()

    done = fresh.run("deploy/demo")

    assert done.returncode == 69
    assert "nonesuch-package" in done.stderr


def test_the_second_run_needs_no_network(fresh):
    fresh.run("deploy/demo")

    done = fresh.run("deploy/demo", OFFLINE="1")

    assert (done.returncode, done.stdout, done.stderr) == (0, "reconciler demo\n", "")
    assert fresh.logged("apt-get") == []
    assert not [line for line in fresh.logged("python") if "-m pip" in line]


def test_changed_dependencies_are_installed(fresh):
    fresh.run("deploy/demo")
    with (fresh.checkout / "pyproject.toml").open("a") as file:
        file.write("# changed\n")

    assert fresh.run("deploy/demo").returncode == 0

    assert [line for line in fresh.logged("python") if "pip install" in line]


def test_a_failed_installation_is_tried_again(fresh):
    assert fresh.run("deploy/demo", OFFLINE="1").returncode == 69

    assert fresh.run("deploy/demo").returncode == 0


@pytest.mark.parametrize("user", [0, 1000])
def test_an_old_python_is_refused_in_words(fresh, user):
    fresh.user(user)

    done = fresh.run("deploy/demo", TOO_OLD="1")

    assert done.returncode == 1
    assert "Python 3.11 or newer is needed; this is Python 3.11.7." in done.stderr


def test_python_is_installed_where_there_is_none(fresh):
    (fresh.bin / "python3").rename(fresh.bin / "uninstalled")
    fresh.program("apt-get", APT_GET + 'mv "$BIN/uninstalled" "$BIN/python3" 2>/dev/null; exit 0\n')
    (fresh.bin / "mv").symlink_to(shutil.which("mv"))

    assert fresh.run("deploy/demo").stdout == "reconciler demo\n"


def test_the_environment_of_the_tests_is_enough_for_the_demo(fresh):
    assert fresh.run("tests/run").returncode == 0

    assert fresh.run("deploy/demo", OFFLINE="1").stdout == "reconciler demo\n"


def test_the_tests_want_more_than_the_demo(fresh):
    fresh.packages("nonesuch nonesuch-package test")

    assert "nonesuch" not in fresh.run("deploy/demo").stderr
    assert "nonesuch-package" in fresh.run("tests/run").stderr


def test_a_checkout_that_cannot_be_written_is_left_alone(host, fresh, tmp_path):
    host.run("mount", "--bind", str(fresh.checkout), str(fresh.checkout))
    host.run("mount", "-o", "remount,bind,ro", str(fresh.checkout))

    done = fresh.run("deploy/demo", XDG_CACHE_HOME=str(tmp_path / "cache"))

    assert (done.returncode, done.stdout) == (0, "reconciler demo\n")
    assert list(tmp_path.glob("cache/reconciler/*/source/pyproject.toml"))


def test_every_check_runs_and_arguments_go_to_pytest(fresh):
    done = fresh.run("tests/run", "--nightly", "-k", "foo")

    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line and line[0] != "="]
    assert lines == [
        "ruff check",
        "ruff format --check",
        "mypy ",
        "lint-imports ",
        "pytest -m pytest -n 2 --nightly -k foo",
        "All passed.",
    ]


@pytest.mark.parametrize(
    ("failing", "named"),
    [("ruff", ["ruff check", "ruff format --check"]), ("mypy", ["mypy"]), ("pytest", ["pytest"])],
)
def test_one_failing_check_fails_the_run_and_is_named(fresh, failing, named):
    done = fresh.run("tests/run", FAIL=failing)

    assert done.returncode == 1
    assert "pytest -m pytest" in done.stdout  # the others have run all the same
    summary = done.stdout.split("Failed:\n")[1].splitlines()
    assert [line.strip().removeprefix("python -m ").split(" -n")[0] for line in summary] == named


def test_ci_runs_exactly_the_tests(fresh):
    done = fresh.run(".ci/run", FAIL="mypy")

    assert done.returncode == 1
    assert done.stdout.splitlines()[-2:] == ["Failed:", "    mypy"]


def test_a_closed_standard_input_is_no_trouble(fresh):
    script = f'"{fresh.checkout}/deploy/demo" <&-'
    done = subprocess.run(
        ["sh", "-c", script], env=fresh.environment, capture_output=True, check=False
    )

    assert done.returncode == 0


def test_the_packages_have_three_words_each():
    text = (ROOT / "deploy/packages").read_text()
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]

    assert all(len(line) == 3 and line[2] in {"run", "test"} for line in lines)
    assert len({line[0] for line in lines}) == len(lines)
