"""Observed: what is known of a host, kept from its namespaces' answers and made into one state.

Answers come for everything (a full look), for one namespace, or for some devices of one; what is
made of them is the same, whichever way they came. Only what an answer may have changed is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from reconciler.core.object import HOST, Key, Owner
from reconciler.core.state import State
from reconciler.formats.link import LinkMessage
from reconciler.formats.route import RT_TABLE_MAIN, RTN_UNICAST, RouteMessage
from reconciler.objects.address import PROTOCOL, parse_address
from reconciler.objects.assembly import Assembly, Entry
from reconciler.objects.bridge import parse_bridge
from reconciler.objects.device import parse_device
from reconciler.objects.directory import Directory, parse_marker
from reconciler.objects.dumps import LOOPBACK, DeviceDump, NamespaceDump, by_device
from reconciler.objects.file import FolderDump
from reconciler.objects.marks import parse_mark
from reconciler.objects.namespace import Namespace
from reconciler.objects.pairs import find_pairs, owner_of, pair_owner
from reconciler.objects.port import find_ports, marked_ports
from reconciler.objects.qdisc import HANDLE, parse_qdisc
from reconciler.objects.route import parse_route
from reconciler.objects.sysctl import Sysctl
from reconciler.objects.veth import End, parse_veth

Place = tuple[str, int]
"""A device: its namespace and its index there."""


class Observed:
    """The answers of a host so far. Not to be shared between threads."""

    def __init__(self, set_name: str) -> None:
        """Know nothing yet.

        Args:
            set_name: The set whose things are ours.
        """
        self._set_name = set_name
        self._assembly = Assembly()
        self._devices: dict[str, dict[int, DeviceDump]] = {}
        self._owners: dict[Place, Owner | None] = {}
        self._dirty: dict[Place, None] = {}
        self._ends: dict[tuple[int, int], dict[Place, None]] = {}

    @property
    def namespaces(self) -> frozenset[str]:
        """The names of those that have answered."""
        return frozenset(self._devices)

    def devices(self, netns: str) -> Mapping[int, DeviceDump]:
        """The devices of a namespace by their index."""
        return self._devices.get(netns, {})

    def index(self, name: str) -> int:
        """The index of a device of the host; 0 if it is not there."""
        found = (i for i, dump in self.devices(HOST).items() if dump.link.name == name)
        return next(found, 0)

    def put_namespace(self, dump: NamespaceDump) -> None:
        """Take the answers of a whole namespace."""
        self._assembly.put(("namespace", dump.name), _namespace(dump))
        found = by_device(dump)
        self.put_devices(dump.name, found, self._devices.get(dump.name, {}).keys() | found.keys())
        self._devices.setdefault(dump.name, {})

    def put_devices(
        self, netns: str, found: Mapping[int, DeviceDump], asked: Iterable[int]
    ) -> None:
        """Take the answers about some devices of a namespace; what was asked for is not there else."""
        known = self._devices.setdefault(netns, {})
        for index in asked:
            before, after = known.get(index), found.get(index)
            if before == after:
                continue
            self._dirty[netns, index] = None
            self._leave_group((netns, index), before)
            if after is None:
                del known[index]
            else:
                known[index] = after
            self._join_group((netns, index), after)
            self._note_ports(netns, index, before, after)

    def put_sysctls(self, netns: str, values: Mapping[str, str]) -> None:
        """Take the values of a namespace's parameters."""
        entries = ((Sysctl(netns, name, value), None) for name, value in values.items())
        self._assembly.put(("sysctls", netns), entries)

    def drop_namespace(self, netns: str) -> None:
        """A namespace is gone, with all that is in it."""
        self.put_devices(netns, {}, list(self._devices.get(netns, ())))
        self._devices.pop(netns, None)
        self._assembly.put(("namespace", netns))
        self._assembly.put(("sysctls", netns))

    def put_folder(self, path: str, folder: FolderDump | None) -> None:
        """Take what a folder of names holds; None: it is gone."""
        self._assembly.put(("folder", path), _names(folder) if folder else ())

    def put(self, part: str, entries: Iterable[Entry]) -> None:
        """Take all objects of something that answers as one: the rules of a family, listeners."""
        self._assembly.put(part, entries)

    @property
    def state(self) -> State:
        """All that is known, as one value."""
        if self._dirty:
            self._settle()
        return self._assembly.state

    def take_changed(self) -> frozenset[Key]:
        """Name what has changed since this was asked last: objects, owners, and what they claim."""
        if self._dirty:
            self._settle()
        return self._assembly.take_changed()

    def _leave_group(self, place: Place, dump: DeviceDump | None) -> None:
        if dump is not None and dump.link.kind == "veth":
            group = self._ends[_group(dump.link)]
            del group[place]
            self._dirty.update(group)
            if not group:
                del self._ends[_group(dump.link)]

    def _join_group(self, place: Place, dump: DeviceDump | None) -> None:
        """Whoever may be its peer is to be looked at again: another one may be a better match."""
        if dump is not None and dump.link.kind == "veth":
            group = self._ends.setdefault(_group(dump.link), {})
            group[place] = None
            self._dirty.update(group)

    def _note_ports(
        self, netns: str, index: int, before: DeviceDump | None, after: DeviceDump | None
    ) -> None:
        """The ports of a bridge say its name, so that they change with it."""
        names = {dump.link.name for dump in (before, after) if dump is not None}
        kinds = {dump.link.kind for dump in (before, after) if dump is not None}
        if (before is None or after is None or len(names) > 1) and kinds != {"veth"}:
            for port, dump in self._devices[netns].items():
                if dump.link.master == index:
                    self._dirty[netns, port] = None

    def _settle(self) -> None:
        groups = {_group(d.link) for d in self._known(self._dirty) if d.link.kind == "veth"}
        strangers = any(netns == HOST for netns, _ in self._dirty)
        for place in self._dirty:
            self._assembly.put(("end", place))
        for group in groups:
            for owner, place in self._put_pairs(group):
                if place not in self._owners or self._owners[place] != owner:
                    self._owners[place] = owner
                    self._dirty[place] = None
        for place in self._dirty:
            self._put_device(place)
        self._dirty.clear()
        if strangers:
            self._assembly.put("ports", self._ports())

    def _known(self, places: Iterable[Place]) -> Iterator[DeviceDump]:
        for netns, index in places:
            dump = self._devices.get(netns, {}).get(index)
            if dump is not None:
                yield dump

    def _put_pairs(self, group: tuple[int, int]) -> Iterator[tuple[Owner | None, Place]]:
        """Find the pairs among ends that may belong together; each is kept by its first end."""
        ends = [self._end(place) for place in self._ends.get(group, ())]
        for a, b in find_pairs(ends):
            owner = pair_owner(a, b, self._set_name)
            self._assembly.put(("end", (a.netns, a.link.ifindex)), [(parse_veth(a, b), owner)])
            for end in (a, b):
                if end is not None:
                    yield owner, (end.netns, end.link.ifindex)

    def _end(self, place: Place) -> End:
        netns, index = place
        link = self._devices[netns][index].link
        return End(netns, link, self._name(netns, link.master))

    def _name(self, netns: str, index: int) -> str:
        dump = self._devices[netns].get(index) if index else None
        return dump.link.name if dump else ""

    def _put_device(self, place: Place) -> None:
        netns, index = place
        dump = self._devices.get(netns, {}).get(index)
        if dump is None or index == LOOPBACK:
            self._owners.pop(place, None)
            self._assembly.put(("device", place))
            return
        entries: list[Entry] = []
        if dump.link.kind != "veth":
            owner = self._owners[place] = owner_of(dump.link, self._set_name)
            if dump.link.kind == "bridge":
                entries.append((parse_bridge(netns, dump.link), owner))
            else:
                master = self._name(netns, dump.link.master)
                entries.append((parse_device(netns, dump.link, master), owner))
        entries += _contents(netns, dump, self._owners[place])
        self._assembly.put(("device", place), entries)

    def _ports(self) -> Iterator[Entry]:
        """Somebody else's devices in bridges of the host, whose soever."""
        links = [dump.link for dump in self.devices(HOST).values()]
        bridges = {link.ifindex: link for link in links if link.kind == "bridge"}
        masters = {
            link.name: bridges[link.master].name
            for link in links
            if link.master in bridges and self._owners.get((HOST, link.ifindex)) is None
        }
        marks = {bridge.name: marked_ports(bridge.altnames) for bridge in bridges.values()}
        indexes = {bridge.name: bridge.ifindex for bridge in bridges.values()}
        for port, name in find_ports(HOST, masters, marks):
            yield port, self._owners.get((HOST, indexes[name])) if name else None


