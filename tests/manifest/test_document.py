"""Documents: what is read, what is refused, and where."""

import json

import pytest

from reconciler.manifest.document import DEPTH_MAX, DOCUMENTS_MAX, read_file
from reconciler.manifest.place import KEY, find_places, look_up
from reconciler.manifest.source_text import FILE_BYTES_MAX, WHOLE_FILE, ManifestFile, Place


def read(data, path="a.yaml"):
    return read_file(ManifestFile(path, data if isinstance(data, bytes) else data.encode()))


def values(data, path="a.yaml"):
    reading = read(data, path)
    assert reading.problems == ()
    return [document.value for document in reading.documents]


def heads(data, path="a.yaml"):
    return [problem.render().partition("\n")[0] for problem in read(data, path).problems]


def test_empty_documents_are_not_there():
    assert values("---\n---\na: b\n---\n# only a comment\n---\nnull\n") == [{"a": "b"}]


def test_a_document_knows_its_line_and_its_number():
    documents = read("# first\n---\na: b\n---\n---\n\nc: d\n").documents

    assert [(document.line, document.index) for document in documents] == [(3, 0), (7, 2)]


@pytest.mark.parametrize("data", [b"", b"\n", b"# nothing\n", b"---\n", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_documents(data):
    assert values(data) == []


def test_a_byte_order_mark_is_dropped():
    assert values(b"\xef\xbb\xbfa: b\n") == [{"a": "b"}]


@pytest.mark.parametrize(
    ("data", "head"),
    [
        ("a: 1\nb: 2\na: 3\n", 'a.yaml:3:1: duplicate key "a"; it stands in line 1 already'),
        ('{"a": 1, "a": 2}', 'a.yaml:1:10: duplicate key "a"; it stands in line 1 already'),
        ("a: &x 1\n", "a.yaml:1:4: anchors are not allowed; write the value out where it is used"),
        ("a: !!str 1\n", 'a.yaml:1:4: tags are not allowed: "tag:yaml.org,2002:str"; leave the tag out'),
        ("a: ! 1\n", 'a.yaml:1:4: tags are not allowed: "!"; leave the tag out'),
        ("a:\n  <<: {b: c}\n", "a.yaml:2:3: merge keys are not allowed; write the fields out"),
        ("1: a\n", 'a.yaml:1:1: a key must be text, and 1 is not; write "1" in quotes'),
        ("true: a\n", 'a.yaml:1:1: a key must be text, and true is not; write "true" in quotes'),
        ("? [a, [b]]\n: c\n", "a.yaml:1:3: a key must be text; lists and mappings are not keys"),
        ('a: "x\\0y"\n', "a.yaml:1:4: text with a NUL character; no program accepts one"),
        (
            "a: b: c\n",
            ("a.yaml:1:5: not valid YAML: mapping values are not allowed in this context; "
            'quote text that contains ": "'),
        ),
        (
            "a: 1\n\tb: 2\n",
            ("a.yaml:2:1: not valid YAML: while scanning a plain scalar, found a tab character that "
            "violates indentation; indent with spaces, and quote text that begins with a tab, @, ` or %"),
        ),
        (b"\xff\xfea\x00", "a.yaml: the file is UTF-16; save it as UTF-8"),
        (b"a: b\nc: \xff\n", "a.yaml: the file is not UTF-8: byte 0xff in line 2; save it as UTF-8"),
        (
            "a: b\nc: \x07\n",
            ("a.yaml:2:4: the file holds the character U+0007, which YAML forbids; "
            "remove it, or write it as an escape in double quotes"),
        ),
        (
            "a: \x00\n",
            ("a.yaml:1:4: the file holds the character U+0000, which YAML forbids; "
            "remove it, or write it as an escape in double quotes"),
        ),
    ],
)  # fmt: skip
def test_what_is_refused_says_where_and_why(data, head):
    assert heads(data) == [head]


def test_an_alias_is_refused_as_well_as_its_anchor():
    assert heads("a: &x [1]\nb: *x\n") == [
        "a.yaml:1:4: anchors are not allowed; write the value out where it is used",
        "a.yaml:2:4: aliases are not allowed; write the value out",
    ]


def test_aliases_do_not_explode():
    """Ten levels of ten aliases each would be 10^10 values."""
    levels = ["a0: &a0 [x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]

    reading = read("\n".join(levels))

    assert len(reading.problems) == 11 + 100
    assert [document.sound for document in reading.documents] == [False]


def test_every_duplicate_is_reported_and_the_first_value_counts():
    reading = read("a: 1\na: 2\na: 3\nb: {c: 1, c: 2}\n")

    assert [problem.line for problem in reading.problems] == [2, 3, 4]
    (document,) = reading.documents
    assert document.value == {"a": "1", "b": {"c": "1"}}
    assert document.sound


def test_documents_before_a_syntax_error_are_read():
    reading = read("a: b\n---\nc: [d\n---\ne: f\n")

    assert [document.value for document in reading.documents] == [{"a": "b"}]
    assert not reading.complete


def test_the_limits():
    deepest = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    most = "---\na: b\n" * DOCUMENTS_MAX

    assert len(values(deepest)) == 1
    assert heads(f"[{deepest}]") == [f"a.yaml:1:{DEPTH_MAX + 1}: nested deeper than 64 levels"]
    assert len(values(most)) == DOCUMENTS_MAX
    assert heads(most + "---\na: b\n") == [
        "a.yaml:20001:1: the file has more than 10000 documents; split it into several files"
    ]
    assert values(b"#" * FILE_BYTES_MAX) == []
    assert heads(b"#" * (FILE_BYTES_MAX + 1)) == [
        "a.yaml: the file has 8388609 bytes, more than 8388608 (8 MiB); split it into several files"
    ]


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", '{"a":', "[\n", "a: [", "{? "])
def test_a_deep_text_is_refused_at_the_limit(opening):
    """libyaml's time grows with the square of the depth: nothing may read on below the limit."""
    problems = read(opening * 200_000).problems

    assert "nested deeper than 64 levels" in [problem.message for problem in problems] or any(
        "not valid YAML" in problem.message for problem in problems
    )


JSON = [
    '{\n\t"a":\t[1,\n\t\ttrue, null, -1.5e3]\n}',
    '\t{"a": {}}',
    '{"a": "\\ud83d\\ude00 \\/ \\u00e9 \\n"}',
    '{"%s": 1}' % ("k" * 2000),
    '[]\n',
    '{"a"\n:\n1}',
    ' \r\n [ "]" , {"b" : ","} ] \r\n',
]  # fmt: skip


@pytest.mark.parametrize("text", JSON)
def test_json_is_read_as_json(text):
    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return getattr(value, "value", value)

    (value,) = values(text, "a.json")

    assert plain(value) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ('\t{"a": 1,\n "a": 2}', 'a.json:2:2: duplicate key "a"; it stands in line 1 already'),
        ('\t{"a": 1,\n }', "a.json:2:2: not valid YAML: expected a key after the comma (JSON)"),
        ('\t{"a": 1} 2', "a.json:1:11: not valid YAML: something follows the end of the value (JSON)"),
        ('\t{"a": 01}', "a.json:1:8: not valid YAML: found '0' where no token begins (JSON)"),
        ("\t{'a': 1}", 'a.json:1:3: not valid YAML: found "\'" where no token begins (JSON)'),
        ('\t{"a"', "a.json:1:6: not valid YAML: expected ':' (JSON)"),
        ('\t{1: 2}', "a.json:1:3: not valid YAML: expected a key in double quotes (JSON)"),
        ('{"a": "\\ud800"}', "a.json:1:7: not valid YAML: expected text with valid escapes (JSON)"),
        ("\t" + "[" * 70, "a.json:1:66: nested deeper than 64 levels"),
    ],
)  # fmt: skip
def test_wrong_json_says_where(text, head):
    assert heads(text, "a.json") == [head]


def test_places_lead_to_keys_and_values():
    reading = read("# x\na:\n  - b: 'c d'\n    e:\n  - {f: [g, 1.10]}\n---\nh: i\n")

    first, second = find_places(reading)

    assert look_up(first, ("a",)) == Place(2, 1, 1)
    assert look_up(first, ("a", 0)) == Place(3, 5)
    assert look_up(first, ("a", 0, "b")) == Place(3, 8, 5)
    assert look_up(first, ("a", 0, "b", KEY)) == Place(3, 5, 1)
    assert look_up(first, ("a", 0, "e")) == Place(4, 5, 1)  # empty: its key
    assert look_up(first, ("a", 1, "f", 1)) == Place(5, 13, 4)
    assert look_up(first, ("a", 1, "x", "y")) == Place(5, 5)  # not there: what is around it
    assert look_up(first, ()) == Place(2, 1)
    assert look_up(second, ("h",)) == Place(7, 4, 1)
    assert look_up({}, ("h",)) == WHOLE_FILE


def test_the_place_of_a_duplicate_key_is_the_first_ones():
    (places,) = find_places(read("a: 1\nb: 2\na: 3\n"))

    assert look_up(places, ("a",)) == Place(1, 4, 1)
    assert look_up(places, ("a", KEY)) == Place(1, 1, 1)


def test_places_count_characters_and_not_bytes():
    (places,) = find_places(read('{ä€😀: "é", b: c}'))

    assert look_up(places, ("b",)) == Place(1, 15, 1)


def test_places_of_json_that_only_json_understands():
    (places,) = find_places(read('\t{"a": [1,\n  {"b": true}]}'))

    assert look_up(places, ("a",)) == Place(1, 3, 3)
    assert look_up(places, ("a", 1, "b")) == Place(2, 9, 4)
