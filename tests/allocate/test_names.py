"""Names that need no memory."""

from ipaddress import ip_interface

from hypothesis import given
from hypothesis import strategies as st

from reconciler.allocate.names import (
    DEVICE_NAME_MAX,
    device_name,
    mac_address,
    mac_from_address,
)

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(LABELS, LABELS)
def test_a_device_name_fits_the_kernel_and_depends_on_every_part(set_name: str, name: str):
    device = device_name(set_name, "Container", name, "eth0")

    assert len(device) <= DEVICE_NAME_MAX
    assert device == device_name(set_name, "Container", name, "eth0")
    others = {
        device_name(set_name + "x", "Container", name, "eth0"),
        device_name(set_name, "Link", name, "eth0"),
        device_name(set_name, "Container", name + "x", "eth0"),
        device_name(set_name, "Container", name, "eth1"),
    }
    assert len(others | {device}) == 5


@given(LABELS)
def test_a_mac_is_unicast_and_locally_administered(name: str):
    first = int(mac_address("default", "Bridge", name, "")[:2], 16)

    assert first & 0b11 == 0b10


def test_a_mac_of_an_ipv4_address_is_dockers():
    assert mac_from_address(ip_interface("172.17.0.2/16")) == "02:42:ac:11:00:02"
