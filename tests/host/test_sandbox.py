"""The sandbox: a throwaway host for a command, with or without root, that touches nothing."""

import os
import pty
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from reconciler.host.sandbox import sandboxed
from tests.world import ROOT, wait_until

pytestmark = pytest.mark.kernel

RUN = """
import sys
from reconciler.errors import PrivilegeError
from reconciler.host.sandbox import call_in_sandbox, enter_sandbox, run_in_sandbox
def run(command):
    try:
        sys.exit(run_in_sandbox(command))
    except PrivilegeError as error:
        sys.exit(f"refused: {error}")
"""

# To lose every privilege: become nobody, or where this is root of a user namespace that knows no
# nobody, drop the capabilities.
LOSE_PRIVILEGES = """
import ctypes, os, struct
def lose_capabilities():
    # capset(2), _LINUX_CAPABILITY_VERSION_3. CAP_SETFCAP stays: without it nobody may map user 0,
    # which is who this is then (user_namespaces(7)).
    header, data = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[1 << 31] * 2, *[0] * 4)
    assert ctypes.CDLL(None).capset(header, data) == 0
def lose_privileges():
    try:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: without it /proc/self stays root's
    except OSError:
        lose_capabilities()
"""

AS_ROOT = RUN + "run(sys.argv[1:])"
AS_NOBODY = RUN + LOSE_PRIVILEGES + "lose_privileges(); run(sys.argv[1:])"
both_users = pytest.mark.parametrize("program", [AS_ROOT, AS_NOBODY], ids=["root", "nobody"])


def argv(program, *command):
    return [sys.executable, "-c", program, *command]


def run(program, *command, check=False):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        argv(program, *command),
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        check=check,
    )


def shell(program, script):
    return run(program, "sh", "-ec", textwrap.dedent(script))


@both_users
@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("true", 0, ""),
        ("sh -c 'exit 9'", 9, ""),
        ("sh -c 'kill -TERM $$'", 143, ""),
        ("nonesuch --flag", 127, "nonesuch: command not found\n"),
        ("/nonesuch", 127, "/nonesuch: No such file or directory\n"),
        ("/etc", 126, "/etc: Permission denied\n"),
    ],
)
def test_the_code_is_the_commands(program, command, code, message):
    done = run(program, *shlex.split(command))

    assert (done.returncode, done.stderr) == (code, message)


