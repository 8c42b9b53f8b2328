"""The JSON Schema: what the loader accepts it accepts, and what is misspelt or of a wrong type not."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from reconciler.kinds import KINDS, Bridge, Check, Container, Link
from reconciler.kinds.docker_names import DOCKER_NAMES
from reconciler.kinds.inert import INERT
from reconciler.kinds.schema import DIALECT, kind_schema, manifest_schema
from reconciler.manifest.document import read_file
from reconciler.manifest.parse import parse_document
from reconciler.manifest.resource import Envelope, Metadata
from reconciler.manifest.scalar import Boolean, Float, Integer
from reconciler.manifest.source_text import ManifestFile
from tests.kinds.test_models import AROUND, ENDS, ENGINE, FIELDS, INSTEAD, REFUSED, SPEC_FIELDS
from tests.manifest.reading import manifest

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {kind.name: kind for kind in KINDS}
WHOLE = Draft202012Validator(manifest_schema())
SINGLE = {kind.name: Draft202012Validator(kind_schema(kind)) for kind in KINDS}


def as_manifest(kind, spec, **metadata):
    return {
        "apiVersion": "reconciler/v1",
        "kind": kind,
        "metadata": {"name": "one", **metadata},
        "spec": spec,
    }


def schema_accepts(document):
    """What both schemas say; they must agree."""
    whole = WHOLE.is_valid(document)
    assert SINGLE[document["kind"]].is_valid(document) is whole
    return whole


def loader_accepts(document):
    """Whether each field for itself is right; rules between fields are left out."""
    reading = read_file(ManifestFile("x.json", json.dumps(document).encode()))
    (read,) = reading.documents
    if reading.problems:
        return False
    try:
        Envelope.model_validate(read.value)
        BY_NAME[document["kind"]].model.model_validate(
            read.value.get("spec") or {}, context={"name": "one"}
        )
    except ValidationError:
        return False
    return True


def plain(value):
    """A value read from YAML as JSON has it, which is what a validator of YAML is given."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.value if isinstance(value, Boolean | Integer | Float) else value


@pytest.mark.parametrize(
    "schema", [manifest_schema(), *map(kind_schema, KINDS)], ids=lambda s: s["title"]
)
def test_it_is_a_schema_of_the_dialect_that_it_names(schema):
    Draft202012Validator.check_schema(schema)

    assert schema["$schema"] == DIALECT == Draft202012Validator.META_SCHEMA["$id"]
    assert "$id" not in schema


@pytest.mark.parametrize(
    "schema", [manifest_schema(), *map(kind_schema, KINDS)], ids=lambda s: s["title"]
)
def test_every_mapping_of_fields_is_closed_and_every_field_described(schema):
    def walk(part):
        if isinstance(part, list):
            for item in part:
                walk(item)
        if not isinstance(part, dict):
            return
        if "properties" in part and "if" not in part and part.get("type"):
            assert "additionalProperties" in part
            for name, field in part["properties"].items():
                assert field.get("description") or "$ref" in field, name
        for key, item in part.items():
            if key not in {"if", "then", "examples", "default"}:
                walk(item)

    walk(schema)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_schema_of_a_kind_has_no_definition_that_it_does_not_need(kind):
    schema = kind_schema(kind)
    text = json.dumps(schema)

    assert kind.name in schema["$defs"]
    for name in schema["$defs"]:
        assert f'"#/$defs/{name}"' in text


# ------------------------------------------------------------------------------ whole manifests


def documents_of(path, data):
    reading = read_file(ManifestFile(path, data))
    for document in reading.documents:
        if document.sound and not (parsed := parse_document(reading, document, BY_NAME)).findings:
            assert parsed.resource
            yield plain(document.value)


