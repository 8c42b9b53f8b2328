"""Recent: the last few thousand numbers of something that numbers are given to again."""

from __future__ import annotations

from collections import OrderedDict

REMEMBERED = 4096


class Recent:
    """Numbers of our sockets, of programs that we started: so that we know ourselves."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[int, None] = OrderedDict()

    def add(self, number: int) -> None:
        """Remember one; the oldest is forgotten."""
        self._numbers[number] = None
        self._numbers.move_to_end(number)
        if len(self._numbers) > REMEMBERED:
            self._numbers.popitem(last=False)

    def __contains__(self, number: int) -> bool:
        return number in self._numbers
