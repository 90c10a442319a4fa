"""Warehouses to be disturbed while they are loaded, and what a second session sees of them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb
import polars as pl
import psycopg
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

import batch_screen
from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.warehouse.columns import kept_name
from tests.nights import NIGHTS, Night, job, listed, make_nights

EVERY = (*DATA_FOLDERS, "runs")
_BIG = Night("2026-11-28", "many.parquet", ("branch", "opened"))

Counts = Mapping[tuple[str, str], int]
"""Table and run id → rows."""
Rows = list[tuple[Any, ...]]


class Nights:
    """Complete runs of an output folder, and their rows as a warehouse has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifests = [json.loads(f.read_bytes()) for f in folder.glob("runs/*/manifest.json")]
        self._files = {each["run_id"]: each["files"] for each in manifests}
        self._days = {each["run_id"]: date.fromisoformat(each["run_date"]) for each in manifests}
        self._rows: dict[tuple[str, str], Counter[Any]] = {}
        self.columns: dict[str, list[str]] = {}
        for table in DATA_FOLDERS:
            runs = {run_id: self._frame(table, run_id) for run_id in self._files}
            columns = pl.concat(runs.values(), how="diagonal").columns
            self.columns[table] = columns
            for run_id, frame in runs.items():
                lacking = [pl.lit(None).alias(n) for n in columns if n not in frame.columns]
                rows = frame.with_columns(lacking).select(columns).rows()
                self._rows[table, run_id] = Counter(rows)

    @property
    def run_ids(self) -> list[str]:
        return sorted(self._files)

    def parts(self, run_id: str) -> list[str]:
        """Names of the run's files that hold a table's rows, with the table's folder."""
        return [str(file["path"]) for file in self._files[run_id] if file.get("table")]

    def files(self, run_id: str) -> list[Mapping[str, Any]]:
        """The run's files as its manifest lists them."""
        found: list[Mapping[str, Any]] = self._files[run_id]
        return found

    def rows(self, table: str, run_id: str) -> Counter[Any]:
        return self._rows[table, run_id]

    def _frame(self, table: str, run_id: str) -> pl.DataFrame:
        files = [file for file in self._files[run_id] if file.get("table") == table]
        frame = pl.concat(
            pl.read_parquet(self.folder / file["path"], hive_partitioning=False) for file in files
        )
        kept = {name: kept_name(name) for name in frame.columns if name.startswith("in_")}
        return frame.rename(kept).with_columns(pl.lit(self._days[run_id]).alias("run_date"))


def make_long_nights(folder: Path, rows: int, nights: Sequence[Night] = NIGHTS) -> Nights:
    """Drifting nights, and one of so many rows that there is time to disturb its load."""
    out = make_nights(folder, nights)
    listed(rows).write_parquet(folder / _BIG.listed)
    batch_screen.run(job(folder, _BIG))
    return Nights(out)


class Warehouse(ABC):
    """A warehouse that is empty at first.

    ``is_transactional``: rows of a run are there together with its row in ``runs``, or not at all.
    """

    kind: str
    to: str
    is_transactional = True
    environment: Mapping[str, str] = {}

    @abstractmethod
    def counts(self) -> tuple[set[str], Counts] | None:
        """In one look: the runs of table ``runs``, and the rows of each run in each other table.

        None where it lets nobody in at this moment.
        """

    @abstractmethod
    def rows(self, table: str, columns: Sequence[str]) -> Rows:
        """The rows of the runs of table ``runs``, as a reader that joins it sees them.

        A column that the table does not have is null.
        """

    def torn(self, nights: Nights) -> tuple[set[str], list[str]] | None:
        """The runs that are there, and a line for each of which a reader sees a part only."""
        seen = self.counts()
        if seen is None:
            return None
        runs, counts = seen
        partial = [
            f"{run_id}: {counts.get((table, run_id), 0)} rows of {table}"
            for run_id in runs
            for table in DATA_FOLDERS
            if counts.get((table, run_id), 0) != nights.rows(table, run_id).total()
        ]
        if self.is_transactional:
            partial += [f"{key}: rows without their run" for key in counts if key[1] not in runs]
        return runs, partial


_EACH = " UNION ALL ".join(f"SELECT '{t}' AS t, run_id AS r FROM batch_screen.{t}" for t in EVERY)
_COUNTS = f"SELECT t, r, count(*) FROM ({_EACH}) AS every GROUP BY t, r"
_OF_RUNS = "run_id IN (SELECT run_id FROM batch_screen.runs)"


def _counted(found: list[Any]) -> tuple[set[str], Counts]:
    counts = {(str(table), str(run_id)): int(rows) for table, run_id, rows in found}
    runs = {run_id for table, run_id in counts if table == "runs"}
    return runs, {key: rows for key, rows in counts.items() if key[0] != "runs"}


def _arranged(found: Iterable[Any], rows: Rows, columns: Sequence[str]) -> Rows:
    """The rows with these columns, null where the table has none."""
    there = [str(column[0]) for column in found]
    places = [there.index(name) if name in there else len(there) for name in columns]
    return [tuple([*row, None][place] for place in places) for row in rows]


