"""The envelope: apiVersion, kind, metadata; and resources as a catalog."""

import pytest

from reconciler.kinds import KINDS, Catalog, ManifestFile, parse_catalog
from reconciler.manifest.problem import ManifestErrors
from reconciler.manifest.resource import Source
from tests.manifest.reading import BRIDGE, catalog_of, heads_of, manifest, problems_of

NAME_RULE = "use a DNS label: a-z, 0-9 and -, 63 characters at most"
SPEC = "{addresses: [10.0.0.1/24]}"


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("[]", "a manifest must be a mapping, and is a list; write apiVersion, kind, metadata and spec"),
        ("hello", "a manifest must be a mapping, and is text; write apiVersion, kind, metadata and spec"),
        (BRIDGE.replace("reconciler/v1", "v1"), 'Bridge/web: apiVersion: "v1" is not known; write reconciler/v1'),
        (BRIDGE.replace("Bridge", "bridge"), 'bridge/web: kind: unknown kind "bridge"; did you mean "Bridge"?'),
        (BRIDGE.replace("Bridge", "Pod"), 'Pod/web: kind: unknown kind "Pod"; write Bridge, Container, Link or Check'),
        (BRIDGE.replace("Bridge", "[Bridge]"), "kind: must be text, and is a list"),
        (BRIDGE + "status: {}\n", "Bridge/web: status: unknown field; known here: apiVersion, kind, metadata, spec"),
        (BRIDGE.replace("metadata: {name: web}\n", ""), "Bridge: metadata: is required; for example metadata: {name: web}"),
        (BRIDGE.replace("{name: web}", "{}"), "Bridge: metadata.name: is required; for example name: web"),
        (BRIDGE.replace("{addresses: [10.0.0.1/24]}", "[]"), "Bridge/web: spec: must be a mapping, and is a list"),
        (manifest("Bridge", "Web_1", SPEC), f'Bridge/Web_1: metadata.name: "Web_1" is not a name; {NAME_RULE}, as "web-1"'),
        (manifest("Bridge", "[]", SPEC), "Bridge: metadata.name: must be text, and is a list"),
        (manifest("Bridge", "web", SPEC, "namespace: x"), "Bridge/web: metadata.namespace: unknown field; did you mean \"name\"?"),
        (manifest("Bridge", "web", SPEC, "lables: {}"), 'Bridge/web: metadata.lables: unknown field; did you mean "labels"?'),
        (manifest("Bridge", "web", SPEC, "labels: [a]"), "Bridge/web: metadata.labels: must be a mapping, and is a list"),
        (manifest("Bridge", "web", SPEC, "labels: {a: [b]}"), "Bridge/web: metadata.labels.a: must be text, and is a list"),
        (manifest("Bridge", "web", SPEC, "labels: {a: null}"), "Bridge/web: metadata.labels.a: must be text, and is empty"),
        (
            manifest("Bridge", "web", SPEC, 'annotations: {reconciler/prune: "no"}'),
            'Bridge/web: metadata.annotations: reconciler/prune cannot be "no"; write true or false',
        ),
        (
            manifest("Bridge", "web", SPEC, "annotations: {reconciler/drift: ignore}"),
            'Bridge/web: metadata.annotations: reconciler/drift cannot be "ignore"; write heal, report or suspend',
        ),
        (
            manifest("Bridge", "web", SPEC, "annotations: {reconciler/purne: 'true'}"),
            'Bridge/web: metadata.annotations: unknown annotation "reconciler/purne"; did you mean "reconciler/prune"?',
        ),
    ],
)  # fmt: skip
def test_a_wrong_envelope_says_what_would_be_right(text, head):
    assert heads_of(text) == [head]


@pytest.mark.parametrize("name", ["web", "a", "0", "a-b", "x" * 63, "123"])
def test_names_are_dns_labels(name):
    assert catalog_of(manifest("Container", name, "{network: none}")).get("Container", name)


@pytest.mark.parametrize("name", ["-a", "a-", "a.b", "'a b'", "x" * 64, "''", "ä", '"a\\n"'])
def test_nothing_else_is_a_name(name):
    (problem,) = problems_of(manifest("Container", name, "{network: none}"))

    assert problem.field == "metadata.name"
    assert NAME_RULE in problem.hint


def test_labels_and_annotations_are_what_is_written():
    metadata = "labels: {version: 1.10, on: yes, mac: 52:54:00:12:34:56}, annotations: {reconciler/prune: false}"
    resource = catalog_of(manifest("Bridge", "web", SPEC, metadata)).resources["Bridge/web"]

    assert resource.labels == {"version": "1.10", "on": "yes", "mac": "52:54:00:12:34:56"}
    assert {type(value) for value in resource.labels.values()} == {str}
    assert not resource.prune


