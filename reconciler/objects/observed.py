"""Observed state: the messages of all namespaces, made into objects and owners."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.core.object import HOST, KernelObject, Key, Owner
from reconciler.core.state import State
from reconciler.formats.address import AddressMessage
from reconciler.formats.link import LinkMessage
from reconciler.formats.route import RT_TABLE_MAIN, RTN_UNICAST, RouteMessage
from reconciler.objects.address import PROTOCOL, parse_address
from reconciler.objects.bridge import parse_bridge
from reconciler.objects.device import parse_device
from reconciler.objects.directory import Directory, parse_marker
from reconciler.objects.file import FolderDump
from reconciler.objects.marks import UNKNOWN, parse_group, parse_mark
from reconciler.objects.namespace import Namespace
from reconciler.objects.port import find_ports, marked_ports
from reconciler.objects.qdisc import HANDLE, QdiscMessage, parse_qdisc
from reconciler.objects.route import parse_route
from reconciler.objects.sysctl import Sysctl
from reconciler.objects.veth import End, parse_veth

LOOPBACK = 1  # LOOPBACK_IFINDEX, net/net_namespace.h: lo is the first device of every namespace

Entry = tuple[KernelObject, Owner | None]


@dataclass(frozen=True, slots=True)
class NamespaceDump:
    """What one namespace answered."""

    name: str
    links: Sequence[LinkMessage] = ()
    addresses: Sequence[AddressMessage] = ()
    routes: Sequence[RouteMessage] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    qdiscs: Sequence[QdiscMessage] = ()
    leftover: str | None = None
    """The text of a mount point on which no namespace is mounted."""


def parse_state(
    dumps: Iterable[NamespaceDump],
    set_name: str,
    folders: Iterable[FolderDump] = (),
    more: Iterable[Entry] = (),
) -> State:
    """Make one state out of the dumps of all namespaces.

    Args:
        dumps: What they answered.
        set_name: Whose things are ours.
        folders: Those of names.
        more: Objects that come from elsewhere: the firewall's, listeners.
    """
    dumps = tuple(dumps)
    owners: dict[tuple[str, int], Owner | None] = {}
    entries = [
        *(entry for dump in dumps for entry in _namespace(dump)),
        *_devices(dumps, set_name, owners),
        *(entry for dump in dumps if dump.name == HOST for entry in _ports(dump, owners)),
        *(entry for dump in dumps for entry in _contents(dump, owners)),
        *(entry for folder in folders for entry in _names(folder)),
        *more,
    ]
    return State.of(_one_each(entries))


def _one_each(entries: Iterable[Entry]) -> Iterable[Entry]:
    """Of several that share a key, keep ours, or else always the same one.

    The kernel may hold one route twice, once for each of two devices with the same subnet.
    """
    found: dict[Key, Entry] = {}
    for entry in entries:
        key = entry[0].key
        if key not in found or _rank(entry) < _rank(found[key]):
            found[key] = entry
    return found.values()


def _rank(entry: Entry) -> tuple[bool, str]:
    return entry[1] is None, repr(entry[0])


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


def _devices(
    dumps: Iterable[NamespaceDump],
    set_name: str,
    owners: dict[tuple[str, int], Owner | None],
) -> Iterator[Entry]:
    """Devices with their owners, which are also noted by namespace and index in *owners*."""
    ends: list[End] = []
    for dump in dumps:
        names = {link.ifindex: link.name for link in dump.links}
        for link in dump.links:
            if link.ifindex == LOOPBACK:
                continue
            master = names.get(link.master, "") if link.master else ""
            if link.kind == "veth":
                ends.append(End(dump.name, link, master))
                continue
            owner = _owner(link, set_name)
            owners[dump.name, link.ifindex] = owner
            if link.kind == "bridge":
                yield parse_bridge(dump.name, link), owner
            else:
                yield parse_device(dump.name, link, master), owner
    for a, b in _pairs(ends):
        owner = _pair_owner(a, b, set_name)
        for end in (a, b):
            if end is not None:
                owners[end.netns, end.link.ifindex] = owner
        yield parse_veth(a, b), owner


def _ports(dump: NamespaceDump, owners: Mapping[tuple[str, int], Owner | None]) -> Iterator[Entry]:
    """Somebody else's devices in bridges, whose soever."""
    bridges = {link.ifindex: link for link in dump.links if link.kind == "bridge"}
    masters = {
        link.name: bridges[link.master].name
        for link in dump.links
        if link.master in bridges and owners.get((HOST, link.ifindex)) is None
    }
    marks = {bridge.name: marked_ports(bridge.altnames) for bridge in bridges.values()}
    indexes = {bridge.name: bridge.ifindex for bridge in bridges.values()}
    for port, bridge in find_ports(HOST, masters, marks):
        yield port, owners[HOST, indexes[bridge]] if bridge else None


