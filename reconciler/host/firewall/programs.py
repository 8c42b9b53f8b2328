"""Programs: the iptables programs of a host, and how many of them were started.

iptables has two backends and a set of programs for each: `nft` keeps its rules in nf_tables,
`legacy` in the kernel's older tables. What the plain names mean, an administrator chooses. Programs
run in the network namespace of the calling thread.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

from reconciler.errors import HostError, PrivilegeError
from reconciler.host.recent import Recent

Family = Literal[4, 6]
"""The version of IP: each has rules of its own."""
PATIENCE_SECONDS = 60.0  # for a program that hangs; a restore of 10,000 rules takes half a second


class Backend(StrEnum):
    """Where the kernel keeps the rules."""

    NFT = "nft"
    LEGACY = "legacy"


class Finished(NamedTuple):
    """What a program left."""

    code: int
    stdout: str
    """Bytes that are not UTF-8 are kept as lone surrogates."""
    stderr: str
    pid: int
    """Who did it: events name this number."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The iptables programs of this host."""

    counters: Counter[str] = field(default_factory=Counter)
    """"processes" were started, of which "writing processes" could change a rule."""
    pids: Recent = field(default_factory=Recent)
    """Of those that were started."""

    def find(self, family: Family, backend: Backend, action: str) -> str | None:
        """Find the path of a program; None where it is not installed.

        Args:
            family: Of iptables or ip6tables.
            backend: Whose program.
            action: "save" or "restore".
        """
        name = _name(family)
        if path := shutil.which(f"{name}-{backend}-{action}"):
            return path
        return shutil.which(f"{name}-{action}") if self.default(family) is backend else None

    def default(self, family: Family) -> Backend | None:
        """Ask which backend the plain ``iptables`` uses; None where there is none."""
        path = shutil.which(_name(family))
        if path is None:
            return None
        # "iptables v1.8.9 (nf_tables)"; before 1.8 there was one backend and no word for it.
        done = self.run([path, "--version"])
        return Backend.NFT if "nf_tables" in done.stdout else Backend.LEGACY

    def run(self, argv: Sequence[str], stdin: str = "", *, writes: bool = False) -> Finished:
        """Run a program to its end; it may fail, so look at the code.

        Raises:
            PrivilegeError: It says that it needs root.
            HostError: It could not be started, or did not end.
        """
        self.counters["processes"] += 1
        self.counters["writing processes"] += writes
        environment = {**os.environ, "LC_ALL": "C"}
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        except OSError as error:
            raise HostError(f"{argv[0]}: {error.strerror}") from error
        self.pids.add(process.pid)
        with process:
            try:
                out, err = process.communicate(_encode(stdin), PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise HostError(f"{argv[0]} did not end within {PATIENCE_SECONDS:g} s") from None
        done = Finished(process.returncode, _decode(out), _decode(err), process.pid)
        if done.code and "you must be root" in done.stderr:
            raise PrivilegeError(f"{argv[0]}: not permitted: this needs root (CAP_NET_ADMIN)")
        return done


def _name(family: Family) -> str:
    return "iptables" if family == 4 else "ip6tables"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
