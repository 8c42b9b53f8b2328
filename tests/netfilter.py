"""A packet filter in memory: what iptables-restore does with lines, and which rules a packet walks.

It knows no more than our own rules need. `restore` is strict where iptables is: a chain that is
missing, a rule that is not there, a chain that is still led to are all refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from reconciler.formats.iptables_restore import TableEdit
from reconciler.formats.iptables_words import split_words

Address = str
KERNELS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}


class RefusedError(Exception):
    """What iptables-restore would not do."""


@dataclass
class Filter:
    """The tables of one family: chains by name, rules in order, as text."""

    tables: dict[str, dict[str, list[str]]] = field(
        default_factory=lambda: {t: {c: [] for c in chains} for t, chains in KERNELS.items()}
    )

    def copy(self) -> Filter:
        return Filter({t: {c: [*r] for c, r in cs.items()} for t, cs in self.tables.items()})

    def save(self) -> str:
        """As iptables-save prints it."""
        lines = []
        for table, chains in self.tables.items():
            kernels = KERNELS[table]
            lines.append(f"*{table}")
            lines += [f":{name} {'ACCEPT' if name in kernels else '-'} [0:0]" for name in chains]
            lines += [f"-A {chain} {rule}" for chain, rules in chains.items() for rule in rules]
            lines.append("COMMIT")
        return "".join(f"{line}\n" for line in lines)

    def restore(self, edits: Iterable[TableEdit], *, undo: bool = False) -> None:
        """Carry out `iptables-restore --noflush`; a table changes as a whole or not at all."""
        for edit in edits:
            work = self.copy().tables[edit.table]
            for line in edit.undo if undo else edit.lines:
                _carry_out(work, edit.table, line)
            _check(work, edit.table)
            self.tables[edit.table] = work


def _carry_out(chains: dict[str, list[str]], table: str, line: str) -> None:
    if line.startswith(":"):
        # One that is there is emptied.
        chains[line[1:].partition(" ")[0]] = []
        return
    verb, chain, *rest = line.split(" ", 2)
    if chain not in chains:
        raise RefusedError(f"no chain: {line}")
    rules = chains[chain]
    text = rest[0] if rest else ""
    match verb:
        case "-A":
            rules.append(text)
        case "-F":
            rules.clear()
        case "-X":
            if rules or chain in KERNELS[table]:
                raise RefusedError(f"not empty: {line}")
            del chains[chain]
        case "-D" if not text.isdigit():
            rules.remove(_find(rules, text, line))
        case "-D" | "-R" | "-I":
            number, _, spec = text.partition(" ")
            _at(rules, verb, int(number), spec)
        case _:
            raise RefusedError(line)


def _find(rules: Sequence[str], text: str, line: str) -> str:
    for rule in rules:
        if normal(rule) == normal(text):
            return rule
    raise RefusedError(f"no such rule: {line}")


def normal(text: str) -> tuple[str, ...]:
    """What two spellings of a rule have in common: saved ones have `-m tcp` and /32."""
    words = [word.removesuffix("/32").removesuffix("/128") for word in split_words(text)]
    pairs = zip(words, [*words[1:], ""], strict=True)
    extra = {n for n, pair in enumerate(pairs) if pair in {("-m", "tcp"), ("-m", "udp")}}
    return tuple(w for n, w in enumerate(words) if n not in extra and n - 1 not in extra)


def respell(text: str) -> str:
    """Write a rule as iptables-save would: with what it adds."""
    for protocol in ("tcp", "udp"):
        text = text.replace(f"-p {protocol} ", f"-p {protocol} -m {protocol} ")
    return text


def _at(rules: list[str], verb: str, number: int, spec: str) -> None:
    last = len(rules) + (verb == "-I")
    if not 1 <= number <= last:
        raise RefusedError(f"{verb} {number} of {len(rules)}")
    if verb == "-I":
        rules.insert(number - 1, spec)
    elif verb == "-R":
        rules[number - 1] = spec
    else:
        del rules[number - 1]


def _check(chains: Mapping[str, Sequence[str]], table: str) -> None:
    """Every jump leads to a chain that is there."""
    for chain, rules in chains.items():
        for rule in rules:
            target = rule.rpartition("-j ")[2].split(" ")[0]
            if target.startswith("RC-") and target not in chains:
                raise RefusedError(f"{table}/{chain} leads to {target}, which is not there")


# ---------------------------------------------------------------- a packet's way


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection."""

    source: Address
    destination: Address
    protocol: str = "tcp"
    port: int = 80
    into: str = ""
    """The device that it came by; empty: from the host itself."""
    out: str = ""
    translated: bool = False
    """Conntrack's DNAT state."""


@dataclass
class Walk:
    """What became of a packet."""

    packet: Packet
    rules: int = 0
    """How many were looked at."""
    matched: list[tuple[str, str, int]] = field(default_factory=list)
    """Table, chain and number, from one, of those that applied."""
    verdict: str = "ACCEPT"


