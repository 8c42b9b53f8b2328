"""Manifests as text: the few words that the tests of this folder put together."""

from __future__ import annotations

SUBNET = "addresses: [10.1.0.1/24]"
DUAL = 'addresses: [10.1.0.1/24, "fd00:1::1/64"]'


def resource(kind: str, name: str, spec: str) -> str:
    """One document; the spec in YAML's flow style, without its braces."""
    head = f"apiVersion: reconciler/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"
    return f"---\n{head}spec: {{{spec}}}\n"


def bridge(spec: str = SUBNET, name: str = "br0") -> str:
    """A Bridge; the others' default."""
    return resource("Bridge", name, spec)


def container(spec: str = "bridge: br0", name: str = "c1") -> str:
    """A Container, on br0 unless the spec says otherwise."""
    return resource("Container", name, spec)


def link(one: str, other: str, more: str = "", name: str = "cable") -> str:
    """A Link between two ends, each a flow mapping without its braces."""
    return resource("Link", name, f"endpoints: [{{{one}}}, {{{other}}}]{more and ', '}{more}")
