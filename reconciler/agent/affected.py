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
_HOMES = frozenset({"device", "directory"})
_ON_DEVICES = frozenset({"address", "route", "qdisc", "sysctl", "port"})


class Affected:
    """The relations of one desired state, turned round."""

    def __init__(self, desired: State) -> None:
        """For one desired state."""
        self._desired = desired

    def by(self, changed: Iterable[Key], observed: State) -> set[Key]:
        """Name the keys at which a change may have come or gone.

        Args:
            changed: Observed objects and claims that are not as they were.
            observed: As it is now.
        """
        found = set(changed)
        # An object that got another owner claims what it did, but now for somebody else.
        there = (observed.objects[key] for key in found if key in observed.objects)
        places = found | {claim for item in there for claim in item.claims}
        # Whoever wants to stand there, by a key of its own or by a claim.
        found |= {key for one in places if (key := self._desired.resolve(one)) is not None}
        # Whose a thing is may follow from what it lives in.
        found |= self._contents({key for key in found if key.type in _HOMES})
        chains = {_chain(key) for key in found if key.type in _FIREWALL}
        if chains:
            found |= {key for key in self._desired.objects if _in_chain(key, chains)}
            found |= {key for key in observed.objects if _in_chain(key, chains)}
        return found

    def _contents(self, homes: set[Key]) -> set[Key]:
        """Name what may live in these: what is on some device in the namespace, or in the folder."""
        if not homes:
            return set()
        spaces = {key.netns for key in homes if key.type == "device"}
        # A pair has its other end elsewhere, and that is where an address may be.
        for home in homes:
            item = self._desired.objects.get(home)
            spaces |= {claim.netns for claim in item.claims} if item is not None else set()
        folders = {key.name for key in homes if key.type == "directory"}
        return {
            key
            for key in self._desired.objects
            if (key.type in _ON_DEVICES and key.netns in spaces)
            or (key.type == "file" and key.name.rpartition("/")[0] in folders)
        }


def _chain(key: Key) -> tuple[str, str]:
    """The table and the chain that a rule is in, or that a chain is: one moved rule moves others."""
    table, _, rest = key.name.partition("/")
    return table, rest.partition("/")[0]


def _in_chain(key: Key, chains: set[tuple[str, str]]) -> bool:
    return key.type == "rule" and _chain(key) in chains
