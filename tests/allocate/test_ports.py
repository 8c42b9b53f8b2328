"""Host ports: stable, never given twice, none that somebody else has."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.allocate.ports import (
    PortRequest,
    PortsExhaustedError,
    assign_ports,
    parse_ranges,
)


def ask(container: str = "web", port: int = 80, protocol: str = "tcp", ip: str = "", number=0):
    return PortRequest(container, port, protocol, ip, number)


def assign(requests, current=None, taken=None, local=(100, 109), reserved=()):
    return assign_ports(requests, current or {}, taken or {}, local, reserved)


A, B, C = ask("a"), ask("b"), ask("c")


def test_a_certain_port_is_given_whatever_holds_it():
    """That somebody else has it is an error for others to find; moving it would be none."""
    assert assign({A: (80, 80)}, taken={"tcp": {80}}) == {A: 80}


def test_a_range_gives_its_first_free_port():
    assert assign({A: (80, 85)}, taken={"tcp": {80, 81}}) == {A: 82}


def test_any_port_is_the_lowest_free_one_of_the_hosts_range_in_the_order_of_names():
    assert assign({B: None, A: None, C: None}, taken={"tcp": {101}}) == {A: 100, B: 102, C: 103}


def test_ports_that_manifests_name_are_given_to_nobody_else():
    assert assign({A: None, B: (100, 100), C: (100, 102)}) == {A: 102, B: 100, C: 101}


def test_protocols_do_not_share_ports():
    udp = ask("a", protocol="udp")
    assert assign({A: None, udp: None}, taken={"udp": {100}}) == {A: 100, udp: 101}


def test_what_a_request_has_it_keeps():
    assert assign({A: None, B: None, C: (80, 90)}, {B: 100, C: 85}) == {A: 101, B: 100, C: 85}


@pytest.mark.parametrize("port", [99, 110])
def test_what_is_outside_the_hosts_range_is_not_kept(port):
    assert assign({A: None}, {A: port}) == {A: 100}


def test_what_is_outside_a_written_range_is_not_kept():
    assert assign({A: (80, 85)}, {A: 86}) == {A: 80}


def test_what_somebody_else_has_meanwhile_is_not_kept():
    assert assign({A: None}, {A: 103}, {"tcp": {103}}) == {A: 100}


def test_what_a_manifest_names_now_is_not_kept_by_another():
    assert assign({A: (105, 105), B: None}, {B: 105}) == {A: 105, B: 100}


def test_of_two_that_have_one_port_the_first_keeps_it():
    assert assign({A: None, B: None}, {A: 104, B: 104}) == {A: 104, B: 100}


def test_reserved_ports_are_for_those_who_name_them():
    """net.ipv4.ip_local_reserved_ports keeps the kernel and us from giving them away unasked."""
    reserved = {100, 101, 80}
    wanted = {A: None, B: (100, 103), C: (80, 80)}

    assert assign(wanted, reserved=reserved) == {A: 102, B: 100, C: 80}
    assert assign({A: None}, {A: 101}, reserved=reserved) == {A: 101}


def test_one_wish_gets_one_port_on_every_address():
    """As Docker: the same on 0.0.0.0 and ::."""
    four, six = ask(ip="192.0.2.1", number=1), ask(ip="2001:db8::1", number=1)
    other = ask(ip="192.0.2.1", number=2)

    assert assign({four: None, six: None, other: None}) == {four: 100, six: 100, other: 101}
    assert assign({four: (80, 85), six: (80, 85)}) == {four: 80, six: 80}
    assert assign({four: None, six: None}, {six: 105}) == {four: 105, six: 105}
    assert assign({four: None, six: None}, {four: 104, six: 105}) == {four: 104, six: 104}


def test_who_gets_none_is_told():
    with pytest.raises(PortsExhaustedError) as error:
        assign({A: (80, 81), B: (80, 81), C: (80, 81)})

    assert str(error.value) == "Container/c: no free host port left in 80-81 for 80/tcp"


def test_a_host_without_free_ports_is_told():
    with pytest.raises(PortsExhaustedError, match="no free host port left in 100-109"):
        assign({ask("a", n): None for n in range(11)})
    assert len(assign({ask("a", n): None for n in range(10)})) == 10


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", []),
        ("\n", []),
        ("8080\n", [(8080, 8080)]),
        ("8080,9000-9010", [(8080, 8080), (9000, 9010)]),
        ("1-2, 5", [(1, 2), (5, 5)]),
        ("x,7,-", [(7, 7)]),
    ],
)
def test_ranges_are_read_as_the_kernel_prints_them(text, ranges):
    assert parse_ranges(text) == ranges


names = st.sampled_from("abcdef")
requests = st.builds(
    PortRequest,
    names,
    st.integers(1, 3),
    st.sampled_from(["tcp", "udp"]),
    st.sampled_from(["", "192.0.2.1", "2001:db8::1"]),
    st.integers(0, 2),
)
ranges = st.one_of(
    st.none(),
    st.integers(90, 112).map(lambda n: (n, n)),
    st.tuples(st.integers(90, 100), st.integers(10, 40)).map(lambda r: (r[0], r[0] + r[1])),
)


@st.composite
def worlds(draw):
    """Requests, what they have, and what others have."""
    wishes = draw(st.dictionaries(requests.map(lambda r: r.wish), ranges, max_size=14))
    wanted = {}
    for wish, span in wishes.items():
        for ip in draw(
            st.lists(st.sampled_from(["", "192.0.2.1", "::1"]), min_size=1, unique=True)
        ):
            wanted[
                PortRequest(wish.container, wish.container_port, wish.protocol, ip, wish.number)
            ] = span
    current = {}
    for request in wanted:
        if draw(st.booleans()):
            current[request] = draw(st.integers(88, 145))
    taken = draw(st.dictionaries(st.sampled_from(["tcp", "udp"]), st.sets(st.integers(88, 130))))
    reserved = draw(st.sets(st.integers(88, 130), max_size=8))
    return wanted, current, taken, reserved


def is_certain(ports):
    return ports is not None and ports[0] == ports[1]


@given(worlds())
def test_every_port_is_allowed_given_once_and_a_second_time_all_stay(world):
    wanted, current, taken, reserved = world
    try:
        found = assign(wanted, current, taken, (100, 160), reserved)
    except PortsExhaustedError:
        return

    assert found.keys() == wanted.keys()
    for request, port in found.items():
        first, last = wanted[request] or (100, 160)
        assert first <= port <= last
        if not is_certain(wanted[request]):
            assert port not in taken.get(request.protocol, ())
        if wanted[request] is None:
            assert port not in reserved or port in current.values()
    free = {r.wish: (r.protocol, p) for r, p in found.items() if not is_certain(wanted[r])}
    assert max(Counter(free.values()).values(), default=0) <= 1
    named = {(r.protocol, p) for r, p in found.items() if is_certain(wanted[r])}
    assert not named & set(free.values())
    assert assign(wanted, found, taken, (100, 160), reserved) == found


@given(worlds(), requests.map(lambda r: PortRequest("newcomer", r.container_port, r.protocol, "")))
def test_a_newcomer_moves_nobody(world, newcomer):
    wanted, current, taken, reserved = world
    try:
        before = assign(wanted, current, taken, (100, 160), reserved)
        after = assign({**wanted, newcomer: None}, before, taken, (100, 160), reserved)
    except PortsExhaustedError:
        return

    assert {request: after[request] for request in before} == before


@given(worlds(), st.data())
def test_the_order_of_the_requests_does_not_matter(world, data):
    wanted, current, taken, reserved = world
    shuffled = dict(data.draw(st.permutations(list(wanted.items()))))
    try:
        found = assign(wanted, current, taken, (100, 160), reserved)
    except PortsExhaustedError:
        with pytest.raises(PortsExhaustedError):
            assign(shuffled, current, taken, (100, 160), reserved)
        return

    assert assign(shuffled, current, taken, (100, 160), reserved) == found
