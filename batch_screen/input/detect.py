"""Detection of a file's layout from its first megabyte: packing, encoding, delimiter, header.

Files that hold no rows are refused here, with the format that they look like.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from batch_screen.config.screening import Input, is_delimiter
from batch_screen.errors import InputError, empty_input
from batch_screen.input import archive, excel, parquet
from batch_screen.input.cells import csv_kind, is_data
from batch_screen.input.csv import Row, allow_long_cells, cells_of, parse, unwrapped
from batch_screen.input.dialect import SAMPLE_LINES, CsvDialect, find_dialect, refuse_uncut
from batch_screen.input.files import translated
from batch_screen.input.foreign import refuse_foreign, refuse_text
from batch_screen.input.layout import Csv, FileLayout, InputColumn, Packing, lines_above, unique
from batch_screen.input.limits import Caps
from batch_screen.input.text import checked_encoding, unpacked, utf8
from batch_screen.masking import plain
from batch_screen.storage.reading import open_regular

SAMPLE_BYTES = 1 << 20
_SAMPLE_CELLS = 1_000_000
_FEWEST_ROWS = 10
_PACKINGS = {
    b"\x1f\x8b": Packing.GZIP,
    b"\x28\xb5\x2f\xfd": Packing.ZSTD,
    b"BZh": Packing.BZIP2,
    archive.ZIP: Packing.ZIP,
}
_TEXT_NAMES = (".csv", ".tsv", ".txt")
_BOMS = (  # the longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?\r?[\n\r]', re.IGNORECASE)


def sniff(path: Path, name: str, settings: Input) -> FileLayout:
    """Detects the layout of a file. InputError (65) if it holds no rows of a known format."""
    caps = Caps.of(settings)
    allow_long_cells()
    with translated(name), open_regular(path) as file:
        head = file.read(16)
    if head.startswith(b"PAR1"):
        return parquet.describe(path, name, caps)
    is_workbook = archive.is_workbook(path, name, head, caps)
    if (is_workbook or head.startswith(archive.ZIP)) and path.name.lower().endswith(_TEXT_NAMES):
        kind = "an Excel workbook" if is_workbook else "a zip archive"
        raise InputError(
            f"{name}: it looks like {kind}, and not like the text that its name says; save it as "
            "CSV, or name it as what it is"
        )
    if is_workbook:
        return excel.describe(path, name, settings)
    packing = next((p for magic, p in _PACKINGS.items() if head.startswith(magic)), Packing.NONE)
    return _text_layout(path, name, packing, settings)


def _text_layout(path: Path, name: str, packing: Packing, settings: Input) -> FileLayout:
    """The layout of a file of delimited text, packed or not."""
    caps = Caps.of(settings)
    raw = _first(unpacked(path, name, packing, caps, SAMPLE_BYTES))
    if not raw:
        raise empty_input(f"{name}: it is empty; export the list again")
    encoding = checked_encoding(settings.encoding) if settings.encoding else _encoding(raw)
    refuse_foreign(raw, name, encoding)
    # Read anew: decoding needs the stream from its beginning.
    text = utf8(unpacked(path, name, packing, caps, SAMPLE_BYTES), name, encoding)
    sample = _first(text)
    refuse_text(sample, name)
    is_whole = next(text, None) is None
    lines = _lines(sample, name, is_whole=is_whole)
    above = _above(lines, name, settings)
    lines = lines[above.lines :]
    if not lines:
        raise _no_rows(name, [], is_whole=is_whole)
    dialect = find_dialect(lines, above.delimiter, settings)
    start = above.size + sum(map(len, lines[: dialect.above]))
    lines = lines[dialect.above :]
    header, rows, taken = _records(
        lines, dialect, name, has_header=settings.has_header, is_whole=is_whole
    )
    if settings.has_header:
        refuse_uncut(lines, dialect, len(header), name)
    offset = start + sum(map(len, lines[:taken]))
    csv_layout = Csv(
        packing,
        encoding,
        dialect.delimiter,
        offset,
        settings.has_header,
        dialect.has_escapes,
        dialect.is_wrapped,
        above.rows + dialect.above,
    )
    notes = (lines_above(dialect.above),) if dialect.above else ()
    return FileLayout(path, name, _columns(header, rows), csv_layout, notes=notes)


class _Above(NamedTuple):
    """What stands above a header: its lines, and their size in bytes.

    ``rows`` are those that a spreadsheet shows, the header included. ``delimiter`` is the one that
    is set, or that a line ``sep=`` declares; empty where neither is.
    """

    lines: int
    size: int
    rows: int
    delimiter: str


def _above(lines: Sequence[bytes], name: str, settings: Input) -> _Above:
    """Lines to skip: those of the setting, a ``sep=`` line, and blank ones before a header."""
    delimiter, skipped = settings.delimiter, settings.skip_lines
    if separator := _SEPARATOR_LINE.fullmatch(lines[0]):
        declared = separator[1].decode("latin-1")
        if not delimiter and not is_delimiter(declared):
            raise InputError(
                f"{name}: its first line declares the delimiter {plain(declared)!r}, which may "
                "stand inside a cell; export it with comma, semicolon, tab or |"
            )
        delimiter = delimiter or declared
        skipped = max(1, skipped)
    blank = 0
    if settings.has_header:
        # Exports put a blank line or two above the header.
        below = lines[skipped:]
        blank = next((i for i, line in enumerate(below) if line.strip(b"\r\n")), len(below))
    size = sum(map(len, lines[: skipped + blank]))
    rows = settings.skip_lines + int(settings.has_header) + blank  # no sheet shows a sep= line
    return _Above(skipped + blank, size, rows, delimiter)


def _first(chunks: Iterator[bytes]) -> bytes:
    """The stream's first bytes: SAMPLE_BYTES and a little more, or all."""
    sample = b""
    for chunk in chunks:
        sample += chunk
        if len(sample) >= SAMPLE_BYTES:
            break
    return sample


