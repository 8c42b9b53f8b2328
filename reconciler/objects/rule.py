"""Rule: one rule of a firewall, in a chain of ours or a jump from one of the kernel's chains.

- Ours after a restart: its comment names set, resource and a hash of what was written.
- Requires nothing beyond its chain, which is made with it. It is known by the hash, never by its
  text: iptables-save spells a rule otherwise than it was written.
- Compared is only whether it stands where it should among the others (`misplaced`).
- What somebody else puts into a chain of ours has no mark, and is drift.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

from reconciler.core.object import HOST, Key, Mark, Stage
from reconciler.formats.iptables_mark import mark_rule, render_marked
from reconciler.objects.keys import chain_key, table_label

SHARED_RESOURCE = "Host/firewall"
"""Who owns the jumps that all sets share."""
SHARED_SET = "all"

Order = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class _Rule:
    """A line of a chain, known by *identity* inside it."""

    family: int
    table: str
    chain: str
    identity: str
    """``#HASH`` of ours, all of the text of a stranger's."""
    text: str = field(default="", compare=False)
    """Its arguments as we write them, mark included; of an observed one, as saved."""
    order: Order = field(default=(), compare=False)
    what: str = field(default="", compare=False)
    """What it is for, as its comment says."""
    misplaced: bool | None = False

    compared: ClassVar[tuple[str, ...]] = ("misplaced",)
    fixed: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[tuple[Key, ...]] = ()
    external: ClassVar[bool] = False

    @property
    def key(self) -> Key:
        """``rule/nat/RC-SNAT/#HASH``."""
        label = table_label(self.family, self.table)
        return Key("rule", HOST, f"{label}/{self.chain}/{self.identity}")

    @property
    def parents(self) -> tuple[Key, ...]:
        """Its chain; one of the kernel's own is always there."""
        return (chain_key(self.family, self.table, self.chain),)

    @property
    def requires(self) -> tuple[Key, ...]:
        """The chain that it jumps to."""
        _, found, target = self.text.partition("-j RC-")
        if not found:
            return ()
        return (chain_key(self.family, self.table, f"RC-{target.split(' ', 1)[0]}"),)


@dataclass(frozen=True, slots=True)
class FirewallRule(_Rule):
    """A rule of one set and resource, or a stranger's."""

    mark: ClassVar[Mark] = Mark.WORDS

    @property
    def stage(self) -> Stage:
        """A wall goes after what it protects; a way in goes before anybody else gets its address."""
        return stage_of_text(self.text)


@dataclass(frozen=True, slots=True)
class FirewallJump(_Rule):
    """A jump that every set needs: from the kernel's chains into ours, and between shared ones."""

    mark: ClassVar[Mark] = Mark.SHARED
    stage: ClassVar[Stage] = Stage.CLOSES


AnyRule = FirewallRule | FirewallJump


def stage_of_text(text: str) -> Stage:
    """Tell a wall from a way in by where it sends a packet: what drops or returns is a wall."""
    opens = ("-j ACCEPT", "-j DNAT")
    return Stage.OPENS if any(target in text for target in opens) else Stage.CLOSES


@lru_cache(maxsize=1 << 17)  # every pass asks for the same rules, some of them several times
def make_rule(
    place: tuple[int, str, str],
    words: tuple[str, ...],
    owner: tuple[str, str],
    *,
    order: Order,
    what: str = "",
) -> FirewallRule:
    """Make a rule of ours.

    Args:
        place: Family, table and chain.
        words: Its arguments, without comment.
        owner: Set and resource.
        order: Where it stands among ours in its chain.
        what: For people, in a few words.
    """
    family, table, chain = place
    mark = mark_rule(chain, words, owner, what)
    text = render_marked(words, mark)
    return FirewallRule(family, table, chain, f"#{mark.hash}", text, order, mark.what)


def make_jump(place: tuple[int, str, str], words: tuple[str, ...], order: Order) -> FirewallJump:
    """Make a jump that all sets share."""
    family, table, chain = place
    mark = mark_rule(chain, words, (SHARED_SET, SHARED_RESOURCE))
    return FirewallJump(family, table, chain, f"#{mark.hash}", render_marked(words, mark), order)
