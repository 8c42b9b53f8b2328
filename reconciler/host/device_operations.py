"""Device operations: bridges, veth pairs and ports made, changed and deleted, by requests.

Seen on Linux 6.18: the alias of a device is ignored in the request that makes it, a peer cannot be
set up there, and a port's settings follow in a request after it has joined its bridge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.core.object import HOST
from reconciler.core.plan import Operation
from reconciler.formats.link import parse_link
from reconciler.formats.link_request import (
    ADDR_GEN_MODE_NONE,
    LinkSettings,
    add_altname,
    delete_altname,
    set_link,
)
from reconciler.formats.netlink import Request
from reconciler.host.kernel import GONE, Kernel, OperationError
from reconciler.host.link_removal import delete_links
from reconciler.objects import BridgeDevice, Port, Veth
from reconciler.objects.bridge import render_bridge, render_bridge_changes
from reconciler.objects.marks import group_number, render_mark
from reconciler.objects.port import port_mark
from reconciler.objects.veth import render_end_changes, render_port_settings, render_veth

_MARKS = {"owner", "keep"}
"""Differences of the alias, which says both."""
_PORT_FIELDS = {"master", "hairpin", "isolated"}


class DeviceOperations:
    """Works on the devices of one kernel, in the name of one set."""

    def __init__(self, kernel: Kernel, set_name: str) -> None:
        """Work through *kernel*, marking what is made with *set_name*."""
        self._kernel = kernel
        self._group = group_number(set_name)

    def add_bridge(self, bridge: BridgeDevice, operation: Operation) -> None:
        """Make a bridge."""
        request = render_bridge(bridge, self._group)
        made = self._create(bridge.netns, request, bridge.name)
        self._mark(bridge.netns, made, operation)

    def set_bridge(self, bridge: BridgeDevice, operation: Operation) -> None:
        """Write what differs; a bridge is found under the name it has now."""
        index = self._known_index(operation)
        fields = [d for d in operation.differences if d.field not in _MARKS]
        self._kernel.request(bridge.netns, render_bridge_changes(index, fields))
        self._remark(bridge.netns, index, operation)

    def add_veth(self, veth: Veth, operation: Operation) -> None:
        """Make a pair, its peer in its own namespace, and plug it in."""
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

    def _remark(self, netns: str, index: int, operation: Operation) -> None:
        if any(d.field in _MARKS for d in operation.differences):
            marked = LinkSettings(alias=render_mark(operation.owner), group=self._group)
            self._kernel.request(netns, [set_link(index, marked)])

    def set_veth(self, veth: Veth, operation: Operation) -> None:
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

    def replug(self, port: Port, before: Port) -> None:
        """Move a port to another bridge, and our mark with it."""
        if before.master != port.master:
            self._unmark(before)
        self.plug(port)

    def plug(self, port: Port) -> None:
        """Say that it is ours, then plug it in: a kill in between leaves a mark, not a stranger."""
        bridge = self._kernel.index(port.netns, port.master)
        device = self._kernel.index(port.netns, port.device)
        (reply,) = self._kernel.at(port.netns).socket.request(
            [add_altname(bridge, port_mark(port.device))]
        )
        if reply.refusal is not None and reply.refusal.name != "EEXIST":
            raise OperationError(str(reply.refusal))
        self._kernel.request(port.netns, [set_link(device, LinkSettings(master=bridge))])

    def unplug(self, port: Port) -> None:
        """Pull a port out, wherever it is plugged in by our mark."""
        device = self._kernel.index_or_none(port.netns, port.device)
        if device is not None and port.master:
            self._kernel.request_removal(port.netns, set_link(device, LinkSettings(master=0)))
        self._unmark(port)

    def _unmark(self, port: Port) -> None:
        """Take the mark from whichever device has it: an alternative name finds its device."""
        bridge = self._kernel.index_or_none(port.netns, port_mark(port.device))
        if bridge is not None:
            self._kernel.request_removal(port.netns, delete_altname(bridge, port_mark(port.device)))
        self._kernel.forget_device(port.netns, port_mark(port.device))

    def delete(self, batch: Sequence[Operation]) -> list[str | None]:
        """Delete devices, many at a time; one error, or None, for each."""
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
        found: list[int | None] = [self._kernel.index_or_none(netns, name) for name in names]
        indexes = [index for index in found if index is not None]
        refusals = iter(delete_links(self._kernel.at(netns).socket, indexes))
        errors: list[str | None] = []
        for index in found:
            refusal = next(refusals) if index is not None else None
            gone = refusal is None or refusal.name in GONE
            errors.append(None if gone else str(refusal))
        return errors
