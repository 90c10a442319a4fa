"""Parquet files that grow by row groups, and rows partitioned over many of them.

Streams: at most ``HELD_BYTES`` of rows wait in memory, and as much again is being written.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from io import BufferedWriter
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from batch_screen.storage.atomic import open_private, translated
from batch_screen.storage.parquet import read_parquet, row_groups
from batch_screen.storage.scratch import scratch_files

HELD_BYTES = 32 << 20
"""Over all files. polars' partitioned sink holds rows for each file instead: 0.65 GiB for 15 of
them, 0.85 GiB for 50."""

# At least, for each file: a row group costs a millisecond, as much as a thousand rows.
_HELD_FOR_A_FILE = 512 << 10

_SAMPLE_ROWS = 20_000
_SHARE_REPEATED = 0.1
KEPT: Mapping[str, Any] = {"compression": "zstd", "write_statistics": False}
PASSING: Mapping[str, Any] = {"compression": "lz4", "write_statistics": False}
"""For files that are read once and removed: faster to write, larger on disk."""
_PARTITION = "_partition"


class RowGroupWriter:
    """A Parquet file that grows by a row group per batch; created with the first.

    ``file``: an open file to write to, in place of ``path``. ``how`` goes to pyarrow, ``marks``
    into the file's metadata. ``is_for_us``: no other program reads the file.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO | None = None,
        how: Mapping[str, Any] = KEPT,
        marks: Mapping[str, str] | None = None,
        *,
        is_for_us: bool = False,
    ) -> None:
        self.path = path
        self._how = how
        self._marks = marks
        self.rows = 0
        self.columns: list[str] = []
        self._opened: BinaryIO | None = None
        self._file = file
        # Texts as polars has them, which few readers know, are handed over without a copy.
        self._layout = pl.CompatLevel.newest() if is_for_us else pl.CompatLevel.oldest()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def add(self, frame: pl.DataFrame) -> None:
        """Appends the rows as a row group."""
        writer = self._writer = self._writer or self._begun(frame)
        writer.write_table(_table(frame, writer.schema, self._layout), max(1, frame.height))
        self.rows += frame.height

    def _begun(self, frame: pl.DataFrame) -> pq.ParquetWriter:
        if self._file is None:
            # Buffered, because pyarrow does not check how much of a write was done.
            self._file = self._opened = BufferedWriter(open_private(self.path))
        self.columns = frame.columns
        schema = frame.clear().to_arrow(compat_level=self._layout).schema
        if self._marks:
            schema = schema.with_metadata(self._marks)
        return pq.ParquetWriter(self._file, schema, **_encodings(frame), **self._how)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._opened is not None:
            self._opened.close()


