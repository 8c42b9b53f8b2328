"""Objects as plain values and back: what a snapshot holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from ipaddress import ip_address, ip_interface, ip_network
from types import GenericAlias
from typing import Any, get_args, get_type_hints

from reconciler.core.object import KernelObject
from reconciler.errors import ReconcilerError
from reconciler.objects import OBJECTS

_READERS: Mapping[str, Callable[[Any], Any]] = {
    "interface": ip_interface,
    "destination": ip_network,
    "via": ip_address,
    "address": ip_address,
    "order": tuple,
}
_DESIRED_ONLY = {"after"}
_TYPES: Mapping[str, Callable[..., KernelObject]] = {kind.__name__: kind for kind in OBJECTS}


class SerialError(ReconcilerError):
    """A snapshot holds something that is no object."""


def to_dict(item: KernelObject) -> dict[str, Any]:
    """Turn an object into values that JSON has; what is not set is left out."""
    found: dict[str, Any] = {"type": type(item).__name__}
    for field in fields(item):  # type: ignore[arg-type]
        value = getattr(item, field.name)
        if value is not None and field.name not in _DESIRED_ONLY:
            plain = isinstance(value, bool | int | str | tuple)
            found[field.name] = value if plain else str(value)
    return found


def from_dict(values: dict[str, Any]) -> KernelObject:
    """Make the object again.

    Raises:
        SerialError: A field is missing, unknown or wrong.
    """
    rest = dict(values)
    try:
        kind = _TYPES[rest.pop("type")]
        for name, read in _READERS.items():
            if name in rest:
                rest[name] = read(rest[name])
        _check(kind, rest)
        return kind(**_unset(kind) | rest)
    except (KeyError, TypeError, ValueError) as error:
        raise SerialError(f"not an object: {values!r}: {error}") from None


@cache
def _unset(kind: Callable[..., KernelObject]) -> dict[str, None]:
    """What has no default and may be None was left out, as everything that is None."""
    types = get_type_hints(kind)
    required = (f.name for f in fields(kind) if f.default is MISSING)  # type: ignore[arg-type]
    return {name: None for name in required if type(None) in get_args(types.get(name))}


def _check(kind: Callable[..., KernelObject], values: Mapping[str, Any]) -> None:
    """Refuse what would only fail later, in the middle of a comparison."""
    types = get_type_hints(kind)
    for name, value in values.items():
        wanted = tuple if isinstance(types[name], GenericAlias) else types[name]
        if not isinstance(value, wanted):
            raise TypeError(f"{name} cannot be {value!r}")
