"""Bounds on a file's unpacked size and on Parquet cells, checked before unpacking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input.layout import Packing

# How much a file may unpack to, asked before it is unpacked and again on the way.
#
# A few kilobytes can stand for terabytes. What a file says of itself is looked at first; as it
# may lie or say nothing, the bytes that come out are counted as well.

_GIB = 1 << 30
# Below this no ratio is too high: it is read in seconds.
_HARMLESS_BYTES = 32 << 20
_DEFLATE_RATIO = 1_032


@dataclass(frozen=True, slots=True)
class Caps:
    """The most bytes a file may hold, and how often its own size."""

    unpacked_bytes: int
    ratio: float

    @classmethod
    def of(cls, settings: Input) -> Caps:
        return cls(int(settings.max_unpacked_gib * _GIB), settings.max_unpacking_ratio)

    def check(self, name: str, packed: int, unpacked: int) -> None:
        """Raises InputError if the unpacked bytes are too many for a file of ``packed`` bytes."""
        if unpacked > self.unpacked_bytes:
            raise InputError(
                f"{name}: it unpacks to more than {self.unpacked_bytes / _GIB:g} GiB: it is "
                "damaged, or made to fill memory and disk; if it is genuine, raise "
                "input.max_unpacked_gib, or split it"
            )
        if unpacked > max(_HARMLESS_BYTES, self.ratio * packed):
            raise InputError(
                f"{name}: it unpacks to more than {self.ratio:g} times its size: it is damaged, "
                "or made to fill memory and disk; if it is genuine, raise "
                "input.max_unpacking_ratio, or unpack it"
            )


def claimed_bytes(packing: Packing, size: int, head: bytes, tail: bytes) -> int:
    """The unpacked size that a packed file states, or 0; it may say less than there is.

    ``head`` and ``tail`` are its first 18 and last 4 bytes. gzip (RFC 1952, ISIZE) ends with
    the last member's size modulo 2^32; a zstd frame (RFC 8878, 3.1.1.1) may begin with its
    own. What deflate cannot reach is no claim: such a file was cut off.
    """
    if packing is Packing.GZIP:
        claimed = int.from_bytes(tail[-4:], "little")
        return claimed if claimed <= _DEFLATE_RATIO * size else 0
    if packing is not Packing.ZSTD or len(head) < 5:
        return 0
    # Behind the magic: a descriptor, the window unless it is a single segment, a dictionary's id.
    descriptor = head[4]
    is_single_segment = bool(descriptor & 0x20)
    width = (int(is_single_segment), 2, 4, 8)[descriptor >> 6]
    start = 5 + (not is_single_segment) + (0, 1, 2, 4)[descriptor & 3]
    field = head[start : start + width]
    if len(field) < width:
        return 0
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)


# Parquet files opened with care: what they would take is known before a page is unpacked.
#
# The footer says how much, and it is believed: one that was made to lie is a known limit. What it
# cannot say is what becomes of a cell that is stored once and stands in many rows, so the longest
# such cell bounds how many rows are read at once.

BATCH_ROWS = 50_000
_HELD_BYTES = 64 << 20
# Some hundred thousand column chunks; in memory a footer takes many times its size.
_LARGEST_FOOTER_BYTES = 32 << 20
_MOST_ITEMS = 200_000
_MOST_COLUMNS = 10_000
_ROW_BYTES = 14  # as text a row takes a number and a line end, however well it is encoded
_READ_BYTES = 1 << 20
_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"


class _Weight(NamedTuple):
    """Bytes of text in some rows: cells that occur once, and the longest of the others."""

    rows: int = 0
    plain_bytes: int = 0
    repeated_cell_bytes: int = 0

    def beside(self, other: _Weight) -> _Weight:
        longest = max(self.repeated_cell_bytes, other.repeated_cell_bytes)
        return _Weight(self.rows + other.rows, self.plain_bytes + other.plain_bytes, longest)

    @property
    def rows_at_once(self) -> int:
        is_large = self.plain_bytes > _HELD_BYTES
        average = self.plain_bytes // max(1, self.rows) if is_large else 0
        return max(1, min(BATCH_ROWS, _HELD_BYTES // max(1, self.repeated_cell_bytes + average)))


class ParquetList:
    """A Parquet file whose rows come in batches that fit into memory.

    InputError where its footer is too large, or says that the file unpacks to too much.
    """

    def __init__(self, source: BinaryIO, name: str, caps: Caps) -> None:
        size = _refuse_footer(source, name)
        # By default whole column chunks of all row groups are read ahead.
        piecemeal = {"pre_buffer": False, "buffer_size": _READ_BYTES}
        file = pq.ParquetFile(source, thrift_container_size_limit=_MOST_ITEMS, **piecemeal)
        self.metadata, self.schema, self._file = file.metadata, file.schema_arrow, file
        if self.metadata.num_columns > _MOST_COLUMNS:
            raise InputError(
                f"{name}: it has {self.metadata.num_columns:,} columns, and at most "
                f"{_MOST_COLUMNS:,} are read; write the list with the columns it needs"
            )
        rows, groups = self.metadata.num_rows, self._groups()
        if rows < 0 or any(g.num_rows < 0 or g.total_byte_size < 0 for g in groups):
            raise EOFError
        caps.check(name, size, max(rows, sum(g.num_rows for g in groups)) * _ROW_BYTES)
        caps.check(name, size, sum(g.total_byte_size for g in groups))
        columns = [self.metadata.schema.column(n) for n in range(self.metadata.num_columns)]
        self._places = {column.path: n for n, column in enumerate(columns)}
        self._texts = {
            column.path
            for column in columns
            if column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL"
        }
        self._dictionaries = pq.ParquetFile(
            source, metadata=self.metadata, read_dictionary=[*self._texts], **piecemeal
        )

    def chunks(self, group: int, columns: list[str]) -> list[Any]:
        """The footer's sizes of these columns in a row group. OSError if it is damaged."""
        # Asked about a damaged one, pyarrow ends the process; to read a row of it is an error.
        next(self._file.iter_batches(1, row_groups=[group], columns=columns), None)
        row_group = self.metadata.row_group(group)
        return [row_group.column(self._places[column]) for column in columns]

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """The rows of these columns; small row groups are read together."""
        for groups, rows in self.portions(columns):
            yield from self._file.iter_batches(rows, row_groups=groups, columns=columns)

    def portions(self, columns: list[str]) -> Iterator[tuple[list[int], int]]:
        """Row groups to read in one go, and how many of their rows at once."""
        texts = [column for column in columns if column in self._texts]
        groups: list[int] = []
        together = _Weight()
        for group, row_group in enumerate(self._groups()):
            weight = self._weight(group, row_group.num_rows, texts)
            joined = together.beside(weight)
            if groups and (together.rows >= BATCH_ROWS or joined.plain_bytes > _HELD_BYTES):
                yield groups, together.rows_at_once
                groups, joined = [], weight
            groups.append(group)
            together = joined
        if groups:
            yield groups, together.rows_at_once

    def _groups(self) -> list[Any]:
        return [self.metadata.row_group(n) for n in range(self.metadata.num_row_groups)]

    def _weight(self, group: int, rows: int, texts: list[str]) -> _Weight:
        import pyarrow.compute as pc  # noqa: PLC0415 (as in parquet)

        plain = cell = 0
        by_dictionary = []
        for chunk in self.chunks(group, texts):
            plain += chunk.total_uncompressed_size
            if "DELTA_BYTE_ARRAY" in chunk.encodings:  # a cell may repeat the one before
                cell += chunk.total_uncompressed_size
            elif any("DICTIONARY" in encoding for encoding in chunk.encodings):
                by_dictionary.append(chunk.path_in_schema)
        if by_dictionary:
            batches = self._dictionaries.iter_batches(1, row_groups=[group], columns=by_dictionary)
            for column in next(batches, ()):
                if pa.types.is_dictionary(column.type):
                    cell += pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        return _Weight(rows, plain, cell)


def _refuse_footer(source: BinaryIO, name: str) -> int:
    size = source.seek(0, 2)
    if size < 12:
        raise EOFError
    source.seek(size - 8)
    tail = source.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] == _ENCRYPTED:
        raise InputError(f"{name}: it is an encrypted Parquet file: write it unencrypted")
    if tail[4:] != _MAGIC or length > size - 12:
        raise EOFError
    if length > _LARGEST_FOOTER_BYTES:
        raise InputError(
            f"{name}: its footer is larger than {_LARGEST_FOOTER_BYTES >> 20} MiB; write it with "
            "larger row groups, or with the columns it needs"
        )
    source.seek(0)
    return size
