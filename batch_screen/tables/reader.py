"""Reads Parquet parts that may be damaged; the same part of every table at once.

A number lies in the same part of every table, so what the tables say of each other is seen
part by part: never more than one part of each is in memory. pyarrow reads, since polars panics
over some damage and prints where; it is also another reader than the writer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS, SHARDS_MARK, Layout, number_of
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.schema import Column, dtypes, results
from batch_screen.storage.parquet import metadata_of, open_parquet, schema_of

_DAMAGED = (pa.ArrowException, pl.exceptions.PolarsError, OSError, MemoryError, ValueError)


class DamagedPartError(Exception):
    """A Parquet file is damaged. The message is our own: a library's may quote a cell.

    ``where`` is the file, where that is known.
    """

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where


class Part(NamedTuple):
    """Part ``number`` of every table; results without the columns kept from the input.

    Where parts hold several shards, it is one of these: shard ``number`` of ``shards``.
    """

    number: int
    results: pl.DataFrame
    lookups: pl.DataFrame
    errors: pl.DataFrame
    names: Mapping[str, str]
    """Table → path below the output folder."""
    shards: int = 0

    def frames(self) -> list[tuple[str, pl.DataFrame]]:
        return [(RESULTS, self.results), (LOOKUPS, self.lookups), (ERRORS, self.errors)]


@contextmanager
def readable(where: str = "") -> Iterator[None]:
    """Translates a library's errors about a damaged file into ``DamagedPartError``."""
    try:
        yield
    except DamagedPartError as error:
        error.where = error.where or where
        raise
    except _DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise DamagedPartError(reason or "it is no whole Parquet file", where) from None
    except BaseException as error:
        # polars' panics derive from BaseException; its class has no public, importable name.
        if type(error).__name__ != "PanicException":
            raise
        raise DamagedPartError("it is no whole Parquet file", where) from None


def height(path: Path) -> int:
    """Rows of a Parquet file, from its footer. Raises ``DamagedPartError``."""
    with readable():
        rows: int = metadata_of(path).num_rows
        return rows


def columns_of(path: Path) -> dict[str, pl.DataType]:
    """Names and dtypes of a Parquet file, in its order. Raises ``DamagedPartError``."""
    with readable():
        schema = schema_of(path)
        schema.names  # noqa: B018 (raises over what is no UTF-8, where polars would panic)
        return dict(pl.DataFrame(schema.empty_table()).schema)


class Unit(NamedTuple):
    """One shard's rows of a table: a file, or one row group of it."""

    path: Path
    group: int | None = None

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """The rows, a row group at a time. Raises ``DamagedPartError``."""
        # pyarrow, for over some damage polars panics.
        with readable(self.path.name), open_parquet(self.path) as file:
            groups = range(file.num_row_groups) if self.group is None else [self.group]
            for group in groups:
                yield pl.DataFrame(file.read_row_group(group, columns=columns))


def units(layout: Layout, table: str, shards: int) -> Mapping[int, Unit]:
    """Shard → its rows of a table; a shard without rows may have none.

    Raises ``DamagedPartError``.
    """
    found: dict[int, Unit] = {}
    for path in layout.parts(table):
        number = number_of(path.name) or 0
        with readable():
            metadata = metadata_of(path)
        mark = (metadata.metadata or {}).get(SHARDS_MARK.encode())
        if mark is None:
            found[number] = Unit(path)
            continue
        groups = metadata.num_row_groups
        # A part holds every so many-th shard: its own number, then steps of the number of parts.
        if int(mark) != shards or not groups or shards % groups:
            raise DamagedPartError("its row groups are not the shards of its run")
        found |= {number + n * (shards // groups): Unit(path, n) for n in range(groups)}
    return found


def read_part(layout: Layout, number: int, present: Mapping[str, Path]) -> Iterator[Part]:
    """Reads part ``number``, or its shards; a missing part of a table is empty.

    Raises ``DamagedPartError``.
    """
    columns = {RESULTS: results({}), LOOKUPS: LOOKUP_COLUMNS, ERRORS: ERROR_COLUMNS}
    names = {t: layout.named(present.get(t) or layout.part(t, number)) for t in columns}
    shards, held = _shards_of(names[RESULTS], [*present.values()])
    for group in range(held) if shards else [None]:
        frames = {
            t: _read(present.get(t), names[t], wanted, group) for t, wanted in columns.items()
        }
        # A part holds every so many-th shard, the first by its own number.
        shard = number + (group or 0) * (shards // held)
        yield Part(shard, frames[RESULTS], frames[LOOKUPS], frames[ERRORS], names, shards)


def _shards_of(name: str, paths: Sequence[Path]) -> tuple[int, int]:
    """The number of shards in all and in these files; (0, 1) if the files do not say."""
    with readable(name):
        found = set()
        for path in paths:
            metadata = metadata_of(path)
            mark = (metadata.metadata or {}).get(SHARDS_MARK.encode())
            found.add((0, 1) if mark is None else (int(mark), metadata.num_row_groups))
        shards, held = found.pop() if len(found) == 1 else (0, 0)
        if not held or shards % held:
            raise DamagedPartError("its row groups are not the shards that its tables share")
        return shards, held


def _read(
    path: Path | None, name: str, columns: tuple[Column, ...], group: int | None
) -> pl.DataFrame:
    names = dtypes(columns).names()
    if path is None:
        return pl.DataFrame(schema=dtypes(columns))
    with readable(name), open_parquet(path) as file:
        groups = [*range(file.num_row_groups)] if group is None else [group]
        others = [column for column in file.schema_arrow.names if column not in names]
        if others:  # compared with nothing, so a batch at a time is enough
            for batch in file.iter_batches(row_groups=groups, columns=others):
                batch.validate(full=True)
        table = file.read_row_groups(groups, columns=names)
        table.validate(full=True)  # polars takes text for UTF-8 unseen
        return pl.DataFrame(table)
