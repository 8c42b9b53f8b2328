"""Expander: revision after revision, the same state as if each were expanded for the first time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.state import State
from reconciler.kinds import ManifestFile, parse_catalog
from reconciler.kinds.expand import Expander, expand_catalog
from reconciler.manifest.parsed_file import ParseCache
from reconciler.manifest.problem import ManifestErrors
from tests.kernel.manifests import bridge, container, link

SET = "default"

BRIDGES = (
    bridge("addresses: [10.1.0.1/24]"),
    bridge("addresses: [10.1.0.1/24, 'fd00:1::1/64'], mtu: 1400"),
    bridge("addresses: [10.1.0.1/24], icc: false, dns: [192.0.2.1]"),
    bridge("addresses: [10.1.0.1/24], mode: routed"),
)
KINDS = (
    "bridge: br0",
    "bridge: br0, publish: ['8080:80']",
    "bridge: br0, addresses: [10.1.0.77]",
    "bridge: br0, expose: [90], publishAll: true",
    "bridge: br0, extraHosts: {x: 192.0.2.3}, hostname: other",
    "network: none, sysctls: {net.ipv4.ip_forward: '1'}",
    "bridge: br0, links: ['a']",
)
NAMES = ("a", "b", "c")
CABLES = (
    "",
    link(
        "container: a, interface: x0, addresses: [10.9.0.0/31]",
        "container: b, interface: y0, addresses: [10.9.0.1/31]",
    ),
)

worlds = st.tuples(
    st.sampled_from(BRIDGES),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(KINDS)),
    st.sampled_from(CABLES),
    st.sampled_from(("", "a")),
)
"""A bridge, containers of some kind, a cable or none, and who is suspended."""


def files(world: tuple[str, dict[str, str], str, str]) -> list[ManifestFile]:
    first, containers, cable, suspended = world
    texts = {"bridge.yaml": first, "cable.yaml": cable or "# none\n"}
    for name, spec in containers.items():
        text = container(spec, name)
        if name == suspended:
            mark = f"{{name: {name}, annotations: {{reconciler/suspend: 'true'}}}}"
            text = text.replace(f"{{name: {name}}}", mark)
        texts[f"{name}.yaml"] = text
    return [ManifestFile(path, text.encode()) for path, text in sorted(texts.items())]


def same(a: State, b: State) -> None:
    """Equal in everything, also in what the equality of objects leaves out."""
    assert a.objects.keys() == b.objects.keys()
    for key, item in a.objects.items():
        other = b.objects[key]
        assert item == other
        for name in ("after", "order", "text", "device", "what"):
            assert getattr(item, name, None) == getattr(other, name, None), (key, name)
    assert a.owners == b.owners
    assert a.claims == b.claims


@settings(max_examples=60)
@given(st.lists(worlds, min_size=1, max_size=6))
def test_a_chain_of_revisions_gives_what_each_alone_gives(chain):
    expander, cache = Expander(SET), ParseCache()
    known = State()
    for world in chain:
        try:
            catalog = parse_catalog(files(world), cache)
        except ManifestErrors:
            continue  # a link to nobody, an address outside its subnet
        found = expander.expand(catalog, known)
        same(found, expand_catalog(catalog, known, SET))
        changed = expander.take_changed()
        if changed is not None:
            keys = known.objects.keys() | found.objects.keys()
            differs = {k for k in keys if known.objects.get(k) != found.objects.get(k)}
            assert differs <= changed
        known = found


def count(expansion: Callable[..., object], counted: list[str]) -> Callable[..., object]:
    def counting(resource, assignment):
        counted.append(resource.id)
        return expansion(resource, assignment)

    return counting


def test_one_container_more_makes_itself_and_its_bridge_anew_and_nobody_else(monkeypatch):
    from reconciler.kinds import expand

    counted: list[str] = []
    counting = {kind: count(one, counted) for kind, one in expand.EXPANSIONS.items()}
    monkeypatch.setattr(expand, "EXPANSIONS", counting)
    expander, cache = Expander(SET), ParseCache()
    many = {f"c{n}": "bridge: br0" for n in range(50)}
    world = (BRIDGES[0], many, "", "")
    known = expander.expand(parse_catalog(files(world), cache), State())
    assert len(counted) == 51
    assert expander.take_changed() is None  # everything: there was nothing to compare with
    counted.clear()
    more = (BRIDGES[0], many | {"new": "bridge: br0"}, "", "")

    found = expander.expand(parse_catalog(files(more), cache), known)

    assert sorted(counted) == ["Bridge/br0", "Container/new"]
    # Of everybody else not even the keys are named as changed.
    changed = expander.take_changed() or frozenset()
    owners = {found.owners[key].resource for key in changed if key in found.owners}
    assert owners >= {"Container/new"}


def test_a_conflict_leaves_nothing_behind():
    """What was half taken before it was found is taken again as a whole."""
    expander = Expander(SET)
    good = parse_catalog(files((BRIDGES[0], {"a": KINDS[0]}, "", "")))
    first = expander.expand(good, State())
    again = expander.expand(good, replace(first))
    same(again, expand_catalog(good, first, SET))
