"""The errors a user can act on. Anything else that is raised is a bug and keeps its traceback."""

from __future__ import annotations


class ReconcilerError(Exception):
    """Something a user can put right; the message says what is wrong and what would be right."""


class HostError(ReconcilerError):
    """The kernel, or a program that speaks to it, refused."""


class PrivilegeError(HostError):
    """The caller lacks a capability that the work needs (exit code 77, sysexits.h EX_NOPERM)."""


class LockedError(ReconcilerError):
    """Another instance works on this host (exit code 5)."""
