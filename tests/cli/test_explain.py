"""`explain`: what the reference says, and that it is true."""

import json
import re
import textwrap
from importlib import import_module

import pytest

from reconciler.cli import exit_codes
from reconciler.cli.main import COMMANDS
from reconciler.cli.topics import SUMMARIES, TOPICS
from reconciler.formats.resolver import FALLBACK, FALLBACK_IPV6
from reconciler.kinds import KINDS
from reconciler.kinds.docker_names import DOCKER_NAMES
from reconciler.kinds.inert import INERT, Inert
from reconciler.kinds.reference import Entry, find_entry, list_kinds
from tests.cli.calls import call
from tests.manifest.reading import manifest, problems_of


def explain(*arguments):
    result = call("explain", *arguments)
    assert (result.code, result.stderr) == (0, "")
    return result.stdout


def explain_json(*arguments):
    return json.loads(explain(*arguments, "-o", "json"))


def walk(entry: Entry):
    yield entry
    for field in entry.fields:
        yield from walk(field)


ALL = [entry for kind in list_kinds() for entry in walk(kind)]


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.path)
def test_everything_can_be_explained_in_both_ways(entry):
    text, found = explain(entry.path), explain_json(entry.path)

    assert text.startswith(entry.path)
    assert found["path"] == entry.path
    assert found["description"] == entry.description
    assert found["description"].endswith(".")
    assert " ".join(entry.description.split()) in " ".join(text.split())
    assert [field["path"] for field in found["fields"]] == [field.path for field in entry.fields]
    for field in entry.fields:
        assert f"\n  {field.name}  " in text


def test_a_field_in_full():
    assert explain("Bridge.mtu") == textwrap.dedent("""\
        Bridge.mtu  whole number from 68 to 65535
            Of the bridge and of every interface attached to it, in bytes.
            Default: 1500
            Docker: --mtu
            Example: mtu: 9000
        """)


def test_a_field_with_fields_in_full():
    assert explain("Link.endpoints.routes") == textwrap.dedent("""\
        Link.endpoints.routes  list of mappings
            Routes through this end; without `via` straight to the other.
            Example: routes: [{to: 10.1.0.0/16}]

        Fields
          to  subnet, address or default; required
            A subnet, an address, or `default`.
          via  address
            The next hop; on a Link without one, the other end.
          metric  whole number from 0 to 4294967295
            Of several routes to one destination, the lowest wins.
        """)


def test_a_field_as_json():
    assert explain_json("Bridge.mtu") == {
        "version": 1,
        "path": "Bridge.mtu",
        "type": "whole number from 68 to 65535",
        "description": "Of the bridge and of every interface attached to it, in bytes.",
        "required": False,
        "default": 1500,
        "docker": "--mtu",
        "examples": [9000],
        "fields": [],
    }


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("bridge", "Bridge"),
        ("CONTAINERS", "Container"),
        ("container.interfaces.mac", "Container.interfaces.mac"),
        ("Container.spec.publish", "Container.publish"),
        ("container.spec.interfaces[0].mac", "Container.interfaces.mac"),
        ("Bridge.ip_range", "Bridge.ipRange"),
        ("bridge.iprange", "Bridge.ipRange"),
        ("bridge.bind-address", "Bridge.bindAddress"),
        ("Bridge.mode.ipv6", "Bridge.mode.ipv6"),
        ("Container.publish.hostPort", "Container.publish.hostPort"),
        ("Check.from", "Check.from"),
        ("Link.spec", "Link"),
        ("Link.metadata", "Link.metadata"),
        ("Link.metadata.name", "Link.metadata.name"),
        (
            "bridge.metadata.annotations.reconciler/suspend",
            "Bridge.metadata.annotations.reconciler/suspend",
        ),
    ],
)
def test_names_are_found_as_people_and_messages_write_them(written, path):
    assert find_entry(written).path == path


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("Bridgge", 'there is no kind "Bridgge"; did you mean "Bridge"?'),
        ("Service", 'there is no kind "Service"; kinds are Bridge, Container, Link and Check'),
        ("exit-code", 'there is no topic "exit-code"; did you mean "exit-codes"?'),
        ("Container.publsh", 'Container has no field "publsh"; did you mean "publish"?'),
        ("Link.endpoints.rate", 'Link.endpoints has no field "rate"; did you mean Link.rate?'),
        (
            "Container.metric",
            'Container has no field "metric"; did you mean Container.routes.metric?',
        ),
        ("Bridge.mode.x", 'Bridge.mode has no field "x"; fields are ipv4, ipv6'),
        ("Bridge.mtu.x", 'Bridge.mtu has no field "x"; it holds no fields'),
        ("Bridge.metadata.nam", 'Bridge.metadata has no field "nam"; did you mean "name"?'),
        ("Bridge.", 'Bridge has no field ""; fields are '),
    ],
)
def test_what_is_not_there_is_a_wrong_command_line_with_a_hint(written, message):
    result = call("explain", written)

    assert (result.code, result.stdout) == (exit_codes.USAGE, "")
    assert message in " ".join(result.stderr.split())


# ------------------------------------------------------------------------------ kinds and fields


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_shows_a_manifest_that_is_valid(kind):
    shown = [
        line
        for line in explain_json(kind.name)["manifest"].splitlines()
        if not line or line.startswith("    ")
    ]
    document = textwrap.dedent("\n".join(shown))
    around = [
        manifest("Bridge", "other", "{addresses: [10.99.0.1/24]}"),
        *(
            manifest("Container", name, "{network: none}")
            for name in ("db1", *["web1"] * (kind.name != "Container"))
        ),
        *[manifest("Bridge", "web", "{addresses: [10.0.0.1/24]}")] * (kind.name != "Bridge"),
    ]

    assert f"kind: {kind.name}" in document
    assert [problem.render() for problem in problems_of(document, *around)] == []


