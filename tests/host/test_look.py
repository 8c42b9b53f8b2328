"""Looks at parts: what is known after them is what a look at everything would find."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import pytest

from reconciler.agent.scopes import SILENT, scope_heard
from reconciler.agent.source import load
from reconciler.core.object import HOST, Key
from reconciler.core.state import State
from reconciler.host import look as look_module
from reconciler.host.base import EVERYTHING, NOWHERE, Interest, Scope
from reconciler.host.linux import LinuxHost
from reconciler.host.monitor import Monitor
from reconciler.host.names_watch import NamesWatch
from reconciler.kinds.expand import expand_catalog
from tests.kernel.drifts import DRIFTS
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import apply, converge
from tests.kernel.worlds import MANY, write
from tests.world import Host, wait_until


@dataclass
class Follower:
    """Knows a host from one look at everything, and follows what is told."""

    linux: LinuxHost
    monitor: Monitor
    names: NamesWatch
    interest: Interest
    told: Scope = NOWHERE
    counters: Counter[str] = field(default_factory=Counter)

    def listen(self) -> Scope:
        """Where anything was told of; of parameters nobody tells, so that they are polled."""
        spaces, folders = self.names.take()
        more = Scope(namespaces=spaces, spaces=bool(spaces), folders=folders)
        return scope_heard(self.monitor.read()) | more

    def follow(self, *, poll: bool = True) -> State:
        """Look where something was told of."""
        scope = self.listen()
        if poll:
            scope |= Scope(sysctls=self.linux.look.observed.namespaces | {HOST})
        return self.look(scope)

    def look(self, scope: Scope = EVERYTHING) -> State:
        found = self.linux.observe(self.interest, scope)
        self.linux.rest()  # else it would keep alive what somebody deletes
        return found

    def take_changed(self) -> frozenset[Key]:
        return self.linux.look.observed.take_changed()


@contextmanager
def following(host: Host) -> Iterator[Follower]:
    """Look at everything, and listen from then on."""
    counters: Counter[str] = Counter()
    linux, names = LinuxHost(counters=counters), NamesWatch(lambda: None)
    names.arm()
    monitor = linux.watch()
    interest = Interest.of(
        expand_catalog(load([os.fspath(host.manifests)]).catalog, State(), "default")
    )
    follower = Follower(linux, monitor, names, interest, counters=counters)
    try:
        follower.look()
        yield follower
    finally:
        names.close()
        monitor.close()
        linux.close()


def fresh(interest: Interest) -> State:
    """What somebody sees who has never looked."""
    linux = LinuxHost()
    try:
        return linux.observe(interest)
    finally:
        linux.close()


def facts_of(state: State) -> dict[Key, object]:
    """All that a state says of each key, the places of rules included."""
    return {
        key: (item, state.owners.get(key), getattr(item, "order", None))
        for key, item in state.objects.items()
    } | {claim: holder for claim, holder in state.claims.items() if claim not in state.objects}


def difference(known: State, there: State) -> dict[Key, tuple[object, object]]:
    mine, real = facts_of(known), facts_of(there)
    keys = mine.keys() | real.keys()
    return {k: (mine.get(k), real.get(k)) for k in keys if mine.get(k) != real.get(k)}


def assert_follows(follower: Follower, why: str) -> None:
    """What is known comes to be what is there; some of it the kernel does, and tells, later."""
    left: dict[Key, tuple[object, object]] = {}

    def known() -> bool:
        nonlocal left
        left = difference(follower.follow(), fresh(follower.interest))
        return not left

    try:
        wait_until(known)
    except AssertionError:
        raise AssertionError(f"{why}: {left}") from None


# --------------------------------------------------------------------------- the law

PORTIONS = [DRIFTS[start::5] for start in range(5)]


@pytest.mark.parametrize("portion", range(len(PORTIONS)))
def test_who_looks_where_something_was_told_knows_what_is_there(host: Host, portion: int):
    choose = Random(portion)
    write(host, MANY)
    converge(host)
    with following(host) as follower:
        for deed in PORTIONS[portion]:
            done = f"{deed.__name__}: {deed(host, choose)}"
            assert_follows(follower, done)

            apply(host)  # by other sockets than the follower's: for it, a stranger's doing
            assert_follows(follower, f"healed after {done}")


def test_what_was_seen_to_change_is_named(host: Host):
    """The comparison of the few relies on it."""
    choose = Random(0)
    write(host, MANY)
    converge(host)
    with following(host) as follower:
        for deed in DRIFTS[::7]:
            follower.take_changed()
            before = follower.linux.look.state
            deed(host, choose)
            assert_follows(follower, deed.__name__)

            after, named = follower.linux.look.state, follower.take_changed()

            assert difference(before, after).keys() <= named
            apply(host)
            assert_follows(follower, "healed")


def test_what_is_made_by_hand_is_known_too(host: Host):
    """Devices of other kinds, ports, another namespace, somebody's rules."""
    write(host, MANY)
    converge(host)
    with following(host) as follower:
        for deed in (
            # Of a pair that is down the kernel does not tell that its other end has moved.
            lambda: host.ip("link add d0 type veth peer name d9"),
            lambda: host.ip("link set d0 up"),
            lambda: host.ip("link set d9 up"),
            lambda: host.ip("link set d0 master br0"),
            lambda: host.ip("link set d0 name d1"),
            lambda: host.ip("link add v1 type veth peer name v2"),
            lambda: host.ip("link set v1 up"),
            lambda: host.ip("link set v2 up"),
            lambda: host.ip("link set v2 netns c1 name v1"),
            lambda: host.ip("link set br0 name br9"),
            lambda: host.ip("route add 10.77.0.0/16 via 10.2.0.4"),
            lambda: host.add_netns("stranger"),
            lambda: host.ip("link set d1 netns stranger"),
            lambda: host.run("iptables", "-A", "RC-OUT", "-j", "DROP"),
            lambda: host.run("iptables", "-I", "FORWARD", "-j", "ACCEPT"),
            lambda: host.run("ip6tables", "-F", "RC-OUT"),
            lambda: host.run("sh", "-c", "echo x > /etc/netns/c1/resolv.conf"),
            lambda: host.run("rm", "-r", "/etc/netns/c2"),
            lambda: host.delete_netns("stranger"),
        ):
            deed()
            assert_follows(follower, "by hand")


