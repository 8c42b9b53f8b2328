"""Where a change may matter: a comparison of that much decides what one of everything decides.

A chain of deeds is done to what was observed; after each the engine compares what it thinks is
affected, and everything is compared beside it. The deeds know nothing of Linux: whatever can be said
of a state may happen, so that the law does not depend on what a kernel does by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cache
from ipaddress import ip_interface
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.agent.affected import Affected
from reconciler.agent.engine import Engine
from reconciler.agent.reconcile import Preview, compare_states
from reconciler.agent.source import Loaded
from reconciler.core.object import KernelObject, Key, Mark, Owner
from reconciler.core.policy import Policy
from reconciler.core.state import State
from reconciler.errors import ReconcilerError
from reconciler.host.base import Interest
from reconciler.host.fake import FakeHost
from reconciler.kinds.expand import expand_catalog
from reconciler.objects import (
    Address,
    BridgeDevice,
    FirewallChain,
    FirewallRule,
    Namespace,
    OtherDevice,
    Veth,
)
from reconciler.objects.assembly import Assembly
from reconciler.objects.rule import make_jump, make_rule
from tests.kernel.worlds import EVERYTHING, MANY
from tests.manifest.reading import catalog_of
from tests.properties.worlds import SET, desired_states

BR0 = Owner(SET, "Bridge/br0")
GONE = Owner(SET, "Bridge/gone")
OTHERS = Owner("other", "Bridge/theirs")


@dataclass
class Kernel:
    """What is there, and what an engine asks of a host: the state, and what has changed in it."""

    objects: dict[Key, KernelObject] = field(default_factory=dict)
    owners: dict[Key, Owner] = field(default_factory=dict)
    assembly: Assembly = field(default_factory=Assembly)

    @classmethod
    def holding(cls, state: State) -> Kernel:
        return cls(dict(state.objects), dict(state.owners))

    @property
    def look(self) -> Kernel:
        return self

    @property
    def observed(self) -> Kernel:
        return self

    def observe(self, interest: object, scope: object) -> State:
        self.assembly.put("kernel", [(o, self.owners.get(k)) for k, o in self.objects.items()])
        return self.assembly.state

    @property
    def namespaces(self) -> frozenset[str]:
        return frozenset(key.name for key in self.objects if key.type == "netns")

    def take_changed(self) -> frozenset[Key]:
        return self.assembly.take_changed()

    def place(self, item: KernelObject, owner: Owner | None) -> None:
        self.objects[item.key] = item
        self.own(item.key, owner)

    def own(self, key: Key, owner: Owner | None) -> None:
        self.owners.pop(key, None)
        if owner is not None and self.objects[key].mark is not Mark.NONE:
            self.owners[key] = owner

    def remove(self, key: Key) -> None:
        self.objects.pop(key, None)
        self.owners.pop(key, None)

    def alter(self, key: Key, **values: object) -> None:
        """Change fields; with another name it keeps its owner."""
        item, owner = self.objects[key], self.owners.get(key)
        self.remove(key)
        self.place(replace(item, **values), owner)  # type: ignore[type-var]


def engine_of(desired: State, kernel: Kernel) -> Engine:
    """An engine that wants this, and has compared nothing yet."""
    engine = Engine(kernel, SET)  # type: ignore[arg-type]
    engine.desired, engine._affected = desired, Affected(desired)
    return engine


def step(engine: Engine, policy: Policy = Policy()) -> Preview:
    """Look and compare; the decision must be that of comparing everything."""
    engine.look()
    found = engine.compare(policy)
    whole = compare_states(engine.desired, engine.observed, policy, SET)
    assert found.decision == whole.decision
    return found


# --------------------------------------------------------------------------- deeds of somebody


def deed(draw: Any, kernel: Kernel, desired: State, healthy: State) -> None:
    """Do one thing to what is there."""
    wanted, there = sorted(healthy.objects), sorted(kernel.objects)
    kind = draw(st.sampled_from(["delete", "alter", "own", "place", "put back", "rule"]))
    match kind:
        case "delete" if there:
            kernel.remove(draw(st.sampled_from(there)))
        case "alter" if there:
            _alter(draw, kernel, draw(st.sampled_from(there)))
        case "own" if there:
            key = draw(st.sampled_from(there))
            mine = [desired.owners[key]] if key in desired.owners else []
            kept = [mine[0]._replace(keep=True)] if mine else []
            kernel.own(key, draw(st.sampled_from([None, GONE, OTHERS, *mine, *kept])))
        case "put back" if wanted:
            key = draw(st.sampled_from(wanted))
            kernel.place(healthy.objects[key], healthy.owners.get(key))
        case "rule":
            _do_to_a_rule(draw, kernel)
        case _:
            _place(draw, kernel, desired)


ALTERATIONS: dict[str, list[object]] = {
    "name": ["b1", "eth7", "other"],
    "peer_name": ["eth0", "eth1", "eth7", "moved", None],
    "netns": ["", "c1", "c2"],
    "peer_netns": ["", "c1", "c2", None],
    "device": ["eth0", "eth7", "b1"],
    "master": ["", "b1", "br1"],
    "mtu": [1300, 1500],
    "up": [True, False],
    "loopback": [True, False],
    "mounted": [True, False],
    "value": ["0", "1"],
    "kind": ["macvlan", "pfifo"],
    "misplaced": [True, False],
    "text": ["another spelling"],
    "target": ["elsewhere"],
    "lines": [("something else",)],
}


def _alter(draw: Any, kernel: Kernel, key: Key) -> None:
    mine = {one.name for one in fields(kernel.objects[key])}  # type: ignore[arg-type]
    possible = sorted(mine & ALTERATIONS.keys())
    if not possible:
        return
    name = draw(st.sampled_from(possible))
    if (name, key.type) in {("name", "sysctl"), ("name", "chain")}:
        return
    kernel.alter(key, **{name: draw(st.sampled_from(ALTERATIONS[name]))})


def _do_to_a_rule(draw: Any, kernel: Kernel) -> None:
    """Move a rule of ours, or put a stranger's among them."""
    rules = [key for key in sorted(kernel.objects) if key.type == "rule"]
    if not rules:
        return
    rule = kernel.objects[draw(st.sampled_from(rules))]
    order = (draw(st.integers(0, 9)),)
    if draw(st.booleans()):
        kernel.alter(rule.key, order=order)
    else:
        place = (rule.family, rule.table, rule.chain)
        kernel.place(FirewallRule(*place, "-j DROP", "-j DROP", order), Owner(SET, "?"))


