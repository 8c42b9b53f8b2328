"""Address: an IP address with its prefix length on a device (ip-address(8)).

- Ours after a restart: its protocol number (IFA_PROTO, Linux 5.18); which resource it belongs to is
  what the device says.
- Requires its device and dies with it. IPv6 addresses die too when IPv6 is switched off, or the MTU
  falls below 1280.
- The kernel adds link-local addresses by itself: they do not carry our number and are left alone.
- Everything is part of its identity, so nothing can differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import ClassVar

from reconciler.core.object import Key, Mark
from reconciler.formats.address import AddressMessage, delete_address, replace_address
from reconciler.formats.netlink import Request
from reconciler.objects.keys import device_key, device_parameter, ipv6_switch_key, sysctl_key

PROTOCOL = 0x5C
"""IFA_PROTO and rtm_protocol of what is ours: free in rt_addrprotos and rt_protos (iproute2)."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address on the device *device*."""

    netns: str
    device: str
    interface: IPv4Interface | IPv6Interface

    mark: ClassVar[Mark] = Mark.INHERITED
    compared: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False

    @property
    def key(self) -> Key:
        """``address/DEVICE/ADDRESS/LENGTH``."""
        return Key("address", self.netns, f"{self.device}/{self.interface}")

    @property
    def parents(self) -> tuple[Key, ...]:
        """Its device."""
        return (device_key(self.netns, self.device),)

    @property
    def requires(self) -> tuple[Key, ...]:
        """For IPv6, the switches: the kernel refuses the address while IPv6 is off."""
        if self.interface.version == 4:
            return ()
        own = device_parameter("ipv6", self.device, "disable_ipv6")
        return ipv6_switch_key(self.netns), sysctl_key(self.netns, own)


def parse_address(netns: str, device: str, message: AddressMessage) -> Address:
    """Read an address out of its message, on the device of that index."""
    return Address(netns, device, message.interface)


def render_address(address: Address, ifindex: int) -> Request:
    """Put it there with our number; one that is there without gets the number."""
    return replace_address(ifindex, address.interface, protocol=PROTOCOL)


def render_address_removal(address: Address, ifindex: int) -> Request:
    """Take it away."""
    return delete_address(ifindex, address.interface)
