"""What a FakeHost refuses: the kernel's conditions, in the kernel's words.

`tests/host/test_contract.py` holds them and Linux to one contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.core.object import HOST, KernelObject, Key
from reconciler.objects import (
    Address,
    BridgeDevice,
    File,
    FirewallJump,
    FirewallRule,
    Port,
    Qdisc,
    Route,
    Sysctl,
    Veth,
)
from reconciler.objects.chain import PREFIX
from reconciler.objects.keys import device_key, directory_key, ipv6_switch_key, netns_needs

MAX_PORTS = 1023  # BR_MAX_PORTS less port 0, net/bridge/br_private.h
MIN_IPV6_MTU = 1280  # RFC 8200, section 5

Objects = Mapping[Key, KernelObject]


class Refusal(Exception):  # noqa: N818 - it is what the kernel does, not a fault of ours
    """What the kernel answers instead of doing it."""


def find_at(objects: Objects, key: Key) -> Key | None:
    """Find which object stands at *key*, by its own key or by a claim."""
    if key in objects:
        return key
    return next((k for k, item in objects.items() if key in item.claims), None)


def find_device(objects: Objects, netns: str, name: str) -> KernelObject | None:
    """Find a device by its name, be it the other end of a pair."""
    key = find_at(objects, device_key(netns, name))
    return None if key is None else objects[key]


def check_namespaces(objects: Objects, item: KernelObject) -> None:
    """Refuse what is to be in a namespace that is not there."""
    spaces = [item.key.netns, *(claim.netns for claim in item.claims)]
    for key in netns_needs(*spaces):
        if key not in objects:
            raise Refusal("ENOENT: No such file or directory")


def check(objects: Objects, item: KernelObject) -> None:
    """Refuse what the kernel refuses, with its words.

    Raises:
        Refusal: Something that it needs is missing, or cannot be so.
    """
    match item:
        case Veth():
            _check_master(objects, item, item.netns, item.master)
            _check_master(objects, item, item.peer_netns or HOST, item.peer_master)
        case Address():
            _check_address(objects, item)
        case Route():
            _check_route(objects, item)
        case Port():
            _check_port(objects, item)
        case Qdisc() if find_device(objects, item.netns, item.device) is None:
            raise Refusal("ENODEV: No such device")
        case File() if directory_key(item.directory) not in objects:
            raise Refusal("ENOENT: No such file or directory")
        case FirewallRule() | FirewallJump():
            own = [key for key in item.parents if item.chain.startswith(PREFIX)]
            if any(key not in objects for key in (*own, *item.requires)):
                raise Refusal("line 2 failed: No chain/target/match by that name.")
        case _:
            pass


def _check_master(objects: Objects, item: Veth, netns: str, master: str | None) -> None:
    if not master:
        return
    bridge = objects.get(device_key(netns, master))
    if bridge is None:
        raise Refusal("ENODEV: No such device")
    if not isinstance(bridge, BridgeDevice):
        raise Refusal("EOPNOTSUPP: Operation not supported")
    ports = sum(
        1
        for key, other in objects.items()
        if isinstance(other, Veth) and key != item.key and other.master == master
    )
    if ports >= MAX_PORTS:
        raise Refusal("EXFULL: Exchange full")


def _check_port(objects: Objects, item: Port) -> None:
    for name in (item.device, item.master):
        if find_device(objects, item.netns, name) is None:
            raise Refusal("ENODEV: No such device")


def _check_address(objects: Objects, item: Address) -> None:
    device = find_device(objects, item.netns, item.device)
    if device is None:
        raise Refusal("ENODEV: No such device")
    if item.interface.version == 6:
        switch = objects.get(ipv6_switch_key(item.netns))
        if isinstance(switch, Sysctl) and switch.value == "1":
            raise Refusal("EACCES: ipv6: IPv6 is disabled on this device")
        if (_of_end(device, item.netns, "mtu") or MIN_IPV6_MTU) < MIN_IPV6_MTU:
            raise Refusal("EINVAL: ipv6: IPv6 is disabled on this device")


def _check_route(objects: Objects, item: Route) -> None:
    device = find_device(objects, item.netns, item.device)
    if device is None:
        raise Refusal("ENODEV: No such device")
    if not _of_end(device, item.netns, "up"):
        raise Refusal("ENETDOWN: Network is down")
    if item.via is not None and not any(
        isinstance(other, Address)
        and (other.netns, other.device) == (item.netns, item.device)
        and item.via in other.interface.network
        for other in objects.values()
    ):
        raise Refusal("ENETUNREACH: Nexthop has invalid gateway")


def _of_end(device: KernelObject, netns: str, name: str) -> Any:
    """Read *name* of the end of *device* that is in *netns*."""
    if isinstance(device, Veth) and device.netns != netns:
        return getattr(device, f"peer_{name}")
    return getattr(device, name)
