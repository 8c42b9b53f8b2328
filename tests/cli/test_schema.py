"""`schema`: one JSON Schema on standard output."""

import json

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import exit_codes
from reconciler.kinds import KINDS
from reconciler.kinds.schema import kind_schema, manifest_schema
from tests.cli.calls import call


def printed(*arguments):
    result = call("schema", *arguments)
    assert (result.code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_without_a_kind_it_is_that_of_all_manifests():
    schema = printed()

    Draft202012Validator.check_schema(schema)
    assert schema == manifest_schema()
    assert schema["properties"]["kind"]["enum"] == [kind.name for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_of_one_kind(kind):
    assert printed(kind.name) == printed(kind.name.lower()) == kind_schema(kind)
    assert printed(kind.name)["properties"]["kind"]["const"] == kind.name


def test_an_unknown_kind_is_a_wrong_command_line_with_a_hint():
    result = call("schema", "Brigde")

    assert (result.code, result.stdout) == (exit_codes.USAGE, "")
    assert 'there is no kind "Brigde"; did you mean "Bridge"?' in " ".join(result.stderr.split())


def test_it_is_the_same_every_time():
    assert call("schema").stdout == call("schema").stdout
