"""CSV reader: text files as a stream of frames of rows.

Quotes mean what they mean to Python's csv module. Blocks in which no quote opens a cell go through
polars, five times as fast, which there gives the same rows (a property test compares both); others
go through the csv module. A quote *inside* a cell, as in ``5" pipe``, is an ordinary character in
both.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import polars as pl

from batch_screen.errors import InputError
from batch_screen.input.files import translated
from batch_screen.input.layout import ChosenColumns, Csv, FileLayout, Packing, before
from batch_screen.input.limits import Caps
from batch_screen.input.text import unpacked, utf8
from batch_screen.input.totals import without_totals
from batch_screen.schema import KEPT_PREFIX

LONGEST_RECORD_BYTES = 16 << 20
RAGGED = "ragged"
_SAMPLE_BYTES = 1 << 20
_USUAL_PACKING = 5  # bytes of text in a byte of a packed list

Row = list[str]


@dataclass(frozen=True, slots=True)
class Shape:
    """The delimiter, the number of columns, the positions of those to read, and how to quote."""

    delimiter: str
    width: int
    positions: tuple[int, ...]
    has_escapes: bool = False
    is_wrapped: bool = False


def expected_rows(layout: FileLayout, file: Csv, caps: Caps) -> int:
    """Estimated rows of a text file, by its size and beginning."""
    sample = next(unpacked(layout.path, layout.name, file.packing, caps, _SAMPLE_BYTES), b"")
    lines = sample.count(b"\n") or sample.count(b"\r")
    if len(sample) < _SAMPLE_BYTES:
        return lines
    packed = 1 if file.packing is Packing.NONE else _USUAL_PACKING
    return max(lines, lines * layout.path.stat().st_size * packed // len(sample))


def read(
    layout: FileLayout, file: Csv, chosen: ChosenColumns, caps: Caps, chunk_bytes: int
) -> Iterator[pl.DataFrame]:
    """Rows in file order: ``raw_names``, raw_region (String), ragged (Boolean), in_… (String)."""
    shape = Shape(
        file.delimiter,
        len(layout.columns),
        tuple(sorted({*chosen.positions, *before(chosen.phones)})),
        file.has_escapes,
        file.is_wrapped,
    )
    raw_region = pl.col(str(chosen.region.position)) if chosen.region else pl.lit(None)
    columns = (
        pl.col(chosen.raw_names),
        raw_region.cast(pl.String).alias("raw_region"),
        pl.col(RAGGED),
        *(pl.col(str(c.position)).alias(KEPT_PREFIX + name) for name, c in chosen.kept.items()),
    )
    with translated(layout.name):
        chunks = unpacked(layout.path, layout.name, file.packing, caps, chunk_bytes)
        text = utf8(chunks, layout.name, file.encoding)
        rows = frames(_skip(text, file.offset), layout.name, shape)
        labels = [str(position) for position in before(chosen.phones)]
        cells = [str(phone.position) for phone in chosen.phones]
        phones = dict(zip(chosen.raw_names, cells, strict=True))
        for frame in without_totals(rows, phones, labels):
            yield frame.select(columns)


def _skip(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The stream without its first ``count`` bytes, in chunks that are not empty."""
    for chunk in chunks:
        rest = chunk[count:]
        count -= len(chunk) - len(rest)
        if rest:
            yield rest


def frames(chunks: Iterator[bytes], name: str, shape: Shape) -> Iterator[pl.DataFrame]:
    """Cuts UTF-8 text into frames of whole rows: each position as String, RAGGED as Boolean.

    An empty cell and a missing one are null. A row is ragged where a cell beyond the last
    column is not empty, or where text follows a closing quote: its cells may have shifted.
    Blank lines are no rows, unless there is only one column. InputError: a quote that never
    closes, or a record longer than LONGEST_RECORD_BYTES.
    """
    allow_long_cells()
    pending, row = b"", 1
    for chunk in chain(chunks, (b"",)):
        is_last = not chunk
        buffer = pending + chunk
        # Whole lines only; a final CR may be half of a CRLF, so it waits.
        end = 1 + max(buffer.rfind(b"\n"), buffer.rfind(b"\r", 0, max(0, len(buffer) - 1)))
        block, rest = (buffer, b"") if is_last else (buffer[:end], buffer[end:])
        frame, unfinished = _frame(block, shape, name, row)
        if is_last and unfinished:
            raise _never_closed(name, row + frame.height)
        row += frame.height
        pending = unfinished + rest
        if len(pending) > LONGEST_RECORD_BYTES:
            raise InputError(
                f"{name}: data row {row} is longer than {LONGEST_RECORD_BYTES >> 20} MiB; look "
                "there for a quote that is never closed, or set the right delimiter and encoding"
            )
        if frame.height:
            yield frame


def allow_long_cells() -> None:
    """Lifts the csv module's process-wide limit; ours is checked first."""
    csv.field_size_limit(max(csv.field_size_limit(), 8 * LONGEST_RECORD_BYTES))


def cells_of(
    lines: Sequence[bytes], delimiter: str, *, has_escapes: bool, strict: bool = True
) -> Any:
    """The csv module's reader of these lines."""
    if not has_escapes:
        return csv.reader(map(bytes.decode, lines), delimiter=delimiter, strict=strict)
    # A backslash escapes quotes, itself, delimiters and line ends; before others it is a character.
    special = b'\\\\"\r\n' + re.escape(delimiter.encode())
    escape = re.compile(rb"\\(?:([" + special + rb"])|(?=.))", re.DOTALL)
    kept = (escape.sub(lambda m: m[0] if m[1] else rb"\\", line).decode() for line in lines)
    return csv.reader(kept, delimiter=delimiter, escapechar="\\", strict=strict)