def _place(draw: Any, kernel: Kernel, desired: State) -> None:
    """Put something there that nobody wants, preferably where something of ours belongs."""
    places = [key for key in desired.objects if key.type == "device"] + [*desired.claims]
    places += [Key("device", "", "b9"), Key("device", "c1", "eth0")]
    netns, name = draw(st.sampled_from(sorted(places)))[1:]
    item = draw(
        st.sampled_from(
            [
                OtherDevice(netns, name, kind="macvlan", mtu=1500, up=True),
                BridgeDevice(netns, name, mtu=1500, up=True),
                Veth("", "foreign", netns, name, mtu=1500, peer_mtu=1500),
                Address(netns, name, ip_interface("10.0.0.99/24")),
                Namespace(netns or "c9"),
            ]
        )
    )
    kernel.place(item, draw(st.sampled_from([None, GONE, OTHERS, *desired.owners.values()])))


def policies(desired: State) -> st.SearchStrategy[Policy]:
    """How far a pass may go; the engine is asked with another one each time."""
    keys = sorted(desired.objects) or [Key("device", "", "b0")]
    resources = sorted({owner.resource for owner in desired.owners.values()}) or ["Bridge/b0"]
    return st.builds(
        Policy,
        prune=st.booleans(),
        adopt=st.booleans(),
        waiting=st.frozensets(st.sampled_from(keys), max_size=2),
        suspended=st.frozensets(st.sampled_from(resources), max_size=1),
        declared=st.sampled_from([frozenset(), frozenset(resources)]),
    )


