"""Inert fields: what is asked for and does not happen yet is said."""

import pytest

from reconciler.kinds import KINDS
from reconciler.kinds.inert import INERT, Inert, inert_fields
from tests.manifest.reading import catalog_of, manifest

MODELS = {kind.name: kind.model for kind in KINDS}


def warnings(*documents):
    return [f"{p.resource}: {p.field}" for p in inert_fields(catalog_of(*documents))]


def bridge(fields):
    return manifest("Bridge", "web", f"{{addresses: [10.0.0.1/24]{fields}}}")


@pytest.mark.parametrize("inert", INERT, ids=lambda inert: f"{inert.kind}.{inert.field}")
def test_the_list_names_fields_that_exist(inert):
    assert inert.field in MODELS[inert.kind].model_fields


def test_what_is_not_written_is_no_reason_to_warn():
    assert warnings(bridge(""), manifest("Container", "c", "{bridge: web}")) == []


def test_an_inert_field_is_reported_where_it_is_written():
    closed = Inert("Bridge", "icc", "no walls are built", lambda value: value is False)
    elsewhere = Inert("Container", "hostname", "no names are given")

    (problem,) = inert_fields(catalog_of(bridge(", icc: false")), [closed, elsewhere])

    assert problem.render() == (
        "web.yaml:4:39: Bridge/web: spec.icc: has no effect yet: no walls are built\n"
        "spec: {addresses: [10.0.0.1/24], icc: false}\n"
        "                                      ^~~~~"
    )
    assert inert_fields(catalog_of(bridge(", icc: true")), [closed]) == ()


def test_a_value_that_is_so_anyway_is_no_reason_to_warn():
    assert warnings(bridge(", icc: true, internal: false, hairpin: false, iptables: false")) == []


def test_every_line_of_the_list_can_be_hit():
    documents = [
        bridge(
            ", icc: false, internal: true, masquerade: true, mode: routed, bindAddress: 192.0.2.1, hairpin: true, "
            "dns: [9.9.9.9], dnsSearch: [a], dnsOptions: [b], ports: [eth1]"
        ),
        manifest("Container", "a", "{bridge: web}"),
        manifest(
            "Container",
            "c",
            "{bridge: web, expose: [80], publish: [80], publishAll: true, links: [a], hostname: h, domainname: d, "
            "dns: [9.9.9.9], dnsSearch: [a], dnsOptions: [b], extraHosts: {x: 10.0.0.9}, runtime: docker, image: i, "
            "command: [c], env: {A: b}, volumes: [/v], restart: always, user: u}",
        ),
        manifest(
            "Link", "l", "{endpoints: [{container: a, interface: x}, {host: true}], rate: 10mbit}"
        ),
        manifest("Check", "k", "{from: host, to: 10.0.0.5}"),
    ]

    expected = {(i.kind, str(MODELS[i.kind].model_fields[i.field].alias)) for i in INERT}
    found = {tuple(w.replace("spec.", "").split(": ")) for w in warnings(*documents)}
    assert {(r.partition("/")[0], field) for r, field in found} == expected
