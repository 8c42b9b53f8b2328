"""Fixtures: namespaces to try messages in."""

import os
from ipaddress import ip_interface

import pytest

from reconciler.formats.address import add_address
from reconciler.host.named_namespaces import make_namespace
from reconciler.host.namespaces import open_namespace, open_socket_in
from reconciler.host.netlink_socket import NetlinkSocket
from tests.formats.kernel import do, make_bridge


@pytest.fixture
def nl(host):
    with NetlinkSocket() as sock:
        yield sock


@pytest.fixture
def blue(host):
    """Another namespace: its descriptor and a socket in it."""
    make_namespace("blue", lambda: None, mark="test")
    fd = open_namespace("blue")
    with NetlinkSocket(open_socket_in(fd)) as sock:
        yield fd, sock
    os.close(fd)


@pytest.fixture
def routed(nl):
    """A bridge with addresses, on which routes can be tried."""
    bridge = make_bridge(nl)
    do(nl, add_address(bridge, ip_interface("10.0.0.2/24")))
    do(nl, add_address(bridge, ip_interface("fd00::2/64")))
    return nl
