"""Observed: whichever way the answers came, the state is what a look at everything would give."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.object import HOST
from reconciler.formats.address import AddressMessage
from reconciler.formats.link import LinkMessage
from reconciler.formats.route import RouteMessage
from reconciler.objects.dumps import NamespaceDump, by_device
from reconciler.objects.marks import parse_mark
from reconciler.objects.observed import Observed, parse_state

SPACES = (HOST, "a", "b")
ALIASES = ("", "reconciler default Container/a", "reconciler default Bridge/b", "stranger")


def link(index: int, kind: str, peer: int, master: int, alias: str, name: str) -> LinkMessage:
    netnsid = 0 if peer % 2 else None
    peer = peer if kind == "veth" else 0
    return LinkMessage(
        index, 1, name, 1500, "02:00:00:00:00:01", master, peer, netnsid, kind, alias, 0, 6, 0,
        b"", b"", b"",
    )  # fmt: skip


indexes = st.integers(2, 4)
links = st.builds(
    link,
    indexes,
    st.sampled_from(("veth", "veth", "bridge", "")),
    indexes,
    st.sampled_from((0, 2, 3)),
    st.sampled_from(ALIASES),
    st.sampled_from(("x", "y", "z")),
)
addresses = st.builds(
    AddressMessage, indexes, st.just(2), st.sampled_from((b"\n\1\0\1", b"\n\1\0\2")), st.just(24),
    st.just(0), st.sampled_from((0, 0x5C)), st.just(0), st.just(""),
)  # fmt: skip
routes = st.builds(
    RouteMessage, st.just(2), st.just(b"\n\2\0\0"), st.just(24), st.just(b""), indexes,
    st.just(254), st.sampled_from((4, 0x5C)), st.just(253), st.just(1), st.just(0), st.just(b""),
    st.just(0), st.just(0), st.just(False),
)  # fmt: skip


@st.composite
def dumps(draw: st.DrawFn) -> NamespaceDump:
    found = draw(
        st.lists(links, max_size=3, unique_by=(lambda one: one.ifindex, lambda one: one.name))
    )
    here = {one.ifindex for one in found}
    return NamespaceDump(
        draw(st.sampled_from(SPACES)),
        tuple(found),
        tuple(one for one in draw(st.lists(addresses, max_size=3)) if one.ifindex in here),
        tuple(one for one in draw(st.lists(routes, max_size=2)) if one.oif in here),
    )


steps = st.lists(st.tuples(dumps(), st.sampled_from(("whole", "devices", "drop"))), max_size=8)


@given(steps)
def test_parts_that_came_one_by_one_make_the_state_of_a_full_look(steps):
    observed = Observed("default")
    latest: dict[str, NamespaceDump] = {}
    for dump, way in steps:
        if way == "drop":
            observed.drop_namespace(dump.name)
            latest.pop(dump.name, None)
        elif way == "devices" and dump.name in latest:
            asked = {one.ifindex for one in (*latest[dump.name].links, *dump.links)}
            observed.put_devices(dump.name, by_device(dump), asked)
            latest[dump.name] = dump
        else:
            observed.put_namespace(dump)
            latest[dump.name] = dump
        before = observed.state
        assert before == parse_state(latest.values(), "default")


@given(steps)
def test_what_changed_is_named_and_nothing_else(steps):
    observed = Observed("default")
    known = observed.state
    for dump, way in steps:
        if way == "drop":
            observed.drop_namespace(dump.name)
        else:
            observed.put_namespace(dump)
        changed = observed.take_changed()
        now = observed.state
        keys = known.objects.keys() | now.objects.keys()
        differs = {
            key
            for key in keys
            if known.objects.get(key) != now.objects.get(key)
            or known.owners.get(key) != now.owners.get(key)
        }
        claims = {
            key
            for key in known.claims.keys() | now.claims.keys()
            if known.claims.get(key) != now.claims.get(key)
        }
        assert differs <= changed
        assert claims <= changed
        known = now


def test_the_same_answer_again_changes_nothing():
    observed = Observed("default")
    words = ALIASES[1]
    dump = NamespaceDump("a", (link(2, "bridge", 0, 0, words, "x"),))
    observed.put_namespace(dump)
    before = observed.state
    observed.take_changed()

    observed.put_namespace(dump)

    assert observed.take_changed() == frozenset()
    assert observed.state is before
    assert set(before.owners.values()) == {parse_mark(words)}