def test_without_a_poll_only_what_nobody_tells_of_is_missed(host: Host):
    write(host, {"one.yaml": bridge() + container()})
    converge(host)
    with following(host) as follower:
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
        host.ip("addr add 10.7.0.1/24 dev br0")
        wait_until(lambda: follower.follow(poll=False) and follower.take_changed())

        missed = difference(follower.linux.look.state, fresh(follower.interest))

    assert {key.type for key in missed} <= SILENT


# --------------------------------------------------------------------------- quiet


@pytest.fixture
def many(host: Host) -> Iterator[Follower]:
    write(host, MANY)
    converge(host)
    with following(host) as follower:
        follower.take_changed()
        yield follower


def refuse(name: str) -> Callable[..., object]:
    def refused(*_: object) -> object:
        raise AssertionError(f"{name} was called")

    return refused


PARSERS = ("parse_link", "parse_address", "parse_route", "read_folder", "read_qdiscs")


def test_a_quiet_full_look_changes_nothing(many: Follower):
    before = many.linux.look.state

    assert many.look() is before
    assert many.take_changed() == frozenset()


def test_a_quiet_look_into_a_container_parses_nothing_again(host: Host, monkeypatch):
    """Quiet means without packets, too: a device's counters are in its message."""
    write(host, {"one.yaml": container("network: none")})
    converge(host)
    with following(host) as follower:
        for name in PARSERS:
            monkeypatch.setattr(look_module, name, refuse(name))

        follower.look(Scope(spaces=True, all_folders=True, namespaces=frozenset({"c1"})))


def test_a_quiet_full_look_starts_no_program_where_the_kernel_counts_changes(many: Follower):
    before = many.counters["processes"]
    many.look()

    assert many.counters["processes"] == before


def test_a_look_writes_nothing(many: Follower):
    many.look()

    assert many.counters["writing processes"] == many.counters["files"] == 0


def test_a_look_at_nothing_asks_for_nothing(many: Follower):
    before = Counter(many.counters)
    many.look(NOWHERE)

    assert many.counters == before


def test_a_look_at_one_namespace_of_many_costs_three_dumps(many: Follower):
    before = many.counters["dumps"]
    many.look(Scope(namespaces=frozenset({"c1"})))

    assert many.counters["dumps"] - before == 3


def test_a_look_at_one_device_of_the_host_reads_no_other(many: Follower):
    before = Counter(many.counters)
    index = many.linux.look.observed.index("br0")
    many.look(Scope(devices=frozenset({index})))

    spent = many.counters - before
    assert spent["RTM_GETLINK"] == 1
    assert spent["dumps"] <= 3, "addresses, routes and shaping, of this one"


def test_a_look_at_one_family_reads_no_other(many: Follower, host: Host):
    host.run("iptables", "-A", "RC-OUT", "-j", "DROP")
    before = many.counters["processes"]
    many.look(Scope(families=frozenset({4})))

    assert many.counters["processes"] - before == 1
    assert {key.name.partition("/")[0] for key in many.take_changed()} == {"filter"}


def test_a_namespace_that_is_gone_before_it_is_looked_into_is_no_error(many: Follower, host: Host):
    host.delete_netns("c8")
    state = many.look(Scope(namespaces=frozenset({"c8"})))

    assert Key("netns", "", "c8") not in state.objects
    assert not [key for key in state.objects if key.netns == "c8" and key.type != "sysctl"]


def test_a_look_at_which_namespaces_there_are_forgets_those_that_are_gone(
    many: Follower, host: Host
):
    host.delete_netns("c8")
    host.add_netns("c11")
    many.look(Scope(spaces=True))

    assert "c8" not in many.linux.look.observed.namespaces
    assert "c11" in many.linux.look.observed.namespaces, "and looks into those that are new"


def test_a_device_that_is_gone_before_it_is_looked_at_is_no_error(many: Follower, host: Host):
    index = many.linux.look.observed.index("br0")
    host.ip("link del br0")
    state = many.look(Scope(devices=frozenset({index}), names=frozenset({"never", "br0"})))

    assert Key("device", "", "br0") not in state.objects


def test_many_devices_at_once_are_read_by_one_dump(many: Follower):
    before = many.counters["RTM_GETLINK"]
    many.look(Scope(devices=frozenset(range(1, 100))))

    assert many.counters["RTM_GETLINK"] - before <= 1
    assert many.take_changed() == frozenset()
