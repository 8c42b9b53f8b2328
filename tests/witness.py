"""Witnesses: what the kernel says was changed, and all it holds, to compare before and after.

`QuietKernel` proves that nothing was written: it hears every notification that the kernel sends
about links, addresses, routes and nftables, on the host and in its named namespaces, and compares
what gives no notification (files, sysctls, legacy iptables, ipset).
`kernel_snapshot` proves that what belongs to others is as it was.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import select
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.world import HERE, NAMED, Namespace, inside, wait_until

_ROUTE, _NETFILTER = socket.NETLINK_ROUTE, 12  # linux/netlink.h
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
# linux/rtnetlink.h: links, neighbours, traffic control, addresses, routes, rules, the settings of
# devices (netconf), nexthops. Left out is what traffic itself causes: prefixes, multicast groups.
_ROUTE_GROUPS = (1, 3, 4, 5, 7, 8, 9, 11, 19, 24, 25, 32)
_NFTABLES_GROUP = 7  # linux/netfilter/nfnetlink.h; conntrack's groups are traffic again
_NEWNEIGH, _DELNEIGH, _NUD_PERMANENT = 28, 29, 0x80

_MESSAGES = {
    16: "RTM_NEWLINK", 17: "RTM_DELLINK", 20: "RTM_NEWADDR", 21: "RTM_DELADDR",
    24: "RTM_NEWROUTE", 25: "RTM_DELROUTE", 28: "RTM_NEWNEIGH", 29: "RTM_DELNEIGH",
    32: "RTM_NEWRULE", 33: "RTM_DELRULE", 36: "RTM_NEWQDISC", 37: "RTM_DELQDISC",
    40: "RTM_NEWTCLASS", 41: "RTM_DELTCLASS", 44: "RTM_NEWTFILTER", 45: "RTM_DELTFILTER",
    80: "RTM_NEWNETCONF", 81: "RTM_DELNETCONF", 104: "RTM_NEWNEXTHOP", 105: "RTM_DELNEXTHOP",
}  # fmt: skip
_NFT_MESSAGES = {
    0: "NEWTABLE", 2: "DELTABLE", 3: "NEWCHAIN", 5: "DELCHAIN", 6: "NEWRULE", 8: "DELRULE",
    9: "NEWSET", 11: "DELSET", 12: "NEWSETELEM", 14: "DELSETELEM", 15: "NEWGEN",
}  # fmt: skip

_SYSCTLS = Path("/proc/sys/net")
_COUNTS = {"nf_conntrack_count"}  # a sysctl that traffic changes


class QuietKernel:
    """Hears what is written to the kernel between its start and its end.

    ::

        with QuietKernel() as quiet:
            host.reconciler("diff")
        assert quiet.changes() == []
    """

    def __init__(self, *folders: Path) -> None:
        """Watch the host and the namespaces it names now; `folders` are compared as well."""
        state = (os.environ.get(f"RECONCILER_{name}_DIR") for name in ("RUN", "STATE"))
        known = (Path(folder) for folder in state if folder)
        self._folders = (NAMED, Path("/etc/netns"), *known, *folders)
        self._sockets: list[tuple[str, int, socket.socket]] = []
        self._before: dict[str, str] = {}
        self._after: dict[str, str] = {}
        self._heard: list[str] = []

    def __enter__(self) -> Self:
        namespaces = _namespaces()
        for namespace in namespaces:
            wait_until(lambda namespace=namespace: _is_settled(namespace), 20)
        for namespace in namespaces:
            self._sockets += [(namespace.name, *pair) for pair in _subscribe(namespace)]
        self._before = self._look()
        self._listen()  # reading may have made the kernel speak; from here on it is not us
        self._heard = []
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The kernel queues a notification before it answers the request that caused it.
        self._listen()
        self._after = self._look()
        for _, _, sock in self._sockets:
            sock.close()

    def changes(self) -> list[str]:
        """What was written, one line for each notification or difference; empty is quiet."""
        return self._heard + _differences(self._before, self._after)

    def _look(self) -> dict[str, str]:
        facts = {}
        for folder in self._folders:
            facts |= _files(folder)
        for namespace in _namespaces():
            facts |= _sysctls(namespace) | _silent_rules(namespace)
        return facts

    def _listen(self) -> None:
        for name, protocol, sock in self._sockets:
            while select.select([sock], [], [], 0)[0]:
                self._heard += [
                    f"{name or 'host'}: {m}" for m in _decode(protocol, sock.recv(65536))
                ]


def kernel_snapshot() -> str:
    """All that the host and its named namespaces hold, as text without counters.

    Links, addresses, routes, rules, neighbours set by hand, firewall rules of both families and
    backends, sets, sysctls, the names in /run/netns and the files in /etc/netns.
    """
    facts = _files(NAMED) | _files(Path("/etc/netns"))
    for namespace in _namespaces():
        wait_until(lambda namespace=namespace: _is_settled(namespace))
        facts |= _objects(namespace) | _sysctls(namespace) | _silent_rules(namespace)
        for program in ("iptables-save", "ip6tables-save"):
            facts[f"{namespace.name or 'host'}: {program}"] = _rules(namespace, program)
    lines = (f"{name}: {line}" for name, text in facts.items() for line in text.splitlines())
    return "\n".join(sorted(lines))


def assert_same(before: str, after: str) -> None:
    """Fail with the lines that differ between two snapshots."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", n=0)
    text = "\n".join(lines)
    assert not text, text


