"""What a file would take, known before it is unpacked: of any packing, and of Parquet's pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

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
        """Raises InputError where so many bytes are too many for a file of ``packed`` bytes."""
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
    return _frame_bytes(head) if packing is Packing.ZSTD else 0


def _frame_bytes(head: bytes) -> int:
    if len(head) < 5:
        return 0
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
# The footer is only a claim. What pyarrow allocates for a page is what the page's own header
# says, so those headers are read here (parquet.thrift, PageHeader, in Thrift's compact
# protocol). One cell of a dictionary or of a delta-encoded page can stand in every row; that
# bounds how many rows are read at once.

BATCH_ROWS = 50_000
_HELD_BYTES = 64 << 20
_LARGEST_PAGE_BYTES = 128 << 20
# Some hundred thousand column chunks; in memory a footer takes many times its size.
_LARGEST_FOOTER_BYTES = 32 << 20
_MOST_ITEMS = 200_000
_MOST_COLUMNS = 10_000
_ROW_BYTES = 14  # as text a row takes a number and a line end, however well it is encoded
_READ_BYTES = 1 << 20
_HEADER_BYTES = 4 << 10
_LARGEST_HEADER_BYTES = 16 << 20
_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_DATA_PAGES, _DICTIONARY_PAGE = (0, 3), 2
_PLAIN = 0
_BY_DICTIONARY = (2, 8)


@dataclass(frozen=True, slots=True)
class Page:
    """``encoding`` as in parquet.thrift; a dictionary's own is PLAIN."""

    is_dictionary: bool
    encoding: int
    unpacked_bytes: int


def opened(source: BinaryIO, name: str, caps: Caps) -> Any:
    """The ``pq.ParquetFile``, its footer checked. InputError where it is too large."""
    size = _refuse_footer(source, name)
    file = pq.ParquetFile(
        source,
        # By default whole column chunks of all row groups are read ahead.
        pre_buffer=False,
        buffer_size=_READ_BYTES,
        thrift_container_size_limit=_MOST_ITEMS,
    )
    metadata = file.metadata
    if metadata.num_columns > _MOST_COLUMNS:
        raise InputError(
            f"{name}: it has {metadata.num_columns:,} columns, and at most {_MOST_COLUMNS:,} are "
            "read; write the list with the columns it needs"
        )
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    if metadata.num_rows < 0 or any(g.num_rows < 0 or g.total_byte_size < 0 for g in groups):
        raise EOFError
    caps.check(name, size, max(metadata.num_rows, sum(g.num_rows for g in groups)) * _ROW_BYTES)
    caps.check(name, size, sum(g.total_byte_size for g in groups))
    return file


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


