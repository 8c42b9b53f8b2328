"""The systemd unit: what it promises to systemd, and that it has what the loop needs and no more."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.agent.client import NoLoopError
from reconciler.cli.run import command as run_command
from tests.deploy.units import UNIT, capabilities, read_unit
from tests.kernel import facts
from tests.kernel.daemon import Daemon, is_ready
from tests.kernel.firewall_world import BACKENDS, PROGRAMS
from tests.kernel.manifests import bridge, container
from tests.kernel.test_announce import listening
from tests.kernel.test_runtimes import process
from tests.probes import Listener, tcp_reaches
from tests.world import HERE, Host, wait_until

EXAMPLE = UNIT.with_name("reconciler.env")

# systemd.exec(5), of version 252: each of these gives a unit a mount namespace of its own.
OF_MOUNT_NAMESPACES = {
    "BindPaths", "BindReadOnlyPaths", "DynamicUser", "ExecPaths", "ExtensionDirectories",
    "ExtensionImages", "InaccessiblePaths", "JoinsNamespaceOf", "LogNamespace", "MountAPIVFS",
    "MountFlags", "MountImages", "NoExecPaths", "PrivateDevices", "PrivateIPC", "PrivateMounts",
    "PrivateNetwork", "PrivateTmp", "PrivateUsers", "ProcSubset", "ProtectControlGroups",
    "ProtectHome", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
    "ProtectProc", "ProtectSystem", "ReadOnlyPaths", "ReadWritePaths", "RootDirectory", "RootImage",
    "TemporaryFileSystem",
}  # fmt: skip

WORLD = bridge() + container(
    "bridge: br0, publish: ['8080:80'], sysctls: {net.core.somaxconn: '77'}"
)
OTHER = container(name="c2")
RULE = "-t nat -D RC-SNAT 1"


@pytest.fixture
def unit():
    return read_unit()


# --- what systemd is told


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_understands_every_line(unit, tmp_path):
    text, program = UNIT.read_text(), unit["ExecStart"][0].split()[0]
    assert f"ExecStart={program} " in text
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(program, "/bin/true"))  # it is not installed here

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_its_command_line_is_one(unit):
    program, *arguments = unit["ExecStart"][0].split()

    assert program.startswith("/")
    assert arguments.pop(0) == "run"
    context = run_command.make_context("run", arguments)
    assert context.params["paths"] == ("/etc/reconciler/manifests",)


def test_its_folders_are_the_programs_defaults(unit):
    defaults = {option.name: str(option.default) for option in run_command.params}

    assert defaults["run_dir"] == f"/run/{unit['RuntimeDirectory'][0]}"
    assert defaults["state_dir"] == f"/var/lib/{unit['StateDirectory'][0]}"
    assert unit["ExecStart"][0].endswith(f" /etc/{unit['ConfigurationDirectory'][0]}")


def test_every_variable_of_the_example_is_one_of_run_and_shows_its_default():
    given = {}
    for line in EXAMPLE.read_text().splitlines():
        if line.startswith("#RECONCILER_"):
            name, _, value = line.removeprefix("#").partition("=")
            given[name] = value
    defaults = {option.envvar: option.default for option in run_command.params}

    assert given.keys() <= defaults.keys()
    for name in ("RECONCILER_SET", "RECONCILER_DRIFT"):
        assert given[name] == defaults[name]


def test_stopping_it_ends_the_loop_alone_and_leaves_the_lock_where_it_is(unit):
    assert unit["KillMode"] == ["mixed"]
    assert unit["RuntimeDirectoryPreserve"] == ["yes"]


# --- the mount namespace


def test_no_option_gives_it_a_mount_namespace_of_its_own(unit):
    assert not OF_MOUNT_NAMESPACES & unit.keys()


@pytest.mark.parametrize("own", [True, False], ids=["in one of its own", "in the host's"])
def test_in_a_mount_namespace_of_its_own_it_would_make_names_that_lead_nowhere(host: Host, own):
    """What systemd does for ProtectSystem= and MountFlags=shared: slave first, then shared."""
    host.manifests.write("a.yaml", WORLD)
    host.run("mount", "--make-rshared", "/")  # as a host's is, where systemd is the first process
    namespace = ["unshare", "--mount", "--propagation", "slave"] if own else []
    script = 'mount --make-rshared / && exec "$@"'

    done = subprocess.run(
        [*namespace, "sh", "-c", script, "sh", *host.command("apply", host.manifests)],
        env=host.subprocess_environment(), check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr  # from where it is, all is well
    found = host.run("ip", "netns", "exec", "c1", "true", check=False)
    assert (found.returncode != 0) is own
    assert ("Invalid argument" in found.stderr) is own


# --- capabilities


def start(host: Host, caps: list[str], **environment: str) -> Daemon:
    """Start the loop as the unit does: root with these capabilities, and no way to more."""
    folder = Path("/run/loop")  # private to the host of this test, and short enough for sockets
    folder.mkdir()
    bounding = ",".join(["-all", *(f"+{cap.removeprefix('CAP_').lower()}" for cap in caps)])
    argv = ["setpriv", "--no-new-privs", "--bounding-set", bounding, "--inh-caps", "-all", "--"]
    dirs = ("--run-dir", folder / "run", "--state-dir", folder / "state")
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [*argv, *host.command("run", host.manifests, *dirs)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=host.subprocess_environment() | environment,
            cwd=os.sep,
        )
    return Daemon(host, folder, running)


@contextmanager
def running(host: Host, caps: list[str], **environment: str) -> Iterator[Daemon]:
    daemon = start(host, caps, **environment)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
        daemon.process.wait(10)


def heal(daemon: Daemon, break_it: Callable[[], object], object_type: str) -> None:
    """Break something, and wait until the loop has put it right and says so."""
    before = len(daemon.history())
    break_it()
    daemon.wait(
        lambda: any(record["object"].startswith(object_type) for record in daemon.healed(before))
    )


def lose_the_address(host: Host) -> None:
    host.netns("c1").ip("addr flush dev eth0")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loop_lives_with_exactly_its_capabilities(unit, host: Host, backend):
    uplink = host.uplink()
    with process() as (pid, box), systemd() as (environment, told):
        attached = container(f"bridge: br0, runtime: pid, target: '{pid}'", "box")
        host.manifests.write("a.yaml", WORLD + OTHER + attached)
        environment |= {"PATH": path_with(backend)}
        with running(host, capabilities(unit), **environment) as daemon, listening(HERE) as heard:
            daemon.wait(lambda: is_ready(daemon), 60)
            daemon.wait_in_sync()
            status = Path(f"/proc/{daemon.process.pid}/status").read_text()
            assert len(capabilities(unit)) == int(facts_of(status)["CapEff"], 16).bit_count()
            assert facts.sysctl("net.core.somaxconn", host.netns("c1")) == "77"
            assert "c2" in host.run("ip", "netns", "exec", "c1", "cat", "/etc/hosts").stdout
            assert facts.addresses("eth0", box)
            with Listener(host.netns("c1"), 80):
                assert tcp_reaches(uplink.remote, uplink.host4, 8080)

            heal(daemon, lambda: lose_the_address(host), "address/c1:eth0/")
            assert heard.announced()
            iptables = f"iptables-{backend}"
            heal(daemon, lambda: host.run(iptables, *RULE.split()), "rule/nat/RC-SNAT")
            with Listener(host.netns("c1"), 80):
                assert tcp_reaches(uplink.remote, uplink.host4, 8080)

            assert daemon.command("status").code == 0
            assert "READY=1" in told
            daemon.wait(lambda: "WATCHDOG=1" in told)
            daemon.signal(signal.SIGHUP)
            daemon.wait(lambda: daemon.status()["lastPass"]["cause"] == "signal")
            assert daemon.stop() == 0
            wait_until(lambda: "STOPPING=1" in told)
        with Listener(host.netns("c1"), 80):
            assert tcp_reaches(uplink.remote, uplink.host4, 8080)


def path_with(backend: str) -> str:
    """A PATH on which the plain names of iptables mean this backend, for whoever may not write /etc."""
    folder = Path("/run/programs")
    folder.mkdir()
    for name in PROGRAMS:
        program, dash, action = name.partition("-")
        target = shutil.which(f"{program}-{backend}{dash}{action}")
        assert target
        (folder / name).symlink_to(target)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def facts_of(status: str) -> dict[str, str]:
    """The lines of /proc/PID/status (proc_pid_status(5))."""
    return {k: v.strip() for k, _, v in (line.partition(":") for line in status.splitlines())}


@contextmanager
def systemd() -> Iterator[tuple[dict[str, str], list[str]]]:
    """What a service gets from systemd, and the list of what it tells it (sd_notify(3))."""
    address = "/run/notify"
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)

        # A queue holds ten messages; after that whoever notifies would wait (unix(7)).
        def read() -> None:
            while message := sock.recv(4096):
                told.extend(message.decode().splitlines())

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}, told
        finally:
            sock.shutdown(socket.SHUT_RDWR)
            reader.join(5)


def has_made_a_pass(daemon: Daemon) -> bool:
    try:
        return daemon.status()["lastPass"] is not None
    except NoLoopError:
        return False


def does_not_start(host: Host, caps: list[str]) -> None:
    host.manifests.write("a.yaml", WORLD)
    with running(host, caps) as daemon:
        assert daemon.process.wait(30) != 0
        last = (daemon.folder / "log").read_text().splitlines()[-1]
        assert "CAP_" in last or "Operation not permitted" in last
    assert "c1" not in host.ip("netns")


def heals_without_a_word_to_the_neighbours(host: Host, caps: list[str]) -> None:
    host.manifests.write("a.yaml", WORLD)
    with running(host, caps) as daemon, listening(HERE) as heard:
        daemon.wait(lambda: is_ready(daemon), 60)
        daemon.wait_in_sync()
        heal(daemon, lambda: lose_the_address(host), "address/c1:eth0/")
        assert not heard.announced()


def cannot_attach_to_a_process(host: Host, caps: list[str]) -> None:
    with process() as (pid, box):
        attached = container(f"bridge: br0, runtime: pid, target: '{pid}'", "box")
        host.manifests.write("a.yaml", WORLD + attached)
        with running(host, caps) as daemon:
            daemon.wait(lambda: has_made_a_pass(daemon), 60)
            assert not daemon.status()["inSync"]
        assert "eth0" not in facts.links(box)


WITHOUT = {
    "CAP_NET_ADMIN": does_not_start,
    "CAP_SYS_ADMIN": does_not_start,
    "CAP_NET_BROADCAST": does_not_start,
    "CAP_NET_RAW": heals_without_a_word_to_the_neighbours,
    "CAP_SYS_PTRACE": cannot_attach_to_a_process,
}


def test_of_every_capability_it_is_known_what_fails_without_it(unit):
    assert sorted(capabilities(unit)) == sorted(WITHOUT)
    assert unit["AmbientCapabilities"] == []


@pytest.mark.parametrize("missing", WITHOUT)
def test_without_one_of_its_capabilities_something_fails(unit, host: Host, missing):
    rest = [cap for cap in capabilities(unit) if cap != missing]

    WITHOUT[missing](host, rest)
