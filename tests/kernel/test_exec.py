"""exec: a command in a container's namespace, with its names, and nothing of the host changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel import facts
from tests.kernel.manifests import SUBNET, bridge, container
from tests.kernel.passes import converge
from tests.world import REMOTE, Host, Result, make_namespace

NAMES = Path("/etc/netns")


@pytest.fixture
def site(host: Host) -> Host:
    """Two containers on a bridge; the command line finds the manifests by itself."""
    host.manifests.write(
        "all.yaml",
        bridge(f"{SUBNET}, dns: [127.0.0.1]")
        + container("bridge: br0, hostname: front, domainname: prod.example, links: [c2:db]")
        + container(name="c2"),
    )
    converge(host)
    host.environment["RECONCILER_MANIFESTS"] = os.fspath(host.manifests)
    return host


def execute(host: Host, name: str, *command: str, stdin: str | None = None) -> Result:
    return host.reconciler("exec", name, "--", *command, stdin=stdin)


def output(host: Host, name: str, *command: str) -> str:
    result = execute(host, name, *command)
    assert (result.code, result.stderr) == (0, "")
    return result.stdout


def test_a_command_sees_the_containers_network_and_names(site: Host):
    script = (
        "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; ls /sys/class/net; ip -br addr"
    )

    shown = output(site, "c1", "sh", "-c", script)

    files = [(NAMES / "c1" / name).read_text() for name in ("hostname", "hosts", "resolv.conf")]
    assert shown.startswith("front\n" + "".join(files))
    assert "10.1.0.3\tdb c2\n" in shown
    assert "nameserver 127.0.0.1\n" in shown
    assert shown.split("search", 1)[0].count("front.prod.example") == 1
    devices = shown[len("front\n" + "".join(files)) :]
    assert devices.startswith("eth0\nlo\n")
    assert "10.1.0.2/24" in devices


def test_names_are_found_by_programs(site: Host):
    shown = output(site, "c1", "getent", "hosts", "front.prod.example", "db", "c2")

    assert [line.split()[0] for line in shown.splitlines()] == ["10.1.0.2", "10.1.0.3", "10.1.0.3"]
    assert output(site, "c1", "hostname", "-f") == "front.prod.example\n"


def test_the_words_of_the_command_stay_as_they_are(site: Host):
    words = ["-x", "--set", "a b", "", "*", "$HOME", "--", "é"]

    shown = output(site, "c1", "sh", "-c", 'for w; do echo "[$w]"; done', "sh", *words)

    assert shown == "".join(f"[{word}]\n" for word in words)
    # Without the dashes in between, too.
    result = site.reconciler("exec", "c2", "cat", "-s", "/etc/hostname")
    assert (result.stdout, result.stderr, result.code) == ("c2\n", "", 0)


ENDS = (
    (("sh", "-c", "exit 7"), 7),
    (("sh", "-c", "kill -TERM $$"), -signal.SIGTERM),
    (("no-such-command",), 127),
    (("/no/such/command",), 127),
    (("/etc",), 126),
    (("/etc/netns/c1/hostname",), 126),
)


def test_the_exit_code_is_the_commands(site: Host):
    """The process becomes the command, so that a signal ends it as one, too."""
    for command, code in ENDS:
        result = execute(site, "c1", *command)

        assert result.code == code, (command, result.stderr)
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        assert bool(result.stderr) == (code in {126, 127})


def test_input_output_and_errors_pass_through(site: Host):
    result = execute(site, "c1", "sh", "-c", "cat; echo trouble >&2", stdin="line\n" * 50_000)

    assert (result.stdout, result.stderr, result.code) == ("line\n" * 50_000, "trouble\n", 0)


def test_a_command_whose_reader_goes_away_ends_as_in_a_shell(site: Host):
    """Python ignores SIGPIPE; the command must not."""
    assert output(site, "c1", "sh", "-c", "yes | head -n 1") == "y\n"
    argv = ["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]
    assert output(site, "c1", *argv) == site.run(*argv).stdout


def test_the_environment_is_the_callers_and_no_descriptor_is_left_open(site: Host):
    site.environment["FLAVOUR"] = "sour"
    script = "echo $FLAVOUR; pwd; ls /proc/$$/fd"

    shown = output(site, "c1", "sh", "-c", script)

    flavour, folder, *descriptors = shown.split()
    assert (flavour, folder) == ("sour", str(Path.cwd()))
    assert set(descriptors) <= {"0", "1", "2"}


def test_nothing_of_the_host_changes(site: Host):
    def look() -> object:
        mounts = Path("/proc/thread-self/mountinfo").read_text()
        files = [Path("/etc", name).read_bytes() for name in ("hosts", "resolv.conf", "hostname")]
        return mounts, files, os.uname().nodename, sorted(facts.links())

    before = look()

    output(site, "c1", "sh", "-c", "hostname other; mount -t tmpfs none /mnt; touch /mnt/x")

    assert look() == before
    assert not Path("/mnt/x").exists()
    assert output(site, "c1", "hostname") == "front\n"


def test_a_command_reaches_the_neighbours(site: Host):
    assert "1 received" in output(site, "c1", "ping", "-c", "1", "-W", "2", "db")


# --------------------------------------------------------------------------- which container


def test_who_is_not_there_is_an_error_without_a_command(site: Host):
    site.add_netns("theirs")
    for name in ("c9", "theirs", "br0", "../c1", ""):
        result = execute(site, name, "echo", "ran")
        assert (result.code, result.stdout) == (1, ""), name
        assert result.stderr == f"error: there is no container {name} of set default here\n"


def test_a_set_has_containers_of_its_own(host: Host):
    host.manifests.write("a/all.yaml", bridge() + container())
    host.manifests.write(
        "b/all.yaml",
        bridge("addresses: [10.2.0.1/24], device: br9") + container("bridge: br0, target: d1"),
    )
    converge(host, host.manifests.folder / "a")
    converge(host, host.manifests.folder / "b", set_name="two")

    one = host.reconciler("exec", "c1", "--", "ip", "-4", "-br", "addr", "show", "eth0")
    two = host.reconciler(
        "exec", "--set", "two", "c1", "--", "ip", "-4", "-br", "addr", "show", "eth0"
    )
    three = host.reconciler("exec", "--set", "three", "c1", "--", "true")

    assert "10.1.0.2/24" in one.stdout
    assert "10.2.0.2/24" in two.stdout
    assert three.code == 1
    assert "there is no container c1 of set three here" in three.stderr


@contextmanager
def process_in_a_namespace() -> Iterator[subprocess.Popen[str]]:
    argv = ["unshare", "-n", "sh", "-c", "echo there; read line"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        try:
            yield process
        finally:
            process.kill()


SHOW = ("sh", "-c", "hostname; cat /etc/hosts; ip -4 -br addr show eth0")


def test_namespaces_of_others_are_entered_by_path_and_pid(host: Host):
    """Their names lie under the resource's name, unless the path is one of `ip netns`."""
    make_namespace(REMOTE / "box")
    host.add_netns("named")
    host.environment["RECONCILER_MANIFESTS"] = os.fspath(host.manifests)
    with process_in_a_namespace() as process:
        host.manifests.write(
            "all.yaml",
            bridge()
            + container(f"bridge: br0, runtime: path, target: {REMOTE}/box, hostname: h1")
            + container(f"bridge: br0, runtime: pid, target: '{process.pid}', hostname: h2", "c2")
            + container("bridge: br0, runtime: path, target: /run/netns/named, hostname: h3", "c3")
            + container("network: none, target: box, hostname: h4", "c4")
            + container("network: 'container:c2'", "c5"),
        )
        converge(host)

        for name, hostname, number in (
            ("c1", "h1", 2), ("c2", "h2", 3), ("c3", "h3", 4), ("c5", "h2", 3),
        ):  # fmt: skip
            shown = output(host, name, *SHOW)
            assert shown.startswith(f"{hostname}\n"), name
            assert f"10.1.0.{number}\t{hostname} " in shown, name
            assert f"10.1.0.{number}/24" in shown.splitlines()[-1], name
        assert output(host, "c4", "hostname") == "h4\n"
        assert sorted(p.name for p in NAMES.iterdir() if p.name[0] != ".") == [
            "box", "c1", "c2", "named",
        ]  # fmt: skip

    gone = execute(host, "c2", "true")
    assert gone.code == 1
    assert "No such file or directory" in gone.stderr


