"""Qdisc: how a device queues what it sends; ours is a token bucket that shapes it (tc-tbf(8)).

- Ours after a restart: its handle is 5c:. Who adds one without saying a handle gets 8001: or
  higher; who changes the rate of ours keeps the handle, so that this is drift, not a stranger's.
- Requires its device and dies with it. It stays when the device is renamed or goes down.
- The kernel keeps the burst as the time that it takes at the rate, in ticks of 64 ns, and the
  programs that set it count whole microseconds. So it is rounded to a grain, on both sides; rate
  and limit come back as they were written.
- Nothing is fixed: one of another kind is put away by ours in one request.

Every device has a qdisc; observed are the token buckets, and on pairs whatever somebody put there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from reconciler.core.object import Key, Mark
from reconciler.objects.keys import device_key

HANDLE = 0x5C << 16
"""``5c:``, major number in the upper half (linux/pkt_sched.h, TC_H_MAKE)."""
TBF = "tbf"
NOBODYS = frozenset({"", "noop", "noqueue"})
"""What a pair has where nobody put anything."""

BITS = 8  # in the byte that the kernel counts in
RATE_MIN, RATE_MAX = 1000 * BITS, (2**32 - 1) * BITS
"""Bits a second. Slower, and the burst would last longer than the kernel counts ticks (32 bits);
faster, and the number does not fit into `struct tc_ratespec`."""
ETH_HLEN = 14  # linux/if_ether.h: the kernel counts the header as well
LATENCY = 50_000
"""Microseconds that a packet waits at most before what comes behind it is dropped."""
BURST_TIME = 5_000
"""Microseconds of sending that may leave at once, so that a timer that is late loses nothing."""
BURST_MIN = 16 << 10
"""Bytes: ten frames of the usual size, however slow the rate."""
_SECOND = 1_000_000  # microseconds
_GRAIN_MIN = 1024


@dataclass(frozen=True, slots=True)
class Qdisc:
    """The root qdisc of *device*: of a token bucket the rate, of another kind only the kind."""

    netns: str
    device: str
    rate: int | None = None
    """Bits a second, headers of Ethernet included; a multiple of eight."""
    burst: int | None = None
    """Bytes that may leave at once, a multiple of the grain."""
    limit: int | None = None
    """Bytes that may wait."""
    kind: str = TBF

    mark: ClassVar[Mark] = Mark.INHERITED
    compared: ClassVar[tuple[str, ...]] = ("kind", "rate", "burst", "limit")
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    requires: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False

    @property
    def key(self) -> Key:
        """``qdisc/DEVICE``: a device has one root."""
        return Key("qdisc", self.netns, self.device)

    @property
    def parents(self) -> tuple[Key, ...]:
        """Its device."""
        return (device_key(self.netns, self.device),)


class QdiscMessage(NamedTuple):
    """What the kernel says of the root of a device; the numbers only of a token bucket."""

    ifindex: int
    kind: str
    handle: int = 0
    rate: int = 0
    """Bytes a second."""
    burst: int = 0
    """Bytes, as far as the time that the kernel keeps tells them."""
    limit: int = 0
    """Bytes."""


def token_bucket(netns: str, device: str, rate: int, mtu: int) -> Qdisc:
    """Make the bucket that shapes a device.

    Args:
        netns: Where.
        device: What.
        rate: Bits a second.
        mtu: Of the device. A frame larger than the burst would never be sent; what is larger
            because its sender leaves cutting to the device (GSO) is cut to the MTU first.
    """
    speed = rate // BITS
    grain = _grain(speed)
    least = max(BURST_MIN, mtu + ETH_HLEN + grain, speed * BURST_TIME // _SECOND)
    burst = -(-least // grain) * grain
    return Qdisc(netns, device, speed * BITS, burst, burst + speed * LATENCY // _SECOND)


def parse_qdisc(netns: str, device: str, message: QdiscMessage) -> Qdisc:
    """Read the root of a device out of what the kernel says of it."""
    if message.kind != TBF:
        return Qdisc(netns, device, kind=message.kind)
    grain = _grain(message.rate)
    burst = (message.burst + grain // 2) // grain * grain
    return Qdisc(netns, device, message.rate * BITS, burst, message.limit)


def _grain(speed: int) -> int:
    """To which power of two a burst is rounded: 1 KiB, or what leaves in 4 µs (bytes a second)."""
    return max(_GRAIN_MIN, 1 << (4 * speed // _SECOND).bit_length())
