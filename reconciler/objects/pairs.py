"""Pairs: which ends of veth pairs belong together, and whose a device or a pair is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.core.object import Owner
from reconciler.formats.link import LinkMessage
from reconciler.objects.marks import UNKNOWN, parse_group, parse_mark
from reconciler.objects.veth import End


def owner_of(link: LinkMessage, set_name: str) -> Owner | None:
    """Say whose a device is, by its alias or its group; None: nobody's that we know."""
    return parse_mark(link.alias) or parse_group(link.group, set_name)


def pair_owner(a: End, b: End | None, set_name: str) -> Owner | None:
    """Say whose a pair is."""
    said = [parse_mark(end.link.alias) for end in (a, b) if end is not None]
    known = next((owner for owner in said if owner is not None), None)
    if known is not None:
        # If only one end has its words still, the other one's are to be written again.
        return known if said.count(known) == len(said) else Owner(known.set, UNKNOWN)
    return owner_of(a.link, set_name) or (owner_of(b.link, set_name) if b else None)


def find_pairs(ends: Sequence[End]) -> Iterator[tuple[End, End | None]]:
    """Find the two ends of every pair.

    An end knows the index of its peer, but indexes repeat from namespace to namespace. So of the
    ends that point at each other, those with the same alias belong together, then those with the
    same group, then whoever is left.
    """
    waiting: dict[tuple[int, int], list[End]] = {}
    for end in sorted(ends, key=lambda e: (e.netns, e.link.ifindex)):
        waiting.setdefault((end.link.ifindex, end.link.link), []).append(end)
    for same in (_same_alias, _same_group, _anyhow):
        for (index, peer_index), here in waiting.items():
            there = waiting.get((peer_index, index), [])
            for end in list(here):
                other = next((o for o in there if o is not end and same(end, o)), None)
                if other is not None and end in here:
                    here.remove(end)
                    there.remove(other)
                    yield end, other
    for alone in waiting.values():
        for end in alone:
            yield end, None


def _same_alias(a: End, b: End) -> bool:
    return bool(a.link.alias) and a.link.alias == b.link.alias and _apart(a, b)


def _same_group(a: End, b: End) -> bool:
    return a.link.group != 0 and a.link.group == b.link.group and _apart(a, b)


def _anyhow(a: End, b: End) -> bool:
    return _apart(a, b)


def _apart(a: End, b: End) -> bool:
    """An end without a namespace number has its peer in its own namespace, the others do not."""
    together = a.netns == b.netns
    return (a.link.link_netnsid is None) == together == (b.link.link_netnsid is None)
