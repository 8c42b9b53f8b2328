"""Facts: what the kernel holds, as `ip -j -d` and /proc/sys tell it.

No line of the reconciler is used, so that a test does not ask the program about itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.world import HERE, NAMED, Namespace, inside


def all_links(namespace: Namespace = HERE) -> dict[str, dict[str, Any]]:
    """All devices, by name."""
    return {item["ifname"]: item for item in json.loads(namespace.ip("-j -d link") or "[]")}


def links(namespace: Namespace = HERE) -> dict[str, dict[str, Any]]:
    """All devices but lo, by name."""
    return {name: item for name, item in all_links(namespace).items() if name != "lo"}


def link(name: str, namespace: Namespace = HERE) -> dict[str, Any]:
    """One device, which must be there."""
    return links(namespace)[name]


def addresses(device: str, namespace: Namespace = HERE) -> set[str]:
    """The addresses of a device with their prefix lengths, but for link-local ones."""
    found = json.loads(namespace.ip(f"-j addr show dev {device}") or "[]")
    entries = [entry for item in found for entry in item.get("addr_info", ())]
    return {f"{a['local']}/{a['prefixlen']}" for a in entries if a["scope"] != "link"}


def routes(namespace: Namespace = HERE) -> set[str]:
    """The routes of the main table that the kernel did not make by itself, as `ip route` says."""
    return {
        _route(item)
        for family in ("-4", "-6")
        for item in json.loads(namespace.ip(f"-j {family} route") or "[]")
        if item.get("protocol") not in {"kernel", "ra"}
    }


def _route(item: dict[str, Any]) -> str:
    via = f" via {item['gateway']}" if "gateway" in item else ""
    metric = f" metric {item['metric']}" if "metric" in item else ""
    return f"{item['dst']}{via} dev {item['dev']}{metric}"


def sysctl(name: str, namespace: Namespace = HERE) -> str:
    """A kernel parameter by its dotted name."""
    with inside(namespace):
        return Path("/proc/sys", *name.split(".")).read_text().strip()


def set_sysctl(name: str, value: str, namespace: Namespace = HERE) -> None:
    """Set a kernel parameter by its dotted name."""
    with inside(namespace):
        Path("/proc/sys", *name.split(".")).write_text(value)


def peer(device: str, namespace: Namespace) -> dict[str, Any]:
    """The host's end of a pair, found by the number that the other end says."""
    index = link(device, namespace)["link_index"]
    ours = [item for item in links().values() if item["ifindex"] == index]
    (found,) = [item for item in ours if item.get("linkinfo", {}).get("info_kind") == "veth"]
    return found


def rate(device: str, namespace: Namespace = HERE) -> int | None:
    """The rate to which a device is held back, in bits a second; None where it is not."""
    found = json.loads(namespace.run("tc", "-j", "qdisc", "show", "dev", device).stdout)
    rates = [8 * int(one["options"]["rate"]) for one in found if one["kind"] == "tbf"]
    return rates[0] if rates else None


def bridges() -> set[str]:
    """The names of the host's bridges."""
    return {
        name
        for name, item in links().items()
        if item.get("linkinfo", {}).get("info_kind") == "bridge"
    }


def namespaces() -> set[str]:
    """The names that `ip netns` lists."""
    return {item["name"] for item in json.loads(HERE.ip("-j netns") or "[]")}


def carrier_changes(device: str, namespace: Namespace = HERE) -> int:
    """How often a device's carrier came and went since it was made (IFLA_CARRIER_CHANGES)."""
    found = json.loads(namespace.ip(f"-j -d -s -s link show dev {device}"))
    return int(found[0].get("carrier_changes", 0))


def received(namespace: Namespace, device: str) -> int:
    """How many packets a device has received since it was made."""
    found = json.loads(namespace.ip(f"-j -s link show dev {device}"))
    return int(found[0]["stats64"]["rx"]["packets"])


def namespace_inode(name: str) -> int:
    """The inode number of a named namespace: another one while it lives means another namespace."""
    return (NAMED / name).stat().st_ino
