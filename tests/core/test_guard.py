"""The prune guard: how much may go away unasked, and what a limit allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.diff import Action, Change
from reconciler.core.guard import Limit, LimitError, check_deletes, count_owned, parse_limit
from reconciler.core.object import HOST, Owner
from reconciler.core.state import State
from reconciler.objects import BridgeDevice, Sysctl


def change(number, action=Action.DELETE, owner="Container/web1", displaces=()):
    device = BridgeDevice(HOST, f"b{number}")
    before, after = (None, device) if action is Action.CREATE else (device, None)
    return Change(action, device.key, before, after, Owner("default", owner), displaces=displaces)


def deletes(number, **more):
    return [change(n, **more) for n in range(number)]


@pytest.mark.parametrize(
    ("gone", "owned", "stopped"),
    [
        (0, 0, False),
        (10, 10, False),  # ten may always go, be it all
        (11, 11, True),
        (11, 21, True),
        (11, 22, False),  # the half is not more than half
        (500, 1000, False),
        (501, 1000, True),
    ],
)
def test_more_than_half_and_more_than_ten_need_a_word(gone, owned, stopped):
    assert (check_deletes(deletes(gone), owned, None) is not None) is stopped


@pytest.mark.parametrize(
    ("limit", "gone", "owned", "stopped"),
    [
        ("5", 5, 5, False),
        ("5", 6, 1000, True),
        ("0", 1, 1000, True),
        ("0", 0, 0, False),
        ("600", 501, 1000, False),
        ("20%", 200, 1000, False),
        ("20%", 201, 1000, True),
        ("20%", 2, 9, True),  # 22 %, and less than the ten that go unasked: what is said counts
        ("100%", 1000, 1000, False),
        ("0%", 1, 1000, True),
        ("0%", 0, 0, False),
    ],
)
def test_a_limit_is_kept_to_the_letter(limit, gone, owned, stopped):
    assert (check_deletes(deletes(gone), owned, parse_limit(limit)) is not None) is stopped


def test_only_deletes_count():
    others = [
        change(100 + n, action)
        for n, action in enumerate(
            (Action.CREATE, Action.UPDATE, Action.REPLACE, Action.BLOCKED) * 5
        )
    ]

    assert check_deletes([*deletes(10), *others], 10, None) is None
    assert check_deletes(others, 0, Limit(0)) is None


def test_what_makes_room_for_something_else_does_not_count():
    gone = deletes(12)
    new = change(100, Action.CREATE, displaces=(gone[0].key, gone[1].key))

    assert check_deletes(gone, 12, None)
    assert check_deletes([*gone, new], 12, None) is None


def test_the_reason_says_how_many_whose_and_what_to_do():
    gone = [change(n, owner=f"Container/web{n % 5}") for n in range(12)]

    assert check_deletes(gone, 15, None) == (
        "12 of the 15 objects that are ours would be deleted (Container/web0, Container/web1, Container/web2 and 2 "
        "more), more than half; if that is meant, say --max-deletes 12, or --max-deletes 100%"
    )
    assert check_deletes(gone[:1], 15, Limit(5, percent=True)) == (
        "1 of the 15 objects that are ours would be deleted (Container/web0), and --max-deletes allows 5%"
    )


def test_what_the_reason_proposes_is_enough():
    gone = deletes(12)

    assert check_deletes(gone, 15, parse_limit("12")) is None
    assert check_deletes(gone, 15, parse_limit("100%")) is None
    assert check_deletes(gone, 15, parse_limit("11"))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("0", Limit(0)),
        ("25", Limit(25)),
        (" 60% ", Limit(60, percent=True)),
        ("100%", Limit(100, True)),
    ],
)
def test_limits(text, limit):
    assert parse_limit(text) == limit
    assert str(limit) == text.strip()


@pytest.mark.parametrize(
    "text", ["", "%", "-1", "1.5", "ten", "5 %", "50%%", "٣", "9" * 10, "0x10"]
)
def test_what_is_no_limit(text):
    with pytest.raises(LimitError) as error:
        parse_limit(text)

    assert str(error.value) == f"{text!r} is not a number of objects, as 25, nor a share, as 60%"


def test_a_share_is_not_more_than_all():
    with pytest.raises(LimitError, match="'101%' is more than all; write 100% at most"):
        parse_limit("101%")


def test_owned_is_what_the_set_could_delete():
    mine, other = Owner("default", "Bridge/a"), Owner("blue", "Bridge/b")
    state = State.of(
        [
            (BridgeDevice(HOST, "a"), mine),
            (BridgeDevice(HOST, "b"), other),
            (BridgeDevice(HOST, "stranger"), None),
            (Sysctl(HOST, "net.ipv4.ip_forward", "1"), mine),
        ]
    )

    assert count_owned(state, "default") == 1
    assert count_owned(state, "blue") == 1
    assert count_owned(state, "red") == 0


@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.none() | st.builds(Limit, st.integers(0, 60), st.booleans()),
)
def test_fewer_deletes_are_never_worse(gone, owned, limit):
    if check_deletes(deletes(gone), owned, limit) is None:
        for fewer in range(gone):
            assert check_deletes(deletes(fewer), owned, limit) is None
