"""Opens Parquet parts that may be damaged, and brings a number's tables together.

A number lies in the same part of every table, so what the tables say of each other is seen
part by part: never more than one part of each is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from batch_screen.output.parts import ERRORS, LOOKUPS, RESULTS, Layout
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.schema import Column, dtypes, results

_DAMAGED = (pa.ArrowException, pl.exceptions.PolarsError, OSError, MemoryError, ValueError)


class DamagedPartError(Exception):
    """A Parquet file cannot be read. Its message is ours: a library's may quote a cell."""

    where: str = ""
    """The file below the output folder, where that is known."""


class Part(NamedTuple):
    """Part ``number`` of every table; results without the columns kept from the input."""

    number: int
    results: pl.DataFrame
    lookups: pl.DataFrame
    errors: pl.DataFrame
    names: Mapping[str, str]
    """Table → path below the output folder."""

    def frames(self) -> list[tuple[str, pl.DataFrame]]:
        return [(RESULTS, self.results), (LOOKUPS, self.lookups), (ERRORS, self.errors)]


@contextmanager
def readable() -> Iterator[None]:
    """Whatever a library raises over a damaged file becomes ``DamagedPartError``."""
    try:
        yield
    except _DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise DamagedPartError(reason or "it is no whole Parquet file") from None
    except BaseException as error:
        # polars' panics derive from BaseException; its class has no public, importable name.
        if type(error).__name__ != "PanicException":
            raise
        raise DamagedPartError("it is no whole Parquet file") from None


def height(path: Path) -> int:
    """Rows of a Parquet file, from its footer. Raises ``DamagedPartError``."""
    with readable():
        rows: int = pq.read_metadata(path).num_rows
        return rows


def columns_of(path: Path) -> dict[str, pl.DataType]:
    """Names and dtypes of a Parquet file, in its order. Raises ``DamagedPartError``."""
    with readable():
        return dict(pl.read_parquet_schema(path))


def read_part(layout: Layout, number: int, present: Mapping[str, Path]) -> Part:
    """Part ``number``; a table that has no such part is empty. Raises ``DamagedPartError``."""
    columns = {RESULTS: results({}), LOOKUPS: LOOKUP_COLUMNS, ERRORS: ERROR_COLUMNS}
    names = {t: str(layout.part(t, number).relative_to(layout.folder)) for t in columns}
    frames = {t: _read(present.get(t), names[t], wanted) for t, wanted in columns.items()}
    return Part(number, frames[RESULTS], frames[LOOKUPS], frames[ERRORS], names)


def _read(path: Path | None, name: str, columns: tuple[Column, ...]) -> pl.DataFrame:
    schema = dtypes(columns)
    if path is None:
        return pl.DataFrame(schema=schema)
    try:
        with readable():
            return pl.read_parquet(path, columns=schema.names(), hive_partitioning=False)
    except DamagedPartError as error:
        error.where = name
        raise
