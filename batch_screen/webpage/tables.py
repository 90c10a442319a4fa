"""Tables as the page draws them: every one has a caption, and a heading for row and column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeVar

MOST_ROWS = 40
"""Of any table: what comes after is summed up in a line."""


class Kind(StrEnum):
    """How a column's cells are set; the page's style knows these names."""

    TEXT = "text"
    NUMBER = "number"
    CODE = "code"
    BAR = "bar"


class Column(NamedTuple):
    """A heading and how the cells below it are set."""

    heading: str
    kind: Kind = Kind.NUMBER


class Bar(NamedTuple):
    """Words with a bar behind them; ``length`` from 0 to 1."""

    words: str
    length: float


Cell = str | Bar


class Table(NamedTuple):
    """Rows whose first cell is their heading.

    ``total``: whether the first row sums up the others; ``is_wide``: on a narrow page each row
    becomes a block of lines.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    has_total: bool = False
    is_wide: bool = False
    note: str = ""


T = TypeVar("T")


def parted(things: Iterable[T], most: int) -> tuple[list[T], list[T]]:
    """The first things, and those that are too many; one alone is never too many.

    >>> parted("abcd", 3), parted("abcd", 2)
    ((['a', 'b', 'c', 'd'], []), (['a', 'b'], ['c', 'd']))
    """
    listed = list(things)
    return (listed, []) if len(listed) <= most + 1 else (listed[:most], listed[most:])