def _table(frame: pl.DataFrame, schema: pa.Schema, layout: pl.CompatLevel) -> pa.Table:
    """The frame as a pyarrow table of the schema."""
    # Columns of nulls only are made anew: as polars hands them over they take thrice as long.
    empty = [column.name for column in frame if column.null_count() == frame.height]
    filled = (frame.drop(empty) if empty else frame).to_arrow(compat_level=layout)
    if not empty:
        return filled
    columns = [
        pa.nulls(frame.height, f.type) if f.name in empty else filled[f.name] for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _encodings(frame: pl.DataFrame) -> dict[str, object]:
    """Parquet encodings of a file, chosen from its first rows."""
    sample = frame.head(_SAMPLE_ROWS)
    texts = sample.select(pl.col(pl.String).approx_n_unique())
    # A dictionary of values that hardly repeat takes three times as long as all else.
    few = _SHARE_REPEATED * sample.height
    repeated = [name for name in texts.columns if texts[name].item() < few]
    whole = [n for n, dtype in frame.schema.items() if dtype.is_integer() or dtype == pl.Datetime]
    return {
        "use_dictionary": repeated,
        "column_encoding": dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
    }


class PartitionedWriter:
    """Partitions rows over files; keeps their order in each.

    ``partition`` gives the index of a row's file among the paths. ``how`` goes to pyarrow.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        partition: pl.Expr,
        held_bytes: int = HELD_BYTES,
        how: Mapping[str, Any] = KEPT,
    ) -> None:
        self.files = [RowGroupWriter(path, how=how, is_for_us=True) for path in paths]
        self._partition = partition.cast(pl.UInt32).alias(_PARTITION)
        self._held: dict[int, list[pl.DataFrame]] = {}
        self._most_held_bytes = max(held_bytes, _HELD_FOR_A_FILE * len(paths))
        self._held_bytes = 0
        self._none: pl.DataFrame | None = None
        self._open = ExitStack()
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._writing: list[Future[None]] = []

    @property
    def rows(self) -> int:
        """How many rows were written, buffered ones not counted."""
        return sum(file.rows for file in self.files)

    @property
    def columns(self) -> list[str]:
        """The columns of the rows; none before the first batch."""
        return [] if self._none is None else self._none.columns

    def __enter__(self) -> Self:
        for file in self.files:
            self._open.enter_context(file)
        return self

    def add(self, batch: pl.DataFrame) -> None:
        """Adds rows; they are written once ``HELD_BYTES`` are buffered."""
        if self._none is None:
            self._none = batch.clear()
        if len(self.files) == 1:
            self.files[0].add(batch)
            return
        parts = batch.with_columns(self._partition).partition_by(
            _PARTITION, maintain_order=True, include_key=False, as_dict=True
        )
        for (partition,), part in parts.items():
            self._held.setdefault(partition, []).append(part)
        self._held_bytes += int(batch.estimated_size())
        if self._held_bytes >= self._most_held_bytes:
            self._flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with self._open, self._pool:
            if kind is None and self._none is not None:
                self._flush()
                self._wait()
                for file in self.files:
                    if not file.rows:
                        file.add(self._none)  # a partition without rows has its file too

    def _flush(self) -> None:
        """Starts writing the buffered rows in threads, after the last flush is done."""
        self._wait()  # a file takes its row groups in order, and memory is bounded
        self._writing = [
            self._pool.submit(self.files[partition].add, pl.concat(frames))
            for partition, frames in self._held.items()
        ]
        self._held = {}
        self._held_bytes = 0

    def _wait(self) -> None:
        for writing in self._writing:
            writing.result()
        self._writing = []


def compact(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with texts of its own: polars' few rows out of many keep those of all in memory."""
    return pl.DataFrame(frame.to_arrow(compat_level=pl.CompatLevel.oldest()))


RANGE_BYTES = 64 << 20
"""What a range of sorted rows is to take in memory; sorting it takes as much again."""
_RANGE_ROOM = 2
"""How far a range may exceed that before it is partitioned again: not all rows are equally wide."""
_MOST_RANGES = 128
_CELL_BYTES = 16
"""Of a text in memory, also of none; polars counts nothing for those."""


@contextmanager
def in_ranges(
    frames: Iterable[pl.DataFrame], key: str, rows: int, folder: Path
) -> Iterator[Iterator[pl.DataFrame]]:
    """The frames' rows sorted by ``key``, whose values lie below ``rows``, a range at a time.

    One range is in memory at a time, however many rows there are and however wide they are. As
    much disk in ``folder`` is taken meanwhile as the rows need, and a little more.
    """
    coming = iter(frames)
    begun = [*islice(coming, 1)]
    row_bytes = sum(_bytes_of(frame) / max(1, frame.height) for frame in begun)
    count = _ranges(rows, row_bytes)
    ranges = _sorted(chain(begun, coming), key, range(rows), count, folder)
    with translated("write to", folder), closing(ranges):
        yield ranges


def _sorted(
    frames: Iterable[pl.DataFrame], key: str, keys: range, count: int, folder: Path
) -> Generator[pl.DataFrame]:
    """Partitions rows of these keys over so many files, and yields those of each, sorted."""
    size, width = -(-len(keys) // count), 0
    with scratch_files(folder, key, count) as paths:
        with PartitionedWriter(paths, (pl.col(key) - keys.start) // size) as written:
            for frame in frames:
                width += _bytes_of(frame)
                written.add(frame)
        row_bytes = width / max(1, written.rows)
        for number, file in enumerate(written.files):
            inner = keys[number * size : (number + 1) * size]
            further = _ranges(len(inner), row_bytes)
            if further > 1 and file.rows * row_bytes > _RANGE_ROOM * RANGE_BYTES:
                yield from _sorted(row_groups(file.path), key, inner, further, folder)
            elif written.columns:
                yield read_parquet(file.path).sort(key)


def _bytes_of(frame: pl.DataFrame) -> int:
    return max(int(frame.estimated_size()), frame.height * frame.width * _CELL_BYTES)


def _ranges(keys: int, row_bytes: float) -> int:
    """How many ranges of about ``RANGE_BYTES`` rows of so many keys make."""
    return max(1, min(_MOST_RANGES, keys, round(keys * row_bytes / RANGE_BYTES)))
