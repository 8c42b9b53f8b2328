"""Automatic addresses: Docker's order, and nobody is ever renumbered."""

from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.allocate.addresses import Pool, PoolExhaustedError, Request, assign

WEB = Pool(
    ip_network("10.1.0.0/24"), ip_network("10.1.0.0/24"), frozenset({ip_address("10.1.0.1")})
)


def ask(*names: str) -> list[Request]:
    return [Request(name, "eth0", "web") for name in names]


def test_the_lowest_free_address_goes_to_the_first_name():
    given_ = assign({"web": WEB}, ask("b", "a"), {})

    assert given_ == {
        Request("a", "eth0", "web"): ip_interface("10.1.0.2/24"),
        Request("b", "eth0", "web"): ip_interface("10.1.0.3/24"),
    }


def test_what_is_there_stays_and_a_new_name_takes_what_is_free():
    old = assign({"web": WEB}, ask("b", "c"), {})

    new = assign({"web": WEB}, ask("a", "b", "c"), {r: [i.ip] for r, i in old.items()})

    assert {r: new[r] for r in old} == old
    assert new[Request("a", "eth0", "web")] == ip_interface("10.1.0.4/24")


@pytest.mark.parametrize("gone", ["10.2.0.9", "10.1.0.0", "10.1.0.255", "10.1.0.1", "fd00::1"])
def test_an_address_that_is_no_longer_valid_is_given_up(gone: str):
    request = ask("a")

    given_ = assign({"web": WEB}, request, {request[0]: [ip_address(gone)]})

    assert given_[request[0]] == ip_interface("10.1.0.2/24")


def test_of_two_that_have_the_same_address_the_first_name_keeps_it():
    both = {r: [ip_address("10.1.0.9")] for r in ask("a", "b")}

    given_ = assign({"web": WEB}, ask("a", "b"), both)

    assert [str(given_[r].ip) for r in ask("a", "b")] == ["10.1.0.9", "10.1.0.2"]


def test_a_range_that_is_too_small_is_an_error_that_names_it():
    pool = Pool(WEB.subnet, ip_network("10.1.0.8/31"))

    with pytest.raises(PoolExhaustedError, match=r"web: no free address left in 10.1.0.8/31"):
        assign({"web": pool}, ask("a", "b", "c"), {})


def test_a_point_to_point_prefix_has_two_addresses_to_give():
    pool = Pool(ip_network("10.1.0.8/31"), ip_network("10.1.0.8/31"))

    assert len(assign({"web": pool}, ask("a", "b"), {})) == 2


@given(
    st.sets(st.text("abc", min_size=1, max_size=3), max_size=12),
    st.sets(st.text("abc", min_size=1, max_size=3), max_size=12),
    st.sets(st.integers(2, 20)),
)
def test_no_address_is_given_twice_and_nobody_is_renumbered(
    first: set[str], more: set[str], reserved: set[int]
):
    pool = Pool(WEB.subnet, WEB.range, WEB.excluded | {WEB.subnet[n] for n in reserved})
    old = assign({"web": pool}, ask(*first), {})

    new = assign({"web": pool}, ask(*first, *more), {r: [i.ip] for r, i in old.items()})

    assert len(set(new.values())) == len(new) == len(first | more)
    assert all(pool.offers(i.ip) for i in new.values())
    assert {r: new[r] for r in old} == old
