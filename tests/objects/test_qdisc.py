"""Token buckets: their numbers, and what is left of them after the kernel's rounding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.objects.keys import device_key
from reconciler.objects.qdisc import (
    HANDLE,
    RATE_MAX,
    RATE_MIN,
    TBF,
    Qdisc,
    QdiscMessage,
    parse_qdisc,
    token_bucket,
)

RATES = st.integers(RATE_MIN, RATE_MAX)  # bits a second
MTUS = st.integers(68, 65_535)


def kept(qdisc: Qdisc, rounded: int) -> int:
    """The burst that the kernel keeps of what it was told: as ticks of 64 ns, and before that
    (`rounded`) what iproute2 and pyroute2 make of it, whole microseconds or nothing."""
    assert qdisc.burst is not None
    assert qdisc.rate is not None
    speed = qdisc.rate // 8  # bytes a second
    nanoseconds = qdisc.burst * 1_000_000_000 // speed
    ticks = nanoseconds // rounded * rounded // 64
    assert ticks < 2**32
    return round(ticks * 64 * speed / 1_000_000_000)


@given(RATES, MTUS, st.sampled_from([1, 1000]))
def test_what_the_kernel_keeps_of_a_bucket_reads_as_what_was_wanted(rate, mtu, rounded):
    wanted = token_bucket("web1", "eth0", rate, mtu)

    message = QdiscMessage(7, TBF, HANDLE, rate // 8, kept(wanted, rounded), wanted.limit)

    assert parse_qdisc("web1", "eth0", message) == wanted


@given(RATES, MTUS)
def test_a_frame_of_full_size_fits_into_what_is_kept_of_the_burst(rate, mtu):
    assert kept(token_bucket("", "eth0", rate, mtu), 1000) >= mtu + 14


@given(RATES, MTUS)
def test_what_waits_is_gone_after_a_moment_at_the_rate(rate, mtu):
    bucket = token_bucket("", "eth0", rate, mtu)

    assert (bucket.limit - bucket.burst) / (rate // 8) <= 0.05
    assert bucket.limit < 2**32


@pytest.mark.parametrize(
    ("rate", "mtu", "burst"),
    [
        (10_000_000, 1500, 16 << 10),
        (100_000_000, 1500, 62 << 10),
        (8000, 9000, 16 << 10),
        (8000, 65_535, 66 << 10),
    ],
)
def test_the_burst_follows_the_rate_and_the_mtu(rate, mtu, burst):
    assert token_bucket("", "eth0", rate, mtu).burst == burst


def test_of_another_kind_only_the_kind_is_known():
    assert parse_qdisc("a", "b", QdiscMessage(7, "netem")) == Qdisc("a", "b", kind="netem")


def test_a_bucket_lives_in_its_device():
    bucket = token_bucket("web1", "eth0", 8000, 1500)

    assert str(bucket.key) == "qdisc/web1:eth0"
    assert bucket.parents == (device_key("web1", "eth0"),)
