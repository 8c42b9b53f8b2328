"""What a Bridge becomes: a device, its gateway addresses, the parameters that let it forward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from reconciler.allocate.names import mac_address
from reconciler.core.object import HOST, KernelObject
from reconciler.kinds.assignment import Assignment
from reconciler.kinds.bridge import Bridge
from reconciler.kinds.expand_names import expand_shared_names
from reconciler.kinds.publication import Published
from reconciler.manifest.resource import Resource
from reconciler.objects import Address, BridgeDevice, OtherDevice, Port, Sysctl
from reconciler.objects.keys import device_parameter

FORWARD_DELAY, AGEING_TIME = 15, 300  # seconds: br_dev_setup, net/bridge/br_device.c
CENTISECONDS = 100
"""In a second; the kernel counts in USER_HZ."""


def expand_bridge(resource: Resource, assignment: Assignment) -> Iterator[KernelObject]:
    """Say which objects a bridge is made of."""
    spec = cast("Bridge", resource.spec)
    device = spec.device_name
    yield from expand_shared_names(resource, assignment)
    if spec.external:
        yield BridgeDevice(HOST, device, external=True)
        return
    yield BridgeDevice(
        HOST,
        device,
        mtu=spec.mtu,
        up=True,
        mac=mac_address(assignment.set_name, "Bridge", resource.name, ""),
        # What is not written is the kernel's default, also where something else was written before.
        stp=bool(spec.stp),
        forward_delay=_centiseconds(spec.forward_delay, FORWARD_DELAY),
        ageing_time=_centiseconds(spec.ageing_time, AGEING_TIME),
        # What containers say to each other passes the firewall only where it has to judge it, and
        # for this bridge alone: the switch of the whole host is left as it is.
        nf_call_iptables=spec.iptables and not spec.icc,
        nf_call_ip6tables=spec.iptables and not spec.icc,
    )
    for address in spec.addresses:
        yield Address(HOST, device, address)
    for port in spec.ports:
        yield OtherDevice(HOST, port, external=True)
        yield Port(HOST, port, device)
    if any(address.version == 4 for address in spec.addresses):
        # Also where there is no firewall any more: what was on before must not stay on, without the
        # rule that keeps containers away from the host's loopback.
        local = any(_from_loopback(port) for port in _published_on(resource.name, assignment))
        parameter = device_parameter("ipv4", device, "route_localnet")
        yield Sysctl(HOST, parameter, str(int(local)), device)
    versions: set[int] = {address.version for address in spec.addresses}
    if 6 in versions:
        # As Docker: its addresses are ours to give, not a router's to announce. And without a search
        # for twins of its link-local address, which is the source of the question who has an
        # address: for its 2 s the host would forward no IPv6 to the containers.
        for name, value in (("disable_ipv6", "0"), ("accept_ra", "0"), ("accept_dad", "0")):
            yield Sysctl(HOST, device_parameter("ipv6", device, name), value, device)
    if spec.ip_forward and not spec.internal:
        yield from _forwarding(versions)


def _forwarding(versions: set[int]) -> Iterator[KernelObject]:
    """Let the host route, in the families that the bridge has, as Docker's --ip-forward."""
    if 4 in versions:
        yield Sysctl(HOST, "net.ipv4.ip_forward", "1")
    if 6 in versions:
        yield Sysctl(HOST, "net.ipv6.conf.all.forwarding", "1")
        yield Sysctl(HOST, "net.ipv6.conf.default.forwarding", "1")


def _published_on(bridge: str, assignment: Assignment) -> Iterator[Published]:
    for member in assignment.members.get(bridge, ()):
        yield from assignment.ports.get(member.name, ())


def _from_loopback(port: Published) -> bool:
    """May the host itself reach it by 127.0.0.1; then the bridge must carry such packets."""
    ip = port.host_ip
    return ip is None or ip.is_loopback or (ip.is_unspecified and ip.version == 4)


def _centiseconds(seconds: float | None, default: float) -> int:
    return round((default if seconds is None else seconds) * CENTISECONDS)
