"""Values written as YAML in flow style are read as the same values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.manifest.document import read_file
from reconciler.manifest.flow import render_flow
from reconciler.manifest.scalar import Boolean, Float, Integer
from reconciler.manifest.source_text import ManifestFile


def read(text):
    """The value that a file holds whose only key has this text as its value."""
    reading = read_file(ManifestFile("x.yaml", f"field: {text}\n".encode()))
    assert not reading.problems
    return plain(reading.documents[0].value["field"])


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.value if isinstance(value, Boolean | Integer | Float) else value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["10.0.0.1/24", "fd00:10::1/64"], '[10.0.0.1/24, "fd00:10::1/64"]'),
        (["8080:80", "127.0.0.1:53:53/udp", 80], "[8080:80, 127.0.0.1:53:53/udp, 80]"),
        (
            {"container": "web1", "host": True, "mtu": 1400},
            "{container: web1, host: true, mtu: 1400}",
        ),
        ({"reconciler/prune": "false"}, '{reconciler/prune: "false"}'),
        ("80", '"80"'),
        ("1.5", '"1.5"'),
        ("yes", "yes"),
        ("", '""'),
        ("null", '"null"'),
        ("a b", '"a b"'),
        ("a: b", '"a: b"'),
        ("a:", '"a:"'),
        ("daemon off;", '"daemon off;"'),
        ("- x", '"- x"'),
        (None, "null"),
        ([], "[]"),
        ({}, "{}"),
        (1.5, "1.5"),
    ],
)
def test_what_is_written(value, text):
    assert render_flow(value) == text
    assert read(text) == value


TEXT = st.text(st.characters().filter(str.isprintable), max_size=20) | st.text(
    alphabet="ab01:/.-+@;$_,[]{}#&*!|>'\"%? ", max_size=12
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_is_read_as_the_same(value):
    assert read(render_flow(value)) == value
