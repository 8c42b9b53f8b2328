"""The keys by which objects refer to each other, so that no object module imports another."""

from __future__ import annotations

from reconciler.core.object import HOST, Key


def device_key(netns: str, name: str) -> Key:
    """Key of a network device: the kernel keeps its name unique inside a namespace."""
    return Key("device", netns, name)


def netns_needs(*names: str) -> tuple[Key, ...]:
    """Keys of the namespaces that must exist; the host's always does."""
    return tuple(Key("netns", HOST, name) for name in names if name != HOST)


def sysctl_key(netns: str, name: str) -> Key:
    """Key of a kernel parameter by its dotted name."""
    return Key("sysctl", netns, name)


IPV6_SWITCH = "net.ipv6.conf.all.disable_ipv6"
"""1: no IPv6 in this namespace, on no device, also not on those to come (ip-sysctl)."""


def ipv6_switch_key(netns: str) -> Key:
    """Key of the switch that must be right before an interface or an IPv6 address arrives."""
    return sysctl_key(netns, IPV6_SWITCH)


def device_parameter(family: str, device: str, name: str) -> str:
    """Name a parameter of one device, ``net.ipv4.conf.eth0.rp_filter``.

    A dot in a device's name is written as a slash, as sysctl(8) does.
    """
    return f"net.{family}.conf.{device.replace('.', '/')}.{name}"


def directory_key(path: str) -> Key:
    """Key of a folder of names."""
    return Key("directory", HOST, path)


def chain_key(family: int, table: str, name: str) -> Key:
    """Key of a chain."""
    return Key("chain", HOST, f"{table_label(family, table)}/{name}")


def table_label(family: int, table: str) -> str:
    """Name a table of a family: those of IPv6 end in 6."""
    return table if family == 4 else f"{table}6"


LOCAL_RANGE = "net.ipv4.ip_local_port_range"
RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports"
PORT_PARAMETERS = (LOCAL_RANGE, RESERVED_PORTS)
"""What decides which host ports may be handed out (ip-sysctl)."""