def test_another_set_does_not_enter_what_these_manifests_declare(host: Host):
    make_namespace(REMOTE / "box")
    host.manifests.write(
        "all.yaml", bridge() + container(f"bridge: br0, runtime: path, target: {REMOTE}/box")
    )
    converge(host)
    host.environment["RECONCILER_MANIFESTS"] = os.fspath(host.manifests)

    assert host.reconciler("exec", "c1", "--", "true").code == 0
    assert host.reconciler("exec", "--set", "two", "c1", "--", "true").code == 1


def test_a_shared_namespace_is_entered_with_the_others_names(site: Host):
    site.manifests.write("shared.yaml", container("network: 'container:c1'", "c3"))
    site.manifests.write("on-host.yaml", container("network: host", "c4"))
    converge(site)

    assert output(site, "c3", "hostname") == "front\n"
    assert "10.1.0.2/24" in output(site, "c3", "ip", "-br", "addr", "show", "eth0")
    # The host's own namespace is the host's, by the host's names.
    assert output(site, "c4", "hostname") == f"{os.uname().nodename}\n"
    assert "10.1.0.1/24" in output(site, "c4", "ip", "-br", "addr", "show", "br0")

    site.environment["RECONCILER_MANIFESTS"] = "/nowhere"
    lost = execute(site, "c3", "true")
    assert (lost.code, lost.stdout) == (1, "")
    assert lost.stderr == "error: there is no container c3 of set default here\n"
    assert output(site, "c1", "hostname") == "front\n"  # which needs no manifests


# --------------------------------------------------------------------------- who may


AS_NOBODY = """
import os, sys
import reconciler.cli.exec
from reconciler.cli import main
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.exit(main.run(sys.argv[1:]))
"""
"""Gives up being root only then: that user may not be able to read the checkout."""


def test_without_privilege_nothing_runs(site: Host):
    """As an ordinary user, and as root without capabilities: 77 (sysexits.h, EX_NOPERM)."""
    words = ["exec", "c1", "--", "echo", "ran"]
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *site.command(*words)]
    for argv in ([sys.executable, "-c", AS_NOBODY, *words], powerless):
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=site.subprocess_environment()
        )

        assert (done.returncode, done.stdout) == (77, ""), done.stderr
        assert done.stderr.startswith("error: reconciler exec ")


def test_what_is_no_command_is_a_usage_error(site: Host):
    for arguments in ((), ("c1",), ("c1", "--")):
        result = site.reconciler("exec", *arguments)
        assert result.code == 64, arguments
        assert result.stdout == ""
