"""Operations: each verb on each object, as the requests and system calls that do it.

Seen on Linux 6.18: deleting an IPv4 address takes its secondaries along unless its device has
``promote_secondaries``, so it is switched on for the device before (net/ipv4/devinet.c).
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.core.execute import FIREWALL
from reconciler.core.plan import Operation, Verb
from reconciler.core.state import State
from reconciler.errors import HostError
from reconciler.formats.link_request import (
    LinkSettings,
    set_link,
)
from reconciler.host.device_operations import DeviceOperations
from reconciler.host.firewall.apply import HostFirewall
from reconciler.host.folders import make_folder, remove_file, remove_folder, write_file
from reconciler.host.kernel import Kernel, OperationError
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
from reconciler.objects.dumps import LOOPBACK
from reconciler.objects.marks import render_mark
from reconciler.objects.route import render_route, render_route_removal


class Operations:
    """Carries out operations in the namespaces of one kernel, in the name of one set."""

    def __init__(
        self, kernel: Kernel, firewall: HostFirewall, set_name: str, desired: State
    ) -> None:
        """Work through *kernel* and *firewall*, marking what is made with *set_name*."""
        self._kernel = kernel
        self._firewall = firewall
        self._desired = desired
        self._devices = DeviceOperations(kernel, set_name)

    def perform(self, batch: Sequence[Operation]) -> Sequence[str | None]:
        """Carry out operations that do not depend on each other; one error, or None, for each."""
        if not batch:
            return []
        if batch[0].key.type in FIREWALL:
            return self._write_firewall(batch)
        if len(batch) > 1 and batch[0].key.type == "device":
            return self._devices.delete(batch)
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
                self._devices.add_bridge(bridge, operation)
            case Veth() as veth:
                self._devices.add_veth(veth, operation)
            case Address() as address:
                index = self._kernel.index(address.netns, address.device)
                self._kernel.request(address.netns, [render_address(address, index)])
            case Route() as route:
                self._write_route(route)
            case Sysctl() as sysctl:
                self._kernel.write_sysctl(sysctl.netns, sysctl.name, sysctl.value)
            case Port() as port:
                self._devices.plug(port)
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
                self._devices.set_bridge(bridge, operation)
            case Veth() as veth:
                self._devices.set_veth(veth, operation)
            case Port() as port:
                before = operation.before if isinstance(operation.before, Port) else port
                self._devices.replug(port, before)
            case Address() | Sysctl() | Qdisc() | Directory() | File():
                self._add(operation)
            case Route() as route:
                self._set_route(route, operation)
            case other:
                raise OperationError(f"{other.key} is not something that we change")

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
                (error,) = self._devices.delete([operation])
                if error is not None:
                    raise OperationError(error)
            case Address() as address:
                self._delete_address(address)
            case Route() as route:
                self._delete_route(route)
            case Port() as port:
                self._devices.unplug(port)
            case Qdisc() as qdisc:
                delete_qdisc(self._kernel, qdisc)
            case Directory() as directory:
                remove_folder(directory.path)
            case File() as file:
                remove_file(file)
            case _:
                pass  # a sysctl cannot be deleted

    def _delete_address(self, address: Address) -> None:
        if address.interface.version == 4:
            device = address.device.replace(".", "/")
            name = f"net.ipv4.conf.{device}.promote_secondaries"
            self._kernel.write_sysctl(address.netns, name, "1")
        index = self._kernel.index(address.netns, address.device)
        self._kernel.request_removal(address.netns, render_address_removal(address, index))

    def _delete_route(self, route: Route) -> None:
        index = self._kernel.index(route.netns, route.device)
        self._kernel.request_removal(route.netns, render_route_removal(route, index, 0))
