"""Problems: their form on a terminal and in JSON."""

from reconciler.manifest.problem import ManifestErrors, Problem, excerpt, printable
from reconciler.manifest.words import did_you_mean, field_path, listed, nearest, quote


def problem(**fields):
    given = {
        "path": "web.yaml", "line": 7, "column": 3, "resource": "Bridge/web", "field": "spec.mtuu",
        "message": "unknown field", "hint": 'did you mean "mtu"?', "source_line": "  mtuu: 9000",
        "caret_line": "  ^~~~",
    }  # fmt: skip
    return Problem(**{**given, **fields})


def test_a_problem_is_three_lines():
    assert problem().render() == (
        'web.yaml:7:3: Bridge/web: spec.mtuu: unknown field; did you mean "mtu"?\n'
        "  mtuu: 9000\n"
        "  ^~~~"
    )


def test_a_problem_of_a_whole_file_is_one_line():
    whole = problem(line=0, column=0, resource="", field="", hint="", source_line="")

    assert whole.render() == "web.yaml: unknown field"


def test_a_problem_in_json():
    assert problem().to_dict() == {
        "path": "web.yaml",
        "line": 7,
        "column": 3,
        "resource": "Bridge/web",
        "field": "spec.mtuu",
        "message": "unknown field",
        "hint": 'did you mean "mtu"?',
        "sourceLine": "  mtuu: 9000",
    }


def test_errors_are_in_the_order_of_the_files_and_said_once():
    later, earlier, other = problem(line=10), problem(line=9), problem(path="a.yaml", line=99)

    errors = ManifestErrors([later, earlier, later, other])

    assert errors.problems == (other, earlier, later)
    assert str(errors) == "\n".join(p.render() for p in (other, earlier, later))


def test_the_excerpt_of_a_long_line_is_around_the_token():
    line = "x" * 500 + "TOKEN" + "y" * 500

    shown, carets = excerpt(line, 501, 5)

    assert len(shown) == 160
    assert shown[carets.index("^") : len(carets)] == "TOKEN"


def test_the_caret_stands_under_wide_characters_too():
    shown, carets = excerpt("name: 世界", 7, 2)

    assert (shown, carets) == ("name: 世界", "      ^~~~")


def test_a_tab_is_shown_as_one_blank():
    assert excerpt("\ta: b", 5, 1) == (" a: b", "    ^")


def test_nothing_steers_the_terminal():
    assert printable("a\x1b[31mb\u202ec\nd") == "a\ufffd[31mb\ufffdc d"
    assert "\x1b" not in problem(message="\x1b[2J", field="\x1b").render()


def test_the_nearest_word():
    assert nearest("mtuu", ["mtu", "mac"]) == "mtu"
    assert nearest("BRIDGE", ["Bridge", "Link"]) == "Bridge"
    assert nearest("zzz", ["mtu", "mac"]) == ""
    assert did_you_mean("zzz", ["mtu"]) == ""
    assert nearest("x" * 10_000, ["x" * 9_999]) == ""


def test_words_of_messages():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b or c"
    assert quote('a"b') == '"a\\"b"'
    assert len(quote("x" * 1000)) == 60
    assert field_path(("spec", "publish", 0, "hostIP")) == "spec.publish[0].hostIP"
    assert field_path(("metadata", "labels", "a.b")) == 'metadata.labels["a.b"]'
    assert field_path(()) == ""
