"""Enter: be in a container's network namespace, with its names in place of the host's, and stay.

What ip-netns(8) does for `ip netns exec`, and a hostname of its own besides.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from reconciler.host.namespaces import host_error, open_namespace
from reconciler.host.syscalls import (
    CLONE_NEWNS,
    CLONE_NEWUTS,
    MS_BIND,
    MS_REC,
    MS_SLAVE,
    mount,
    mount_sysfs,
    setns,
    unshare,
)
from reconciler.objects.file import NAMES


def enter(netns: str, folder: Path) -> None:
    """Move this process, which must have one thread, to where a container is.

    Args:
        netns: Its namespace, as `open_namespace` has it.
        folder: Where its names are; what is missing there stays the host's.

    Raises:
        HostError: The namespace is not there.
        PrivilegeError: It may not be entered.
    """
    fd = open_namespace(netns)
    try:
        setns(fd)
        unshare(CLONE_NEWNS | CLONE_NEWUTS)
        mount("", "/", MS_SLAVE | MS_REC)  # what is mounted here stays here
        _see_its_devices()
        _put_names(folder)
    except OSError as error:
        raise host_error(f"cannot enter network namespace {netns}", error) from error
    finally:
        os.close(fd)


def _see_its_devices() -> None:
    """Let /sys/class/net show the devices of this namespace; without it most programs work, too."""
    try:
        mount_sysfs("/sys")
    except OSError:
        return


def _put_names(folder: Path) -> None:
    for name in NAMES:
        source, target = folder / name, Path("/etc", name)
        if source.exists() and target.exists():
            mount(str(source), str(target), MS_BIND)
    hostname = folder / "hostname"
    if hostname.exists():
        socket.sethostname(hostname.read_text().strip())
