"""Parquet files read by their place on this disk, whatever they are called.

pyarrow takes a relative path with a colon, ``nightly:2026/part.parquet``, for an address, and
polars takes brackets and stars for a pattern. So no other file of this package hands either of
them a path: what is opened here is local, and is just the file that is named.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from batch_screen.storage.reading import open_regular, refuse_odd

# pyarrow's own choice, mimalloc 3, has crashed processes that write from several threads (Arrow's
# issues 50471 and 50908, mimalloc's 1287), and takes a twentieth more memory for a plan.
if "jemalloc" in pa.supported_memory_backends():
    pa.set_memory_pool(pa.jemalloc_memory_pool())

_MAGIC = b"PAR1"
# Without patterns; and run_date=… in a folder's name is no column of ours.
_AS_NAMED: dict[str, Any] = {"glob": False, "hive_partitioning": False}


def open_parquet(path: Path) -> pq.ParquetFile:
    """The file, open for reading row group by row group."""
    return pq.ParquetFile(_local(path))


def row_groups(path: Path) -> Iterator[pl.DataFrame]:
    """The file's rows, a row group at a time: in large runs a file holds many shards."""
    with open_parquet(path) as file:
        for group in range(file.num_row_groups):
            yield pl.DataFrame(file.read_row_group(group))


def metadata_of(path: Path) -> pq.FileMetaData:
    """What the file's footer says: rows, row groups, marks."""
    return pq.read_metadata(_local(path))


def schema_of(path: Path) -> pa.Schema:
    """The file's columns as pyarrow has them."""
    return pq.read_schema(_local(path))


def ends_as_parquet(path: Path) -> bool:
    """Whether the file's last bytes are those of a Parquet file: a look that costs nothing."""
    with open_regular(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(_MAGIC)))
        return file.read(len(_MAGIC)) == _MAGIC


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """All rows of the file, or some of its columns."""
    with _named([path]) as [source]:
        return pl.read_parquet(source, columns=columns, **_AS_NAMED)


def scan_parquet(paths: Sequence[Path]) -> pl.LazyFrame:
    """A lazy scan over the files in this order; none of them may be a folder."""
    with _named(paths) as sources:
        return pl.scan_parquet(sources, **_AS_NAMED)


def _local(path: Path) -> pa.NativeFile:
    refuse_odd(path)
    # As bytes, for a name may be any; pyarrow's own file, for one of Python's holds its lock.
    return pa.OSFile(os.fsencode(path))


@contextmanager
def _named(paths: Sequence[Path]) -> Iterator[Any]:
    """The files as polars takes them: by full paths, or open where a name is not UTF-8."""
    for path in paths:
        refuse_odd(path)
    full = [os.path.abspath(path) for path in paths]  # noqa: PTH100 (follows no link)
    if _is_utf8("".join(full)):
        yield full
        return
    with ExitStack() as files:  # polars keeps its own hold of them
        yield [files.enter_context(open_regular(path)) for path in paths]


def _is_utf8(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False
