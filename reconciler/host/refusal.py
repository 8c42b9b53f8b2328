"""Refusal: why the kernel did not do what a request asked, in words a user can act on."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.errors import HostError, PrivilegeError

_WORDS: Mapping[int, str] = {
    errno.EPERM: "not permitted: this needs CAP_NET_ADMIN in the namespace, that is, root",
    errno.EEXIST: "it exists already",
    errno.ENODEV: "no such device",
    errno.ESRCH: "no such route",
    errno.EADDRNOTAVAIL: "no such address on the device",
    errno.EADDRINUSE: "the MAC or IP address is in use",
    errno.EBUSY: "the device is in use, for example as a port of another bridge",
    errno.EINVAL: "the kernel does not take one of the values",
    errno.ERANGE: "a value is out of range",
    errno.EOPNOTSUPP: "this kernel, or this kind of device, cannot do that",
    errno.ENETUNREACH: "no address on the device makes the gateway reachable",
    errno.EHOSTUNREACH: "the gateway cannot be reached",
    errno.ENETDOWN: "the device is down",
    errno.EACCES: "IPv6 is disabled on the device",
    errno.ENOTCONN: "the veth peer is not there yet",
    errno.ELOOP: "the device cannot be a port of this bridge: it would be a loop",
    errno.EXFULL: "the bridge is full: it takes 1,023 ports",
    errno.ENOBUFS: "the kernel's answer was lost",
}


_WORDS_OF_LINKS: Mapping[int, str] = {
    errno.EADDRNOTAVAIL: "a device cannot have this MAC address",
    errno.EINVAL: "the kernel does not take this name, or one of the other values",
}


@dataclass(frozen=True, slots=True)
class KernelRefusal:
    """The error that one request met."""

    errno: int
    message: str
    """The kernel's own words (extended acknowledgement); often empty."""
    request: str
    """The type of the request, such as RTM_NEWLINK."""

    @property
    def name(self) -> str:
        """The errno by its name, such as EEXIST."""
        return _name(self.errno)

    def __str__(self) -> str:
        return explain(self.errno, self.message, self.request)

    def error(self) -> HostError:
        """The same, to be raised where nothing can be done without an answer."""
        kind = PrivilegeError if self.errno == errno.EPERM else HostError
        return kind(f"{self.request}: {self}")


def explain(number: int, message: str = "", request: str = "") -> str:
    """Say in plain words what an errno means here; better are the kernel's own, if it has any.

    Args:
        number: A positive errno.
        message: The kernel's extended acknowledgement, or nothing.
        request: The type of the request, where one errno means several things.
    """
    special = _WORDS_OF_LINKS if request == "RTM_NEWLINK" else {}
    words = message or special.get(number) or _WORDS.get(number) or os.strerror(number)
    if message and number == errno.EPERM:
        words = f"{message}; {_WORDS[number]}"
    return f"{words} ({_name(number)})"


def _name(number: int) -> str:
    if number == errno.EOPNOTSUPP:  # Linux has one number for this and for ENOTSUP
        return "EOPNOTSUPP"
    return errno.errorcode.get(number, f"errno {number}")