class Router:
    """A host with these rules: local addresses, and by which device others are reached."""

    def __init__(
        self, rules: Mapping[str, Mapping[str, Sequence[str]]], local: Iterable[str],
        routes: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Parse each rule once.

        Args:
            rules: By table and chain.
            local: The host's addresses.
            routes: Device by network; the longest prefix wins.
        """
        self.local = set(local)
        self.routes = sorted(
            ((ip_network(net), device) for net, device in routes.items()),
            key=lambda route: -route[0].prefixlen,
        )
        self._chains = {
            (table, chain): [_parse(rule) for rule in found]
            for table, chains in rules.items()
            for chain, found in chains.items()
        }

    def forward(self, packet: Packet) -> Walk:
        """Take a packet from a device to where it is to go: through raw, nat, filter, nat."""
        walk = Walk(packet)
        if self._run("raw", "PREROUTING", walk) and self._run("nat", "PREROUTING", walk):
            walk.packet = replace(walk.packet, out=self._device(walk.packet.destination))
            if walk.packet.destination not in self.local and self._run("filter", "FORWARD", walk):
                self._run("nat", "POSTROUTING", walk)
        return walk

    def _device(self, address: str) -> str:
        found = ip_address(address)
        return next(
            (d for net, d in self.routes if found.version == net.version and found in net), ""
        )

    def _run(self, table: str, chain: str, walk: Walk) -> bool:
        """Walk a chain of the kernel; say whether the packet goes on."""
        verdict = self._chain(table, chain, walk)
        if verdict == "DROP":
            walk.verdict = "DROP"
        return verdict != "DROP"

    def _chain(self, table: str, chain: str, walk: Walk) -> str | None:
        for number, (tests, target, argument) in enumerate(self._chains.get((table, chain), ()), 1):
            walk.rules += 1
            if not all(_holds(test, walk.packet, self.local) for test in tests):
                continue
            walk.matched.append((table, chain, number))
            if target == "RETURN":
                return None
            if target == "DNAT":
                address, _, port = argument.rpartition(":")
                walk.packet = replace(
                    walk.packet, destination=address.strip("[]"), port=int(port), translated=True
                )
                return "ACCEPT"
            if target in {"ACCEPT", "DROP", "MASQUERADE"}:
                return target
            found = self._chain(table, target, walk)
            if found is not None:
                return found
        return None


Test = tuple[str, str, bool]


def _parse(rule: str) -> tuple[list[Test], str, str]:
    words = split_words(rule)
    tests: list[Test] = []
    target = argument = ""
    negated = False
    position = 0
    while position < len(words):
        word = words[position]
        value = words[position + 1] if position + 1 < len(words) else ""
        position += 2
        match word:
            case "!":
                negated, position = True, position - 1
                continue
            case "-m" | "--comment":
                pass
            case "-j":
                target = value
            case "--to-destination":
                argument = value
            case _:
                tests.append((word, value, negated))
        negated = False
    return tests, target, argument


def _holds(test: Test, packet: Packet, local: set[str]) -> bool:
    option, value, negated = test
    return _is(option, value, packet, local) != negated


def _is(option: str, value: str, packet: Packet, local: set[str]) -> bool:
    match option:
        case "-i":
            return packet.into == value
        case "-o":
            return packet.out == value
        case "-s" | "-d":
            return _in_net(packet.source if option == "-s" else packet.destination, value)
        case "-p":
            return packet.protocol == value
        case "--dport":
            first, _, last = value.partition(":")
            return int(first) <= packet.port <= int(last or first)
        case "--dst-type" | "--src-type":
            return (packet.destination if option == "--dst-type" else packet.source) in local
        case "--ctstate":
            return value == "DNAT" and packet.translated
        case "--icmpv6-type":
            return False
    raise ValueError(option)


def _in_net(address: str, net: str) -> bool:
    """Whatever the mask is: a tree of ours looks at the last bits."""
    at, _, mask = net.partition("/")
    one, other = ip_address(address), ip_address(at)
    if one.version != other.version:
        return False
    bits = one.max_prefixlen
    if not mask:
        number = 2**bits - 1
    elif mask.isdigit():
        number = 2**bits - 2 ** (bits - int(mask))
    else:
        number = int(ip_address(mask))
    return int(one) & number == int(other) & number


def rules_of(items: Iterable[object], family: int) -> dict[str, dict[str, list[str]]]:
    """The rules of a desired state by table and chain, in order."""
    found: dict[str, dict[str, list[object]]] = {}
    for item in items:
        if getattr(item, "family", 0) == family and hasattr(item, "text"):
            found.setdefault(item.table, {}).setdefault(item.chain, []).append(item)  # type: ignore[attr-defined]
    return {
        table: {chain: [r.text for r in _sorted(rules)] for chain, rules in chains.items()}
        for table, chains in found.items()
    }


def _sorted(rules: Iterable[object]) -> Iterator[object]:
    yield from sorted(rules, key=lambda r: (r.order, r.text))  # type: ignore[attr-defined]
