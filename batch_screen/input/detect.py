"""Detection of a file's layout from its first megabyte: packing, encoding, delimiter, header.

Files that hold no rows are refused here, with the format that they look like.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input import parquet
from batch_screen.input.csv import Row, allow_long_cells, parse
from batch_screen.input.files import translated
from batch_screen.input.layout import Csv, FileLayout, InputColumn, Packing, unique
from batch_screen.input.limits import Caps
from batch_screen.input.text import checked_encoding, unpacked, utf8
from batch_screen.masking import plain
from batch_screen.model import ColumnKind

# Whether cells look like phone numbers, without any numbering plan: good enough to find a column,
# never to judge a cell.

_WRAPPING = re.compile(r"^(?:tel:|=?\"|'|\s)+|[\"\s]+$", re.IGNORECASE)
_SHAPE = re.compile(r"[+(]?[\d\s().\-/\u00a0\u2010-\u2015\u202f+]+")
_DATE = re.compile(
    r"\d{4}[-./]?(?:0[1-9]|1[0-2])[-./]?(?:0[1-9]|[12]\d|3[01])"
    r"|\d{1,2}[-./]\d{1,2}[-./](?:\d{2}|\d{4})"
)
_DECIMAL = re.compile(r"-?\d+[.,]\d+")
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?E\+?\d+", re.IGNORECASE)
_FLOAT_ARTEFACT = re.compile(r"[0-9]+\.0")
_ENOUGH = 0.6


def may_be_number(cell: str) -> bool:
    """Whether a cell has seven to fifteen digits in the shape of a number, no date or decimal.

    >>> may_be_number("0171 3920012"), may_be_number("491713920012"), may_be_number("2024-01-31")
    (True, True, False)
    """
    text = _bare(cell)
    digits = sum(c.isdigit() for c in text)
    is_other = _DATE.fullmatch(text) or _DECIMAL.fullmatch(text)
    return 7 <= digits <= 15 and bool(_SHAPE.fullmatch(text)) and not is_other


def is_clearly_number(cell: str) -> bool:
    """Whether a cell may be a number and starts with +, 00, 0 or ``tel:``."""
    starts = _bare(cell).lstrip("( ")[:1] in ("+", "0") or cell.strip()[:4].lower() == "tel:"
    return starts and may_be_number(cell)


def is_international(cell: str) -> bool:
    """Whether a cell may be a number and starts with +, as padded identifiers hardly do."""
    return is_clearly_number(cell) and _bare(cell).lstrip("( ")[:1] == "+"


def was_number(cell: str) -> bool:
    """Whether a cell was once a number, damaged ones included: enough to trust a column's name.

    >>> was_number("4.91713E+11"), was_number("491713920012.0"), was_number("yes")
    (True, True, False)
    """
    text = _bare(cell)
    return sum(c.isdigit() for c in text) >= 6 or bool(_SCIENTIFIC.fullmatch(text))


def is_data(cell: str) -> bool:
    """Whether a header cell is a number, whole or damaged, and so hardly a name."""
    text = _bare(cell)
    is_float = bool(_FLOAT_ARTEFACT.fullmatch(text)) and len(text) > 8
    return may_be_number(cell) or bool(_SCIENTIFIC.fullmatch(text)) or is_float


def most(cells: Iterable[str | None], claim: Callable[[str], bool], share: float = _ENOUGH) -> bool:
    """Whether a share of the cells that are not empty, and at least one, meets the claim."""
    filled = [cell for cell in cells if cell and cell.strip()]
    return bool(filled) and sum(map(claim, filled)) >= share * len(filled)


def csv_kind(cells: Iterable[str | None]) -> ColumnKind:
    """FLOAT if every cell ends in .0, as spreadsheets and data frames write whole numbers.

    >>> csv_kind(["491713920012.0", None, "491713920013.0"])
    <ColumnKind.FLOAT: 'float'>
    """
    filled = [cell for cell in cells if cell and cell.strip()]
    is_float = bool(filled) and all(_FLOAT_ARTEFACT.fullmatch(cell) for cell in filled)
    return ColumnKind.FLOAT if is_float else ColumnKind.TEXT


def _bare(cell: str) -> str:
    return _WRAPPING.sub("", cell)


SAMPLE_BYTES = 1 << 20
_SAMPLE_LINES = 2_000
_TYPICAL_ROWS = 100
_SAMPLE_CELLS = 1_000_000
_FEWEST_ROWS = 10
_DELIMITERS = (",", ";", "\t", "|")
_PACKINGS = {b"\x1f\x8b": Packing.GZIP, b"\x28\xb5\x2f\xfd": Packing.ZSTD}
_FOREIGN = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive: save it as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save it as CSV"),
    (b"%PDF", "a PDF document: export the list as CSV"),
    (b"{\\rtf", "a text-processor document: export the list as CSV"),
    (b"ORC", "an ORC file: export it as Parquet or CSV"),
    (b"Obj\x01", "an Avro file: export it as Parquet or CSV"),
    (b"ARROW1", "an Arrow or Feather file: write it as Parquet"),
    (b"PARE", "an encrypted Parquet file: write it unencrypted"),
    (b"SQLite format 3", "an SQLite database: export the table as CSV"),
    (b"BZh", "a bzip2 archive: unpack it, or use gzip or zstd"),
    (b"\xfd7zXZ", "an xz archive: unpack it, or use gzip or zstd"),
    (b"\x04\x22\x4d\x18", "an lz4 archive: unpack it, or use gzip or zstd"),
    (b"7z\xbc\xaf", "a 7-zip archive: unpack it"),
    (b"\x1f\x8b", "packed twice: unpack it once"),
    (b"\x28\xb5\x2f\xfd", "packed twice: unpack it once"),
    (b"PAR1", "a packed Parquet file: unpack it, Parquet is compressed inside"),
)
_JSON = re.compile(rb'\s*(\{\s*["}]|\[\s*[{\["\d\]])')
_XML = re.compile(rb"\s*<(\?xml|!doctype|[a-z]+[\s>])", re.IGNORECASE)
_BOMS = (  # the longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\r\f\v\x1a\x1b")
_MOST_CONTROLS = 0.02
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?\r?[\n\r]', re.IGNORECASE)


def sniff(path: Path, name: str, settings: Input) -> FileLayout:
    """Detects the layout of a file. InputError (65) if it holds no rows of a known format."""
    caps = Caps.of(settings)
    allow_long_cells()
    with translated(name), path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"PAR1"):
        return parquet.describe(path, name, caps)
    packing = next((p for magic, p in _PACKINGS.items() if head.startswith(magic)), Packing.NONE)
    raw = _first(unpacked(path, name, packing, caps, SAMPLE_BYTES))
    if not raw:
        raise InputError(f"{name}: it is empty; export the list again")
    encoding = checked_encoding(settings.encoding) if settings.encoding else _encoding(raw)
    _refuse_foreign(raw, name, encoding)
    # Read anew: decoding needs the stream from its beginning.
    text = utf8(unpacked(path, name, packing, caps, SAMPLE_BYTES), name, encoding)
    sample = _first(text)
    _refuse_text(sample, name)
    is_whole = next(text, None) is None
    lines = _lines(sample, name, is_whole=is_whole)
    start, delimiter = 0, settings.delimiter
    if separator := _SEPARATOR_LINE.fullmatch(lines[0]):
        declared = separator[1].decode("latin-1")
        if not delimiter and declared not in _DELIMITERS:
            raise InputError(
                f"{name}: its first line declares the delimiter {plain(declared)!r}; only comma, "
                "semicolon, tab and | are read: export it with one of them"
            )
        delimiter = delimiter or declared
        start += len(lines.pop(0))
    if settings.has_header:
        # Exports put a blank line or two above the header.
        blank = next((i for i, line in enumerate(lines) if line.strip(b"\r\n")), len(lines))
        start += sum(map(len, lines[:blank]))
        lines = lines[blank:]
    if not lines:
        raise _no_rows(name, is_whole=is_whole)
    delimiter = delimiter or _delimiter(lines, has_header=settings.has_header)
    header, rows, taken = _records(
        lines, delimiter, name, has_header=settings.has_header, is_whole=is_whole
    )
    offset = start + sum(map(len, lines[:taken]))
    csv_layout = Csv(packing, encoding, delimiter, offset, settings.has_header)
    return FileLayout(path, name, _columns(header, rows), csv_layout)


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


def _refuse_foreign(raw: bytes, name: str, encoding: str) -> None:
    for magic, remedy in _FOREIGN:
        if raw.startswith(magic) and (magic != b"ORC" or b"\x00" in raw[:64]):
            raise InputError(f"{name}: it looks like {remedy}")
    is_bytewise = encoding in ("", "utf-8")
    if is_bytewise and _control_share(raw) > _MOST_CONTROLS:
        raise InputError(f"{name}: it looks like a binary file: export the list as CSV or Parquet")


def _refuse_text(sample: bytes, name: str) -> None:
    if not sample.strip():
        raise InputError(f"{name}: it holds blank lines only; export the list again")
    if _JSON.match(sample):
        raise InputError(f"{name}: it looks like JSON: export the list as CSV or Parquet")
    if _XML.match(sample):
        raise InputError(f"{name}: it looks like XML or a web page: export the list as CSV")
    if _control_share(sample) > _MOST_CONTROLS:
        raise InputError(
            f"{name}: it looks like a binary file, or is in another encoding: export the list as "
            "CSV, or set input.encoding (--encoding)"
        )


def _control_share(sample: bytes) -> float:
    return 1 - len(sample.translate(None, _CONTROLS)) / max(1, len(sample))


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


def _delimiter(lines: list[bytes], *, has_header: bool) -> str:
    """The delimiter that gives most rows the header's number of cells, two or more.

    Without a header, the most frequent number of cells. Between equals the one wins that leaves
    cells which look like numbers. For a single column, a delimiter that does not occur in it.
    """
    ranked: list[tuple[float, bool, int, str]] = []
    single = ""
    for delimiter in _DELIMITERS:
        try:
            rows = [row for row in parse(lines[:_SAMPLE_LINES], delimiter)[0] if row]
        except csv.Error:
            continue
        widths = Counter(map(len, rows[1:] if has_header and len(rows) > 1 else rows))
        if not widths:
            continue
        width = len(rows[0]) if has_header else _usual(widths)
        # Where every second row has one cell only, the delimiter is some text's comma.
        if width > 1 and widths[1] < 0.5 * widths.total():
            share = widths[width] / widths.total()
            typical = rows[1:_TYPICAL_ROWS]
            has_numbers = any(
                most([row[i] for row in typical if i < len(row)], may_be_number)
                for i in range(width)
            )
            ranked.append((share, has_numbers, width, delimiter))
        if not single and all(len(row) == 1 for row in rows):
            single = delimiter
    if ranked:
        return max(ranked, key=lambda candidate: candidate[:3])[3]
    return single or ","


def _usual(widths: Counter[int]) -> int:
    return max(widths, key=lambda width: (widths[width], width))


def _records(
    lines: list[bytes], delimiter: str, name: str, *, has_header: bool, is_whole: bool
) -> tuple[list[str], list[Row], int]:
    """The header, the sampled rows below it, and the number of lines the header takes."""
    taken = 0
    try:
        if has_header:
            reader = csv.reader(map(bytes.decode, lines), delimiter=delimiter, strict=True)
            header, taken = next(reader), reader.line_num  # a quoted name may hold line breaks
            if taken >= len(lines):
                raise _no_rows(name, is_whole=is_whole)
        below = [line for line in lines[taken:] if line.strip(b"\r\n")][:_SAMPLE_LINES]
        rows, used, damaged = parse(below, delimiter)
        if not used and below:
            raise csv.Error("the first row's quote never closes")
    except csv.Error:
        raise InputError(
            f"{name}: the quotes in its first rows do not match, or a quoted cell is longer than "
            'a MiB; close them, or double the quotes inside quoted cells ("")'
        ) from None
    # A row with text behind a closing quote may have shifted cells, and would blur the columns.
    rows = [row for i, row in enumerate(rows) if row and i not in damaged]
    if not has_header:
        return [""] * (_usual(Counter(map(len, rows))) if rows else 1), rows, taken
    if not rows:
        raise _no_rows(name, is_whole=is_whole)
    if 2 * sum(any(row[len(header) :]) for row in rows) > len(rows):
        raise InputError(
            f"{name}: its header names {len(header)} column(s), but most rows have more cells; "
            "complete the header, or set input.delimiter (--delimiter)"
        )
    return header, rows, taken


def _no_rows(name: str, *, is_whole: bool) -> InputError:
    if not is_whole:
        return InputError(
            f"{name}: its first megabyte holds no whole row below the header, but blank lines, "
            "broken quotes or one endless row; export the list again with one row a line"
        )
    return InputError(
        f"{name}: it has a header but no rows; export the list again, or say --no-header if the "
        "first line is a row"
    )


def _columns(header: list[str], rows: list[Row]) -> tuple[InputColumn, ...]:
    # Short rows under a wide header would take room for every cell they lack.
    rows = rows[: max(_FEWEST_ROWS, _SAMPLE_CELLS // len(header))]
    columns = []
    for position, (name, is_duplicate) in enumerate(unique(header)):
        cells = tuple((row[position] or None) if position < len(row) else None for row in rows)
        columns.append(
            InputColumn(name, position, cells, kind=csv_kind(cells), is_duplicate=is_duplicate)
        )
    return tuple(columns)
