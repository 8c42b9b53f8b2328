"""One container more among a thousand with a thousand published ports: its own lines, no others."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.core.diff import diff
from reconciler.core.object import KernelObject, Owner
from reconciler.core.plan import make_plan
from reconciler.core.policy import decide
from reconciler.core.state import State
from reconciler.formats.iptables import Ruleset, parse
from reconciler.host.firewall.edit import make_target, plan_edits
from reconciler.kinds import ManifestFile, parse_catalog
from reconciler.kinds.expand import expand_catalog
from reconciler.objects import FirewallChain, FirewallJump, FirewallRule
from reconciler.objects.firewall_observed import find_misplaced, parse_firewall

BRIDGES = """\
apiVersion: reconciler/v1
kind: Bridge
metadata: {name: web}
spec: {addresses: [10.20.0.1/16]}
"""
CONTAINER = """\
---
apiVersion: reconciler/v1
kind: Container
metadata: {name: c%04d}
spec: {bridge: web, publish: ["%d:80"]}
"""


def firewall_of(count: int) -> State:
    """What the manifests of so many containers ask of the firewall."""
    text = BRIDGES + "".join(CONTAINER % (n, 20000 + n) for n in range(count))
    desired = expand_catalog(
        parse_catalog([ManifestFile("a.yaml", text.encode())]), State(), "default"
    )
    return State.of(
        (item, desired.owners[key])
        for key, item in desired.objects.items()
        if isinstance(item, FirewallChain | FirewallRule | FirewallJump)
    )


def saved(state: State) -> Ruleset:
    """The same as iptables-save would print it."""
    lines = []
    for table in ("raw", "filter", "nat"):
        mine = [o for o in state.objects.values() if getattr(o, "table", "") == table]
        rules = sorted(
            (o for o in mine if isinstance(o, FirewallRule | FirewallJump)),
            key=lambda rule: (rule.chain, rule.order, rule.text),
        )
        chains = [f":{o.name} - [0:0]" for o in mine if isinstance(o, FirewallChain)]
        lines += [f"*{table}", *chains, *(f"-A {r.chain} {r.text}" for r in rules), "COMMIT"]
    return parse("\n".join(lines) + "\n")


def observed_of(ruleset: Ruleset) -> Iterator[tuple[KernelObject, Owner | None]]:
    return parse_firewall(4, ruleset, "default")


def test_one_container_more_among_a_thousand_writes_its_own_lines_only():
    before, wanted = saved(firewall_of(1000)), firewall_of(1001)
    observed = find_misplaced(wanted, State.of(observed_of(before)))
    changes = decide(diff(wanted, observed), wanted, observed).changes
    operations = make_plan(changes, wanted, observed).operations

    edits = plan_edits(before, make_target(4, operations, wanted))

    (edit, lines) = edits[0]
    assert [e.table for e, _ in edits] == ["nat"]
    assert len(before.tables["nat"].rules) > 60  # a tree of a thousand ports
    # Port 21000 is 0x5208: its leaf, and the one branch that no other port has, if any.
    assert len(edit.lines) <= 3
    assert sum("--to-destination" in line.text for line in lines) == 1
    assert all("c1000" in line.text or "RC-DNAT" in line.text for line in lines)


def test_a_thousand_containers_in_their_order_need_no_change():
    wanted = firewall_of(1000)

    observed = find_misplaced(wanted, State.of(observed_of(saved(wanted))))

    assert diff(wanted, observed) == ()