@both_users
def test_a_command_may_do_there_what_root_may(program):
    done = shell(
        program,
        """
        ip link add br0 type bridge
        ip netns add blue
        ip link add v0 master br0 type veth peer name eth0 netns blue
        ip addr add 10.0.0.1/24 dev br0
        ip -n blue addr add 10.0.0.2/24 dev eth0
        ip link set br0 up; ip link set v0 up; ip -n blue link set eth0 up
        iptables -t nat -A POSTROUTING -s 10.0.0.0/24 -j MASQUERADE
        ip6tables -A FORWARD -j DROP
        ipset create friends hash:ip
        mkdir /etc/netns/blue
        echo '10.0.0.1 gateway' > /etc/netns/blue/hosts
        ip netns exec blue getent hosts gateway
        ip netns exec blue ping -c 1 -W 2 10.0.0.1 > /dev/null
        ip netns exec blue ip addr replace 10.0.0.3/24 dev eth0
        ls /sys/class/net
        hostname
        """,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["10.0.0.1", "gateway", "br0", "lo", "v0", "sandbox"]


@both_users
def test_it_starts_clean_and_the_machine_sees_nothing_of_it(program):
    before = socket.if_nameindex(), os.uname(), sorted(Path("/etc").iterdir())

    done = shell(
        program,
        """
        ip -br link | tr -s ' ' | cut -d ' ' -f 1,2
        ls -A /run/netns /etc/netns $RECONCILER_RUN_DIR $RECONCILER_STATE_DIR
        ip netns add left-behind
        touch /run/left-behind /etc/left-behind /etc/netns/left-behind
        touch $RECONCILER_RUN_DIR/left-behind $RECONCILER_STATE_DIR/left-behind
        readlink /proc/self/ns/net
        """,
    )

    assert (done.returncode, done.stderr) == (0, "")
    device, state, *folders, namespace = done.stdout.split()
    assert (device, state) == ("lo", "UNKNOWN")  # it has no carrier to report: this is up
    assert len(folders) == 4  # each named by ls, and empty
    assert (socket.if_nameindex(), os.uname(), sorted(Path("/etc").iterdir())) == before
    assert not list(Path("/run").glob("**/left-behind"))
    wait_until(lambda: namespace not in namespaces_in_use())


def names_in(folder):
    return {path.name for path in Path(folder).iterdir()}


def namespaces_in_use():
    links = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            links.add(str(path.readlink()))
        except OSError:
            continue  # that process has just ended
    return links


@both_users
def test_a_signal_reaches_the_command(program):
    script = "trap 'kill $!; exit 5' TERM; sleep 60 & echo ready; wait"
    with subprocess.Popen(
        argv(program, "sh", "-c", script),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd="/",
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.terminate()

        assert process.wait(10) == 5


def test_ctrl_c_on_a_terminal_reaches_the_command_once():
    """The terminal itself interrupts every process in its foreground group."""
    # A relayed interrupt would be there before the relayed SIGTERM, which says the count.
    script = """
        n=0; trap 'n=$((n+1)); echo interrupted' INT; trap 'exit $n' TERM
        echo ready; while :; do read x; done
    """
    child, terminal = pty.fork()
    if child == 0:
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, argv(AS_ROOT, "bash", "-c", script))
    with os.fdopen(terminal, "r+b", buffering=0) as screen:
        read_until(screen, b"ready")
        screen.write(b"\x03")
        read_until(screen, b"interrupted")
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 1


def read_until(screen, text):
    seen = b""
    while text not in seen:
        seen += screen.read(1024)


def test_where_a_sysctl_forbids_it_the_message_says_which():
    done = run(
        RUN
        + LOSE_PRIVILEGES
        + textwrap.dedent("""
            lose_privileges()
            enter_sandbox()
            open("/proc/sys/user/max_user_namespaces", "w").write("0")
            lose_capabilities()
            run(["true"])
        """)
    )

    assert done.returncode == 1
    assert done.stderr == (
        "refused: this user may not make namespaces: user.max_user_namespaces is 0;"
        " allow it with `sysctl -w user.max_user_namespaces=15000`, or run this as root\n"
    )


def test_a_function_runs_there_and_gives_the_code(capfd):
    done = run(RUN + "import socket; sys.exit(call_in_sandbox(lambda: len(socket.gethostname())))")

    assert done.returncode == len("sandbox")


def test_a_function_that_raises_shows_its_traceback():
    done = run(RUN + "sys.exit(call_in_sandbox(lambda: 1 // 0))")

    assert done.returncode == 1
    assert done.stderr.count("ZeroDivisionError") == 1


def test_who_was_there_comes_back_while_a_thread_stays(host):
    """The thread holds on to the folders it shares, which must not keep us there (setns(2))."""
    folder, environment = Path.cwd(), dict(os.environ)
    release = threading.Event()

    with sandboxed():
        host.ip("link add inner type bridge")
        Path("/etc/inner").touch()
        thread = threading.Thread(target=release.wait)
        thread.start()

    assert "inner" not in [name for _, name in socket.if_nameindex()]
    assert not Path("/etc/inner").exists()
    assert (Path.cwd(), dict(os.environ)) == (folder, environment)
    release.set()
    thread.join()


def test_sandboxes_nest_deeper_than_overlays_stack(host):
    """From the third on, /etc is a copy."""
    Path("/etc/netns/outer").mkdir()
    names = names_in("/etc")
    with sandboxed(), sandboxed():
        Path("/etc/inner").touch()

        assert names_in("/etc") == names | {"inner"}
        assert names_in("/etc/netns") == set()
    assert names_in("/etc") == names
    assert names_in("/etc/netns") == {"outer"}


def test_names_are_still_resolved_where_resolv_conf_points_into_run(host):
    servers = Path("/run/systemd/resolve/stub-resolv.conf")
    servers.parent.mkdir(parents=True)
    servers.write_text("nameserver 192.0.2.1\n")
    Path("/etc/resolv.conf").unlink()
    Path("/etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")

    with sandboxed():
        assert Path("/etc/resolv.conf").read_text() == "nameserver 192.0.2.1\n"


def test_a_file_mounted_in_etc_is_still_seen(host, tmp_path):
    """Container engines mount hosts and resolv.conf."""
    (tmp_path / "hosts").write_text("192.0.2.7 mounted\n")
    host.run("mount", "--bind", str(tmp_path / "hosts"), "/etc/hosts")

    with sandboxed():
        assert Path("/etc/hosts").read_text() == "192.0.2.7 mounted\n"


def test_administrators_programs_are_found(host, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    with sandboxed():
        assert os.environ["PATH"].split(":")[:2] == ["/usr/bin", "/bin"]
        assert "/usr/sbin" in os.environ["PATH"].split(":")
