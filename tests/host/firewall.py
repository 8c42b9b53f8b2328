"""A firewall to look at and to disturb, on the throwaway host that a test is on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.formats.iptables import Counters, Rule, parse
from reconciler.host.firewall.programs import Backend, Family, Programs
from reconciler.host.firewall.restore import Restored, restore
from reconciler.host.firewall.save import Saved, save
from tests.world import Host

COMBINATIONS = [(backend, family) for backend in Backend for family in (4, 6)]


@dataclass(frozen=True, slots=True)
class Firewall:
    """One backend and family of a host."""

    host: Host
    programs: Programs
    backend: Backend
    family: Family

    @property
    def name(self) -> str:
        """The program, such as ip6tables-legacy."""
        return f"{'iptables' if self.family == 4 else 'ip6tables'}-{self.backend}"

    @property
    def loopback(self) -> str:
        """An address that answers on lo."""
        return "127.0.0.1" if self.family == 4 else "::1"

    def run(self, arguments: str) -> str:
        """Run iptables as an administrator would."""
        return self.host.run(self.name, "-w", *arguments.split()).stdout

    def load(self, text: str) -> None:
        """Set whole tables, as an administrator's script would."""
        self.host.run(f"{self.name}-restore", "-w", stdin=text)

    def print(self) -> str:
        """All rules with their counters, without the dates."""
        text = self.host.run(f"{self.name}-save", "-c").stdout
        return re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)

    def save(self) -> Saved:
        return save(self.programs, self.family, self.backend)

    def restore(self, edits, expected=None) -> Restored:
        return restore(self.programs, self.family, self.backend, edits, expected)

    def rules(self, chain: str, table: str = "filter") -> list[Rule]:
        saved = save(self.programs, self.family, self.backend, counters=True)
        return list(parse(saved.text).tables[table].rules.get(chain, ()))

    def specs(self, chain: str, table: str = "filter") -> list[str]:
        return [rule.spec for rule in self.rules(chain, table)]

    def counters(self, chain: str, table: str = "filter") -> dict[str, Counters | None]:
        return {rule.spec: rule.counters for rule in self.rules(chain, table)}
