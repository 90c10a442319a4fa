"""Chunks of UTF-8 text as frames of whole rows, all cells text.

The meaning of quotes is that of Python's csv module. Text in which no quote opens a cell goes
through polars, which is about five times as fast and, there, gives the same rows (a test
proves it); everything else goes through the csv module itself. A quote *inside* a cell, as in
``5" pipe``, is an ordinary character in both.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import polars as pl

from batch_screen.errors import InputError

LONGEST_RECORD_BYTES = 16 << 20
RAGGED = "ragged"
Row = list[str]


@dataclass(frozen=True, slots=True)
class Shape:
    """The delimiter, the number of columns, and the positions of those to read."""

    delimiter: str
    width: int
    positions: tuple[int, ...]


def frames(chunks: Iterator[bytes], name: str, shape: Shape) -> Iterator[pl.DataFrame]:
    """Rows in file order; columns: each position as its number (String), RAGGED (Boolean).

    An empty cell and a missing one are null. A row is ragged where a cell beyond the last
    column is not empty, or where text follows a closing quote: its cells may have shifted.
    Blank lines are no rows, unless there is only one column. InputError: a quote that never
    closes, or a record longer than LONGEST_RECORD_BYTES.
    """
    allow_long_cells()
    pending, row = b"", 1
    for chunk in chain(chunks, (b"",)):
        is_last = not chunk
        block, rest = _cut(pending + chunk, is_last=is_last)
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
    """Lifts the csv module's own limit, which is process-wide; ours is checked first."""
    csv.field_size_limit(max(csv.field_size_limit(), 8 * LONGEST_RECORD_BYTES))


def parse(lines: Sequence[bytes], delimiter: str) -> tuple[list[Row], int, list[int]]:
    """The records in the lines: rows, how many lines they took, and which rows are damaged.

    Lines left over belong to a record whose quote is still open. A blank line is an empty row.
    Damaged: text follows a closing quote, as in ``"a"b``. Raises csv.Error where a record
    over several lines is damaged so: its quote has swallowed rows.
    """
    reader = csv.reader(map(bytes.decode, lines), delimiter=delimiter, strict=True)
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
        lenient = next(csv.reader([lines[taken].decode()], delimiter=delimiter))
        if lenient[-1][-1:] in ("\r", "\n"):
            raise csv.Error("a damaged record goes on in the next line")
        damaged.append(len(rows))
        rows.append(lenient)
        taken = reader.line_num


def _cut(buffer: bytes, *, is_last: bool) -> tuple[bytes, bytes]:
    """Whole lines, and the rest. A final CR may be half of a CRLF, so it waits."""
    if is_last:
        return buffer, b""
    end = 1 + max(buffer.rfind(b"\n"), buffer.rfind(b"\r", 0, max(0, len(buffer) - 1)))
    return buffer[:end], buffer[end:]


def _frame(block: bytes, shape: Shape, name: str, row: int) -> tuple[pl.DataFrame, bytes]:
    """The block's rows, and the bytes of a last record that is not finished."""
    if not _opens_quote(block, shape.delimiter):
        frame = _plain(block, shape)
        if frame is not None:
            return frame, b""
    lines = block.splitlines(keepends=True)
    try:
        rows, taken, damaged = parse(lines, shape.delimiter)
    except csv.Error:
        raise _never_closed(name, row) from None
    return _from_rows(rows, shape, damaged), b"".join(lines[taken:])


def _opens_quote(block: bytes, delimiter: str) -> bool:
    return b'"' in block and (
        block[:1] == b'"'
        or any(before + b'"' in block for before in (b"\n", b"\r", delimiter.encode()))
    )


def _plain(block: bytes, shape: Shape) -> pl.DataFrame | None:
    """The rows of a block in which no quote means anything; None: polars cannot say."""
    text = block
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if shape.width > 1:
        while b"\n\n" in text:
            text = text.replace(b"\n\n", b"\n")
        text = text.removeprefix(b"\n")
    if not text:
        return _from_rows([], shape)
    # One column more than there should be: what falls into it is surplus. (polars refuses the
    # block where a row has even more.) The header line is ours, so that it never names a cell.
    # A row has no more cells than bytes. Where rows are short under a wide header, polars would
    # take room for every cell they lack.
    if text.count(b"\n") * shape.width > 2 * len(text):
        return None
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
        'would be lost; close it, or double the quotes inside quoted cells ("")'
    )
