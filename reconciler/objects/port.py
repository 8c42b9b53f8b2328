"""Port: a device of somebody else's that is plugged into a bridge of ours (`brctl addif`).

- Ours after a restart: the bridge has an alternative name ``rcport-DEVICE``. The device itself is not
  ours and carries nothing of ours; who plugs a device in by hand leaves no such name, so that it is
  not pulled out again.
- Requires its device, lives in its bridge. It comes and goes with the device.
- The kernel gives every port its settings; we compare none.
- Nothing is fixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from reconciler.core.object import Key, Mark
from reconciler.objects.keys import device_key

_PREFIX = "rcport-"


@dataclass(frozen=True, slots=True)
class Port:
    """The membership of *device* in the bridge *master*; "" where only our mark of it is left."""

    netns: str
    device: str
    master: str

    mark: ClassVar[Mark] = Mark.INHERITED
    compared: ClassVar[tuple[str, ...]] = ("master",)
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False

    @property
    def key(self) -> Key:
        """``port/DEVICE``: a device is a port of one bridge at most."""
        return Key("port", self.netns, self.device)

    @property
    def parents(self) -> tuple[Key, ...]:
        """Its bridge."""
        return (device_key(self.netns, self.master),) if self.master else ()

    @property
    def requires(self) -> tuple[Key, ...]:
        """Its device."""
        return (device_key(self.netns, self.device),)


def port_mark(device: str) -> str:
    """The alternative name of a bridge that says: we have plugged *device* in."""
    return f"{_PREFIX}{device}"


def marked_ports(altnames: Iterable[str]) -> list[str]:
    """Name the devices that we have plugged into a bridge with these alternative names."""
    return [name.removeprefix(_PREFIX) for name in altnames if name.startswith(_PREFIX)]


def find_ports(
    netns: str, masters: Mapping[str, str], marks: Mapping[str, Iterable[str]]
) -> Iterable[tuple[Port, str | None]]:
    """List all memberships, each with the bridge whose mark says that it is ours.

    Args:
        netns: Where.
        masters: Of every port the bridge it is in.
        marks: Of every bridge the devices that we have plugged in, according to its names.
    """
    marked = {device: bridge for bridge, devices in marks.items() for device in devices}
    for device, master in masters.items():
        yield Port(netns, device, master), master if marked.get(device) == master else None
    for device, bridge in marked.items():
        if device not in masters:
            yield Port(netns, device, ""), bridge
