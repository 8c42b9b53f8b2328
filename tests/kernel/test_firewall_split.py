"""Our chains in both packet filters, after the administrator changed over: said, and cleaned."""

from __future__ import annotations

import json

import pytest

from tests.world import Host

MANIFEST = """\
apiVersion: reconciler/v1
kind: Bridge
metadata: {name: web}
spec: {addresses: [10.20.0.1/24]}
---
apiVersion: reconciler/v1
kind: Container
metadata: {name: web1}
spec: {bridge: web, publish: ["8080:80"]}
"""


@pytest.fixture
def split(host: Host) -> Host:
    """A host that uses the legacy backend, with a copy of our rules left in nft."""
    for program in ("iptables", "ip6tables"):
        # In the sandbox /etc is private, and so are the alternatives.
        host.run("update-alternatives", "--set", program, f"/usr/sbin/{program}-legacy")
    host.run("iptables-legacy", "-A", "INPUT", "-p", "tcp", "--dport", "9", "-j", "ACCEPT")
    host.manifests.write("web.yaml", MANIFEST)
    assert host.reconciler("apply", host.manifests).code == 0
    host.run("iptables-nft-restore", stdin=host.run("iptables-legacy-save").stdout)
    host.run("iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "7", "-j", "ACCEPT")
    return host


def chains(host: Host, backend: str) -> int:
    return host.run(f"iptables-{backend}-save").stdout.count(":RC-")


def test_chains_in_both_backends_are_reported_and_left_alone(split: Host):
    found = split.reconciler("diff", split.manifests, "-o", "json")

    assert found.code == 0
    (warning,) = json.loads(found.stdout)["warnings"]
    assert "nft tables of IPv4" in warning["message"]
    assert chains(split, "nft") > 0


def test_on_request_the_other_backend_is_cleaned_of_ours_and_of_nothing_else(split: Host):
    applied = split.reconciler("apply", "--clean-backend", split.manifests)

    assert applied.code == 0, applied.stderr
    assert chains(split, "nft") == 0
    assert chains(split, "legacy") > 0
    assert "--dport 7 -j ACCEPT" in split.run("iptables-nft-save").stdout
    assert split.reconciler("diff", split.manifests).stderr == ""


def test_a_teardown_cleans_both(split: Host):
    assert split.reconciler("teardown").code == 0

    assert chains(split, "nft") == chains(split, "legacy") == 0
    assert "--dport 9 -j ACCEPT" in split.run("iptables-legacy-save").stdout
