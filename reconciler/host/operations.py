"""Operations: each verb on each object, as the requests and system calls that do it.

Seen on Linux 6.18: deleting an IPv4 address takes its secondaries along unless its device has
``promote_secondaries``, so it is switched on for the device before (net/ipv4/devinet.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.core.execute import FIREWALL
from reconciler.core.object import HOST
from reconciler.core.plan import Operation, Verb
from reconciler.core.state import State
from reconciler.errors import HostError
from reconciler.formats.link import parse_link
from reconciler.formats.link_request import (
    ADDR_GEN_MODE_NONE,
    LinkSettings,
    add_altname,
    delete_altname,
    set_link,
)
from reconciler.formats.netlink import Request
from reconciler.host.firewall.apply import HostFirewall
from reconciler.host.folders import make_folder, remove_file, remove_folder, write_file
from reconciler.host.kernel import Kernel, OperationError
from reconciler.host.link_removal import delete_links
from reconciler.host.named_namespaces import make_namespace, remove_namespace
from reconciler.host.netlink_socket import NetlinkSocket
from reconciler.host.traffic_control import delete_qdisc, write_qdisc
from reconciler.objects import (
    Address,
    BridgeDevice,
    Directory,
    File,
    Namespace,
    OtherDevice,
    Port,
    Qdisc,
    Route,
    Sysctl,
    Veth,
)
from reconciler.objects.address import (
    PROTOCOL,
    render_address,
    render_address_removal,
)
from reconciler.objects.bridge import render_bridge, render_bridge_changes
from reconciler.objects.marks import group_number, render_mark
from reconciler.objects.observed import LOOPBACK
from reconciler.objects.port import port_mark
from reconciler.objects.route import render_route, render_route_removal
from reconciler.objects.veth import render_end_changes, render_port_settings, render_veth

_MARKS = {"owner", "keep"}
"""Differences of the alias, which says both."""
_PORT_FIELDS = {"master", "hairpin", "isolated"}
GONE = {"ENODEV", "ESRCH", "EADDRNOTAVAIL", "ENOENT", "ENXIO"}
"""Refusals that mean a delete has nothing left to do. ENXIO: the MTU has gone below 1280 since, and
all of IPv6 with it."""


class Operations:
    """Carries out operations in the namespaces of one kernel, in the name of one set."""

    def __init__(
        self, kernel: Kernel, firewall: HostFirewall, set_name: str, desired: State
    ) -> None:
        """Work through *kernel* and *firewall*, marking what is made with *set_name*."""
        self._kernel = kernel
        self._firewall = firewall
        self._desired = desired
        self._group = group_number(set_name)

    def perform(self, batch: Sequence[Operation]) -> Sequence[str | None]:
        """Carry out operations that do not depend on each other; one error, or None, for each."""
        if not batch:
            return []
        if batch[0].key.type in FIREWALL:
            return self._write_firewall(batch)
        if len(batch) > 1 and batch[0].key.type == "device":
            return self._delete_devices(batch)
        return [self._one(operation) for operation in batch]

    def _write_firewall(self, batch: Sequence[Operation]) -> Sequence[str | None]:
        try:
            return self._firewall.perform(batch, self._desired)
        except HostError as error:
            return [str(error)] * len(batch)

    def _one(self, operation: Operation) -> str | None:
        try:
            match operation.verb:
                case Verb.ADD:
                    self._add(operation)
                case Verb.SET:
                    self._set(operation)
                case Verb.DELETE:
                    self._delete(operation)
        except (OperationError, HostError) as error:
            return str(error)
        return None

    # ------------------------------------------------------------------ add

    def _add(self, operation: Operation) -> None:
        match operation.object:
            case Namespace() as space:
                self._add_namespace(space, operation)
            case BridgeDevice() as bridge:
                request = render_bridge(bridge, self._group)
                made = self._create(bridge.netns, request, bridge.name)
                self._mark(bridge.netns, made, operation)
            case Veth() as veth:
                self._add_veth(veth, operation)
            case Address() as address:
                index = self._kernel.index(address.netns, address.device)
                self._kernel.request(address.netns, [render_address(address, index)])
            case Route() as route:
                self._write_route(route)
            case Sysctl() as sysctl:
                self._kernel.write_sysctl(sysctl.netns, sysctl.name, sysctl.value)
            case Port() as port:
                self._plug(port)
            case Qdisc() as qdisc:
                write_qdisc(self._kernel, qdisc)
            case Directory() | File() as names:
                self._write_names(names, operation)
            case other:
                raise OperationError(f"{other.key} is not something that we make")

    def _write_names(self, names: Directory | File, operation: Operation) -> None:
        self._kernel.counters["files"] += 1
        if isinstance(names, File):
            write_file(names)
        else:
            make_folder(names.path, render_mark(operation.owner))

    def _add_namespace(self, space: Namespace, operation: Operation) -> None:
        mark = render_mark(operation.owner)
        up = LinkSettings(alias=mark, up=space.loopback)

        def prepare() -> None:
            with NetlinkSocket(counters=self._kernel.counters) as sock:
                (reply,) = sock.request([set_link(LOOPBACK, up)])
            if reply.refusal is not None:
                raise reply.refusal.error()

        self._kernel.forget(space.name)
        make_namespace(space.name, prepare, mark=mark)

    def _add_veth(self, veth: Veth, operation: Operation) -> None:
        master = self._kernel.index(veth.netns, veth.master) if veth.master else None
        elsewhere = veth.peer_netns is not None and veth.peer_netns != veth.netns
        fd = self._kernel.at(veth.peer_netns or HOST).fd if elsewhere else None
        request = render_veth(veth, self._group, master, fd)
        made, peer = self._create_pair(veth, request)
        self._mark(veth.netns, made, operation, port=bool(veth.master))
        settings = LinkSettings(alias=render_mark(operation.owner), up=veth.peer_up)
        self._kernel.request(veth.peer_netns or HOST, [set_link(peer, settings)])
        if veth.peer_master:
            index = self._kernel.index(veth.peer_netns or HOST, veth.peer_master)
            joined = LinkSettings(master=index)
            self._kernel.request(veth.peer_netns or HOST, [set_link(peer, joined)])
        if veth.hairpin or veth.isolated:
            self._set_port(veth, made)

    def _set_port(self, veth: Veth, index: int) -> None:
        settings = render_port_settings(veth)
        if settings is not None:
            self._kernel.request(veth.netns, [set_link(index, port=settings)])

    def _create_pair(self, veth: Veth, request: Request) -> tuple[int, int]:
        ((*echoes,),) = self._kernel.request(veth.netns, [request])
        if echoes:
            link = parse_link(echoes[0], 0, len(echoes[0]))
        else:  # before Linux 6.2 a creation is not echoed
            link = self._kernel.find(veth.netns, veth.name)
        self._kernel.note(veth.netns, veth.name, link.ifindex)
        self._kernel.note(veth.peer_netns or HOST, veth.peer_name or "", link.link)
        return link.ifindex, link.link

    def _create(self, netns: str, request: Request, name: str) -> int:
        ((*echoes,),) = self._kernel.request(netns, [request])
        if echoes:
            index = parse_link(echoes[0], 0, len(echoes[0])).ifindex
        else:
            index = self._kernel.find(netns, name).ifindex
        self._kernel.note(netns, name, index)
        return index

    def _mark(self, netns: str, index: int, operation: Operation, *, port: bool = False) -> None:
        # The port of a bridge needs no address of its own, and a link-local one is dear: its
        # neighbour discovery and multicast listening flood every other port.
        words = LinkSettings(alias=render_mark(operation.owner))
        if port:
            silent = replace(words, addr_gen_mode=ADDR_GEN_MODE_NONE)
            (reply,) = self._kernel.at(netns).socket.request([set_link(index, silent)])
            if reply.refusal is None:
                return
            # Without IPv6 on the device there is no mode either: an MTU below 1280, or a kernel
            # that was started without IPv6.
            if reply.refusal.name != "EAFNOSUPPORT":
                raise OperationError(str(reply.refusal))
        self._kernel.request(netns, [set_link(index, words)])

    def _write_route(self, route: Route) -> None:
        index = self._kernel.index(route.netns, route.device)
        self._kernel.request(route.netns, [render_route(route, index, PROTOCOL)])

    # ------------------------------------------------------------------ set

    def _set(self, operation: Operation) -> None:
        match operation.object:
            case Namespace() as space:
                up = LinkSettings(alias=render_mark(operation.owner), up=space.loopback)
                self._kernel.request(space.name, [set_link(LOOPBACK, up)])
            case BridgeDevice() as bridge:
                index = self._known_index(operation)
                fields = [d for d in operation.differences if d.field not in _MARKS]
                self._kernel.request(bridge.netns, render_bridge_changes(index, fields))
                self._remark(bridge.netns, index, operation)
            case Veth() as veth:
                self._set_veth(veth, operation)
            case Port() as port:
                if isinstance(operation.before, Port) and operation.before.master != port.master:
                    self._unmark(operation.before)
                self._plug(port)
            case Address() | Sysctl() | Qdisc() | Directory() | File():
                self._add(operation)
            case Route() as route:
                self._set_route(route, operation)
            case other:
                raise OperationError(f"{other.key} is not something that we change")

    def _remark(self, netns: str, index: int, operation: Operation) -> None:
        if any(d.field in _MARKS for d in operation.differences):
            marked = LinkSettings(alias=render_mark(operation.owner), group=self._group)
            self._kernel.request(netns, [set_link(index, marked)])

    def _set_veth(self, veth: Veth, operation: Operation) -> None:
        """Write what differs on each end; the peer is found under the name it has now."""
        before = operation.before if isinstance(operation.before, Veth) else veth
        peer_name = before.peer_name
        ends = (
            (veth.netns, before.name, veth.master, False),
            (veth.peer_netns or HOST, peer_name or "", veth.peer_master, True),
        )
        for netns, name, master, peer in ends:
            field = "peer_master" if peer else "master"
            joins = any(d.field == field for d in operation.differences)
            index = self._kernel.index(netns, name)
            target = (self._kernel.index(netns, master) if master else 0) if joins else None
            settings = render_end_changes(operation.differences, peer=peer, master=target)
            if settings is not None:
                self._kernel.request(netns, [set_link(index, settings)])
            # A port that joins another bridge begins with the kernel's settings again.
            if not peer and any(d.field in _PORT_FIELDS for d in operation.differences):
                self._set_port(veth, index)
            self._remark(netns, index, operation)
        self._kernel.forget_device(veth.peer_netns, peer_name)
        self._kernel.forget_device(veth.netns, before.name)

    def _known_index(self, operation: Operation) -> int:
        """Find a device under the name that it has now, which it may be about to lose."""
        key = operation.before.key if operation.before is not None else operation.key
        index = self._kernel.index(key.netns, key.name)
        if key != operation.key:
            self._kernel.forget_device(key.netns, key.name)
        return index

    def _set_route(self, route: Route, operation: Operation) -> None:
        """Put it in the place of the old one.

        IPv6 replaces only a route through the same device, so the old one is deleted there.
        """
        self._write_route(route)
        before = operation.before
        if (
            route.destination.version == 6
            and isinstance(before, Route)
            and before.device != route.device
        ):
            self._delete_route(before)

    # ------------------------------------------------------------------ delete

    def _delete(self, operation: Operation) -> None:
        match operation.object:
            case Namespace() as space:
                self._kernel.forget(space.name)
                remove_namespace(space.name)
            case BridgeDevice() | Veth() | OtherDevice():
                (error,) = self._delete_devices([operation])
                if error is not None:
                    raise OperationError(error)
            case Address() as address:
                self._delete_address(address)
            case Route() as route:
                self._delete_route(route)
            case Port() as port:
                self._unplug(port)
            case Qdisc() as qdisc:
                delete_qdisc(self._kernel, qdisc)
            case Directory() as directory:
                remove_folder(directory.path)
            case File() as file:
                remove_file(file)
            case _:
                pass  # a sysctl cannot be deleted

    def _plug(self, port: Port) -> None:
        """Say that it is ours, then plug it in: a kill in between leaves a mark, not a stranger."""
        bridge = self._kernel.index(port.netns, port.master)
        device = self._kernel.index(port.netns, port.device)
        (reply,) = self._kernel.at(port.netns).socket.request(
            [add_altname(bridge, port_mark(port.device))]
        )
        if reply.refusal is not None and reply.refusal.name != "EEXIST":
            raise OperationError(str(reply.refusal))
        self._kernel.request(port.netns, [set_link(device, LinkSettings(master=bridge))])

    def _unplug(self, port: Port) -> None:
        device = self._index_or_none(port.netns, port.device)
        if device is not None and port.master:
            self._gone(port.netns, set_link(device, LinkSettings(master=0)))
        self._unmark(port)

    def _unmark(self, port: Port) -> None:
        """Take the mark from whichever device has it: an alternative name finds its device."""
        bridge = self._index_or_none(port.netns, port_mark(port.device))
        if bridge is not None:
            self._gone(port.netns, delete_altname(bridge, port_mark(port.device)))
        self._kernel.forget_device(port.netns, port_mark(port.device))

    def _delete_address(self, address: Address) -> None:
        if address.interface.version == 4:
            device = address.device.replace(".", "/")
            name = f"net.ipv4.conf.{device}.promote_secondaries"
            self._kernel.write_sysctl(address.netns, name, "1")
        index = self._kernel.index(address.netns, address.device)
        self._gone(address.netns, render_address_removal(address, index))

    def _delete_route(self, route: Route) -> None:
        index = self._kernel.index(route.netns, route.device)
        self._gone(route.netns, render_route_removal(route, index, 0))

    def _gone(self, netns: str, request: Request) -> None:
        (reply,) = self._kernel.at(netns).socket.request([request])
        if reply.refusal is not None and reply.refusal.name not in GONE:
            raise OperationError(str(reply.refusal))

    def _delete_devices(self, batch: Sequence[Operation]) -> list[str | None]:
        errors: dict[str, list[str | None]] = {}
        by_netns: dict[str, list[str]] = {}
        for operation in batch:
            by_netns.setdefault(operation.key.netns, []).append(operation.key.name)
        for netns, names in by_netns.items():
            errors[netns] = self._delete_in(netns, names)
        for operation in batch:
            for key in (operation.key, *operation.object.claims):
                self._kernel.forget_device(key.netns, key.name)
        answers = {netns: iter(found) for netns, found in errors.items()}
        return [next(answers[operation.key.netns]) for operation in batch]

    def _delete_in(self, netns: str, names: Sequence[str]) -> list[str | None]:
        found: list[int | None] = [self._index_or_none(netns, name) for name in names]
        indexes = [index for index in found if index is not None]
        refusals = iter(delete_links(self._kernel.at(netns).socket, indexes))
        errors: list[str | None] = []
        for index in found:
            refusal = next(refusals) if index is not None else None
            gone = refusal is None or refusal.name in GONE
            errors.append(None if gone else str(refusal))
        return errors

    def _index_or_none(self, netns: str, name: str) -> int | None:
        try:
            return self._kernel.index(netns, name)
        except OperationError:
            return None