def _encoding(raw: bytes) -> str:
    """The encoding by its BOM, or by the zeros of UTF-16; empty if neither tells."""
    for bom, codec in _BOMS:
        if raw.startswith(bom):
            return codec
    sample = raw[:4096]
    zeros = (sample[::2].count(0), sample[1::2].count(0))
    half = len(sample) // 2
    if half > 1 and zeros[1] > 0.6 * half and zeros[0] < 0.1 * half:
        return "utf-16-le"
    if half > 1 and zeros[0] > 0.6 * half and zeros[1] < 0.1 * half:
        return "utf-16-be"
    return ""


def _lines(sample: bytes, name: str, *, is_whole: bool) -> list[bytes]:
    """The sample's lines with their ends, without a last one that may be cut off."""
    lines = sample.splitlines(keepends=True)
    if is_whole:
        return lines
    if len(lines) == 1:
        raise InputError(
            f"{name}: its first line is longer than {len(sample) >> 20} MiB, so it is no list; "
            "export it again with one row a line, or set the right encoding (--encoding)"
        )
    return lines[:-1]


def _records(
    lines: list[bytes], dialect: CsvDialect, name: str, *, has_header: bool, is_whole: bool
) -> tuple[list[str], list[Row], int]:
    """The header, the sampled rows below it, and the number of lines the header takes."""
    taken = 0
    delimiter, has_escapes = dialect.delimiter, dialect.has_escapes
    try:
        if has_header:
            # A quoted name may hold line breaks.
            reader = cells_of(lines, delimiter, has_escapes=has_escapes)
            header, taken = next(reader), reader.line_num
            header = unwrapped(header, delimiter) if dialect.is_wrapped else header
            if taken >= len(lines):
                raise _no_rows(name, header, is_whole=is_whole)
        below = [line for line in lines[taken:] if line.strip(b"\r\n")][:SAMPLE_LINES]
        rows, used, damaged = parse(below, delimiter, has_escapes=has_escapes)
        if not used and below:
            raise csv.Error("the first row's quote never closes")
    except csv.Error:
        raise InputError(
            f"{name}: the quotes in its first rows do not match, or a quoted cell is longer than "
            'a MiB; close them, or double the quotes inside quoted cells (""), or escape all of '
            'them with a backslash (\\")'
        ) from None
    # A row with text behind a closing quote may have shifted cells, and would blur the columns.
    rows = [row for i, row in enumerate(rows) if row and i not in damaged]
    if not has_header:
        widths = Counter(map(len, rows))
        return [""] * max(widths, key=lambda n: (widths[n], n), default=1), rows, taken
    if not rows:
        raise _no_rows(name, header, is_whole=is_whole)
    if dialect.is_wrapped:
        rows = [unwrapped(row, delimiter, len(header)) for row in rows]
    if 2 * sum(any(row[len(header) :]) for row in rows) > len(rows):
        raise InputError(
            f"{name}: its header names {len(header)} column(s), but most rows have more cells; "
            "complete the header, skip the lines above it (--skip-lines), or set input.delimiter "
            "(--delimiter)"
        )
    return header, rows, taken


def _no_rows(name: str, header: list[str], *, is_whole: bool) -> InputError:
    if not is_whole:
        return InputError(
            f"{name}: its first megabyte holds no whole row below the header, but blank lines, "
            "broken quotes or one endless row; export the list again with one row a line"
        )
    # A header of data is a row: to skip such a file would drop it.
    refuse = InputError if any(map(is_data, header)) else empty_input
    return refuse(
        f"{name}: it has a header but no rows; export the list again, or say --no-header if the "
        "first line is a row"
    )


def _columns(header: list[str], rows: list[Row]) -> tuple[InputColumn, ...]:
    # Short rows under a wide header would take room for every cell they lack.
    rows = rows[: max(_FEWEST_ROWS, _SAMPLE_CELLS // len(header))]
    columns = []
    for position, (name, duplicate_of) in enumerate(unique(header)):
        cells = tuple((row[position] or None) if position < len(row) else None for row in rows)
        columns.append(
            InputColumn(name, position, cells, kind=csv_kind(cells), duplicate_of=duplicate_of)
        )
    return tuple(columns)