def parse_state(
    dumps: Iterable[NamespaceDump],
    set_name: str,
    folders: Iterable[FolderDump] = (),
    more: Iterable[Entry] = (),
) -> State:
    """Make one state out of the answers of all namespaces.

    Args:
        dumps: What they answered.
        set_name: Whose things are ours.
        folders: Those of names.
        more: Objects that come from elsewhere: the firewall's, listeners.
    """
    observed = Observed(set_name)
    for dump in dumps:
        observed.put_namespace(dump)
        observed.put_sysctls(dump.name, dump.sysctls)
    for folder in folders:
        observed.put_folder(folder.path, folder)
    observed.put("more", more)
    return observed.state


def _group(link: LinkMessage) -> tuple[int, int]:
    """Which ends can belong together at all: those that point at each other."""
    return min(link.ifindex, link.link), max(link.ifindex, link.link)


def _namespace(dump: NamespaceDump) -> Iterator[Entry]:
    if dump.name == HOST:
        return
    if dump.leftover is not None:
        yield Namespace(dump.name, loopback=False, mounted=False), parse_mark(dump.leftover)
        return
    lo = next((link for link in dump.links if link.ifindex == LOOPBACK), None)
    up = lo is not None and lo.up
    external = dump.name.startswith("/")
    yield (
        Namespace(dump.name, loopback=up, external=external),
        parse_mark(lo.alias) if lo else None,
    )


def _contents(netns: str, dump: DeviceDump, owner: Owner | None) -> Iterator[Entry]:
    name = dump.link.name
    for address in dump.addresses:
        mine = address.protocol == PROTOCOL
        yield parse_address(netns, name, address), owner if mine else None
    for route in dump.routes:
        if _simple(route):
            mine = route.protocol == PROTOCOL
            yield parse_route(netns, name, route), owner if mine else None
    for qdisc in dump.qdiscs:
        mine = qdisc.handle == HANDLE
        yield parse_qdisc(netns, name, qdisc), owner if mine else None


def _names(folder: FolderDump) -> Iterator[Entry]:
    """A folder without our marker is not there, as far as we are concerned; its files are."""
    words, others = parse_marker(folder.mark or "")
    owner = parse_mark(words)
    if owner is not None:
        yield Directory(folder.path), owner
    for name, file in folder.files.items():
        yield file, None if name in others else owner


def _simple(route: RouteMessage) -> bool:
    """A route of the kind that we make: one next hop, in the main table."""
    return route.table == RT_TABLE_MAIN and route.type == RTN_UNICAST and not route.multipath
