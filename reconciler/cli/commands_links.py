"""Commands for devices: what `ip link` makes of namespaces, bridges, pairs and their ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from reconciler.cli import shell
from reconciler.cli.shell import DELETE, TRY, ip, line
from reconciler.core.diff import Difference
from reconciler.core.object import HOST, Owner
from reconciler.core.plan import Operation
from reconciler.objects import BridgeDevice, Namespace, Port, Veth
from reconciler.objects.marks import group_number, render_mark
from reconciler.objects.port import port_mark

Words = tuple[object, ...]

_OPTIONS = {"mtu": "mtu", "mac": "address", "name": "name"}
_BRIDGE_OPTIONS = {
    "stp": "stp_state",
    "forward_delay": "forward_delay",
    "ageing_time": "ageing_time",
    "nf_call_iptables": "nf_call_iptables",
    "nf_call_ip6tables": "nf_call_ip6tables",
}
_UNSAID = {"nf_call_iptables", "nf_call_ip6tables"}
"""Off is what a new bridge has, and a kernel without br_netfilter refuses to hear of it."""
_PORT_OPTIONS = ("hairpin", "isolated")
_MARK = ("owner", "keep")
"""What the alias says: whose a device is, and whether it stays."""
_ON = {True: "on", False: "off"}


def add_namespace(space: Namespace, owner: Owner) -> Iterator[str]:
    """Make a namespace; its mark is the alias of its lo."""
    yield line("ip", "netns", "add", space.name)
    yield from mark_namespace(space, owner)


def mark_namespace(space: Namespace, owner: Owner) -> Iterator[str]:
    """Say whose a namespace is, and set its lo up."""
    words = _settings({"up": space.loopback})
    yield ip(space.name, "link", "set", "dev", "lo", "alias", render_mark(owner), *words)


def add_bridge(bridge: BridgeDevice, owner: Owner) -> Iterator[str]:
    """Make a bridge; the kernel takes its alias only when it is there."""
    settings = _settings({"mac": bridge.mac, "mtu": bridge.mtu, "up": bridge.up})
    values = {name: getattr(bridge, name) for name in _BRIDGE_OPTIONS}
    own = _bridge_settings({n: v for n, v in values.items() if v or n not in _UNSAID})
    group = group_number(owner.set)
    yield ip(
        bridge.netns,
        *("link", "add", "name", bridge.name, *settings, "group", group, "type", "bridge", *own),
    )
    yield ip(bridge.netns, "link", "set", "dev", bridge.name, "alias", render_mark(owner))


def set_bridge(bridge: BridgeDevice, operation: Operation) -> Iterator[str]:
    """Change what differs: what every device has, then what only a bridge has."""
    before = operation.before if isinstance(operation.before, BridgeDevice) else bridge
    renamed = dict.fromkeys(_MARK, "owner")
    fields = {renamed.get(d.field, d.field): d.after for d in operation.differences}
    own = _bridge_settings(fields)
    common = _settings(fields, operation.owner)
    if common:
        yield ip(bridge.netns, "link", "set", "dev", before.name, *common)
    if own:
        yield ip(bridge.netns, "link", "set", "dev", bridge.name, "type", "bridge", *own)


def add_veth(veth: Veth, owner: Owner) -> Iterator[str]:
    """Make a pair, the other end in its namespace, where it then is set up."""
    group: Words = ("group", group_number(owner.set))
    first = _settings(
        {"mac": veth.mac, "mtu": veth.mtu, "up": veth.up, "master": veth.master or None}
    )
    peer = _settings({"mac": veth.peer_mac, "mtu": veth.peer_mtu})
    place: Words = () if veth.peer_netns == veth.netns else ("netns", veth.peer_netns)
    yield ip(
        veth.netns,
        *("link", "add", "name", veth.name, *first, *group),
        *("type", "veth", "peer", "name", veth.peer_name, *peer, *group, *place),
    )
    mark: Words = ("alias", render_mark(owner))
    yield ip(veth.netns, "link", "set", "dev", veth.name, *mark)
    if veth.master:  # a port without a link-local address; without IPv6 there is nothing to set
        yield ip(veth.netns, "link", "set", "dev", veth.name, "addrgenmode", "none", before=TRY)
    rest = _settings({"up": veth.peer_up, "master": veth.peer_master or None})
    yield ip(veth.peer_netns or HOST, "link", "set", "dev", veth.peer_name, *mark, *rest)
    if veth.hairpin or veth.isolated:
        yield from _set_port(veth)


def set_veth(veth: Veth, operation: Operation) -> Iterator[str]:
    """Change what differs on each end, which is found by the name that it has now."""
    before = operation.before if isinstance(operation.before, Veth) else veth
    ends = (
        (veth.netns, before.name, _fields_of(operation.differences, peer=False)),
        (veth.peer_netns or HOST, before.peer_name, _fields_of(operation.differences, peer=True)),
    )
    for netns, name, fields in ends:
        words = _settings(fields, operation.owner)
        if words:
            yield ip(netns, "link", "set", "dev", name, *words)
    # A port that joins another bridge begins with the kernel's settings again.
    if any(d.field in {"master", *_PORT_OPTIONS} for d in operation.differences):
        yield from _set_port(veth)


def _set_port(veth: Veth) -> Iterator[str]:
    if veth.master and veth.hairpin is not None and veth.isolated is not None:
        words = [w for name in _PORT_OPTIONS for w in (name, _ON[bool(getattr(veth, name))])]
        yield shell.bridge(veth.netns, "link", "set", "dev", veth.name, *words)


def delete_device(netns: str, name: str) -> Iterator[str]:
    """Delete a device, and with a pair its other end."""
    yield ip(netns, "link", "delete", "dev", name, before=DELETE)


def plug(port: Port, before: object = None) -> Iterator[str]:
    """Plug a device into a bridge, which says by an alternative name that this is ours."""
    if isinstance(before, Port) and before.master != port.master:
        yield from _unmark(port)
    mark = port_mark(port.device)
    yield ip(port.netns, "link", "property", "add", "dev", port.master, "altname", mark)
    yield ip(port.netns, "link", "set", "dev", port.device, "master", port.master)


def unplug(port: Port) -> Iterator[str]:
    """Take a device out of its bridge, and the mark from the bridge."""
    if port.master:
        yield ip(port.netns, "link", "set", "dev", port.device, "nomaster", before=DELETE)
    yield from _unmark(port)


def _unmark(port: Port) -> Iterator[str]:
    mark = port_mark(port.device)
    yield ip(port.netns, "link", "property", "del", "dev", mark, "altname", mark, before=DELETE)


def _fields_of(differences: Iterable[Difference], *, peer: bool) -> dict[str, object]:
    """What differs on one end, by the names that the first end has for it."""
    prefix = "peer_" if peer else ""
    own = {f"{prefix}{name}": name for name in ("mtu", "up", "mac", "name", "master")}
    own |= dict.fromkeys(_MARK, "owner")
    return {own[d.field]: d.after for d in differences if d.field in own}


def _settings(fields: Mapping[str, object], owner: Owner | None = None) -> list[object]:
    """The words of `ip link set` for fields that every device has."""
    words: list[object] = []
    for field, value in fields.items():
        match field, value:
            case _, None:
                continue
            case "up", _:
                words.append("up" if value else "down")
            case "master", "":
                words.append("nomaster")
            case "master", _:
                words += ["master", value]
            case "owner", _ if owner is not None:
                words += ["alias", render_mark(owner), "group", group_number(owner.set)]
            case _ if field in _OPTIONS:
                words += [_OPTIONS[field], value]
    return words


def _bridge_settings(fields: Mapping[str, object]) -> list[object]:
    """The words of `ip link … type bridge`; times are hundredths of a second, as here."""
    words: list[object] = []
    for field, option in _BRIDGE_OPTIONS.items():
        value = fields.get(field)
        if value is not None:
            words += [option, int(value) if isinstance(value, bool) else value]
    return words
