"""Problem: one thing that is wrong in a manifest, with its place and what would be right.

    web.yaml:7:3: Bridge/web: spec.mtuu: unknown field; did you mean "mtu"?
      mtuu: 9000
      ^~~~

The first line is complete in itself, for `grep` and for editors.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.errors import ReconcilerError

EXCERPT_WIDTH = 160  # characters of a source line that are shown; JSON is often one long line


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where. Lines and columns count from 1; 0 means "the whole file".

    Attributes:
        path: The file as it was named to us.
        resource: `Kind/name`, or empty where the document does not say.
        field: `spec.mtu`, or empty where the problem is not one field's.
        message: What is wrong.
        hint: What would be right, or empty.
        source_line: The line of the file, made safe for a terminal and cut to a readable width.
        caret_line: Points at the token in `source_line`.
    """

    path: str
    line: int
    column: int
    resource: str
    field: str
    message: str
    hint: str = ""
    source_line: str = ""
    caret_line: str = ""

    def render(self) -> str:
        """The problem as text, without a final line break."""
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        what = f"{self.message}; {self.hint}" if self.hint else self.message
        head = ": ".join(part for part in (place, self.resource, self.field, what) if part)
        if not self.source_line.strip():
            return printable(head)
        return f"{printable(head)}\n{self.source_line}\n{self.caret_line}"

    def to_dict(self) -> dict[str, str | int]:
        """The problem for JSON output."""
        return {
            "path": self.path,
            "line": self.line,
            "column": self.column,
            "resource": self.resource,
            "field": self.field,
            "message": self.message,
            "hint": self.hint,
            "sourceLine": self.source_line,
        }


class ManifestErrors(ReconcilerError):  # noqa: N818  # it holds many
    """All that is wrong with the manifests of one revision, in the order of files and lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        order = sorted(problems, key=lambda p: (p.path, p.line, p.column, p.field, p.message))
        self.problems: tuple[Problem, ...] = tuple(dict.fromkeys(order))
        super().__init__("\n".join(problem.render() for problem in self.problems))


def printable(text: str) -> str:
    """Replace what could steer a terminal or hide text (control and bidi characters)."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else " " if letter in "\t\n\r" else "\ufffd"
        for letter in text
    )


def excerpt(line: str, column: int, length: int) -> tuple[str, str]:
    """The readable part of a source line, and the line with the caret under the token.

    Args:
        line: The line as written, without its line break.
        column: Where the token begins, from 1.
        length: Characters of the token; what lies beyond the line is not underlined.
    """
    start = max(0, column - 1 - EXCERPT_WIDTH // 2) if len(line) > EXCERPT_WIDTH else 0
    shown = printable(line[start : start + EXCERPT_WIDTH].rstrip())
    caret = column - 1 - start
    marks = max(1, min(_width(shown[caret : caret + length]), EXCERPT_WIDTH))
    return shown, " " * _width(shown[:caret]) + "^" + "~" * (marks - 1)


def _width(text: str) -> int:
    """Columns that the text takes on a terminal (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(letter)
        else 2
        if unicodedata.east_asian_width(letter) in "WF"
        else 1
        for letter in text
    )
