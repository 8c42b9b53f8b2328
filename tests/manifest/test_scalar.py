"""Scalars: YAML 1.2's core schema, and nothing of YAML 1.1's traps."""

import math

import pytest

from reconciler.manifest.document import read_file
from reconciler.manifest.scalar import Boolean, Float, Integer, parse_plain
from reconciler.manifest.source_text import ManifestFile

TEXT = [
    "52:54:00:12:34:56", "22:22", "8080:80", "8080:22", "12:30", "1_000", "2024-01-01", "on", "off",
    "yes", "no", "NO", "y", "n", "0b11", "0x", "0xZZ", "0o8", "1.2.3.4", "-", "+", ".", "..", "-.", "=",
    "10.0.0.1/24", "1e", "Infinity", "nan", "tRUE",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXT)
def test_what_looks_like_text_is_text(text):
    value = parse_plain(text)

    assert type(value) is str
    assert value == text


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("80", Integer, 80),
        ("-1", Integer, -1),
        ("+7", Integer, 7),
        ("017", Integer, 17),
        ("0x1F", Integer, 31),
        ("0o17", Integer, 15),
        ("1.10", Float, 1.1),
        ("9" * 41, Float, 1e41),  # no field has room for it, and int() would take for ever
        ("1e3", Float, 1000.0),
        (".5", Float, 0.5),
        ("-.inf", Float, -math.inf),
        ("true", Boolean, True),
        ("FALSE", Boolean, False),
    ],
)
def test_a_plain_value_keeps_its_written_text(text, kind, value):
    scalar = parse_plain(text)

    assert type(scalar) is kind
    assert scalar == text
    assert scalar.value == value


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_null_is_none(text):
    assert parse_plain(text) is None


def test_quoted_values_are_text():
    reading = read_file(ManifestFile("a.yaml", b'- "80"\n- \'true\'\n- ""\n- |\n  80\n'))

    (document,) = reading.documents
    assert document.value == ["80", "true", "", "80\n"]
    assert {type(value) for value in document.value} == {str}
