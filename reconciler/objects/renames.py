"""Renames: devices of ours that are to have, or have got, another name, with what is on them.

The kernel renames a device in place and everything on it follows. So before two states are compared,
the observed one is told in the names that are wanted; what differs then is a name, and not a device
with all its addresses and routes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields, replace

from reconciler.core.object import KernelObject, Key
from reconciler.core.state import State
from reconciler.objects import BridgeDevice, Sysctl, Veth
from reconciler.objects.keys import device_key, device_parameter

Names = Mapping[tuple[str, str], str]
"""From namespace and name to the wanted name."""


def follow_renames(
    desired: State, observed: State, set_name: str, keys: Collection[Key] | None = None
) -> State:
    """Tell *observed* in the names of *desired*; what was renamed is in its `renamed`.

    Args:
        desired: What is wanted.
        observed: What is there.
        set_name: Whose things are ours.
        keys: Only what may differ at these; None for everything.
    """
    wanted, there = _devices(desired, keys), _devices(observed, keys)
    moved = dict(_moved(wanted, there, desired, observed, set_name))
    names = dict(_names(wanted, desired, observed, moved))
    if not names:
        return observed
    entries = []
    renamed = {}
    for key, item in observed.objects.items():
        told = _told(item, names)
        if isinstance(told, BridgeDevice | Veth) and told.key != key:
            renamed[told.key] = item
        entries.append((told, observed.owners.get(key)))
    told_state = State.of(entries)
    claims = dict(told_state.claims)
    for (netns, old), new in names.items():
        # What is on a peer is told by its wanted name already; the pair answers to both.
        pair = told_state.resolve(device_key(netns, old))
        if pair is not None:
            claims.setdefault(device_key(netns, new), pair)
    return replace(told_state, renamed=renamed, claims=claims)


def _devices(state: State, keys: Collection[Key] | None) -> list[tuple[Key, BridgeDevice | Veth]]:
    items: Iterable[tuple[Key, KernelObject]] = state.objects.items()
    if keys is not None:
        items = ((key, state.objects[key]) for key in sorted(keys) if key in state.objects)
    return [(key, item) for key, item in items if isinstance(item, BridgeDevice | Veth)]


def _moved(
    wanted: Iterable[tuple[Key, BridgeDevice | Veth]],
    there: Iterable[tuple[Key, BridgeDevice | Veth]],
    desired: State,
    observed: State,
    set_name: str,
) -> Iterator[tuple[Key, Key]]:
    """Pair what is missing with what is left over of the same resource, where there is one each."""
    missing: dict[object, list[Key]] = {}
    for key, item in wanted:
        if not item.external and observed.resolve(key) is None:
            missing.setdefault(_identity(item, str(desired.owners[key])), []).append(key)
    surplus: dict[object, list[Key]] = {}
    for key, item in there if missing else ():
        owner = observed.owners.get(key)
        if owner is not None and owner.set == set_name and key not in desired.objects:
            surplus.setdefault(_identity(item, str(owner)), []).append(key)
    for identity, lacking in missing.items():
        left = surplus.get(identity, [])
        if len(lacking) == len(left) == 1:
            old, new = left[0], lacking[0]
            # A name that somebody else has is a matter for the policy, not for a rename.
            if {observed.resolve(c) for c in desired.objects[new].claims} <= {None, old}:
                yield old, new


def _identity(item: BridgeDevice | Veth, owner: str) -> object:
    """What stays when a device changes its name: whose it is, and which namespaces it connects."""
    return owner, type(item), item.netns, getattr(item, "peer_netns", None)


def _names(
    wanted: Iterable[tuple[Key, BridgeDevice | Veth]],
    desired: State,
    observed: State,
    moved: Mapping[Key, Key],
) -> Iterator[tuple[tuple[str, str], str]]:
    for old, new in moved.items():
        yield (old.netns, old.name), new.name
    pairs = [(key, key) for key, _ in wanted if key in observed.objects]
    for old, new in (*pairs, *moved.items()):
        yield from _peer_name(observed.objects[old], desired.objects[new], observed)


def _peer_name(
    have: KernelObject, want: KernelObject, observed: State
) -> Iterator[tuple[tuple[str, str], str]]:
    """The other end has another name than it should, and that one is free."""
    if not (isinstance(have, Veth) and isinstance(want, Veth)):
        return
    if have.peer_netns is None or have.peer_netns != want.peer_netns:
        return
    if not (have.peer_name and want.peer_name) or have.peer_name == want.peer_name:
        return
    if observed.resolve(device_key(want.peer_netns, want.peer_name)) is None:
        yield (have.peer_netns, have.peer_name), want.peer_name


def _told(item: KernelObject, names: Names) -> KernelObject:
    """Tell one object in the wanted names. A peer keeps its own: that it differs is a difference."""
    netns = item.key.netns
    found: dict[str, str] = {}
    for field in _naming_fields(item):
        place = (getattr(item, "peer_netns", None) if field == "peer_master" else netns) or ""
        if (wanted := names.get((place, getattr(item, field) or ""))) is not None:
            found[field] = wanted
    if isinstance(item, Sysctl):
        return _told_sysctl(item, names)
    return replace(item, **found) if found else item  # type: ignore[type-var]


def _naming_fields(item: KernelObject) -> Iterable[str]:
    mine = {field.name for field in fields(item)}  # type: ignore[arg-type]
    naming = ["device", "master", "peer_master"]
    if isinstance(item, BridgeDevice | Veth):
        naming.append("name")
    return [name for name in naming if name in mine]


def _told_sysctl(item: Sysctl, names: Names) -> Sysctl:
    parts = item.name.split(".")
    if len(parts) != 5 or parts[2] != "conf":
        return item
    wanted = names.get((item.netns, parts[3].replace("/", ".")))
    if wanted is None:
        return item
    return replace(item, name=device_parameter(parts[1], wanted, parts[4]), device=wanted)