def test_a_kind_lists_all_its_fields():
    for kind in KINDS:
        fields = [field["path"].partition(".")[2] for field in explain_json(kind.name)["fields"]]
        assert fields == [field.alias for field in kind.model.model_fields.values()]


def test_a_field_without_effect_says_so():
    for inert in INERT:
        model = next(kind.model for kind in KINDS if kind.name == inert.kind)
        found = explain_json(f"{inert.kind}.{model.model_fields[inert.field].alias}")

        assert "o effect yet" in found["effect"]
        assert inert.reason in found["effect"]


def test_values_without_effect_are_named(monkeypatch):
    inert = (
        Inert("Bridge", "icc", "x", lambda value: value is False),
        Inert("Bridge", "stp", "y"),
        Inert("Container", "runtime", "z", lambda value: value in {"docker", "podman"}),
        Inert("Container", "mac", "w"),
    )
    monkeypatch.setattr("reconciler.kinds.schema.INERT", inert)
    effects = {entry.path: entry.effect for kind in list_kinds() for entry in walk(kind)}

    assert {path: effect for path, effect in effects.items() if effect} == {
        "Bridge.icc": "`false`: no effect yet, x.",
        "Bridge.stp": "No effect yet: y.",
        "Container.runtime": "`docker` or `podman`: no effect yet, z.",
        "Container.mac": "No effect yet: w.",  # and not that of its interfaces
    }


def test_a_field_that_acts_says_nothing_of_effects():
    idle = {(inert.kind, inert.field) for inert in INERT}
    for kind in KINDS:
        for name, field in kind.model.model_fields.items():
            assert ("effect" in explain_json(f"{kind.name}.{field.alias}")) is (
                (kind.name, name) in idle
            )


@pytest.mark.parametrize("path", DOCKER_NAMES)
def test_dockers_name_is_told(path):
    assert explain_json(path)["docker"] == DOCKER_NAMES[path]
    assert f"    Docker: {DOCKER_NAMES[path]}\n" in explain(path)


def test_types_are_said_in_words():
    types = {entry.path: entry.type for entry in ALL}

    assert types["Bridge.icc"] == "true or false"
    assert types["Bridge.addresses"] == "list of addresses with prefix length"
    assert types["Bridge.ipRange"] == "subnet, or list of subnets"
    assert types["Bridge.mode"] == "nat, nat-unprotected or routed, or mapping"
    assert types["Bridge.forwardDelay"] == "number from 0 to 30"
    assert types["Container.network"] == "bridge, none, host or container:NAME"
    assert types["Container.publish"] == "list of port mappings or mappings"
    assert types["Container.extraHosts"] == "list of NAME:ADDRESS, or mapping of names to addresses"
    assert all(types[path] for path in types if "." in path)


# ------------------------------------------------------------------------------ topics


def test_alone_it_lists_kinds_and_topics_and_tells_the_most_important():
    text, found = explain(), explain_json()

    for name, description in [(k.name, k.description) for k in list_kinds()] + list(
        SUMMARIES.items()
    ):
        assert re.search(rf"^  {name} +{re.escape(description)}$", text, re.MULTILINE)
    for topic in ("exit-codes", "sets", "ownership"):
        assert textwrap.indent(TOPICS[topic], "    ") in text
    assert [kind["name"] for kind in found["kinds"]] == [kind.name for kind in KINDS]
    assert found["topics"] == TOPICS


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_can_be_asked_for(topic):
    assert textwrap.indent(TOPICS[topic], "    ") in explain(topic)
    assert explain_json(topic.upper().replace("-", "_")) == {
        "version": 1,
        "topic": topic,
        "text": TOPICS[topic],
    }
    assert topic in SUMMARIES
    assert max(map(len, TOPICS[topic].splitlines())) <= 79


def test_the_exit_codes_are_all_that_commands_exit_with():
    told = {
        int(number) for number in re.findall(r"^ *([0-9]+)  ", TOPICS["exit-codes"], re.MULTILINE)
    }
    known = {value for value in vars(exit_codes).values() if isinstance(value, int)}

    assert known - told <= {exit_codes.STALE}  # there are no saved plans yet
    assert told <= known


def test_the_options_and_commands_that_topics_name_exist():
    text = "\n".join(TOPICS.values())
    options = {
        option
        for name in COMMANDS
        for parameter in import_module(f"reconciler.cli.{name}").command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }

    assert set(re.findall(r"--[a-z-]+", text)) <= options
    for named in ("teardown", "diff", "apply", "exec", "sandbox"):
        assert named in COMMANDS
        assert re.search(rf"\b{named}\b", text)


def test_the_servers_that_topics_name_are_those_that_are_written():
    for server in (*FALLBACK, *FALLBACK_IPV6):
        assert str(server) in TOPICS["names"]


def test_yaml_is_read_as_the_topic_says():
    """Of the many rules those that are easily changed without a look at the text."""
    head = "apiVersion: reconciler/v1\nkind: Bridge\nmetadata: {name: web}\n"

    assert not problems_of(head + "spec: {addresses: [10.0.0.1/24], mtu: , device: 80}\n")
    for wrong in (
        "icc: yes",
        "mtu: 1, mtu: 1",
        "dns: &a [9.9.9.9]",
        "dns: !x [9.9.9.9]",
        "<<: {mtu: 1500}",
    ):
        assert problems_of(f"{head}spec: {{addresses: [10.0.0.1/24], {wrong}}}\n")