def test_annotations_say_what_is_to_be_done():
    metadata = 'annotations: {reconciler/suspend: "true", reconciler/drift: report, mine/x: y}'
    (resource,) = catalog_of(manifest("Bridge", "web", SPEC, metadata))
    (plain,) = catalog_of(BRIDGE)

    assert (resource.suspended, resource.drift, resource.prune) == (True, "report", True)
    assert (plain.suspended, plain.drift, plain.prune) == (False, None, True)


def test_a_catalog_knows_where_everything_is_written():
    catalog = catalog_of(
        "# comment\n" + BRIDGE,
        manifest("Container", "web1", "{bridge: web, addresses: [10.0.0.5]}"),
    )

    assert [resource.id for resource in catalog] == ["Bridge/web", "Container/web1"]
    assert catalog.source("Container/web1") == Source("web.yaml", 7)
    assert str(catalog.source("Bridge/web")) == "web.yaml:2"
    place = catalog.locate("Container/web1", ("spec", "addresses", 0))
    assert (place.line, place.column, place.length) == (10, 33, 8)
    assert catalog.locate("Container/web1", ("spec", "hostname")).line == 10
    assert catalog.get("Bridge", "none") is None
    assert len(catalog) == 2
    with pytest.raises(TypeError):
        catalog.resources["x"] = None


def test_a_catalog_without_files_still_reports():
    (resource,) = catalog_of(BRIDGE)
    catalog = Catalog([resource])

    assert catalog.locate("Bridge/web", ()).line == 0


def test_a_name_is_unique_within_its_kind_only():
    assert len(catalog_of(BRIDGE, manifest("Container", "web", "{bridge: web}"))) == 2


def test_a_name_that_is_there_twice_names_the_other_place():
    files = [
        ManifestFile("b.yaml", BRIDGE.encode()),
        ManifestFile("a.yaml", b"\n\n" + BRIDGE.encode()),
    ]

    with pytest.raises(ManifestErrors) as errors:
        parse_catalog(files)

    assert str(errors.value) == (
        'b.yaml:3:18: Bridge/web: metadata.name: there is another Bridge "web" at a.yaml:3; '
        "names are unique within their kind\n"
        "metadata: {name: web}\n"
        "                 ^~~"
    )


def test_all_problems_of_all_files_are_reported_at_once():
    files = [
        ManifestFile("c.yaml", b"a: [\n"),
        ManifestFile("a.yaml", manifest("Bridge", "web", "{mtu: 1, mtuu: 2}").encode()),
        ManifestFile("b.yaml", b"x: &a b\n---\n" + manifest("Link", "l", "{}").encode()),
        ManifestFile("d.yaml", b"\xff"),
    ]

    with pytest.raises(ManifestErrors) as errors:
        parse_catalog(files)

    assert [(p.path, p.line, p.field) for p in errors.value.problems] == [
        ("a.yaml", 4, "spec.mtu"),
        ("a.yaml", 4, "spec.mtuu"),
        ("b.yaml", 1, ""),
        ("b.yaml", 6, "spec.endpoints"),
        ("c.yaml", 2, ""),
        ("d.yaml", 0, ""),
    ]


def test_a_wrong_field_does_not_hide_a_wrong_reference_of_the_same_resource():
    heads = heads_of(BRIDGE, manifest("Container", "c", "{bridge: wbe, mac: x}"))

    assert heads == [
        'Container/c: spec.bridge: there is no Bridge "wbe"; did you mean "web"?',
        'Container/c: spec.mac: "x" is not a MAC address; write six pairs as 02:42:0a:00:00:05',
    ]


@pytest.mark.parametrize(
    "other",
    [
        manifest("Bridge", "web", "{mtu: 1}"),  # wrong itself
        "kind: Bridge\nmetadata: [\n",  # nobody knows its name
        "kind: Bridge\n",
        "a: *b\n",
    ],
)
def test_a_reference_to_what_could_not_be_read_is_not_a_second_problem(other):
    heads = heads_of(manifest("Container", "c", "{bridge: web}"), other)

    assert heads
    assert not any("there is no" in head for head in heads)


def test_an_empty_field_is_not_written():
    spec = "{addresses: [10.0.0.1/24], mtu: , icc: null, dns: ~}"
    (resource,) = catalog_of(manifest("Bridge", "web", spec))

    assert (resource.spec.mtu, resource.spec.icc, resource.spec.dns) == (1500, True, ())
    assert not resource.spec.is_written("mtu")


def test_an_unknown_empty_field_is_unknown_all_the_same():
    assert heads_of(manifest("Bridge", "web", "{addresses: [10.0.0.1/24], mtuu: }")) == [
        'Bridge/web: spec.mtuu: unknown field; did you mean "mtu"?'
    ]


def test_five_thousand_documents_are_five_thousand_resources():
    documents = [manifest("Container", f"c{n}", "{network: none}") for n in range(5000)]

    catalog = catalog_of(*documents)

    assert len(catalog) == 5000
    assert catalog.source("Container/c4999").line == 4999 * 5 + 1


def test_the_kinds_have_names_of_their_own():
    assert [kind.name for kind in KINDS] == ["Bridge", "Container", "Link", "Check"]