class PostgresWarehouse(Warehouse):
    kind = "postgres"
    _serial = count()

    def __init__(self, folder: Path, host: str) -> None:
        del folder
        name = f"torture{next(self._serial)}"
        with psycopg.connect(f"postgresql://loader@/postgres?host={host}", autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name}".encode())
        self.to = f"postgresql://loader@/{name}?host={host}"

    def connect(self) -> psycopg.Connection[Any]:
        options = "-c timezone=UTC -c datestyle=ISO -c application_name=onlooker"
        return psycopg.connect(self.to, autocommit=True, options=options)

    def counts(self) -> tuple[set[str], Counts] | None:
        try:
            with self.connect() as db:
                return _counted(db.execute(_COUNTS.encode()).fetchall())
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return set(), {}

    def rows(self, table: str, columns: Sequence[str]) -> Rows:
        with self.connect() as db:
            found = db.execute(f"SELECT * FROM batch_screen.{table} WHERE {_OF_RUNS}".encode())
            return _arranged(found.description or [], found.fetchall(), columns)


class DuckDBWarehouse(Warehouse):
    kind = "duckdb"

    def __init__(self, folder: Path, host: str) -> None:
        del host
        self._path = folder / "warehouse.duckdb"
        self.to = f"duckdb:{self._path}"

    def counts(self) -> tuple[set[str], Counts] | None:
        if not self._path.exists():
            return set(), {}
        try:
            with duckdb.connect(self._path, read_only=True) as db:
                return _counted(db.execute(_COUNTS).fetchall())
        except duckdb.CatalogException:
            return set(), {}
        except duckdb.IOException:  # the file is its writer's alone
            return None

    def rows(self, table: str, columns: Sequence[str]) -> Rows:
        with duckdb.connect(self._path, read_only=True) as db:
            db.execute("SET TimeZone = 'UTC'")
            found = db.execute(f"SELECT * FROM batch_screen.{table} WHERE {_OF_RUNS}")
            return _arranged(found.description or [], found.fetchall(), columns)


class DeltaWarehouse(Warehouse):
    """Tables that are read one after the other, ``runs`` first: a run it has is complete."""

    kind = "delta"
    is_transactional = False

    def __init__(self, folder: Path, host: str) -> None:
        del host
        self._path = folder / "delta"
        self.to = f"delta:{self._path}"

    def counts(self) -> tuple[set[str], Counts] | None:
        return _of_lake(self._read)

    def rows(self, table: str, columns: Sequence[str]) -> Rows:
        return _rows_of_lake(self._read, table, columns)

    def _read(self, name: str, columns: list[str] | None) -> pa.Table | None:
        try:
            table = DeltaTable(self._path / "batch_screen" / name)
        except TableNotFoundError:
            return None
        return table.to_pyarrow_table(columns=columns)


class IcebergWarehouse(Warehouse):
    """A namespace whose catalog is SQLite; its tables are read one after the other, too."""

    kind = "iceberg"
    to = "iceberg:lake"
    is_transactional = False

    def __init__(self, folder: Path, host: str) -> None:
        del host
        self._catalog = {
            "type": "sql",
            "uri": f"sqlite:///{folder}/catalog.db",
            "warehouse": f"file://{folder}/iceberg",
        }
        self.environment = {
            f"PYICEBERG_CATALOG__LAKE__{name.upper()}": value
            for name, value in self._catalog.items()
        }

    def counts(self) -> tuple[set[str], Counts] | None:
        return _of_lake(self._read)

    def rows(self, table: str, columns: Sequence[str]) -> Rows:
        return _rows_of_lake(self._read, table, columns)

    def _read(self, name: str, columns: list[str] | None) -> pa.Table | None:
        try:
            table = load_catalog("lake", **self._catalog).load_table(f"batch_screen.{name}")
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        return table.scan(selected_fields=tuple(columns or ["*"])).to_arrow()


Read = Callable[[str, list[str] | None], pa.Table | None]


def _of_lake(read: Read) -> tuple[set[str], Counts]:
    found = read("runs", ["run_id"])
    runs = found["run_id"].to_pylist() if found is not None else []
    counts = {("runs", run_id): runs.count(run_id) for run_id in runs}
    assert all(count == 1 for count in counts.values()), "a run is in runs once"
    of_tables: dict[tuple[str, str], int] = {}
    for name in DATA_FOLDERS:
        rows = read(name, ["run_id"]) if runs else None
        for run_id in rows["run_id"].to_pylist() if rows is not None else []:
            of_tables[name, run_id] = of_tables.get((name, run_id), 0) + 1
    return set(runs), of_tables


def _rows_of_lake(read: Read, table: str, columns: Sequence[str]) -> Rows:
    runs, rows = read("runs", ["run_id"]), read(table, None)
    assert runs is not None
    assert rows is not None
    frame = pl.DataFrame(rows).filter(pl.col("run_id").is_in(runs["run_id"].to_pylist()))
    lacking = [pl.lit(None).alias(name) for name in columns if name not in frame.columns]
    return frame.with_columns(lacking).select(columns).rows()


KINDS: Mapping[str, Callable[[Path, str], Warehouse]] = {
    "postgres": PostgresWarehouse,
    "duckdb": DuckDBWarehouse,
    "delta": DeltaWarehouse,
    "iceberg": IcebergWarehouse,
}


class Onlooker:
    """What a second session saw that looked again and again: how often, and what was torn."""

    def __init__(self) -> None:
        self.looks = 0
        self.shut = 0
        self.torn: list[str] = []


@contextmanager
def watched(warehouse: Warehouse, nights: Nights, pause_seconds: float) -> Iterator[Onlooker]:
    """Looks at the warehouse all the time until the block ends."""
    seen, ended = Onlooker(), Event()

    def look() -> None:
        while not ended.wait(pause_seconds):
            found = warehouse.torn(nights)
            seen.looks += found is not None
            seen.shut += found is None
            seen.torn += found[1] if found else []

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
