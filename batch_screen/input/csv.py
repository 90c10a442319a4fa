"""CSV reader: text files as a stream of frames, unpacked, decoded to UTF-8, cut into rows.

Quotes mean what they mean to Python's csv module. Blocks in which no quote opens a cell go through
polars, five times as fast, which there gives the same rows (a property test compares both); others
go through the csv module. A quote *inside* a cell, as in ``5" pipe``, is an ordinary character in
both.
"""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa

from batch_screen.errors import ConfigurationError, InputError
from batch_screen.input.files import translated
from batch_screen.input.layout import Packing
from batch_screen.input.limits import Caps, claimed_bytes

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


def parse(lines: Sequence[bytes], delimiter: str) -> tuple[list[Row], int, list[int]]:
    """Parses lines by the csv module: rows, how many lines they took, and which are damaged.

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
        # The strict reader refused one line: read leniently, its row counts as damaged.
        lenient = next(csv.reader([lines[taken].decode()], delimiter=delimiter))
        if lenient[-1][-1:] in ("\r", "\n"):
            raise csv.Error("a damaged record goes on in the next line")
        damaged.append(len(rows))
        rows.append(lenient)
        taken = reader.line_num


def _frame(block: bytes, shape: Shape, name: str, row: int) -> tuple[pl.DataFrame, bytes]:
    """The block's rows, and the bytes of a last record whose quote is still open."""
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


CHUNK_BYTES = 4 << 20
_CLAIM_BYTES = 18  # the longest frame header of zstd
_BOM = codecs.BOM_UTF8
# Windows-1252 as browsers read it: the five bytes it leaves open are control characters, so
# every byte has a meaning and no cell can stop a run.
_WINDOWS_1252 = "".join(
    chr(byte) if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes([byte]).decode("cp1252")
    for byte in range(256)
)


def unpacked(
    path: Path, name: str, packing: Packing, caps: Caps, size: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Decompresses a file as a stream of chunks that are not empty.

    InputError where the stream is damaged or truncated, or holds more than the caps allow, by its
    own header or in fact.
    """
    with translated(name), path.open("rb") as file:
        if packing is Packing.NONE:
            while chunk := file.read(size):
                yield chunk
            return
        # A file that calls itself too large is refused before any of it is unpacked.
        head = file.read(_CLAIM_BYTES)
        packed = file.seek(0, os.SEEK_END)
        file.seek(max(0, packed - _CLAIM_BYTES))
        caps.check(name, packed, claimed_bytes(packing, packed, head, file.read()))
        file.seek(0)
        total = 0
        codec: Literal["gzip", "zstd"] = "gzip" if packing is Packing.GZIP else "zstd"
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec) as stream:
            while chunk := stream.read(size):
                total += len(chunk)
                # Against what was read of it so far, so that a long bomb is soon noticed.
                caps.check(name, file.tell(), total)
                yield chunk


def utf8(chunks: Iterator[bytes], name: str, encoding: str) -> Iterator[bytes]:
    """Decodes chunks to valid UTF-8 without a BOM; no chunk ends inside a character.

    An empty ``encoding`` means UTF-8, or else Windows-1252. Line ends stay as they are.
    """
    decoded = _named(chunks, name, encoding) if encoding else _guessed(chunks, name)
    head = b""
    for chunk in decoded:
        head += chunk
        if len(head) >= len(_BOM):
            break
    head = head.removeprefix(_BOM)
    if head:
        yield head
    yield from decoded


def guessed_encoding(chunks: Iterator[bytes]) -> str:
    r"""The encoding ``utf8`` finds where none is named; ``ascii`` where any would do.

    >>> guessed_encoding(iter([b"Z", b"o\xc3", b"\xab"])), guessed_encoding(iter([b"Zo\xeb"]))
    ('utf-8', 'windows-1252')
    """
    pending = b""
    for chunk in chain(chunks, (b"",)):
        data = pending + chunk
        try:
            used = len(data) if data.isascii() else _valid_utf8(data, is_last=not chunk)
        except UnicodeDecodeError as error:
            return "windows-1252" if data[: error.start].isascii() else "utf-8"
        if not data[:used].isascii():
            return "utf-8"
        pending = data[used:]
    return "ascii"


def checked_encoding(encoding: str) -> str:
    """Python's name of a text encoding. Raises ``ConfigurationError`` for any other."""
    try:
        known = codecs.lookup(encoding)
        with suppress(UnicodeDecodeError):
            b"a".decode(known.name)  # a LookupError for a codec that is not one of text
        codecs.getincrementaldecoder(known.name)
    except (LookupError, ValueError):
        raise ConfigurationError(
            f"input.encoding: {encoding!r} is no known encoding; try utf-8, windows-1252, "
            "latin-1 or utf-16, or leave it empty"
        ) from None
    return known.name


def _guessed(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    pending, offset, only_ascii = b"", 0, True
    for chunk in chain(chunks, (b"",)):
        data = pending + chunk
        try:
            used = len(data) if data.isascii() else _valid_utf8(data, is_last=not chunk)
        except UnicodeDecodeError as error:
            # Only where all before was ASCII, which reads the same in both encodings.
            if not only_ascii or not data[: error.start].isascii():
                raise _undecodable(name, offset + error.start, "UTF-8") from None
            for rest in chain((data,), chunks):
                yield codecs.charmap_decode(rest, "strict", _WINDOWS_1252)[0].encode()
            return
        only_ascii = only_ascii and data[:used].isascii()
        pending, offset = data[used:], offset + used
        if used:
            yield data[:used]


def _valid_utf8(data: bytes, *, is_last: bool) -> int:
    """The number of leading bytes that are whole characters; raises where one is not UTF-8."""
    return codecs.utf_8_decode(data, "strict", is_last)[1]


def _named(chunks: Iterator[bytes], name: str, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    fed = 0
    for chunk in chain(chunks, (b"",)):
        fed += len(chunk)
        try:
            text = decoder.decode(chunk, not chunk).encode()
        except UnicodeDecodeError as error:
            # The decoder may have held bytes back: the error counts from the first of them.
            offset = fed - len(error.object) + error.start
            raise _undecodable(name, offset, encoding) from None
        except UnicodeError:
            raise _undecodable(name, fed, encoding) from None
        if text:
            yield text


def _undecodable(name: str, offset: int, encoding: str) -> InputError:
    return InputError(
        f"{name}: the text at byte {offset} is not {encoding}; set input.encoding (--encoding) "
        "to the encoding the file was written in, such as windows-1252"
    )
