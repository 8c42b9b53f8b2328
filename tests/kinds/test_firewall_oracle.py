"""The rules of a bridge against Docker's, switch by switch.

Docker's own golden files hold one set of rules for each combination of its switches (moby,
iptabler_test.go, TestIptabler). Every rule in them depends on a conjunction of switches; so does
every row here, written from Docker's table and not from our code. `docker` is Docker's rule, where
ours has other words; what we do otherwise on purpose says why.

The world is Docker's too: `br-dummy` with 192.168.0.0/24 and fd49:efd7:54aa::/64, port 8080 of the
host to port 80 of its container; a second container has a link to the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import pytest

from reconciler.core.state import State
from reconciler.formats.iptables_mark import without_mark
from reconciler.kinds.expand import expand_catalog
from reconciler.objects import FirewallChain, FirewallJump, FirewallRule
from tests.manifest.reading import catalog_of, manifest

WORDS = {
    4: {
        "NET": "192.168.0.0/24", "GW": "192.168.0.1", "CIP": "192.168.0.2", "PARENT": "192.168.0.3",
        "TO": "192.168.0.2:80", "ICMP": "icmp", "LOOP": "-d 127.0.0.1 ", "NOLINKLOCAL": "",
        "BIT2": "0.0.0.2/0.0.0.15", "BIT20": "0.0.0.0/0.0.0.240",
    },
    6: {
        "NET": "fd49:efd7:54aa::/64", "GW": "fd49:efd7:54aa::1", "CIP": "fd49:efd7:54aa::2",
        "PARENT": "fd49:efd7:54aa::3", "TO": "[fd49:efd7:54aa::2]:80", "ICMP": "ipv6-icmp",
        "LOOP": "-d ::1 ", "NOLINKLOCAL": "! -s fe80::/10 ", "BIT2": "::2/::f", "BIT20": "::/::f0",
    },
}  # fmt: skip
"""What the words in capitals stand for; BR is br-dummy in both."""
TREE = "RC-DNAT-37a8ee"
"""Of the set `default`: the first six digits of its SHA-256."""


@dataclass(frozen=True)
class Case:
    """One combination of switches, in one family."""

    internal: bool = False
    icc: bool = True
    masquerade: bool = True
    mode: str = "nat"
    binding: str = "any"
    """Where the port is bound: any address of the host, localhost, or there is none."""
    family: int = 4
    hairpin: bool | None = None

    @property
    def nat(self) -> bool:
        return not self.internal and self.mode != "routed"

    @property
    def translated(self) -> bool:
        return self.nat and self.binding != "none"

    @property
    def opened(self) -> bool:
        """A rule for the container's own port: routed, where nothing is translated."""
        return not self.internal and self.mode == "routed" and self.binding != "none"

    @property
    def linked(self) -> bool:
        """A link needs a rule only where containers may not talk; one to no port opens nothing."""
        return not self.icc and self.binding != "none"

    @property
    def hangs(self) -> bool:
        """Something of a single container is let in: it hangs on the tree of its bridge."""
        return self.opened or self.linked


@dataclass(frozen=True)
class Row:
    """A rule, and when it is there."""

    chain: str
    """Table and chain, as in ``filter/RC-CT``."""
    rule: str
    present: Callable[[Case], bool]
    docker: str = ""
    """Docker's rule or chain, where it is not just ours with Docker's names."""


def always(case: Case) -> bool:
    return True