def _owner(link: LinkMessage, set_name: str) -> Owner | None:
    return parse_mark(link.alias) or parse_group(link.group, set_name)


def _pair_owner(a: End, b: End | None, set_name: str) -> Owner | None:
    said = [parse_mark(end.link.alias) for end in (a, b) if end is not None]
    known = next((owner for owner in said if owner is not None), None)
    if known is not None:
        # If only one end has its words still, the other one's are to be written again.
        return known if said.count(known) == len(said) else Owner(known.set, UNKNOWN)
    return _owner(a.link, set_name) or (_owner(b.link, set_name) if b else None)


def _pairs(ends: Sequence[End]) -> Iterator[tuple[End, End | None]]:
    """Find the two ends of every pair.

    An end knows the index of its peer, but indexes repeat from namespace to namespace. So of the
    ends that point at each other, those with the same alias belong together, then those with the
    same group, then whoever is left.
    """
    waiting: dict[tuple[int, int], list[End]] = {}
    for end in sorted(ends, key=lambda e: (e.netns, e.link.ifindex)):
        waiting.setdefault((end.link.ifindex, end.link.link), []).append(end)
    for same in (_same_alias, _same_group, _anyhow):
        for (index, peer_index), here in waiting.items():
            there = waiting.get((peer_index, index), [])
            for end in list(here):
                other = next((o for o in there if o is not end and same(end, o)), None)
                if other is not None and end in here:
                    here.remove(end)
                    there.remove(other)
                    yield end, other
    for alone in waiting.values():
        for end in alone:
            yield end, None


def _same_alias(a: End, b: End) -> bool:
    return bool(a.link.alias) and a.link.alias == b.link.alias and _apart(a, b)


def _same_group(a: End, b: End) -> bool:
    return a.link.group != 0 and a.link.group == b.link.group and _apart(a, b)


def _anyhow(a: End, b: End) -> bool:
    return _apart(a, b)


def _apart(a: End, b: End) -> bool:
    """An end without a namespace number has its peer in its own namespace, the others do not."""
    together = a.netns == b.netns
    return (a.link.link_netnsid is None) == together == (b.link.link_netnsid is None)


def _contents(
    dump: NamespaceDump, owners: Mapping[tuple[str, int], Owner | None]
) -> Iterator[Entry]:
    names = {link.ifindex: link.name for link in dump.links if link.ifindex != LOOPBACK}
    for address in dump.addresses:
        if address.ifindex in names:
            owner = owners[dump.name, address.ifindex] if address.protocol == PROTOCOL else None
            yield parse_address(dump.name, names[address.ifindex], address), owner
    for route in dump.routes:
        if route.oif in names and _simple(route):
            owner = owners[dump.name, route.oif] if route.protocol == PROTOCOL else None
            yield parse_route(dump.name, names[route.oif], route), owner
    for qdisc in dump.qdiscs:
        if qdisc.ifindex in names:
            owner = owners[dump.name, qdisc.ifindex] if qdisc.handle == HANDLE else None
            yield parse_qdisc(dump.name, names[qdisc.ifindex], qdisc), owner
    for name, value in dump.sysctls.items():
        yield Sysctl(dump.name, name, value), None


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
