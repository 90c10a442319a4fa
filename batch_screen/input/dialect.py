"""CSV dialect from a file's first lines: delimiter, quote escape, lines above the header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from batch_screen.config.screening import Input, QuoteEscape
from batch_screen.errors import InputError
from batch_screen.input.cells import is_data, may_be_number, most
from batch_screen.input.columns import is_phone_name
from batch_screen.input.csv import parse, unwrapped

SAMPLE_LINES = 2_000
_TYPICAL_ROWS = 100
_DELIMITERS = (",", ";", "\t", "|")
# Tried where those give no columns. No colon, slash, star or hash: numbers are written with them.
_RARE_DELIMITERS = (*"^~!¦§¬%$@&=`，；", "\x01", "\x1f")
_RARE_SHARE = 0.9
_MOST_ABOVE = 30
_COMMENTS = ("#", "//", "--")
_MARKS = re.compile(r"[~|^;:,#@$%&=*!§¦¬<>/`]+")


class CsvDialect(NamedTuple):
    """How lines are cut into cells, and how many of them stand above the header.

    ``is_wrapped``: some rows stand in quotes as a whole.
    """

    delimiter: str
    has_escapes: bool = False
    is_wrapped: bool = False
    above: int = 0


class _Rated(NamedTuple):
    """A dialect's score: ``rank`` is None where it gives no columns."""

    dialect: CsvDialect
    rank: tuple[float, bool, int, bool] | None
    is_single: bool


def find_dialect(lines: Sequence[bytes], delimiter: str, settings: Input) -> CsvDialect:
    """The dialect that gives most rows the header's number of cells, two or more.

    Without a header, the most frequent number of cells. Between equals the one wins that leaves
    cells which look like numbers. For a single column, a delimiter that does not occur in it.
    ``delimiter`` is one that is known, or empty.
    """
    lines = lines[:SAMPLE_LINES]
    single = None
    for delimiters in ((delimiter,),) if delimiter else (_DELIMITERS, _RARE_DELIMITERS):
        rated = [
            found
            for each in delimiters
            for has_escapes in _escapes(lines, each, settings)
            if (found := _rated(lines, each, settings, has_escapes=has_escapes))
        ]
        ranked = [each for each in rated if each.rank]
        if delimiters is _RARE_DELIMITERS:
            ranked = [each for each in ranked if each.rank and min(each.rank[:2]) >= _RARE_SHARE]
        if ranked:
            return max(ranked, key=lambda each: each.rank or ()).dialect
        single = single or next((each.dialect for each in rated if each.is_single), None)
    has_escapes = settings.quote_escape is QuoteEscape.BACKSLASH
    return single or CsvDialect(delimiter or ",", has_escapes)


def refuse_uncut(lines: Sequence[bytes], dialect: CsvDialect, width: int, name: str) -> None:
    """Refuses a list whose cells stand between marks that are no delimiter, such as ``~|~``."""
    first, *below = (line.decode().strip() for line in lines[:_TYPICAL_ROWS])
    below = [line for line in below if line]
    if width == 1 and (most(below, may_be_number) or not below):
        return
    for mark, times in Counter(_MARKS.findall(first)).items():
        is_long = len(mark) > 1 and set(mark) != {dialect.delimiter}
        if width > 1 and not (is_long and dialect.delimiter in mark):
            continue
        cut = [line.split(mark) for line in below if _MARKS.findall(line).count(mark) == times]
        has_numbers = any(
            most([row[i] for row in cut if i < len(row)], may_be_number) for i in range(times + 1)
        )
        if has_numbers and len(cut) >= _RARE_SHARE * len(below):
            option = "" if is_long else ", or say so with --delimiter"
            raise InputError(
                f"{name}: {mark!r} seems to stand between its cells; export it with comma, "
                f"semicolon, tab or |{option}"
            )
    are_wide = "  " in first and most(below, lambda line: "  " in line, _RARE_SHARE)
    if width == 1 and are_wide and most(below, lambda line: any(map(may_be_number, line.split()))):
        raise InputError(
            f"{name}: its lines hold more than a number, and no delimiter is found; it looks like "
            "columns of a fixed width: export it as CSV, or keep the numbers alone"
        )