def texts_in(source):
    """The manifests that a test holds as text."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "apiVersion:" in node.value
        ):
            yield node.value.encode()
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "manifest"
            and not node.keywords
        ):
            words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if len(words) == len(node.args):
                yield manifest(*words).encode()


EXAMPLES = sorted(
    p for p in (ROOT / "manifests").rglob("*") if p.suffix in {".yaml", ".yml", ".json"}
)
IN_TESTS = sorted(
    p
    for p in (ROOT / "tests").rglob("*")
    if p.suffix in {".yaml", ".yml", ".json", ".py"} and p.is_file()
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_every_example_is_accepted(path):
    documents = list(documents_of(path.name, path.read_bytes()))

    assert documents
    for document in documents:
        assert [error.message for error in WHOLE.iter_errors(document)] == []
        assert schema_accepts(document)


def test_every_valid_manifest_in_the_tests_is_accepted():
    seen = 0
    for path in IN_TESTS:
        data = path.read_bytes()
        for text in texts_in(data.decode()) if path.suffix == ".py" else [data]:
            for document in documents_of(path.name, text):
                assert [error.message for error in WHOLE.iter_errors(document)] == [], path
                seen += 1

    assert seen


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_manifest_needs_its_form(kind):
    document = as_manifest(kind.name, AROUND[kind.model])

    assert schema_accepts(document)
    for broken in (
        {**document, "apiVersion": "v1"},
        {**document, "metadata": {}},
        {**document, "metadata": {"name": "One"}},
        {**document, "metadata": {"name": "one", "label": {}}},
        {**document, "spce": {}},
        {**document, "spec": []},
        {key: item for key, item in document.items() if key != "metadata"},
    ):
        assert not schema_accepts(broken)
        assert not loader_accepts(broken)
    assert not WHOLE.is_valid({**document, "kind": "Brigde"})
    assert not SINGLE[kind.name].is_valid({**document, "kind": "Brigde"})


@pytest.mark.parametrize(
    ("kind", "needed"), [("Bridge", False), ("Container", False), ("Link", True), ("Check", True)]
)
def test_a_spec_all_of_whose_fields_have_defaults_can_be_left_out(kind, needed):
    document = as_manifest(kind, None)

    assert schema_accepts(document) is not needed
    del document["spec"]
    assert schema_accepts(document) is not needed


# ------------------------------------------------------------------------------ field by field


def spec_with(kind, alias, value):
    return as_manifest(
        kind.name, {**INSTEAD.get((kind.model, alias), AROUND[kind.model]), alias: value}
    )


def part_with(model, alias, value):
    """A manifest around a value of a model that is not a kind's own."""
    required = {str(f.alias): f.examples[0] for f in model.model_fields.values() if f.is_required()}
    part = {**required, alias: value}
    match model.__name__:
        case "Modes":
            return as_manifest("Bridge", {**AROUND[Bridge], "mode": part})
        case "InterfaceSpec":
            return as_manifest("Container", {"interfaces": [part]})
        case "Route":
            return as_manifest("Container", {"bridge": "web", "routes": [part]})
        case "Endpoint":
            return as_manifest("Link", {"endpoints": [part, ENDS[1]]})
        case "Metadata":
            return {**as_manifest("Bridge", AROUND[Bridge]), "metadata": part}
        case "Envelope":
            return {**as_manifest("Bridge", AROUND[Bridge]), alias: value}
    raise LookupError(model.__name__)


KIND_OF = {kind.model: kind for kind in KINDS}


def document_with(model, alias, value):
    return (
        spec_with(KIND_OF[model], alias, value)
        if model in KIND_OF
        else part_with(model, alias, value)
    )


LAXER = {
    (Bridge, "addresses"): "that it is a network's own address",
    (Bridge, "ipRange"): "that host bits are set",
    (Container, "addresses"): "that a byte of an address is above 255",
    (Container, "command"): "that a quotation is not closed",
    (Link, "endpoints"): "that there are not two",
    (Check, "to"): "that a port is above 65535",
    ("InterfaceSpec", "addresses"): "that the prefix length is above 32",
    ("Route", "to"): "that host bits are set",
}
"""What of the table of refused values the schema cannot know."""

REFUSALS = [
    (m, a, v) for m, row in REFUSED.items() for a, v in row.items() if (m, a) != (Envelope, "kind")
]


def lax(model, alias):
    return (model, alias) in LAXER or (model.__name__, alias) in LAXER


def test_the_list_of_what_the_schema_cannot_know_names_fields_of_the_table():
    known = {(m, a) for m, a, _ in REFUSALS} | {(m.__name__, a) for m, a, _ in REFUSALS}

    assert set(LAXER) <= known


