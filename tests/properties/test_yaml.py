"""YAML: any bytes give a catalog or our error, quickly, and never anything else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds import KINDS, Catalog, ManifestFile, parse_catalog
from reconciler.manifest.document import read_file
from reconciler.manifest.place import KEY, find_places
from reconciler.manifest.problem import ManifestErrors

ROOT = Path(__file__).resolve().parents[2]
CORPORA = Path(os.environ.get("RECONCILER_CORPORA", ROOT.parent / "shared" / "corpora"))


def catalog_or_error(data: bytes, path: str = "x.yaml") -> Catalog | ManifestErrors:
    try:
        return parse_catalog([ManifestFile(path, data)])
    except ManifestErrors as caught:
        errors = caught
    assert errors.problems
    for problem in errors.problems:
        assert problem.message
        assert "\x1b" not in problem.render()
        json.dumps(problem.to_dict())
    return errors


def corpus(name: str) -> Path:
    path = CORPORA / name
    if not path.exists():
        pytest.skip(f"{path} is not there: set RECONCILER_CORPORA to the folder of test material")
    return path


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    catalog_or_error(data)
    catalog_or_error(data, "x.json")


@given(st.text(alphabet="{}[]:,-?&*!|>'\"%@`#~ \n\t\ra1.\0\u0085\ufeff", max_size=80))
def test_any_punctuation(text: str) -> None:
    catalog_or_error(text.encode())
    catalog_or_error(text.encode(), "x.json")


FIELDS = sorted({str(f.alias) for kind in KINDS for f in kind.model.model_fields.values()})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [
            "web",
            "10.0.0.1/24",
            "auto",
            "80:80",
            "eth0",
            "host",
            "docker",
            "fd00::1/64",
            "container:web",
        ]
    )
    | st.ip_addresses().map(str)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
MANIFESTS = st.fixed_dictionaries(
    {
        "apiVersion": st.just("reconciler/v1"),
        "kind": st.sampled_from([kind.name for kind in KINDS]),
        "metadata": st.fixed_dictionaries({"name": st.sampled_from(["web", "db"])}),
        "spec": st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5) | VALUES,
    }
)


@given(st.lists(MANIFESTS, max_size=4))
def test_any_values_in_known_fields(manifests: list[object]) -> None:
    catalog_or_error("\n---\n".join(json.dumps(manifest) for manifest in manifests).encode())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


def plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return getattr(value, "value", value)


def without_nul(value: object) -> object:
    return json.loads(json.dumps(value).replace("\\u0000", ""))


@given(JSON_VALUES.map(without_nul), st.sampled_from([None, 0, 1, "\t"]), st.booleans())
def test_json_means_what_json_says(
    value: object, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps([value], indent=indent, ensure_ascii=ascii_only)
    reading = read_file(ManifestFile("x.json", text.encode()))

    if any(problem for problem in reading.problems):
        # What YAML forbids in any text is said to be forbidden.
        assert all("which YAML forbids" in problem.message for problem in reading.problems)
    else:
        (document,) = reading.documents
        assert plain(document.value) == [value]


@given(VALUES)
def test_every_value_has_a_place(value: object) -> None:
    reading = read_file(ManifestFile("x.yaml", yaml.safe_dump(value, allow_unicode=True).encode()))
    places = find_places(reading)

    for document in reading.documents:
        for location in locations(document.value):
            assert location in places[document.index]


def locations(value: object, location: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [location]
    if isinstance(value, dict):
        for key, item in value.items():
            found += [(*location, key, KEY), *locations(item, (*location, key))]
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += locations(item, (*location, number))
    return found


def test_the_yaml_test_suite() -> None:
    """402 cases: each gives a value or a clean error; what must fail fails, or is refused anyway."""
    folder = corpus("yaml")
    cases = sorted(folder.glob("*.yaml"))
    assert len(cases) > 400
    accepted_wrongly = []
    for case in cases:
        result = catalog_or_error(case.read_bytes(), case.name)
        assert isinstance(result, ManifestErrors) or not len(result)  # none of them is a resource
        reading = read_file(ManifestFile(case.name, case.read_bytes()))
        if case.with_suffix(".error").exists() and not reading.problems:
            accepted_wrongly.append(case.stem)
    assert set(accepted_wrongly) <= LENIENT


# libyaml takes these although YAML 1.2 does not: missing indentation in flow style and in quotes, a
# comment without a blank before it, `-` in flow style, directives. None means anything else by it.
LENIENT = {
    "9C9N", "9JBA", "CVW2", "DK95-01", "EB22", "G5U8", "MUS6-00", "MUS6-01", "QB6E", "RHX7", "S98Z", "SU5Z",
    "X4QW", "Y79Y-003", "YJV2",
}  # fmt: skip


def test_naughty_strings_as_names_labels_and_values() -> None:
    strings = json.loads(corpus("naughty-strings.json").read_text())
    for text in strings:
        for metadata, spec in (
            ({"name": text}, {"network": "none"}),
            (
                {"name": "c", "labels": {text: text}, "annotations": {"a": text}},
                {"network": "none"},
            ),
            (
                {"name": "c"},
                {"network": "none", "hostname": text, "target": text, "domainname": text},
            ),
            (
                {"name": "c"},
                {"network": text, "bridge": text, "publish": [text], "expose": [text], "mac": text},
            ),
            (
                {"name": "c"},
                {text: text, "sysctls": {text: text}, "env": {text: text}, "extraHosts": [text]},
            ),
        ):
            manifest = {
                "apiVersion": "reconciler/v1",
                "kind": "Container",
                "metadata": metadata,
                "spec": spec,
            }
            result = catalog_or_error(json.dumps(manifest).encode())
            catalog_or_error(yaml.safe_dump(manifest, allow_unicode=True).encode())
            if isinstance(result, Catalog) and metadata.get("labels"):
                assert result.resources["Container/c"].labels == {text: text}
