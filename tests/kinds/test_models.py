"""Every field of every kind: described, with examples that are valid, and with values that are not.

The tests go over the models, so that a field without an example, or without a refused value in the
table here, fails.
"""

import json
from typing import get_args

import pytest
import yaml

from reconciler.kinds import KINDS, Bridge, Check, Container, Link
from reconciler.kinds.bridge import Modes
from reconciler.kinds.interface import InterfaceSpec, Route
from reconciler.kinds.link import Endpoint
from reconciler.manifest.model import Model
from reconciler.manifest.resource import Envelope, Metadata
from tests.manifest.reading import problems_of

ENGINE = {"runtime": "docker", "image": "nginx", "bridge": "web"}
NETNS = {"bridge": "web"}
ENDS = [{"container": "a", "interface": "x"}, {"container": "b", "interface": "y"}]

# What a spec needs so that one field can be written alone, where that is not the kind's default.
AROUND = {
    Bridge: {"addresses": ["10.0.0.1/24", "fd00:10::1/64"]},
    Container: {},
    Link: {"endpoints": ENDS},
    Check: {"from": "outside", "to": "10.0.0.5"},
}
INSTEAD = {  # fields that exclude what is around them
    (Container, "interfaces"): {},
    (Container, "network"): {},
    **{(Container, f): ENGINE for f in ("image", "command", "env", "volumes", "restart", "user")},
}
REFUSED = {
    Bridge: {
        "device": "a/b", "external": "yes", "addresses": ["10.0.0.0/24"], "ipRange": "10.0.0.5/25",
        "reserved": ["x"], "mtu": 67, "icc": "on", "masquerade": 1, "internal": "no", "mode": "isolated",
        "iptables": [], "ipForward": "True!", "bindAddress": "eth0", "dns": ["dns.example"],
        "dnsSearch": ["a b"], "dnsOptions": ["a b"], "ports": ["sixteen-letters."], "stp": "off",
        "forwardDelay": 31, "ageingTime": -1, "hairpin": "y",
    },
    Container: {
        "runtime": "lxc", "target": "", "network": "bridged", "bridge": "Web", "interfaces": [{}],
        "addresses": ["10.0.0.300"], "mac": "01:00:00:00:00:01", "hostname": "a_b!", "domainname": "a..b",
        "dns": "9.9.9.9", "dnsSearch": [""], "dnsOptions": [" "], "extraHosts": ["db"], "expose": [0],
        "publish": ["80:http"], "publishAll": "true!", "links": [":"], "routes": [{"via": "10.0.0.9"}],
        "sysctls": {"kernel.hostname": 1}, "image": "a b", "command": "'", "env": ["A"],
        "volumes": ["relative"], "restart": "sometimes", "user": "",
    },
    Link: {"endpoints": [], "mtu": 70_000, "rate": "fast"},
    Check: {"from": "inside", "to": "web1:99999", "expect": "shut", "timeout": 0},
    Modes: {"ipv4": "bridge", "ipv6": None},
    InterfaceSpec: {
        "name": "eth 0", "bridge": "", "addresses": ["10.0.0.5/33"], "mac": "00:00:00:00:00:00", "mtu": 1.5,
        "gateway": "yes",
    },
    Route: {"to": "10.0.0.1/24", "via": "10.0.0.1/24", "metric": -1},
    Endpoint: {
        "container": ".", "host": "here", "interface": "..", "addresses": ["10.0.0.1"], "mac": "1:2:3:4:5:6",
        "mtu": "big", "routes": [{"to": "everywhere"}],
    },
    Metadata: {"name": "-", "labels": [], "annotations": {"reconciler/x": "y"}},
    Envelope: {"apiVersion": "v1", "kind": 1.5, "metadata": {}, "spec": []},
}  # fmt: skip


def models(model):
    """A model and all that its fields are made of."""
    yield model
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            yield from models(part)


def _parts(annotation):
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


ALL = [*list(dict.fromkeys(m for kind in KINDS for m in models(kind.model))), Metadata, Envelope]
FIELDS = [(m, str(f.alias), f) for m in ALL for f in m.model_fields.values()]
SPEC_FIELDS = [(kind, alias, f) for kind in KINDS for m, alias, f in FIELDS if m is kind.model]


