"""Sandbox: a throwaway host, made of namespaces, that touches nothing of the machine.

A process in it has a network, mounts and a hostname of its own, and may do there what root may:
bridges, veth pairs, `ip netns`, firewall rules, ipset. All of it ends with the last process in it.

- Without the capabilities for that (CAP_SYS_ADMIN, CAP_NET_ADMIN) the process also gets a user
  namespace in which it is root (user_namespaces(7)). With them it gets none: there the kernel
  loads modules and lets root act as on a real host.
- /run is an empty tmpfs, so /run/netns, /run/reconciler and /run/xtables.lock are private. Its
  symbolic links are kept (NixOS finds its programs through one), and what /etc/resolv.conf
  points to.
- /etc is an overlay, or a copy where overlays do not stack any deeper (two levels): what is
  written, /etc/netns above all, is private.
- /sys shows the devices of the new network, where the kernel allows mounting it.
- The processes are the machine's: there is no pid namespace.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from reconciler.errors import PrivilegeError
from reconciler.host.private_files import make_files_private

HOSTNAME = "sandbox"

# linux/sched.h; os.unshare and os.setns only exist from Python 3.12 on.
_FS, _NEWNS, _NEWUTS, _NEWUSER, _NEWNET = 0x200, 0x20000, 0x4000000, 0x10000000, 0x40000000
_SANDBOX = _NEWNS | _NEWUTS | _NEWNET

_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21  # linux/capability.h
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1  # netdevice(7)

# A user's PATH often lacks these, and in the sandbox every user is root.
_ADMINISTRATORS_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")

# What forbids user namespaces, and the value that allows them.
_SYSCTLS = (
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),  # Debian up to 10, some hardened kernels
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),  # Ubuntu from 23.10 on
)

_RELAYED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

_libc = ctypes.CDLL(None, use_errno=True)


def run_in_sandbox(command: Sequence[str]) -> int:
    """Run a command on a throwaway host, and give its exit code as a shell would.

    That is 127 where there is no such command, 126 where it is not executable, and 128 plus the
    signal's number for one that a signal ended. SIGINT, SIGTERM, SIGHUP and SIGQUIT sent to the
    caller reach the command.

    Raises:
        PrivilegeError: This user may not make namespaces; the message says what would allow it.
    """
    return call_in_sandbox(lambda: become(command))


def call_in_sandbox(function: Callable[[], int]) -> int:
    """Run a function in a child process on a throwaway host; what it returns is the exit code.

    The caller must have one thread only. See `run_in_sandbox` for signals, codes and errors.
    """
    failed, report = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    watched = {*_RELAYED, signal.SIGCHLD}
    former: Iterable[int] = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        child = os.fork()
        if child == 0:
            _live_in_sandbox(function, report, former)
        os.close(report)
        code = _wait(child, watched)
        message = os.read(failed, 4096).decode() if code == os.EX_NOPERM else ""
    finally:
        os.close(failed)
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
    if message:
        raise PrivilegeError(message)
    return code


@contextmanager
def sandboxed() -> Iterator[None]:
    """Be on a throwaway host, and come back: for tests. What was left behind there ends.

    Only the calling thread goes there, with the threads it starts. It must be able to come back,
    so it needs CAP_SYS_ADMIN already: as root, or inside `enter_sandbox`.

    Raises:
        PrivilegeError: The caller lacks it.
    """
    if not _is_privileged():
        raise PrivilegeError("only root, or a process in a sandbox, can enter one and come back")
    environment = dict(os.environ)
    with ExitStack() as stack:

        def remember(path: str) -> int:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            return descriptor

        root, folder = remember("/"), remember(".")
        home = [remember(f"/proc/thread-self/ns/{kind}") for kind in ("net", "uts", "mnt")]
        try:
            enter_sandbox()
            yield
        finally:
            # setns(2) refuses a mount namespace while a thread started meanwhile shares our cwd.
            _check(_libc.unshare(_FS), "unshare")
            for namespace in home:
                _check(_libc.setns(namespace, 0), "setns")
            # Joining a mount namespace leads to its root (setns(2)), not to that of a chroot.
            os.fchdir(root)
            os.chroot(".")
            os.fchdir(folder)
            os.environ.clear()
            os.environ.update(environment)


def enter_sandbox() -> None:
    """Move the calling process onto a throwaway host; it stays there, and so do its children.

    Sets RECONCILER_RUN_DIR and RECONCILER_STATE_DIR, and adds the administrator's folders to PATH.
    The process must have one thread only, unless it is privileged.

    Raises:
        PrivilegeError: This user may not make namespaces; the message says what would allow it.
    """
    try:
        _unshare()
        make_files_private()
    except OSError as error:
        raise PrivilegeError(_explain(error)) from error
    _raise_loopback()
    socket.sethostname(HOSTNAME)
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path += [folder for folder in _ADMINISTRATORS_PATH if folder not in path]
    os.environ["PATH"] = os.pathsep.join(path)


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    if _is_privileged():
        _check(_libc.unshare(_SANDBOX), "unshare")
        return
    _check(_libc.unshare(_SANDBOX | _NEWUSER), "unshare")
    # Without this an ordinary user may not map a group (user_namespaces(7)).
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _is_privileged() -> bool:
    status = Path("/proc/thread-self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    return all(effective >> capability & 1 for capability in (_CAP_NET_ADMIN, _CAP_SYS_ADMIN))


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _explain(error: OSError) -> str:
    for name, forbidden, allowed in _SYSCTLS:
        path = Path("/proc/sys", *name.split("."))
        if path.is_file() and path.read_text().strip() == forbidden:
            return (
                f"this user may not make namespaces: {name} is {forbidden};"
                f" allow it with `sysctl -w {name}={allowed}`, or run this as root"
            )
    if error.errno == errno.EINVAL and "mount" in str(error.strerror):
        return f"{error.strerror}: / is not a mount point; bind-mount the chroot's folder on itself"
    return (
        f"this user may not make namespaces here ({error.strerror}): a chroot forbids it, or a"
        " container's seccomp profile; run this as root outside of it"
    )


def _live_in_sandbox(function: Callable[[], int], report: int, mask: Iterable[int]) -> NoReturn:
    # Nothing may leave this function: below it lies a copy of the parent's stack.
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            enter_sandbox()
        except PrivilegeError as error:
            code = os.EX_NOPERM
            os.write(report, str(error).encode())
        else:
            os.close(report)
            code = function()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def become(command: Sequence[str]) -> int:
    """Turn this process into a command; returns only if it cannot run, with a shell's exit code."""
    program = command[0]
    # execvp(3) would call a name "not permitted" that it misses in a folder it may not read.
    if "/" not in program and not shutil.which(program):
        sys.stderr.write(f"{program}: command not found\n")
        return 127
    # Python ignores these two, and what it ignores the command would, too (signal(7)).
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(program, list(command))  # noqa: S606 - the caller's command, without a shell
    except OSError as error:
        sys.stderr.write(f"{program}: {error.strerror}\n")
        return 127 if error.errno == errno.ENOENT else 126


def _wait(child: int, watched: set[signal.Signals]) -> int:
    while True:
        received = signal.sigwaitinfo(watched)
        if received.si_signo == signal.SIGCHLD:
            finished, status = os.waitpid(child, os.WNOHANG)
            if finished:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
        elif received.si_code <= 0:
            # Sent by a process to us alone. What the terminal sends (SI_KERNEL) has already
            # reached the child, which belongs to the same process group (sigaction(2)).
            os.kill(child, received.si_signo)
