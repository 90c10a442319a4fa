"""Text blocks of 80 columns: labels with values, counts, sizes, aligned cells."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

WIDTH = 80
_LABEL = 14
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
TEXT_COLUMN = 2 + _LABEL + 1
"""Where texts begin, and the names beside counts."""


def apart(lines: Iterable[str]) -> list[str]:
    """The lines after an empty one; nothing if there are none."""
    shown = [*lines]
    return ["", *shown] if shown else []


def line(label: str, text: str) -> str:
    """A label and its text, not wrapped."""
    return f"  {label + ' ':.<{_LABEL}} {text}"


def labelled(label: str, text: str) -> list[str]:
    """A label and its text, wrapped and indented."""
    first = line(label, "")
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * TEXT_COLUMN)


def below(text: str) -> list[str]:
    """Text without a label, wrapped and indented."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * TEXT_COLUMN, subsequent_indent=" " * TEXT_COLUMN
    )


def hanging(first: str, text: str) -> list[str]:
    """Text after a prefix, wrapped with a hanging indent; paths are not broken."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def count_line(count: int, text: str) -> str:
    """A right-aligned count before its text."""
    return f"{count:>{TEXT_COLUMN - 2},}  {text}"


def fitting(texts: Iterable[str], room: int) -> str:
    """As many of the texts as fit; the first one is cut if need be."""
    fits = ""
    for text in texts:
        longer = f"{fits}, {text}" if fits else text
        if fits and len(longer) > room:
            break
        fits = longer
    return fits if len(fits) <= room else fits[: room - 1] + "…"


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """A line for each row, in aligned columns."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=False))
        yield (" " * TEXT_COLUMN + "  ".join(cells)).rstrip()


def size(count: int) -> str:
    """Bytes in a fitting unit.

    >>> size(12), size(123_456), size(5 << 30)
    ('12 B', '120.6 KiB', '5.0 GiB')
    """
    scaled, power = float(count), 0
    while scaled >= 1024 and power < len(_UNITS) - 1:
        scaled, power = scaled / 1024, power + 1
    return f"{scaled:.1f} {_UNITS[power]}" if power else f"{count} B"