TABLE = (
    # ---- the frame: one jump each from the kernel's chains, then sections in Docker's order
    Row("filter/FORWARD", "-j RC-FORWARD", always),
    Row("filter/RC-FORWARD", "-j RC-USER", always, docker="FORWARD -j DOCKER-USER, kept first"),
    Row("filter/RC-FORWARD", "-j RC-CT", always),
    Row("filter/RC-FORWARD", "-j RC-INTERNAL", always),
    Row("filter/RC-FORWARD", "-j RC-IN", always, docker="-j DOCKER-BRIDGE"),
    Row("filter/RC-FORWARD", "-j RC-OUT", always, docker="these rules stand in DOCKER-FORWARD"),
    Row(
        "nat/PREROUTING",
        "! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j RC-DNAT",
        lambda c: c.family == 4,
        docker="no `! -d`, but raw PREROUTING -d 127.x.y.z ! -i lo --dport HP -j DROP for every "
        "port bound there: one rule for all of them",
    ),
    Row("nat/PREROUTING", "-m addrtype --dst-type LOCAL -j RC-DNAT", lambda c: c.family == 6),
    Row(
        "nat/OUTPUT",
        "-m addrtype --dst-type LOCAL -j RC-DNAT",
        always,
        docker="the same without a proxy; `! -d 127.0.0.0/8` with one",
    ),
    Row("nat/POSTROUTING", "-j RC-SNAT", always, docker="its rules stand in POSTROUTING"),
    Row("raw/PREROUTING", "-j RC-RAW", always, docker="its rules stand in PREROUTING"),
    # ---- answers, and bridges without a way in or out
    Row(
        "filter/RC-CT",
        "-o BR -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        lambda c: not c.internal,
    ),
    Row(
        "filter/RC-CT",
        "-i BR -o BR -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        lambda c: c.internal and not c.icc,
        docker="none: there a link on an internal bridge opens nothing",
    ),
    Row("filter/RC-INTERNAL", "! -s NET -o BR -j DROP", lambda c: c.internal and c.family == 4),
    Row("filter/RC-INTERNAL", "! -d NET -i BR -j DROP", lambda c: c.internal and c.family == 4),
    Row(
        "filter/RC-INTERNAL",
        "! -s NET ! -i BR -o BR -j DROP",
        lambda c: c.internal and c.family == 6,
    ),
    Row(
        "filter/RC-INTERNAL",
        "! -d NET -i BR ! -o BR -j DROP",
        lambda c: c.internal and c.family == 6,
    ),
    # ---- what leaves to the bridge; Docker's chain DOCKER, here one for each bridge
    Row(
        "filter/RC-IN",
        "-o BR -j RC-IN-BR",
        lambda c: not c.internal or not c.icc,
        docker="DOCKER-BRIDGE -o BR -j DOCKER, not if internal",
    ),
    Row(
        "filter/RC-IN-BR",
        "! -i BR -j DROP",
        lambda c: not c.internal and c.mode in {"nat", "routed"},
        docker="! -i BR -o BR -j DROP",
    ),
    Row(
        "filter/RC-IN-BR",
        "! -i BR -j ACCEPT",
        lambda c: not c.internal and c.mode == "nat-unprotected",
        docker="! -i BR -o BR -j ACCEPT",
    ),
    Row(
        "filter/RC-IN-BR",
        "! -i BR -p ICMP -j ACCEPT",
        lambda c: not c.internal and c.mode == "routed",
        docker="-o BR -p icmp -j ACCEPT, neighbours with icc=false too, by mistake",
    ),
    Row(
        "filter/RC-IN-BR",
        "-m conntrack --ctstate DNAT -j ACCEPT",
        lambda c: c.nat,
        docker="-d CIP ! -i BR -o BR -p tcp --dport 80 -j ACCEPT, one for each port: what was "
        "translated was meant for a published port, so that none needs a rule of its own; a "
        "neighbour may use it too, in Docker by the proxy",
    ),
    # ---- what single containers let in
    Row(
        "filter/RC-IN-BR",
        "-j RC-AC-BR",
        lambda c: not c.icc or (not c.internal and c.mode == "routed"),
        docker="all in DOCKER: a tree by the container's address instead",
    ),
    Row("filter/RC-AC-BR", "-d BIT2 -j RC-AC-BR-2", lambda c: c.hangs),
    Row("filter/RC-AC-BR-2", "-d BIT20 -j RC-AC-BR-20", lambda c: c.hangs),
    Row(
        "filter/RC-AC-BR-20",
        "! -i BR -p tcp --dport 80 -d CIP -j ACCEPT",
        lambda c: c.opened,
        docker="-d CIP ! -i BR -o BR -p tcp --dport 80 -j ACCEPT",
    ),
    Row(
        "filter/RC-AC-BR-20",
        "-i BR -s PARENT -p tcp --dport 80 -d CIP -j ACCEPT",
        lambda c: c.linked,
        docker="and the reverse, `-s CHILD -d PARENT --sport CP`, which lets CHILD in everywhere "
        "from that port: answers pass by RC-CT. IPv4 alone; here both",
    ),
    # ---- what comes from the bridge
    Row("filter/RC-OUT", "-i BR -j ACCEPT", lambda c: not c.internal and c.icc),
    Row("filter/RC-OUT", "-i BR -o BR -j DROP", lambda c: not c.icc),
    Row("filter/RC-OUT", "-i BR ! -o BR -j ACCEPT", lambda c: not c.internal and not c.icc),
    Row("filter/RC-OUT", "-i BR -o BR -j ACCEPT", lambda c: c.internal and c.icc),
    *(
        Row(
            "filter/RC-OUT",
            f"-i BR -o BR -p ipv6-icmp --icmpv6-type neighbour-{kind} -j ACCEPT",
            lambda c: c.family == 6 and not c.icc,
            docker="none: its links are of IPv4, and ARP is not looked at",
        )
        for kind in ("solicitation", "advertisement")
    ),
    # ---- translation; Docker's rules without a proxy, whatever `hairpin` says
    Row(
        "nat/RC-SNAT",
        "-s NET ! -o BR -j MASQUERADE",
        lambda c: c.nat and c.masquerade,
    ),
    Row(
        "nat/RC-SNAT",
        "-o BR -m addrtype --src-type LOCAL -j MASQUERADE",
        lambda c: c.nat,
        docker="routed too, where nothing is translated and so nothing has to come back",
    ),
    Row(
        "nat/RC-SNAT",
        "-s NET -o BR -m conntrack --ctstate DNAT -j MASQUERADE",
        lambda c: c.nat,
        docker="-s CIP -d CIP -p tcp --dport 80 -j MASQUERADE, one for each port; neighbours need "
        "it too, because they would be answered without the host's translation",
    ),
    Row(f"nat/{TREE}-t1F9", "LOCALHOST -j DNAT --to-destination TO", lambda c: c.translated),
    Row("nat/RC-DNAT", f"-j {TREE}", lambda c: c.translated, docker="all ports in DOCKER"),
    Row(f"nat/{TREE}", f"-p tcp -j {TREE}-t", lambda c: c.translated),
    Row(f"nat/{TREE}-t", f"-p tcp --dport 4096:8191 -j {TREE}-t1", lambda c: c.translated),
    Row(f"nat/{TREE}-t1", f"-p tcp --dport 7936:8191 -j {TREE}-t1F", lambda c: c.translated),
    Row(f"nat/{TREE}-t1F", f"-p tcp --dport 8080:8095 -j {TREE}-t1F9", lambda c: c.translated),
    # ---- nobody routes straight at a container
    Row(
        "raw/RC-RAW",
        "-d NET ! -i BR -j RC-RAW-BR",
        lambda c: not c.internal and c.mode == "nat" and c.masquerade,
        docker="-d CIP ! -i BR -j DROP, one for each address, also without masquerading: there it "
        "drops the answers to what containers ask",
    ),
    Row(
        "raw/RC-RAW-BR",
        "-d GW -j RETURN",
        lambda c: not c.internal and c.mode == "nat" and c.masquerade,
        docker="none: it does not drop by subnet",
    ),
    Row(
        "raw/RC-RAW-BR",
        "-j DROP",
        lambda c: not c.internal and c.mode == "nat" and c.masquerade,
        docker="-d CIP ! -i BR -j DROP",
    ),
    Row(
        "raw/RC-RAW",
        "-d 127.0.0.0/8 -i BR -j DROP",
        lambda c: not c.internal and c.family == 4,
        docker="none: route_localnet lets its containers at the host's loopback",
    ),
)
BEFORE = (
    ("filter/RC-FORWARD", "-j RC-USER", "-j RC-CT"),
    ("filter/RC-FORWARD", "-j RC-CT", "-j RC-INTERNAL"),
    ("filter/RC-FORWARD", "-j RC-INTERNAL", "-j RC-IN"),
    # The DROP of icc=false after what links let in, and before the ACCEPT.
    ("filter/RC-FORWARD", "-j RC-IN", "-j RC-OUT"),
    ("filter/RC-OUT", "-i BR -o BR -j DROP", "-i BR ! -o BR -j ACCEPT"),
    # Ports, ICMP and links before the bridge's DROP.
    ("filter/RC-IN-BR", "-m conntrack --ctstate DNAT -j ACCEPT", "! -i BR -j DROP"),
    ("filter/RC-IN-BR", "! -i BR -p ICMP -j ACCEPT", "! -i BR -j DROP"),
    ("filter/RC-IN-BR", "-j RC-AC-BR", "! -i BR -j DROP"),
    ("raw/RC-RAW-BR", "-d GW -j RETURN", "-j DROP"),
    *(
        (
            "filter/RC-OUT",
            f"-i BR -o BR -p ipv6-icmp --icmpv6-type neighbour-{kind} -j ACCEPT",
            "-i BR -o BR -j DROP",
        )
        for kind in ("solicitation", "advertisement")
    ),
)
"""The order that means something: chain, the earlier rule, the later one."""
KERNELS = {"FORWARD", "PREROUTING", "OUTPUT", "POSTROUTING"}
FRAME = {
    "filter/RC-FORWARD", "filter/RC-USER", "filter/RC-CT", "filter/RC-INTERNAL", "filter/RC-IN",
    "filter/RC-OUT", "nat/RC-DNAT", "nat/RC-SNAT", "raw/RC-RAW",
}  # fmt: skip
"""Chains that are there even where they are empty."""


