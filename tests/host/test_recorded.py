"""RecordedHost: what a snapshot says is what was observed, and any text is read or refused."""

import copy
import json
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.diff import diff
from reconciler.core.object import Owner
from reconciler.core.plan import Plan
from reconciler.core.policy import decide
from reconciler.core.state import State
from reconciler.errors import HostError
from reconciler.host.recorded import RecordedHost, render_snapshot
from reconciler.objects import Address, BridgeDevice, Namespace, Route, Sysctl, Veth
from reconciler.objects.marks import UNKNOWN, group_number

WEB, WEB1 = Owner("default", "Bridge/web"), Owner("default", "Container/web1")
STATE = State.of(
    [
        (BridgeDevice("", "web", mtu=1500, up=True, mac="02:00:00:00:00:01", stp=False), WEB),
        (Address("", "web", ip_interface("10.1.0.1/24")), WEB),
        (BridgeDevice("", "br0", mtu=1500, up=False), None),
        (Namespace("web1", loopback=True), WEB1),
        (Veth("", "rcweb1", "web1", "eth0", mtu=1500, peer_mtu=1500, master="web"), WEB1),
        (Address("web1", "eth0", ip_interface("fd00::2/64")), WEB1),
        (Route("web1", ip_network("0.0.0.0/0"), "eth0", ip_address("10.1.0.1")), WEB1),
        (Sysctl("", "net.ipv4.ip_forward", "1"), None),
        (Sysctl("", "net.ipv4.tcp_rmem", "4096 131072 6291456"), None),
        (Sysctl("web1", "net.ipv4.ip_forward", "0"), None),
        (Sysctl("web1", "net.ipv4.tcp_rmem", "4096 131072 6291456"), None),
        (Sysctl("web1", "net.ipv4.only_here", "7"), None),
    ]
)

DESIRED = State.of((STATE.objects[key], owner) for key, owner in STATE.owners.items())


def recorded(tmp_path, state=STATE, set_name="default"):
    path = tmp_path / "host.json"
    path.write_text(json.dumps(render_snapshot(state, {"kernel": "6.1"})))
    return RecordedHost.load(path, set_name)


def test_what_was_observed_comes_back(tmp_path):
    found = recorded(tmp_path).observe()

    assert found.objects == STATE.objects
    assert found.owners == STATE.owners
    assert diff(DESIRED, found) == ()


def test_what_most_namespaces_have_is_written_once():
    sysctls = render_snapshot(STATE, {})["sysctls"]

    assert sysctls["common"]["net.ipv4.tcp_rmem"] == "4096 131072 6291456"
    assert all("net.ipv4.tcp_rmem" not in own for own in sysctls["namespaces"].values())


def test_a_recording_refuses_to_be_changed(tmp_path):
    with pytest.raises(HostError, match="is a recording"):
        next(iter(recorded(tmp_path).execute(Plan())))


def test_a_device_without_words_is_known_by_the_set_that_asks(tmp_path):
    """Killed between two requests it has only a number, and the snapshot only that."""
    number = f"#{group_number('default') & 0xFFFF:04x}"
    bridge = BridgeDevice("", "web", mtu=1500)
    state = State.of([(bridge, Owner(number, UNKNOWN))])

    mine = recorded(tmp_path, state).observe()
    theirs = recorded(tmp_path, state, "other").observe()

    assert mine.owners[bridge.key] == Owner("default", UNKNOWN)
    assert theirs.owners[bridge.key] == Owner(number, UNKNOWN)


def places(value, path=()):
    """Every place in a JSON value, as the keys that lead to it."""
    yield path
    steps = {dict: dict.items, list: enumerate}.get(type(value), lambda _: ())
    for key, inner in steps(value):
        yield from places(inner, (*path, key))


SNAPSHOT = json.loads(json.dumps(render_snapshot(STATE, {})))
PLACES = [path for path in places(SNAPSHOT) if path]
VALUES = st.sampled_from(
    [None, True, -1, 3.5, 10**30, "", "x", "10.0.0.1/99", "\x1b[31m", [], {}, ["a"], {"a": 1}]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=3))
def test_a_damaged_snapshot_is_read_or_refused(tmp_path_factory, damages):
    """What is read can be compared: nothing goes wrong later, in the middle of a diff."""
    found = copy.deepcopy(SNAPSHOT)
    for path, value in damages:
        parent = found
        try:
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier damage has taken the place away
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_text(json.dumps(found))

    try:
        observed = RecordedHost.load(path).observe()
    except HostError:
        return
    decide(diff(DESIRED, observed), DESIRED, observed)
    json.dumps(render_snapshot(observed, {}))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.json"
    path.write_bytes(data)

    with pytest.raises(HostError):
        RecordedHost.load(path)
