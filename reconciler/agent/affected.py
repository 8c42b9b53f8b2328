"""Affected: where desired and observed may differ, given what has changed on the observed side.

A comparison of everything costs ten milliseconds for every thousand objects; of what is affected,
next to nothing. It has to name too much rather than too little: whatever is not named is taken to be
as it was. `tests/agent/test_affected.py` holds it to the comparison of everything.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.core.object import Key
from reconciler.core.state import State

_FIREWALL = frozenset({"rule", "chain"})


class Affected:
    """The relations of one desired state, turned round."""

    def __init__(self, desired: State) -> None:
        """Nothing is turned round yet: most states are never asked."""
        self._desired = desired
        self._children: dict[Key, list[Key]] | None = None

    def by(self, changed: Iterable[Key], observed: State) -> set[Key]:
        """Name the keys at which a change may have come or gone.

        Args:
            changed: Observed objects and claims that are not as they were.
            observed: As it is now.
        """
        found = set(changed)
        # Whoever wants to stand there, by a key of its own or by a claim.
        found |= {key for one in found if (key := self._desired.resolve(one)) is not None}
        # Whose a thing is may follow from what it lives in.
        found |= {child for one in tuple(found) for child in self._children_of(one)}
        chains = {_chain(key) for key in found if key.type in _FIREWALL}
        if chains:
            found |= {key for key in self._desired.objects if _in_chain(key, chains)}
            found |= {key for key in observed.objects if _in_chain(key, chains)}
        return found

    def _children_of(self, key: Key) -> list[Key]:
        if self._children is None:
            self._children = {}
            for child, item in self._desired.objects.items():
                for parent in map(self._desired.resolve, item.parents):
                    if parent is not None:
                        self._children.setdefault(parent, []).append(child)
        return self._children.get(key, [])


def _chain(key: Key) -> tuple[str, str]:
    """The table and the chain that a rule is in, or that a chain is: one moved rule moves others."""
    table, _, rest = key.name.partition("/")
    return table, rest.partition("/")[0]


def _in_chain(key: Key, chains: set[tuple[str, str]]) -> bool:
    return key.type == "rule" and _chain(key) in chains
