"""Checks: declared expectations, read and their containers found."""

from ipaddress import ip_address

import pytest

from reconciler.kinds.check import Destination, parse_to
from tests.manifest.reading import catalog_of, heads_of, manifest

WEB1 = manifest("Container", "web1", "{network: none}")


@pytest.mark.parametrize(
    ("written", "destination"),
    [
        ("web1:80", Destination("web1", None, 80, "tcp")),
        ("web1:53/udp", Destination("web1", None, 53, "udp")),
        ("192.0.2.1:8080/sctp", Destination(None, ip_address("192.0.2.1"), 8080, "sctp")),
        ("[2001:db8::1]:80", Destination(None, ip_address("2001:db8::1"), 80, "tcp")),
        ("10.0.0.5", Destination(None, ip_address("10.0.0.5"))),
        ("2001:db8::1", Destination(None, ip_address("2001:db8::1"))),
    ],
)
def test_destinations(written, destination):
    assert parse_to(written) == destination
    assert parse_to(str(destination)) == destination


@pytest.mark.parametrize(
    ("spec", "head"),
    [
        ("{to: 'web1:80'}", "from: is required; for example from: outside"),
        ("{from: host}", "to: is required; for example to: web1:80/tcp"),
        ("{from: hots, to: 'web1:80'}", 'from: "hots" is not a place; did you mean "host"?'),
        ("{from: Container/web2, to: 'web1:80'}", 'from: there is no Container "web2"; did you mean "web1"?'),
        ("{from: Container/Web, to: 'web1:80'}", 'from: "Web" is not a name; use a DNS label: a-z, 0-9 and -, 63 characters at most, as "web"'),
        ("{from: host, to: 'web3:80'}", 'to: there is no Container "web3"; did you mean "web1"?'),
        ("{from: host, to: 'web1:80/icmp'}", 'to: "web1:80/icmp" is not a port of a place; write one as web1:80/tcp'),
        ("{from: host, to: 'web1:0'}", 'to: "web1:0" is not a port of a place; write one as web1:80/tcp'),
        ("{from: host, to: web1}", 'to: "web1" is not an address; write one as 10.0.0.5'),
        ("{from: host, to: 10.0.0.5, expect: opened}", 'expect: "opened" is not known; did you mean "open"?'),
        ("{from: host, to: 10.0.0.5, timeout: 301}", "timeout: 301 is not a number of seconds from 0.1 to 300"),
    ],
)  # fmt: skip
def test_what_is_refused(spec, head):
    assert heads_of(WEB1, manifest("Check", "k", spec)) == [f"Check/k: spec.{head}"]


def test_the_defaults():
    spec = (
        catalog_of(manifest("Check", "k", "{from: host, to: 10.0.0.5}")).resources["Check/k"].spec
    )

    assert (spec.origin, spec.expect, spec.timeout) == ("host", "open", 3.0)
