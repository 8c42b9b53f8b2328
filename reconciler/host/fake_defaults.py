"""What the kernel fills in where a plan says nothing: the defaults that `FakeHost` gives.

Read from a new bridge and a new veth pair with `ip -d link` (Linux 6.18.44).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.core.object import KernelObject
from reconciler.objects import BridgeDevice, Namespace, Route, Veth

_DEFAULTS: dict[type, dict[str, Any]] = {
    Namespace: {"loopback": False},
    BridgeDevice: {
        "mtu": 1500,
        "up": False,
        "mac": "02:00:00:00:00:01",
        "stp": False,
        "forward_delay": 1500,
        "ageing_time": 30000,
        "nf_call_iptables": False,
        "nf_call_ip6tables": False,
    },
    Veth: {
        "mtu": 1500,
        "peer_mtu": 1500,
        "up": False,
        "peer_up": False,
        "mac": "02:00:00:00:00:02",
        "peer_mac": "02:00:00:00:00:03",
        "master": "",
        "peer_master": "",
        "hairpin": False,
        "isolated": False,
    },
    Route: {"direct": False},
}


def complete(item: KernelObject) -> KernelObject:
    """Give the item with the kernel's defaults for what it leaves open."""
    defaults = _DEFAULTS.get(type(item), {})
    missing = {name: value for name, value in defaults.items() if getattr(item, name) is None}
    return replace(item, **missing) if missing else item  # type: ignore[type-var]
