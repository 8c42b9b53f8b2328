"""A thousand containers: built, found in sync, edited and torn down, at a price that is counted.

Counts do not depend on the machine, times do: the first are asserted, with some room.
"""

from __future__ import annotations

from collections import Counter

import pytest

from reconciler.agent.reconcile import Report
from reconciler.cli import main
from tests.kernel import facts
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import describe, listening, session
from tests.probes import ping
from tests.world import NAMED, Host

CONTAINERS = 1000
FRONT, BACK = range(500), range(500, CONTAINERS)

# A container's price, on Linux 6.18: its namespace's lo, the pair, the words on either end, the
# address, the route; and for a look at it its links, addresses and routes. Files: a switch of IPv6,
# and hostname, hosts and resolv.conf with the mark of their folder.
CHANGES, DUMPS, FILES = 6, 3, 5
MORE = 20  # what the two bridges and the host cost
PROCESSES = 12  # of the firewall, however many containers there are


def counted(host: Host, counters: Counter[str]) -> Report:
    """One pass that converges, without a process but for the firewall's `…-save`."""
    counters.clear()
    with session(host, counters, allow_empty=True) as given, listening() as heard:
        report = given.reconcile()
    failures = [f"{o.operation}: {o.error}" for o in report.failures]
    assert failures[:3] == []
    assert report.converged, describe(report.after)[:1000]
    # Nothing forks, nothing runs another program but for the firewall's, once for all.
    assert counters["processes"] <= PROCESSES
    assert len([event for event in heard if "subprocess.Popen" in event]) <= PROCESSES
    assert not [event for event in heard if "fork" in event or "spawn" in event]
    assert counters["requests"] == counters["changes"] + counters["dumps"], counters
    assert counters["retries"] == 0
    return report


@pytest.mark.scale
def test_a_thousand_containers_are_built_found_in_sync_and_torn_down(host: Host):
    bridges = bridge("addresses: [10.1.0.1/16]") + bridge("addresses: [10.2.0.1/16]", "br1")
    host.manifests.write("bridges.yaml", bridges)
    host.manifests.write("front.yaml", "".join(container(name=f"f{n}") for n in FRONT))
    host.manifests.write("back.yaml", "".join(container("bridge: br1", f"b{n}") for n in BACK))
    counters: Counter[str] = Counter()

    # Built.
    report = counted(host, counters)
    assert len(report.outcomes) >= 5 * CONTAINERS
    assert counters["changes"] <= CHANGES * CONTAINERS + MORE, counters
    assert counters["dumps"] <= DUMPS * CONTAINERS + MORE, counters
    assert counters["files"] <= FILES * CONTAINERS + MORE, counters

    # Found in sync: one look, and not one request or file that changes anything.
    report = counted(host, counters)
    assert report.outcomes == ()
    assert counters["changes"] == counters["files"] == counters["writing processes"] == 0
    assert counters["dumps"] <= DUMPS * CONTAINERS + MORE

    # Everybody has an address of its own and reaches its gateway.
    names = [f"f{n}" for n in FRONT] + [f"b{n}" for n in BACK]
    assert facts.namespaces() == set(names)
    sample = names[:: CONTAINERS // 20]
    for name in sample:
        assert ping(host.netns(name), "10.1.0.1" if name.startswith("f") else "10.2.0.1"), name
    given = [facts.addresses("eth0", host.netns(name)) for name in names]
    assert all(len(found) == 1 for found in given)
    assert len(set().union(*given)) == CONTAINERS

    # One more: the work of one, whoever else is there.
    host.manifests.write("one.yaml", container(name="one"))
    report = counted(host, counters)
    assert counters["changes"] <= CHANGES, counters
    assert counters["files"] <= FILES + 1, counters  # the names that all of a bridge share
    assert {o.operation.owner.resource for o in report.outcomes} <= {"Container/one", "Bridge/br0"}

    # Torn down: devices together, by group.
    counters.clear()
    assert main.run(["teardown"]) == 0
    assert facts.links() == {}
    assert list(NAMED.iterdir()) == []