def header_row(rows: Sequence[Sequence[str]], settings: Input) -> int:
    """The index of the header among the first rows, above which stand titles and comments.

    0 where that is not certain: a row that was skipped would be lost. A title has one cell, or less
    than half of the others'; the header names a column that is known, or all of its own.
    """
    named = {*settings.phone_column.split(","), settings.region_column, *settings.keep_columns}
    wanted = {name.strip().casefold() for name in named} - {"", "all"}
    filled = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    later = [len(cells) for cells in filled[min(_MOST_ABOVE, len(filled) // 2) :] if cells]
    usual = _usual(Counter(later)) if later else 1
    possible = None

    def is_known(cells: Sequence[str]) -> bool:
        return any(is_phone_name(cell) or cell.casefold() in wanted for cell in cells)

    for index, cells in enumerate(filled[: _MOST_ABOVE + 1]):
        is_title = usual > 1 and len(cells) <= max(1, usual // 2)
        if any(map(is_data, cells)):
            break
        if is_known(cells) and (usual == 1 or len(cells) > 1):
            return index
        if not cells or is_title:
            continue
        # A comment, unless it is a header such as "#id", with a row below it.
        below = next((each for each in filled[index + 1 :] if each), [])
        if cells[0].startswith(_COMMENTS) and not (
            len(cells) == usual and any(map(is_data, below))
        ):
            continue
        if usual > 1:
            ahead = takewhile(
                lambda row: not any(map(is_data, row)), filled[index + 1 : _MOST_ABOVE + 1]
            )
            # A title of several cells, where a whole header with a known name stands below it.
            if len(cells) < usual and any(len(row) >= usual and is_known(row) for row in ahead):
                continue
            names = {cell.casefold() for cell in cells}
            is_header = len(names) == len(cells) and not any(map(str.isdecimal, cells))
            return index if is_header else 0
        if possible is None:
            possible = index
    # In a single column nothing tells a title from a header but its name, and comments.
    above = filled[: possible or 0]
    return possible or 0 if all(not c or c[0].startswith(_COMMENTS) for c in above) else 0


def _escapes(lines: Sequence[bytes], delimiter: str, settings: Input) -> Iterator[bool]:
    if settings.quote_escape is not QuoteEscape.BACKSLASH:
        yield False
    escaped = (b'\\"', b"\\" + delimiter.encode(), b"\\\n", b"\\\r\n")
    if settings.quote_escape is QuoteEscape.BACKSLASH or (
        settings.quote_escape is QuoteEscape.FOUND
        and any(each in line for line in lines for each in escaped)
    ):
        yield True


def _rated(
    lines: Sequence[bytes], delimiter: str, settings: Input, *, has_escapes: bool
) -> _Rated | None:
    has_header = settings.has_header
    try:
        found, taken, damaged = parse(lines, delimiter, has_escapes=has_escapes)
        above = header_row(found, settings) if has_header and not settings.skip_lines else 0
        if above and len(parse(lines[:above], delimiter, has_escapes=has_escapes)[0]) != above:
            above = 0  # a title over several lines is none that can be cut off
    except csv.Error:
        return None
    rows = [row for i, row in enumerate(found) if row and i >= above and i not in damaged]
    is_single = all(len(row) == 1 for row in rows)
    whole = [unwrapped(row, delimiter) for row in rows] if has_header else rows
    is_wrapped = whole != rows
    rows = whole
    widths = Counter(map(len, rows[1:] if has_header and len(rows) > 1 else rows))
    if not widths:
        return None
    dialect = CsvDialect(delimiter, has_escapes, is_wrapped, above)
    width = len(rows[0]) if has_header else _usual(widths)
    # Where every second row has one cell only, the delimiter is some text's comma.
    if width < 2 or widths[1] >= 0.5 * widths.total():
        return _Rated(dialect._replace(is_wrapped=False), None, is_single)
    lost = len(damaged) + len(lines) - taken
    typical = rows[1:_TYPICAL_ROWS]
    has_numbers = any(
        most([row[i] for row in typical if i < len(row)], may_be_number) for i in range(width)
    )
    share = widths[width] / (widths.total() + lost)
    return _Rated(dialect, (share, has_numbers, width, not has_escapes), is_single)


def _usual(widths: Counter[int]) -> int:
    return max(widths, key=lambda width: (widths[width], width))