@dataclass(frozen=True, slots=True)
class _Weight:
    """``cell``: the most that a row can take; ``plain``: cells that come out once each."""

    cell: int
    plain: int

    @property
    def rows(self) -> int:
        """How many rows fit into memory together, at least one."""
        return max(1, min(BATCH_ROWS, _HELD_BYTES // max(1, self.cell)))


class Weights:
    """What reading a file's columns takes, and what it has taken so far."""

    def __init__(self, source: BinaryIO, name: str, caps: Caps) -> None:
        self._source = source
        self._name = name
        self._caps = caps
        self._size = source.seek(0, 2)
        self._pages_bytes = 0
        self._rows_bytes = 0

    def portions(self, metadata: Any, columns: Sequence[str]) -> Iterator[tuple[list[int], int]]:
        """Row groups to read in one go, and how many of their rows at once.

        Small groups are taken together. InputError where a page is too large, or the file
        unpacks to too much.
        """
        wanted = [
            n for n in range(metadata.num_columns) if metadata.schema.column(n).path in columns
        ]
        groups: list[int] = []
        together = _Weight(0, 0)
        rows = 0
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            weight = self._weight([row_group.column(n) for n in wanted])
            joined = _Weight(max(together.cell, weight.cell), together.plain + weight.plain)
            if groups and (rows >= BATCH_ROWS or joined.plain > _HELD_BYTES):
                yield groups, together.rows
                groups, rows, joined = [], 0, weight
            groups.append(group)
            rows += row_group.num_rows
            together = joined
        if groups:
            yield groups, together.rows

    def add(self, rows_bytes: int) -> None:
        """Counts what came out: a dictionary's one cell may stand in every row."""
        self._rows_bytes += rows_bytes
        self._caps.check(self._name, self._size, self._rows_bytes)

    def _weight(self, chunks: Iterable[Any]) -> _Weight:
        cell = plain = longest = 0
        for chunk in chunks:
            found = list(pages(self._source, chunk))
            self._check(found)
            if chunk.physical_type == "BYTE_ARRAY":
                cell += max((p.unpacked_bytes for p in found if _repeats(p)), default=0)
                whole = [p.unpacked_bytes for p in found if _holds_cells(p)]
                plain += sum(whole)
                longest += max(whole, default=0)
        return _Weight(cell + (longest if plain > _HELD_BYTES else 0), plain)

    def _check(self, found: Iterable[Page]) -> None:
        if any(page.unpacked_bytes > _LARGEST_PAGE_BYTES for page in found):
            raise InputError(
                f"{self._name}: a page of it unpacks to more than "
                f"{_LARGEST_PAGE_BYTES >> 20} MiB, far above what writers make; write it anew "
                "with smaller pages or row groups, or leave the column out"
            )
        self._pages_bytes += sum(page.unpacked_bytes for page in found)
        self._caps.check(self._name, self._size, self._pages_bytes)


def _repeats(page: Page) -> bool:
    """Whether one of its cells may come out many times: dictionaries, and shared prefixes."""
    return page.is_dictionary or page.encoding not in (_PLAIN, *_BY_DICTIONARY)


def _holds_cells(page: Page) -> bool:
    return not page.is_dictionary and page.encoding == _PLAIN


def pages(source: BinaryIO, chunk: Any) -> Iterator[Page]:
    """The pages of a column chunk by their own headers. EOFError where they are damaged."""
    at = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < at:
        at = chunk.dictionary_page_offset
    end = at + chunk.total_compressed_size
    if at < len(_MAGIC) or chunk.total_compressed_size < 0:
        raise EOFError
    while at < end:
        header, length = _header(source, at)
        at += length + _count(header, 3)
        kind = header.get(1)
        if kind in _DATA_PAGES:
            # The first kind says its encoding in its second field, the other in its fourth.
            encoding = _count(header.get(5), 2) if kind == 0 else _count(header.get(8), 4)
            yield Page(is_dictionary=False, encoding=encoding, unpacked_bytes=_count(header, 2))
        elif kind == _DICTIONARY_PAGE:
            yield Page(is_dictionary=True, encoding=_PLAIN, unpacked_bytes=_count(header, 2))


def _count(header: dict[int, Any] | None, field: int) -> int:
    value = header.get(field) if isinstance(header, dict) else None
    if not isinstance(value, int) or value < 0:
        raise EOFError
    return value


def _header(source: BinaryIO, at: int) -> tuple[dict[int, Any], int]:
    """The page header at that place, and its length; statistics can make it long."""
    size = _HEADER_BYTES
    while size <= _LARGEST_HEADER_BYTES:
        source.seek(at)
        data = source.read(size)
        reader = _Compact(data)
        try:
            return reader.struct(), reader.at
        except IndexError:
            if len(data) < size:
                break
            size *= 8
    raise EOFError


class _Compact:
    """As much of Thrift's compact protocol as page headers use. IndexError: data ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields by their numbers; text is left out."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind == 8:
            length = self._varint()
            self.at += length
            return None
        if kind == 12 and depth < 4:
            return self.struct(depth + 1)
        raise EOFError

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte

    def _varint(self) -> int:
        result = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result
        raise EOFError

    def _integer(self) -> int:
        """A zigzag number: 0, -1, 1, -2, …"""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
