"""Look: read of a host what may have changed, and keep what it answered.

A full look reads everything; a look at a scope reads what the scope names. Answers whose bytes are
those of last time are not even parsed: on a quiet host that is nearly all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from reconciler.core.object import HOST
from reconciler.core.state import State
from reconciler.errors import HostError, PrivilegeError
from reconciler.formats.address import dump_addresses, parse_address
from reconciler.formats.link import (
    LinkMessage,
    dump_links,
    get_link,
    get_link_at,
    parse_link,
    without_counters,
)
from reconciler.formats.neighbour import assign_nsid, get_nsid, parse_nsid
from reconciler.formats.route import dump_routes, parse_route
from reconciler.host.base import Interest, Scope
from reconciler.host.firewall.apply import FAMILIES, HostFirewall
from reconciler.host.firewall.generation import read_generation
from reconciler.host.firewall.programs import Family
from reconciler.host.folders import (
    folder_stamp,
    list_folders,
    read_folder,
    read_resolvers,
)
from reconciler.host.kernel import Kernel, OpenNamespace, list_sysctls, read_sysctl
from reconciler.host.listeners import read_listeners
from reconciler.host.named_namespaces import is_mounted, leftovers, list_namespaces
from reconciler.host.traffic_control import read_qdiscs
from reconciler.objects.dumps import LOOPBACK, DeviceDump, NamespaceDump
from reconciler.objects.marks import parse_mark
from reconciler.objects.observed import Observed

_LINKS, _ADDRESSES, _ROUTES = dump_links(), dump_addresses(), dump_routes()
DEVICES_MAX = 64
"""Devices that are read one by one; more, and a dump of all is cheaper."""


class Look:
    """What is known of a host, and how to know it again."""

    def __init__(
        self, kernel: Kernel, firewall: HostFirewall, set_name: str, counters: Counter[str]
    ) -> None:
        """Read nothing yet."""
        self.counters = counters
        self._kernel = kernel
        self._firewall = firewall
        self._observed = Observed(set_name)
        self._answers: dict[str, tuple[int | None, int | None]] = {}
        self._generations: dict[int, int | None] = {}
        self._links: dict[bytes, LinkMessage] = {}
        self._values: dict[str, dict[str, str]] = {}
        self._stamps: dict[str, object] = {}
        self._leftovers: frozenset[str] = frozenset()
        self._numbers: dict[int, str] | None = None
        self._numbered: set[str] = set()

    @property
    def state(self) -> State:
        """All that is known."""
        return self._observed.state

    @property
    def observed(self) -> Observed:
        """The same, by its parts."""
        return self._observed

    def number_namespaces(self) -> None:
        """From now on, see to it that namespaces have numbers, by which their events are known."""
        self._numbers = {}

    def name_of(self, nsid: int) -> str | None:
        """Name the namespace of a number; None if we know none."""
        return (self._numbers or {}).get(nsid)

    def look(self, interest: Interest, scope: Scope) -> None:
        """Read what *scope* names.

        Of a stranger's namespace only the devices are read: one may be the peer of ours.

        Raises:
            HostError: The kernel refused.
            PrivilegeError: A namespace may not be entered.
        """
        whole = scope.everything
        spaces = self._spaces_in(interest, scope)
        if whole or scope.host or len(scope.devices) + len(scope.names) > DEVICES_MAX:
            self._look_into(HOST, interest)
        elif scope.devices or scope.names:
            self._look_at_devices(scope.devices, scope.names)
        self._look_into_all(spaces, interest, scope)
        self._look_at_folders(scope)
        for family in FAMILIES:
            if whole or family in scope.families:
                self._look_at_rules(family, needed=interest.firewall)
        if (whole and interest.listeners) or scope.listeners or interest.everything:
            found = ((listener, None) for listener in read_listeners())
            self._observed.put("listeners", found)

    def _spaces_in(self, interest: Interest, scope: Scope) -> set[str]:
        """Name the namespaces to look into, and forget those that are gone."""
        spaces = set(scope.namespaces)
        if scope.everything or scope.spaces:
            if scope.everything or not scope.host or scope.all_folders:
                # A name may belong to another namespace by now. A slice of the full look asks in
                # every fifth round only: that a namespace came or went is told.
                self._numbered.clear()
            known, there = self._observed.namespaces, self._list(interest)
            spaces |= there if scope.everything else there - known
        return spaces

    def _look_into_all(self, spaces: set[str], interest: Interest, scope: Scope) -> None:
        parameters = scope.sysctls | ({HOST} if scope.everything else set())
        for name in sorted(spaces):
            new = name not in self._observed.namespaces
            self._look_into(name, interest)
            if scope.everything or new or name in parameters:
                # At once, while its namespace is open.
                self._read_parameters(name, interest)
        for name in sorted((parameters - spaces) & self._observed.namespaces):
            self._read_parameters(name, interest)

    def _look_at_rules(self, family: Family, *, needed: bool) -> None:
        """Read the rules of a family, unless the kernel's counter says that nobody wrote any."""
        seen = self._generations.get(family)
        if seen is None or seen != read_generation():
            found = self._firewall.observe_family(family, needed=needed)
            self._observed.put(f"rules {family}", found)
            self._generations[family] = self._firewall.generations.get(family)

    def _list(self, interest: Interest) -> set[str]:
        """Find out which namespaces there are, and forget those that are gone."""
        named = list_namespaces()
        there = {space.name for space in named if space.mounted}
        there |= {path for path in interest.namespaces if path.startswith("/")}
        unmounted = leftovers() if any(not space.mounted for space in named) else []
        left = {one.name for one in unmounted}
        for name in (self._observed.namespaces | self._leftovers) - there - left - {HOST}:
            self._forget(name)
        for one in unmounted:
            self._forget(one.name)
            self._observed.put_namespace(NamespaceDump(one.name, leftover=one.mark))
        self._leftovers = frozenset(left)
        return there

    def _forget(self, name: str) -> None:
        self._observed.drop_namespace(name)
        self._answers.pop(name, None)
        for number in [n for n, known in (self._numbers or {}).items() if known == name]:
            del (self._numbers or {})[number]
        self._numbered.discard(name)
        self._values.pop(name, None)

    def _look_into(self, name: str, interest: Interest) -> None:
        """Look into a namespace that may vanish at any moment."""
        try:
            self._look_at_all(name, interest)
        except PrivilegeError:
            raise
        except HostError:
            if name == HOST or is_mounted(name):
                raise
            self._forget(name)

    def _look_at_all(self, name: str, interest: Interest) -> None:
        space = self._kernel.at(name)
        links = space.socket.dump_bodies(_LINKS)
        ours = name == HOST or name in interest.namespaces or interest.everything
        parsed = None
        if not ours:
            parsed = [parse_link(data, 0, len(data)) for data in links]
            lo = next((link for link in parsed if link.ifindex == LOOPBACK), None)
            ours = lo is not None and parse_mark(lo.alias) is not None
        addresses = space.socket.dump_bodies(_ADDRESSES) if ours else []
        routes = space.socket.dump_bodies(_ROUTES) if ours else []
        self._number(name, space)
        # Where no packet has passed not even the counters are others; that is quicker to tell.
        known = self._answers.get(name, (None, None))
        whole = hash((ours, *links, b"", *addresses, b"", *routes))
        if known[0] == whole:
            return
        answer = hash((ours, *map(without_counters, links), b"", *addresses, b"", *routes))
        if known[1] == answer:
            self._answers[name] = (whole, answer)
            return
        parsed = parsed or self._parse_links(name, links)
        for link in parsed:
            self._kernel.note(name, link.name, link.ifindex)
        buckets = read_qdiscs(self._kernel, name, parsed) if ours else []
        dump = NamespaceDump(
            name,
            parsed,
            [a for data in addresses if (a := parse_address(data, 0, len(data))) is not None],
            [r for data in routes if (r := parse_route(data, 0, len(data))) is not None],
            qdiscs=buckets,
        )
        self._observed.put_namespace(dump)
        # What a bucket lets pass is in no message of its device, so that it is read every time.
        self._answers[name] = (None, None) if buckets else (whole, answer)

    def _parse_links(self, name: str, links: list[bytes]) -> list[LinkMessage]:
        """Parse a namespace's links; of the host's, which are many, only those that have changed."""
        if name != HOST:
            return [parse_link(data, 0, len(data)) for data in links]
        known, self._links = self._links, {}
        for data in links:
            bare = without_counters(data)
            self._links[bare] = known.get(bare) or parse_link(data, 0, len(data))
        return list(self._links.values())

    def _number(self, name: str, space: OpenNamespace) -> None:
        """Learn the number of a namespace; one without a cable to the host has none yet.

        The number is the kernel's own bookkeeping (ip-netns(8) shows it as an id), is given once in
        the life of a namespace, and changes nothing in either.
        """
        if self._numbers is None or name == HOST or name in self._numbered:
            return
        here = self._kernel.at(HOST).socket
        for _ in range(2):
            (reply,) = here.request([get_nsid(space.fd)])
            answer = reply.payloads[0] if reply.payloads else b""
            number = parse_nsid(answer, 0, len(answer)) if answer else None
            if number is not None:
                self._numbers[number] = name
                self._numbered.add(name)
                return
            here.request([assign_nsid(space.fd)])

    def _look_at_devices(self, indexes: Iterable[int], names: Iterable[str]) -> None:
        """Read some devices of the host, and what is on them."""
        space = self._kernel.at(HOST)
        known = {dump.link.name: i for i, dump in self._observed.devices(HOST).items()}
        asked = {*indexes, *(known[name] for name in names if name in known)}
        requests = [get_link_at(i) for i in sorted(asked)]
        requests += [get_link(name) for name in sorted(names) if name not in known]
        found = {}
        for reply in space.socket.request(requests):
            if reply.refusal is not None:
                continue  # it is gone
            data = reply.payloads[0]
            link = parse_link(data, 0, len(data))
            self._kernel.note(HOST, link.name, link.ifindex)
            found[link.ifindex] = DeviceDump(
                link,
                tuple(space.socket.dump(dump_addresses(ifindex=link.ifindex), parse_address)),
                tuple(space.socket.dump(dump_routes(oif=link.ifindex), parse_route)),
                tuple(read_qdiscs(self._kernel, HOST, [link])),
            )
        self._answers.pop(HOST, None)
        self._observed.put_devices(HOST, found, {*asked, *found})

    def _read_parameters(self, name: str, interest: Interest) -> None:
        if not (interest.everything or interest.sysctls_of(name)):
            if self._values.pop(name, None):
                self._observed.put_sysctls(name, {})
            return
        try:
            with self._kernel.inside(name):
                wanted = set(interest.sysctls_of(name))
                if interest.everything:
                    wanted |= set(list_sysctls())
                found = {parameter: read_sysctl(parameter) for parameter in sorted(wanted)}
        except HostError:
            if name == HOST or is_mounted(name):
                raise
            return
        values = {parameter: value for parameter, value in found.items() if value is not None}
        if self._values.get(name) != values:
            self._observed.put_sysctls(name, values)
            self._values[name] = values

    def _look_at_folders(self, scope: Scope) -> None:
        if not (scope.everything or scope.all_folders or scope.folders):
            return
        there = set(scope.folders)
        if scope.everything or scope.all_folders:
            there = set(list_folders())
            for path in self._stamps.keys() - there:
                self._observed.put_folder(path, None)
                del self._stamps[path]
            for folder in read_resolvers():
                self._observed.put_folder(f"host {folder.path}", folder)
        for path in sorted(there):
            stamp = folder_stamp(path)
            if self._stamps.get(path) != stamp:
                found = read_folder(path)
                self._observed.put_folder(path, found)
                self._stamps[path] = stamp
                if found is None:
                    del self._stamps[path]