@pytest.mark.parametrize(
    ("model", "alias", "value"), REFUSALS, ids=lambda x: getattr(x, "__name__", None)
)
def test_what_the_models_refuse_the_schema_refuses(model, alias, value):
    if value is None:
        return  # an empty field is one that is not written
    assert schema_accepts(document_with(model, alias, value)) is lax(model, alias)


@pytest.mark.parametrize(
    ("model", "alias", "field"), FIELDS, ids=lambda x: getattr(x, "__name__", None)
)
def test_every_example_of_a_field_is_accepted(model, alias, field):
    for example in field.examples:
        if (model, alias, example) != (Envelope, "spec", {}):
            assert schema_accepts(document_with(model, alias, example))


@pytest.mark.parametrize(
    ("model", "alias", "field"), FIELDS, ids=lambda x: getattr(x, "__name__", None)
)
def test_a_field_that_is_written_but_empty_counts_as_not_written(model, alias, field):
    if (model, alias) == (Envelope, "kind"):
        return  # without it there is no kind whose schema could be asked
    document = document_with(model, alias, None)

    assert schema_accepts(document) is loader_accepts(document) is not field.is_required()


@pytest.mark.parametrize(
    ("model", "alias", "field"), FIELDS, ids=lambda x: getattr(x, "__name__", None)
)
def test_a_misspelt_field_is_refused(model, alias, field):
    if (model, alias) == (Envelope, "kind"):
        return
    document = document_with(model, f"{alias}x", field.examples[0])

    assert not schema_accepts(document)
    assert not loader_accepts(document)


# What YAML and JSON can hold, against every field: the schema may be laxer, never stricter.
POOL = [
    True, False, 0, 1, -1, 2, 8, 31, 64, 68, 80, 1500, 65535, 65536, 2**32, 0.5, 1.5, 1e-5, 1e30, -0.0,
    "", " ", ".", "..", "-", "a", "x.y", "a b", "a\nb", "ä", "A-B", "_a", "a.", "auto", "default", "host", "none",
    "container:web", "container:", "true", "yes", "80", "1.10", "0x10", "1e3", "10mbit", "1.5Gibps", "1 mbit",
    "10.0.0.5", "10.0.0.5/24", "::", "::1", "fd00::5/64", "1.2.3.4.5", "10.0.0.0/8", "fe80::1%eth0", "::ffff:1.2.3.4",
    "02:42:0a:00:00:05", "02-42-0A-00-00-05", "8080:80", ":80", "::80", "127.0.0.1:8080:80/UDP", "[::1]:8080:80",
    "[::1]::80-82/sctp", "80-82:90-92", "80/icmp", "db:10.0.0.9", "db:host-gateway", "db:[fd00::1]", "db:fd00::1",
    "db:alias", "A=b", "A=b\nc", "A", "/srv", "/a:/b:ro", "vol:/b", "a:b", "on-failure:3", "web1:80/tcp",
    "192.0.2.1:80", "[::1]:53/udp", "Container/web1", "outside", "closed", "reconciler/v1", "nat", "docker",
    [], {}, [1], [True], ["a"], ["10.0.0.5"], ["10.0.0.5", "fd00::5"], ["10.0.0.1/24"], ["auto"], [80, "81/udp"],
    [[]], [{}], [None], ["db:10.0.0.9"], ["A=b"], ["/a:/b"], ["db"], ["8080:80"], [1.5],
    [{"containerPort": 80}], [{"containerPort": "80-81", "hostPort": None, "hostIP": "", "protocol": "TCP"}],
    [{"hostPort": 80}], [{"containerPort": 80, "hostIP": "::1"}], [{"containerPort": True}], [{"containerPort": None}],
    [{"bridge": "web"}], [{"to": "default", "via": "10.0.0.1"}], [{"container": "a"}, {"host": True}],
    {"a": 1}, {"a": "10.0.0.9"}, {"a": None}, {"a": True}, {"A.b-c": "x"}, {"a b": "c"}, {"ipv4": "routed"},
    {"ipv4": None}, {"net.ipv4.ip_forward": 1}, {"net.ipv4.conf.eth0/1.rp_filter": 0.5}, {"net.x": True},
    {"net.x": ""}, {"reconciler/prune": False}, {"reconciler/prune": "no"}, {"reconciler/suspend": None},
    {"reconciler/other": "x"}, {"reconciler/drift": "heal", "mine": 1.5}, {"name": 80}, {"name": "web", "labels": None},
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "alias", "field"), FIELDS, ids=lambda x: getattr(x, "__name__", None)
)
def test_what_the_models_accept_the_schema_accepts(model, alias, field):
    if (model, alias) in {(Envelope, "kind"), (Envelope, "spec")}:
        return  # what they hold is what all the others are about
    accepted = [value for value in POOL if loader_accepts(document_with(model, alias, value))]

    assert accepted
    assert [
        value for value in accepted if not schema_accepts(document_with(model, alias, value))
    ] == []