Want = Callable[[Engine], None]
"""Declare something else."""


def walk(draw: Any, engine: Engine, kernel: Kernel, want: Want) -> None:
    """Begin converged; after a few deeds each, the engine must decide as one that knows nothing."""
    healthy = State(dict(kernel.objects), dict(kernel.owners))
    assert step(engine).in_sync
    for _ in range(draw(st.integers(1, 5))):
        for _ in range(draw(st.integers(1, 3))):
            deed(draw, kernel, engine.desired, healthy)
        if draw(st.booleans()):
            want(engine)
        step(engine, draw(policies(engine.desired)))


# --------------------------------------------------------------------------- worlds


def entries_of(state: State) -> list[tuple[KernelObject, Owner | None]]:
    return [(item, state.owners.get(key)) for key, item in state.objects.items()]


def with_rules(state: State) -> State:
    """The same with a few chains and rules of one bridge, and a jump that all sets share."""
    entries: list[tuple[KernelObject, Owner | None]] = [
        (FirewallChain(4, "filter", "RC-OUT"), Owner(SET, "Host/firewall")),
        (make_jump((4, "filter", "FORWARD"), ("-j", "RC-OUT"), (0,)), Owner(SET, "Host/firewall")),
    ]
    for number in range(4):
        words = ("-i", f"b{number}", "-j", "ACCEPT")
        rule = make_rule((4, "filter", "RC-OUT"), words, BR0[:2], order=(number,))
        entries.append((rule, BR0))
    return State.of([*entries, *entries_of(state)])


def converged(desired: State) -> State:
    """What a kernel shows once all of it was made."""
    host = FakeHost()
    for outcome in host.execute(compare_states(desired, host.observe(), Policy(), SET).plan()):
        assert outcome.error is None, outcome
    return numbered(host.observe(Interest.of(desired)))


def numbered(state: State) -> State:
    """The rules of a chain by their number in it, as the kernel has them."""
    rules = [item for key, item in state.objects.items() if key.type == "rule"]
    length: Counter[Key] = Counter()
    found: dict[Key, KernelObject] = {}
    for rule in sorted(rules, key=lambda rule: (rule.parents, rule.order, rule.text)):
        (chain,) = rule.parents
        length[chain] += 1
        found[rule.key] = replace(rule, order=(length[chain],))
    return replace(state, objects={**state.objects, **found})


EDITS = (
    ("mtu: 1400", "mtu: 1500"),
    ("addresses: [10.1.0.60, 'fd00:1::60']", "addresses: [10.1.0.70, 'fd00:1::70']"),
    ("internal: true", "internal: false"),
    ("interface: y0", "interface: y1"),
    ("metadata: {name: c8}", "metadata: {name: c11}"),
    ("spec: {bridge: br0}", "spec: {bridge: br1, publish: ['8080:80']}"),
)


@cache
def revision(edits: frozenset[tuple[str, str]] = frozenset(), *, whole: bool = True) -> Loaded:
    """Bridges, containers, links and walls, as somebody has edited them; or half of that."""
    text = "".join((MANY if whole else EVERYTHING).values())
    for before, after in edits:
        text = text.replace(before, after)
    return Loaded(catalog_of(text), True, f"{edits} {whole}", ("manifests",))


@cache
def network() -> State:
    """What a kernel shows of the whole of it."""
    return converged(expand_catalog(revision().catalog, State(), SET))


revisions = st.builds(
    revision, st.frozensets(st.sampled_from(EDITS), max_size=2), whole=st.booleans()
)


# --------------------------------------------------------------------------- the law


