"""FakeHost: a kernel in memory that refuses and cascades as the real one does.

It passes the same contract suite as `LinuxHost`, so a plan that it accepts is a plan that Linux
accepts. Values that a plan does not set get the kernel's defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from reconciler.core.execute import Outcome, execute
from reconciler.core.object import KernelObject, Key, Mark, Owner
from reconciler.core.plan import Operation, Plan, Verb
from reconciler.core.state import State
from reconciler.host.base import EVERYTHING, Interest, Scope
from reconciler.host.fake_defaults import complete
from reconciler.host.fake_refusals import (
    MIN_IPV6_MTU,
    Refusal,
    check,
    check_namespaces,
    find_at,
    find_device,
)
from reconciler.objects import (
    Address,
    BridgeDevice,
    Directory,
    File,
    FirewallChain,
    FirewallJump,
    FirewallRule,
    Namespace,
    OtherDevice,
    Port,
    Qdisc,
    Route,
    Sysctl,
    Veth,
)
from reconciler.objects.keys import (
    IPV6_SWITCH,
    device_parameter,
)


@dataclass
class FakeHost:
    """Objects and owners, changed only through operations and the drift methods."""

    objects: dict[Key, KernelObject] = field(default_factory=dict)
    owners: dict[Key, Owner] = field(default_factory=dict)
    refuse: Callable[[Operation], str | None] = lambda _: None
    """A fault to inject: the reason for which an operation fails, or None."""
    trace: list[Operation] = field(default_factory=list)
    """Every operation that was tried, in order."""

    @classmethod
    def holding(cls, entries: Iterable[tuple[KernelObject, Owner | None]]) -> FakeHost:
        """Make a host with these objects on it, completed with the kernel's defaults."""
        host = cls()
        for item, owner in entries:
            host.place(item, owner)
        return host

    def place(self, item: KernelObject, owner: Owner | None = None) -> None:
        """Put an object there as some other program would."""
        self.objects[item.key] = complete(item)
        if owner is not None and item.mark is not Mark.NONE:
            self.owners[item.key] = owner

    def observe(self, interest: Interest = Interest(), scope: Scope = EVERYTHING) -> State:
        """Copy what is there."""
        hidden = {
            key
            for key in self.objects
            if key.type == "sysctl" and key.name not in interest.sysctls_of(key.netns)
        }
        return State.of(
            (item, self.owners.get(key)) for key, item in self.objects.items() if key not in hidden
        )

    def execute(self, plan: Plan) -> Iterator[Outcome]:
        """Carry out *plan*."""
        return execute(plan, self._perform)

    def _perform(self, operations: Sequence[Operation]) -> list[str | None]:
        # A firewall is written as a whole: chains that go are emptied first, then deleted.
        chains = {op.key for op in operations if _empties(op)}
        for chain in chains:
            self._drop(lambda o, chain=chain: chain in o.parents)  # type: ignore[misc]
        return [self._one(operation) for operation in operations]

    def _one(self, operation: Operation) -> str | None:
        self.trace.append(operation)
        if (reason := self.refuse(operation)) is not None:
            return reason
        try:
            match operation.verb:
                case Verb.ADD:
                    self._add(operation.object, operation.owner)
                case Verb.SET:
                    self._set(operation)
                case Verb.DELETE:
                    self.remove(operation.key)
        except Refusal as refusal:
            return str(refusal)
        return None

    # ------------------------------------------------------------------ making

    def _add(self, item: KernelObject, owner: Owner) -> None:
        if isinstance(item, Sysctl):
            self._write(item)
            return
        # The root of a device is replaced, whatever it was; chains and rules are of several sets.
        if not isinstance(item, Qdisc | FirewallChain | FirewallRule | FirewallJump):
            for key in (item.key, *item.claims):
                if find_at(self.objects, key) is not None:
                    raise Refusal("EEXIST: File exists")
        check_namespaces(self.objects, item)
        check(self.objects, item)
        self.place(item, owner)

    def _set(self, operation: Operation) -> None:
        known = operation.before.key if operation.before is not None else operation.key
        item = self.objects.get(known)
        if item is None:
            raise Refusal("ENODEV: No such device")
        fields = {
            d.field: d.after for d in operation.differences if d.field not in {"owner", "keep"}
        }
        changed = replace(item, **fields)  # type: ignore[type-var]
        if isinstance(changed, FirewallRule | FirewallJump):  # it is written where it belongs
            changed = replace(changed, order=getattr(operation.object, "order", ()))
        for claim in changed.claims:
            if (other := find_at(self.objects, claim)) is not None and other != item.key:
                raise Refusal("EEXIST: File exists")
        if isinstance(changed, Sysctl):
            self._write(changed)
            return
        check(self.objects, changed)
        if changed.key != item.key:
            if find_at(self.objects, changed.key) is not None:
                raise Refusal("EEXIST: File exists")
            del self.objects[item.key]
            self.owners.pop(item.key, None)
        self.objects[changed.key] = changed
        self._rename_contents(item, changed)
        self.owners[changed.key] = operation.owner

    def _write(self, item: Sysctl) -> None:
        check_namespaces(self.objects, item)
        if item.device is not None and find_device(self.objects, item.netns, item.device) is None:
            raise Refusal("ENOENT: No such file or directory")
        self.objects[item.key] = item
        if item.name == IPV6_SWITCH and item.value == "1":
            self._drop(lambda o: _version(o) == 6 and o.key.netns == item.netns)

    # ------------------------------------------------------------------ going

    def remove(self, key: Key) -> None:
        """Delete an object and what dies with it; one that is not there is no error.

        Raises:
            Refusal: A rule leads to the chain.
        """
        if key.type == "chain" and any(
            key in item.requires and key not in item.parents
            for item in self.objects.values()
            if item.key.type == "rule"
        ):
            raise Refusal("CHAIN_DEL failed (Device or resource busy)")
        item = self.objects.pop(key, None)
        self.owners.pop(key, None)
        match item:
            case Namespace():
                self._drop(lambda o: _inside(o, item.name))
            case BridgeDevice():
                self._free_ports(item)
                self._drop_on(item.netns, item.name)
            case Veth():
                self._drop_on(item.netns, item.name)
                self._drop_on(item.peer_netns, item.peer_name)
            case OtherDevice():
                self._drop_on(item.netns, item.name)
                self._drop(lambda o: isinstance(o, Port) and o.device == item.name)
            case Address():
                self._drop_routes_without_address(item)
            case FirewallChain():
                self._drop(lambda o: item.key in o.parents)
            case Directory():
                self._drop(lambda o: isinstance(o, File) and o.directory == item.path)
            case _:
                pass

    def change(self, key: Key, **fields: object) -> None:
        """Change an object as some other program would, with the kernel's consequences."""
        before = self.objects[key]
        after = replace(before, **fields)  # type: ignore[type-var]
        self.objects[key] = after
        self._rename_contents(before, after)

    def _rename_contents(self, before: KernelObject, after: KernelObject) -> None:
        """Addresses follow a renamed peer; a device that goes down loses routes and all of IPv6."""
        if isinstance(before, Veth) and isinstance(after, Veth):
            if before.peer_name != after.peer_name:
                self._move(before.peer_netns, before.peer_name, after.peer_name)
            self._settle(after.peer_netns, after.peer_name, up=after.peer_up, mtu=after.peer_mtu)
        if isinstance(before, BridgeDevice) and before.key != after.key:
            self._rename_bridge(before, after.key.name)
        if isinstance(after, BridgeDevice | Veth):
            self._settle(after.netns, after.name, up=after.up, mtu=after.mtu)

    def _settle(
        self, netns: str | None, device: str | None, *, up: bool | None, mtu: int | None
    ) -> None:
        """Drop what a device does not keep that is down, or too narrow for IPv6 (RFC 8200)."""
        if not up:
            self._drop(lambda o: isinstance(o, Route) and (o.netns, o.device) == (netns, device))
        if not up or (mtu or MIN_IPV6_MTU) < MIN_IPV6_MTU:
            self._drop(
                lambda o: (
                    isinstance(o, Address | Route)
                    and _version(o) == 6
                    and (o.netns, o.device) == (netns, device)
                )
            )

    def _rename_bridge(self, before: BridgeDevice, name: str) -> None:
        self._move(before.netns, before.name, name)
        for key, item in list(self.objects.items()):
            if isinstance(item, Veth) and (item.netns, item.master) == (before.netns, before.name):
                self.objects[key] = replace(item, master=name)
            if isinstance(item, Port) and item.master == before.name:
                self.objects[key] = replace(item, master=name)

    def _move(self, netns: str | None, old: str | None, new: str | None) -> None:
        place = (netns, old)
        for key, item in list(self.objects.items()):
            if isinstance(item, Address | Route | Qdisc) and (item.netns, item.device) == place:
                owner = self.owners.pop(key, None)
                del self.objects[key]
                self.place(replace(item, device=str(new)), owner)
            if isinstance(item, Sysctl) and (item.netns, item.device) == (netns, old):
                family, parameter = item.name.split(".")[1], item.name.split(".")[4]
                del self.objects[key]
                moved = device_parameter(family, str(new), parameter)
                self.place(replace(item, name=moved, device=str(new)))

    def _drop(self, gone: Callable[[KernelObject], bool]) -> None:
        for key, item in list(self.objects.items()):
            if gone(item):
                self.objects.pop(key, None)
                self.owners.pop(key, None)
                if isinstance(item, Veth):
                    self._drop_on(item.netns, item.name)
                    self._drop_on(item.peer_netns, item.peer_name)

    def _drop_on(self, netns: str | None, device: str | None) -> None:
        self._drop(
            lambda o: (
                isinstance(o, Address | Route | Sysctl | Qdisc)
                and (o.key.netns, o.device) == (netns, device)
            )
        )

    def _drop_routes_without_address(self, gone: Address) -> None:
        version = gone.interface.version
        place = (gone.netns, gone.device)
        left = [
            o
            for o in self.objects.values()
            if isinstance(o, Address)
            and (o.netns, o.device) == place
            and o.interface.version == version
        ]
        if version == 4 and not left:
            self._drop(
                lambda o: (
                    isinstance(o, Route)
                    and (o.netns, o.device) == place
                    and o.destination.version == version
                )
            )

    def _free_ports(self, bridge: BridgeDevice) -> None:
        self._drop(lambda o: isinstance(o, Port) and o.master == bridge.name)
        for key, item in list(self.objects.items()):
            if isinstance(item, Veth):
                if (item.netns, item.master) == (bridge.netns, bridge.name):
                    item = replace(item, master="")  # noqa: PLW2901 - the item as it is now
                if (item.peer_netns, item.peer_master) == (bridge.netns, bridge.name):
                    item = replace(item, peer_master="")  # noqa: PLW2901
                self.objects[key] = item


def _version(item: KernelObject) -> int | None:
    match item:
        case Address():
            return item.interface.version
        case Route():
            return item.destination.version
        case _:
            return None


def _empties(operation: Operation) -> bool:
    return operation.verb is Verb.DELETE and operation.key.type == "chain"


def _inside(item: KernelObject, netns: str) -> bool:
    return item.key.netns == netns or any(claim.netns == netns for claim in item.claims)