PIECES = [
    "10.0.0.1", "::", ":", "80", "8080", "/", "tcp", "/udp", "[", "]", "-", "web", "web1", "a", "host", "Container/",
    ".", "24", "auto", "k", "mbit", "bps", "=", "net.", "_", "65535",
]  # fmt: skip
TEXTS = (
    st.text(alphabet="0123456789:.-/[]tcpudfxabA_= ", max_size=24)
    | st.lists(st.sampled_from(PIECES), max_size=7).map("".join)
    | st.text(max_size=12)
)
FORMS = [
    lambda text: text,
    lambda text: [text],
    lambda text: {text: text},
    lambda text: {"a": text},
]


@given(st.sampled_from(SPEC_FIELDS), TEXTS, st.sampled_from(FORMS))
def test_any_text_that_a_field_accepts_the_schema_accepts(field, text, form):
    kind, alias, _ = field
    document = spec_with(kind, alias, form(text))

    if loader_accepts(document):
        assert schema_accepts(document)


def test_numbers_stand_for_the_text_that_they_are_written_like():
    spec = {
        **ENGINE,
        "publish": [80],
        "expose": [443],
        "hostname": 123,
        "user": 1000,
        "command": ["sleep", 3600, True],
    }

    assert schema_accepts(as_manifest("Container", spec))
    assert schema_accepts(
        as_manifest("Bridge", AROUND[Bridge], labels={"version": 1.10, "front": True})
    )
    assert not schema_accepts(as_manifest("Bridge", {**AROUND[Bridge], "dns": [9.9]}))


def test_a_wrong_field_is_what_an_editor_complains_about():
    """And not that the document is none of the kinds."""
    (error,) = WHOLE.iter_errors(as_manifest("Bridge", {**AROUND[Bridge], "mtu": "big"}))

    assert list(error.absolute_path) == ["spec", "mtu"]
    (error,) = WHOLE.iter_errors(as_manifest("Bridge", {**AROUND[Bridge], "mtuu": 1}))
    assert list(error.absolute_path) == ["spec"]
    assert "'mtuu' was unexpected" in error.message


# ------------------------------------------------------------------------------ what it tells


def test_fields_tell_defaults_limits_choices_and_dockers_name():
    defs = manifest_schema()["$defs"]
    mtu = defs["Bridge"]["properties"]["mtu"]
    expect = defs["Check"]["properties"]["expect"]

    assert (mtu["default"], mtu["minimum"], mtu["maximum"], mtu["examples"]) == (
        1500,
        68,
        65535,
        [9000],
    )
    assert mtu["description"].endswith("in bytes. Docker: --mtu.")
    assert (expect["enum"], expect["default"]) == (["open", "closed", "refused", None], "open")
    assert "default" not in defs["Bridge"]["properties"]["device"]


def test_every_name_of_dockers_belongs_to_a_field():
    fields = {
        f"{kind.name}.{field.alias}" for kind in KINDS for field in kind.model.model_fields.values()
    }

    assert set(DOCKER_NAMES) <= fields


def test_a_field_without_effect_says_so():
    defs = manifest_schema()["$defs"]
    for inert in INERT:
        alias = BY_NAME[inert.kind].model.model_fields[inert.field].alias
        description = defs[inert.kind]["properties"][alias]["description"]

        assert "o effect yet" in description
        assert inert.reason in description


def test_the_models_of_this_file_are_all_that_there_are():
    assert {model for model, _, _ in FIELDS} >= {Metadata, Envelope, Bridge, Container, Link, Check}