@settings(max_examples=200, deadline=None)
@given(st.data(), desired_states().map(with_rules))
def test_what_is_affected_decides_as_everything_does(data: st.DataObject, desired: State) -> None:
    kernel = Kernel.holding(numbered(desired))
    engine = engine_of(desired, kernel)
    wanted = Assembly()
    wanted.put("manifests", entries_of(desired))
    wanted.take_changed()

    def want(engine: Engine) -> None:
        wanted.put("manifests", entries_of(with_rules(data.draw(desired_states()))))
        engine.desired, engine._affected = wanted.state, Affected(wanted.state)
        engine._changed |= wanted.take_changed()

    walk(data.draw, engine, kernel, want)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_affected_decides_as_everything_does_in_a_whole_network(
    data: st.DataObject,
) -> None:
    kernel = Kernel.holding(network())
    engine = Engine(kernel, SET)  # type: ignore[arg-type]
    engine.look()
    engine.accept(revision())

    def want(engine: Engine) -> None:
        with suppress(ReconcilerError):  # it cannot be had on what this kernel has become
            engine.accept(data.draw(revisions))

    walk(data.draw, engine, kernel, want)


# --------------------------------------------------------------------------- single facts


CABLE = Veth("", "v1", "c1", "eth0", mtu=1500, peer_mtu=1500, up=True, peer_up=True)
CONTAINER = Owner(SET, "Container/c1")
INNER = Address("c1", "eth0", ip_interface("10.0.0.2/24"))
C1 = State.of([(Namespace("c1"), CONTAINER), (CABLE, CONTAINER), (INNER, CONTAINER)])


def c1() -> tuple[Kernel, Engine]:
    """A container that is as declared, and an engine that knows it."""
    kernel = Kernel.holding(C1)
    engine = engine_of(C1, kernel)
    assert step(engine).in_sync
    return kernel, engine


def test_a_quiet_look_affects_nothing():
    _, engine = c1()
    engine.look()

    assert not engine.changed
    assert engine._affected.by(engine._changed, engine.observed) == set()


def test_a_change_of_a_claim_affects_the_object_that_wants_it():
    stranger = OtherDevice("c1", "eth0", kind="macvlan")

    found = Affected(C1).by([stranger.key], State.of([(stranger, None)]))

    assert CABLE.key in found


def test_a_change_of_a_device_affects_what_is_on_it():
    assert INNER.key in Affected(C1).by([CABLE.key], C1)


def test_a_moved_rule_affects_its_chain_and_no_other():
    desired = with_rules(State())
    rules = [key for key in desired.objects if key.name.startswith("filter/RC-OUT/")]
    jump = next(key for key in desired.objects if key.name.startswith("filter/FORWARD/"))

    assert Affected(desired).by([rules[0]], desired) == set(rules)
    assert Affected(desired).by([rules[0]], State()) == set(rules), "those that are missing"
    assert Affected(State()).by([rules[0]], desired) == set(rules), "those that are left over"
    assert Affected(desired).by([jump], desired) == {jump}


def test_a_change_that_still_stands_is_found_again_without_being_told():
    kernel, engine = c1()
    kernel.remove(INNER.key)
    assert not step(engine).in_sync

    assert [change.key for change in step(engine).changes] == [INNER.key]


def test_what_is_left_on_a_device_that_was_renamed_back_to_its_owners_name_is_not_forgotten():
    """What was told in the wanted names is compared anew once they can be had no more."""
    kernel, engine = c1()
    kernel.alter(CABLE.key, peer_name="wan0")
    kernel.remove(INNER.key)
    moved = replace(INNER, device="wan0")
    kernel.place(moved, CONTAINER)
    assert {c.key for c in step(engine).changes} == {CABLE.key}

    kernel.place(OtherDevice("c1", "eth0", kind="macvlan"), None)

    assert moved.key in {change.key for change in step(engine).changes}


def test_an_address_without_a_mark_is_somebodys_once_the_device_under_it_is():
    """It counts as ours on a device of ours, whatever the name of that device on the host."""
    kernel, engine = c1()
    kernel.remove(CABLE.key)
    other = replace(CABLE, name="v2")
    kernel.place(other, Owner(SET, "Container/gone"))
    kernel.own(INNER.key, None)
    assert INNER.key not in {change.key for change in step(engine).changes}

    kernel.own(other.key, OTHERS)

    assert INNER.key in {change.key for change in step(engine).changes}