def _namespaces() -> list[Namespace]:
    names = sorted(path.name for path in NAMED.iterdir()) if NAMED.is_dir() else []
    return [HERE, *(Namespace(name, NAMED / name) for name in names)]


def _is_settled(namespace: Namespace) -> bool:
    # The kernel itself announces the end of duplicate address detection, up to 2 s later.
    return not namespace.ip("-6 addr show tentative")


def _subscribe(namespace: Namespace) -> Iterator[tuple[int, socket.socket]]:
    with inside(namespace):
        for protocol, groups in ((_ROUTE, _ROUTE_GROUPS), (_NETFILTER, (_NFTABLES_GROUP,))):
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
            sock.bind((0, 0))
            for group in groups:
                sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            yield protocol, sock


def _decode(protocol: int, data: bytes) -> Iterator[str]:
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        body, data = data[16:length], data[(length + 3) & ~3 :]
        if protocol == _NETFILTER:
            yield f"NFT_MSG_{_NFT_MESSAGES.get(kind & 0xFF, kind & 0xFF)}"
        elif kind in (_NEWNEIGH, _DELNEIGH):
            _, index, state = struct.unpack_from("=BxxxiH", body)
            if state & _NUD_PERMANENT:
                yield f"{_MESSAGES[kind]} on device number {index}"
        else:
            yield _MESSAGES.get(kind, f"rtnetlink message {kind}")


def _files(folder: Path) -> dict[str, str]:
    facts = {}
    for path in sorted([folder, *folder.rglob("*")]):
        with suppress(FileNotFoundError):
            stat = path.lstat()
            # A namespace's file shows its inode number: one made anew is noticed.
            facts[str(path)] = f"{stat.st_mode:o} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"
    return facts


def _sysctls(namespace: Namespace) -> dict[str, str]:
    facts = {}
    with inside(namespace):
        for folder, _, names in os.walk(_SYSCTLS):
            for name in set(names) - _COUNTS:
                with suppress(OSError):  # some can only be written
                    facts[f"{namespace.name or 'host'}: {folder}/{name}"] = (
                        Path(folder, name).read_text().strip()
                    )
    return facts


def _silent_rules(namespace: Namespace) -> dict[str, str]:
    """Legacy iptables and ipset, which send no notifications; asked only where they are in use."""
    facts = {}
    with inside(namespace):
        for family in ("ip", "ip6"):
            tables = Path(f"/proc/net/{family}_tables_names")
            if tables.is_file() and tables.read_text():
                facts[f"{namespace.name or 'host'}: {family}tables-legacy"] = _rules(
                    namespace, f"{family}tables-legacy-save"
                )
    with suppress(FileNotFoundError):
        sets = namespace.run("ipset", "save", "-sorted", check=False)
        facts[f"{namespace.name or 'host'}: ipset"] = sets.stdout
    return facts


def _rules(namespace: Namespace, program: str) -> str:
    text = namespace.run(program).stdout
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r" \[\d+:\d+\]$", "", text, flags=re.MULTILINE)


def _objects(namespace: Namespace) -> dict[str, str]:
    facts = {}
    for what in ("link", "addr", "route show table all", "-6 route show table all", "rule",
                 "-6 rule", "neigh show nud permanent"):  # fmt: skip
        found = json.loads(namespace.ip(f"-d -j {what}") or "[]")
        lines = (line for item in found for line in _flat(_title(item), item))
        facts[f"{namespace.name or 'host'}: ip {what}"] = "\n".join(lines)
    return facts


def _title(item: Mapping[str, object]) -> str:
    names = (item.get(name) for name in ("ifname", "type", "dst", "dev", "table", "priority"))
    return " ".join(str(name) for name in names if name is not None)


def _flat(title: str, value: object) -> Iterator[str]:
    """One line for each attribute, without those that move by themselves (timers, lifetimes)."""
    if isinstance(value, dict):
        for name, part in value.items():
            if not name.endswith(("_timer", "_life_time")) and name != "expires":
                yield from _flat(f"{title}.{name}", part)
    elif isinstance(value, list):
        for part in value:
            yield from _flat(title, part)
    else:
        yield f"{title} = {value}"


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: {before.get(name)!r} -> {after.get(name)!r}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
