"""Case: one field of a manifest through its life, and what the kernel must show at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from tests.world import Host


class Step(NamedTuple):
    """Manifests to apply, and the fact that must hold then."""

    manifests: str
    fact: object


@contextmanager
def _nothing(host: Host) -> Iterator[Mapping[str, str]]:
    yield {}


@dataclass(frozen=True, slots=True)
class Case:
    """A field without a value, set, changed and removed again."""

    fields: tuple[str, ...]
    """Paths such as `Container.routes.via`."""
    look: Callable[[Host], object]
    """Reads the fact from the kernel."""
    steps: tuple[Step, ...]
    prepare: Callable[[Host], AbstractContextManager[Mapping[str, str]]] = _nothing
    """Makes what must be there before; gives words to put into the manifests."""
    about: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (",".join(self.fields), self.about)))


def case(
    fields: str,
    look: Callable[[Host], object],
    *steps: tuple[str, object],
    about: str = "",
    prepare: Callable[[Host], AbstractContextManager[Mapping[str, str]]] = _nothing,
) -> Case:
    """Write a case down: its fields divided by blanks, then its steps in order."""
    return Case(tuple(fields.split()), look, tuple(Step(*s) for s in steps), prepare, about)