def unwrapped(row: Row, delimiter: str, width: int = 0) -> Row:
    """A row's cells where quotes stood around it as a whole; ``width`` is how many it may have.

    >>> unwrapped(['1,"a, b",x'], ","), unwrapped(["1,x"], ",", 3)
    (['1', 'a, b', 'x'], ['1,x'])
    """
    if len(row) != 1 or delimiter not in row[0] or "\n" in row[0] or "\r" in row[0]:
        return row
    inner = next(csv.reader(row, delimiter=delimiter))
    return inner if width in (0, len(inner)) else row


def parse(
    lines: Sequence[bytes], delimiter: str, *, has_escapes: bool = False
) -> tuple[list[Row], int, list[int]]:
    """Parses lines by the csv module: rows, how many lines they took, and which are damaged.

    Lines left over belong to a record whose quote is still open. A blank line is an empty row.
    Damaged: text follows a closing quote, as in ``"a"b``. Raises csv.Error where a record
    over several lines is damaged so: its quote has swallowed rows.
    """
    reader = cells_of(lines, delimiter, has_escapes=has_escapes)
    rows: list[Row] = []
    damaged: list[int] = []
    taken = 0
    while True:
        try:
            for row in reader:
                rows.append(row)
                taken = reader.line_num
            return rows, taken, damaged
        except csv.Error as error:
            if "unexpected end" in str(error):
                return rows, taken, damaged
            if reader.line_num - taken > 1:
                raise
        # The strict reader refused one line: read leniently, its row counts as damaged.
        line = [lines[taken]]
        lenient = next(cells_of(line, delimiter, has_escapes=has_escapes, strict=False))
        if lenient[-1][-1:] in ("\r", "\n"):
            raise csv.Error("a damaged record goes on in the next line")
        damaged.append(len(rows))
        rows.append(lenient)
        taken = reader.line_num


def _frame(block: bytes, shape: Shape, name: str, row: int) -> tuple[pl.DataFrame, bytes]:
    """The block's rows, and the bytes of a last record whose quote is still open."""
    has_escapes = shape.has_escapes and b"\\" in block
    if not has_escapes and not _opens_quote(block, shape.delimiter):
        frame = _plain(block, shape)
        if frame is not None:
            return frame, b""
    lines = block.splitlines(keepends=True)
    try:
        rows, taken, damaged = parse(lines, shape.delimiter, has_escapes=has_escapes)
    except csv.Error:
        raise _never_closed(name, row) from None
    return _from_rows(rows, shape, damaged), b"".join(lines[taken:])


def _opens_quote(block: bytes, delimiter: str) -> bool:
    return b'"' in block and (
        block[:1] == b'"'
        or any(before + b'"' in block for before in (b"\n", b"\r", delimiter.encode()))
    )


def _plain(block: bytes, shape: Shape) -> pl.DataFrame | None:
    """The rows of a block without quoted cells, by polars; None where polars refuses it."""
    text = block
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if shape.width > 1:
        while b"\n\n" in text:
            text = text.replace(b"\n\n", b"\n")
        text = text.removeprefix(b"\n")
    if not text:
        return _from_rows([], shape)
    # A row has no more cells than bytes. Where rows are short under a wide header, polars would
    # take room for every cell they lack.
    if text.count(b"\n") * shape.width > 2 * len(text):
        return None
    if not shape.delimiter.isascii():  # polars takes one byte
        return None
    # One column more than there should be, for surplus cells. (polars refuses a row with even
    # more.) The header line is ours, so that it never holds a cell.
    names = [str(position) for position in range(shape.width + 1)]
    try:
        frame = pl.read_csv(
            shape.delimiter.join(names).encode() + b"\n" + text,
            separator=shape.delimiter,
            quote_char=None,
            infer_schema=False,
            glob=False,
        )
    except pl.exceptions.PolarsError:
        return None
    chosen = [names[position] for position in shape.positions]
    return frame.select(*chosen, pl.col(names[-1]).is_not_null().alias(RAGGED))


def _from_rows(rows: list[Row], shape: Shape, damaged: Sequence[int] = ()) -> pl.DataFrame:
    width, broken = shape.width, set(damaged)
    if shape.is_wrapped:
        rows = [unwrapped(row, shape.delimiter, width) for row in rows]
    ragged = [
        index in broken or (len(row) > width and any(row[width:]))
        for index, row in enumerate(rows)
        if row or width == 1
    ]
    if width > 1:
        rows = [row for row in rows if row]
    columns = {
        str(p): pl.Series(
            [(row[p] or None) if p < len(row) else None for row in rows], dtype=pl.String
        )
        for p in shape.positions
    }
    return pl.DataFrame({**columns, RAGGED: pl.Series(ragged, dtype=pl.Boolean)})


def _never_closed(name: str, row: int) -> InputError:
    return InputError(
        f"{name}: a quote opened in or after data row {row} is never properly closed, so rows "
        'would be lost; close it, or double the quotes inside quoted cells (""); if a backslash '
        'escapes them (\\"), set input.quote_escape to backslash'
    )