def as_manifest(kind, spec):
    document = {
        "apiVersion": "reconciler/v1",
        "kind": kind,
        "metadata": {"name": "one"},
        "spec": spec,
    }
    return yaml.safe_dump(document, sort_keys=False)


def test_the_table_of_refused_values_names_every_field_and_no_other():
    known = {(model, alias) for model, alias, _ in FIELDS}

    assert {(model, alias) for model, row in REFUSED.items() for alias in row} == known


@pytest.mark.parametrize(
    ("model", "alias", "field"), FIELDS, ids=lambda x: getattr(x, "__name__", None)
)
def test_every_field_is_described_and_has_an_example(model, alias, field):
    assert field.description, f"{model.__name__}.{alias}"
    assert field.description.endswith("."), f"{model.__name__}.{alias}"
    assert field.examples, f"{model.__name__}.{alias}"


@pytest.mark.parametrize(
    ("kind", "alias", "field"), SPEC_FIELDS, ids=lambda x: getattr(x, "name", None)
)
def test_every_example_is_valid(kind, alias, field):
    for example in field.examples:
        around = INSTEAD.get((kind.model, alias), AROUND[kind.model])
        spec = kind.model.model_validate(
            loaded({**around, alias: example}), context={"name": "one"}
        )

        assert not [f.message for f in kind.check_spec(spec) if f.location[:1] == (alias,)]
        assert spec.is_written(
            next(n for n, f in kind.model.model_fields.items() if f.alias == alias)
        )


@pytest.mark.parametrize(
    ("model", "alias", "field"),
    [row for row in FIELDS if row[0] not in {k.model for k in KINDS}],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_every_example_of_a_part_is_valid(model, alias, field):
    required = {str(f.alias): f.examples[0] for f in model.model_fields.values() if f.is_required()}
    for example in field.examples:
        model.model_validate(loaded({**required, alias: example}))


def loaded(value):
    """A value as it comes out of a YAML file."""
    from reconciler.manifest.document import read_file
    from reconciler.manifest.source_text import ManifestFile

    (document,) = read_file(ManifestFile("x", yaml.safe_dump(value).encode())).documents
    return document.value


@pytest.mark.parametrize(
    ("model", "alias", "value"),
    [(m, a, v) for m, row in REFUSED.items() for a, v in row.items() if v is not None],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_every_field_refuses_what_is_wrong_in_our_words(model, alias, value):
    from pydantic import ValidationError

    from reconciler.manifest.messages import findings_of

    required = {str(f.alias): f.examples[0] for f in model.model_fields.values() if f.is_required()}
    spec = loaded({**required, alias: value})
    if (model, alias) == (Link, "endpoints"):
        return  # the number of ends is a rule between fields; see test_link.py
    if (model, alias) == (Envelope, "kind"):
        return  # which kinds there are is known to the list of kinds; see test_resource.py

    with pytest.raises(ValidationError) as error:
        model.model_validate(spec, context={"name": "one"})

    findings = list(findings_of(error.value, model))
    assert [finding.location[0] for finding in findings] == [alias]
    for finding in findings:
        assert finding.message
        for foreign in (
            "Input should",
            "Value error",
            "Extra inputs",
            "valid string",
            "instance of",
        ):
            assert foreign not in finding.message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_describes_itself_as_json_schema(kind):
    schema = kind.model.model_json_schema()

    assert set(schema["properties"]) == {str(f.alias) for f in kind.model.model_fields.values()}
    assert schema["additionalProperties"] is False
    json.dumps(schema)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_values_are_frozen_and_can_be_dumped(kind):
    spec = kind.model.model_validate(AROUND[kind.model], context={"name": "one"})

    json.dumps(spec.model_dump(mode="json", by_alias=True))
    with pytest.raises(ValueError, match="frozen"):
        setattr(spec, next(iter(kind.model.model_fields)), None)


def test_what_the_helpers_of_this_file_write_is_read():
    assert not problems_of(as_manifest("Bridge", AROUND[Bridge]))