def in_words(text: str, case: Case) -> str:
    """Put the values of a family in the place of the words in capitals."""
    where = WORDS[case.family]
    port = f"{where['NOLINKLOCAL']}-p tcp --dport 8080"
    text = text.replace("LOCALHOST", (where["LOOP"] if case.binding == "localhost" else "") + port)
    for name in ("PARENT", "BIT20", "BIT2", "CIP", "NET", "ICMP", "GW"):
        text = text.replace(name, where[name])
    text = text.replace("--to-destination TO", f"--to-destination {where['TO']}")
    return (
        text.replace("RC-IN-BR", "RC-IN-br-dummy")
        .replace(" BR", " br-dummy")
        .replace("-BR", "-br-dummy")
    )


def documents(case: Case, more: str = "") -> list[str]:
    """The world as manifests; both families, of which the test looks at one."""
    flags = {"internal": case.internal, "icc": case.icc, "masquerade": case.masquerade}
    if case.hairpin is not None:
        flags["hairpin"] = case.hairpin
    said = "".join(f", {name}: {str(value).lower()}" for name, value in flags.items())
    ports = {
        "any": "publish: ['8080:80'], ",
        "localhost": "publish: ['127.0.0.1:8080:80', '[::1]:8080:80'], ",
        "none": "",
    }[case.binding]
    # Without rules a link has nothing to open, and with icc: false that is an error.
    links = "" if "iptables" in more else "links: [child], "
    return [
        manifest(
            "Bridge",
            "br-dummy",
            f"{{addresses: [192.168.0.1/24, 'fd49:efd7:54aa::1/64'], mode: {case.mode}{said}{more}}}",
        ),
        *(
            manifest(
                "Container",
                name,
                f"{{bridge: br-dummy, {more}addresses: [192.168.0.{n}, 'fd49:efd7:54aa::{n}']}}",
            )
            for name, n, more in (("child", 2, ports), ("parent", 3, links))
        ),
    ]


