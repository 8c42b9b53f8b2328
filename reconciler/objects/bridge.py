"""Bridge device: a switch in the kernel (linux/if_bridge.h, bridge(8)).

- Ours after a restart: its alias names set and resource; its group (set in the creating request,
  which ignores the alias) says "ours, this set" in the moment between the two.
- Requires its namespace. Its ports survive it and lose their master.
- The kernel derives the address from the ports unless one was set, so we always set one.
- Nothing is fixed. Times are centiseconds (USER_HZ), as in the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from reconciler.core.diff import Difference
from reconciler.core.object import Key, Mark
from reconciler.formats.link import BridgeAttributes, LinkMessage
from reconciler.formats.link_request import LinkSettings, create_bridge, set_link
from reconciler.formats.netlink import Request
from reconciler.objects.keys import device_key, netns_needs


@dataclass(frozen=True, slots=True)
class BridgeDevice:
    """A bridge; with `external` it is somebody else's and only has to be there."""

    netns: str
    name: str
    mtu: int | None = None
    up: bool | None = None
    mac: str | None = None
    stp: bool | None = None
    forward_delay: int | None = None
    """Centiseconds."""
    ageing_time: int | None = None
    """Centiseconds."""
    nf_call_iptables: bool | None = None
    """Does what passes between its ports pass iptables (br_netfilter)."""
    nf_call_ip6tables: bool | None = None
    external: bool = False

    mark: ClassVar[Mark] = Mark.WORDS
    compared: ClassVar[tuple[str, ...]] = (
        "mtu",
        "up",
        "mac",
        "stp",
        "forward_delay",
        "ageing_time",
        "nf_call_iptables",
        "nf_call_ip6tables",
    )
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    parents: ClassVar[tuple[Key, ...]] = ()

    @property
    def key(self) -> Key:
        """``device/NAME``."""
        return device_key(self.netns, self.name)

    @property
    def requires(self) -> tuple[Key, ...]:
        """Its namespace."""
        return netns_needs(self.netns)


def parse_bridge(netns: str, link: LinkMessage) -> BridgeDevice:
    """Read a bridge out of its link message."""
    attributes = link.bridge or BridgeAttributes()
    return BridgeDevice(
        netns,
        link.name,
        mtu=link.mtu,
        up=link.up,
        mac=link.mac,
        stp=bool(attributes.stp_state),
        forward_delay=attributes.forward_delay,
        ageing_time=attributes.ageing_time,
        # A kernel without br_netfilter does not speak of it, and never does it.
        nf_call_iptables=bool(attributes.nf_call_iptables),
        nf_call_ip6tables=bool(attributes.nf_call_ip6tables),
    )


def render_bridge(bridge: BridgeDevice, group: int) -> Request:
    """Make it in one request, complete but for its alias."""
    settings = LinkSettings(
        name=bridge.name, up=bridge.up, mtu=bridge.mtu, mac=bridge.mac, group=group
    )
    # Off is what a new bridge has; a kernel without br_netfilter would refuse to hear of it.
    attributes = _attributes(
        stp=bridge.stp,
        forward_delay=bridge.forward_delay,
        ageing_time=bridge.ageing_time,
        nf_call_iptables=bridge.nf_call_iptables or None,
        nf_call_ip6tables=bridge.nf_call_ip6tables or None,
    )
    return create_bridge(settings, attributes)


def render_bridge_changes(ifindex: int, differences: Iterable[Difference]) -> list[Request]:
    """Write the fields that differ: what only a bridge has, then what every device has.

    So STP is off before the bridge comes up: else every port would be listening and learning first,
    for twice the forward delay, and stay so although STP goes off (br_make_forwarding, Linux 6.18).
    """
    fields = {d.field: d.after for d in differences}
    own = {name: fields.pop(name) for name in list(fields) if name in _OWN}
    requests = []
    if own.get("stp") is False and len(own) > 1:
        # Of one request the kernel takes the delay first, and while STP is on it takes none below
        # 2 s (ERANGE; br_changelink in net/bridge/br_netlink.c).
        requests.append(set_link(ifindex, bridge=_attributes(stp=False)))
        del own["stp"]
    if own:
        requests.append(set_link(ifindex, bridge=_attributes(**own)))  # type: ignore[arg-type]
    if fields:
        requests.append(set_link(ifindex, LinkSettings(**fields)))  # type: ignore[arg-type]
    return requests


_OWN = frozenset({"stp", "forward_delay", "ageing_time", "nf_call_iptables", "nf_call_ip6tables"})


def _attributes(
    stp: bool | None = None,
    forward_delay: int | None = None,
    ageing_time: int | None = None,
    nf_call_iptables: bool | None = None,
    nf_call_ip6tables: bool | None = None,
) -> BridgeAttributes:
    return BridgeAttributes(
        stp_state=None if stp is None else int(stp),
        forward_delay=forward_delay,
        ageing_time=ageing_time,
        nf_call_iptables=None if nf_call_iptables is None else int(nf_call_iptables),
        nf_call_ip6tables=None if nf_call_ip6tables is None else int(nf_call_ip6tables),
    )