def firewall_of(case: Case, more: str = "") -> tuple[dict[str, list[str]], set[str]]:
    """The rules by chain, in order, and the chains, of the case's family."""
    desired = expand_catalog(catalog_of(*documents(case, more)), State(), "default")
    rules: dict[str, list[FirewallRule | FirewallJump]] = {}
    chains = set()
    for item in desired.objects.values():
        if isinstance(item, FirewallRule | FirewallJump) and item.family == case.family:
            rules.setdefault(f"{item.table}/{item.chain}", []).append(item)
        elif isinstance(item, FirewallChain) and item.family == case.family:
            chains.add(f"{item.table}/{item.name}")
    ordered = {
        chain: [without_mark(rule.text) for rule in sorted(found, key=lambda r: (r.order, r.text))]
        for chain, found in rules.items()
    }
    return ordered, chains


def expected(case: Case) -> Mapping[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for row in TABLE:
        if row.present(case):
            chain = in_words(row.chain, case)
            found.setdefault(chain, Counter())[in_words(row.rule, case)] += 1
    return found


def is_before(rules: list[str], first: str, second: str) -> bool:
    if first not in rules or second not in rules:
        return True
    return rules.index(first) < rules.index(second)


SWITCHES = [
    Case(*values)
    for values in product(
        (False, True), (True, False), (True, False), ("nat", "nat-unprotected", "routed"),
        ("any", "localhost", "none"), (4, 6),
    )
]  # fmt: skip


def spell(case: Case) -> str:
    flags = ("internal" * case.internal, "noicc" * (not case.icc), "nomasq" * (not case.masquerade))
    return "-".join(filter(None, (*flags, case.mode, case.binding, f"v{case.family}")))


@pytest.mark.parametrize("case", SWITCHES, ids=spell)
def test_the_rules_are_dockers_for_every_combination_of_switches(case: Case):
    rules, chains = firewall_of(case)

    assert {chain: Counter(found) for chain, found in rules.items()} == expected(case)
    wrong = [
        (chain, first, second)
        for chain, first, second in (
            tuple(in_words(text, case) for text in order) for order in BEFORE
        )
        if not is_before(rules.get(chain, []), first, second)
    ]
    assert wrong == []
    assert chains == FRAME | chains_of(rules)


def chains_of(rules: Mapping[str, list[str]]) -> set[str]:
    """The chains of ours that have rules, and those that some rule leads to: the same but for a
    bridge's access chain with nothing in it yet."""
    tables = {chain: chain.partition("/")[0] for chain in rules}
    own = {chain for chain in rules if chain.partition("/")[2] not in KERNELS}
    words = ((tables[chain], rule.split()) for chain, found in rules.items() for rule in found)
    targets = {f"{table}/{rule[rule.index('-j') + 1]}" for table, rule in words}
    targets = {target for target in targets if "/RC-" in target}
    assert own <= targets
    return targets


@pytest.mark.parametrize("mode", ["nat", "nat-unprotected", "routed"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_bridges_own_hairpin_changes_no_rule(mode: str, family: int):
    """Docker's hairpin means "no proxy", which is always so here; ours is a port's switch alone."""
    cases = [Case(mode=mode, family=family, hairpin=hairpin) for hairpin in (None, True, False)]

    assert firewall_of(cases[0]) == firewall_of(cases[1]) == firewall_of(cases[2])


@pytest.mark.parametrize("case", SWITCHES[::2], ids=spell)
def test_without_iptables_there_is_not_one_rule_or_chain(case: Case):
    for family in (4, 6):
        one = replace(case, family=family)
        assert firewall_of(one, ", iptables: false") == ({}, set())


def test_each_family_has_its_own_mode():
    """What one is told is not done in the other."""
    for ours, other in product(("nat", "nat-unprotected", "routed"), repeat=2):
        for family in (4, 6):
            modes = {family: ours, 10 - family: other}
            text = f"{{ipv4: {modes[4]}, ipv6: {modes[6]}}}"

            mixed = firewall_of(Case(mode=text, family=family))

            assert mixed == firewall_of(Case(mode=ours, family=family))


def test_every_rule_of_the_table_is_there_in_some_case_and_not_in_another():
    """A condition that never holds would be no test."""
    for row in TABLE:
        found = {row.present(case) for case in SWITCHES}
        assert True in found, row
        assert (False in found) == (row.present is not always), row
