"""DuckDB: a transaction a run, inserted by name. The file is one process's at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from batch_screen.errors import ConfigurationError, ExitCode, WarehouseError
from batch_screen.schema import INSTANT
from batch_screen.storage.interruptible import interruptible
from batch_screen.warehouse.address import Address
from batch_screen.warehouse.columns import (
    ALL_TABLES,
    LOADED_TABLES,
    RUN_COLUMNS,
    RUNS,
    ExistingType,
    WarehouseColumn,
)
from batch_screen.warehouse.database import SqlDatabase
from batch_screen.warehouse.runs import LoadableRun, TableToLoad
from batch_screen.warehouse.sql import (
    DUCKDB,
    VIEWS,
    Existing,
    list_of,
    literal,
    quoted,
    read_parquet_of,
)
from batch_screen.warehouse.target import Loaded, LoadOptions, other_manifest

_KINDS: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "BOOLEAN": pl.Boolean(),
    "INTEGER": pl.Int32(),
    "BIGINT": pl.Int64(),
    "DOUBLE": pl.Float64(),
    "TIMESTAMP WITH TIME ZONE": INSTANT,
    "DATE": pl.Date(),
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_HOLDER = re.compile(r"\(PID (\d+)\)")
_RETRY_SECONDS = 0.1
_CONFIG: dict[str, Any] = {
    # What is not in the package would be downloaded.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "memory_limit": "160MB",  # beside what Python takes; what does not fit goes to disk
}


def connect(address: Address, schema: str, lock_seconds: float, *, creates: bool) -> DuckDB:
    """The file, open for writing; it is made if it is missing, or, if it shall not be, is empty.

    Raises ``WarehouseError``: 75 where another process has it open for longer than the seconds.
    """
    path = Path(address.text)
    if not path.name or address.text == ":memory:":
        raise ConfigurationError(f"--to {address.shown} must name a file: duckdb:warehouse.duckdb")
    if path.name.lstrip(".").partition(".")[0].casefold() == schema.casefold():
        raise ConfigurationError(
            f"--to {address.shown}: DuckDB calls a database as its file, and could not tell it "
            f"from the schema {schema} in any query; name the file otherwise, or another --schema"
        )
    is_new = not path.exists()
    if is_new and not creates:
        return DuckDB(duckdb.connect(":memory:", config=_CONFIG), address, schema)
    until = time.monotonic() + lock_seconds
    while True:
        try:
            # The whole path: md:name would be an account elsewhere.
            database = duckdb.connect(str(path.absolute()), config=_CONFIG)
            break
        except duckdb.Error as error:
            if "Could not set lock" not in str(error) or time.monotonic() >= until:
                raise _not_opened(error, address) from None
        time.sleep(_RETRY_SECONDS)
    if is_new:
        with suppress(OSError):
            path.chmod(0o600)  # it will hold numbers
    return DuckDB(database, address, schema)


class DuckDB(SqlDatabase):
    """A schema of a DuckDB file."""

    types = DUCKDB
    mark = "?"

    def __init__(self, database: duckdb.DuckDBPyConnection, address: Address, schema: str) -> None:
        super().__init__(address, schema)
        self._database = database
        self._may_take_more = False

    def close(self) -> None:
        with suppress(duckdb.Error):
            self._database.close()

    def load(self, run: LoadableRun, options: LoadOptions) -> Loaded:
        self._may_take_more = True
        try:
            return self._load(run, options)
        except duckdb.OutOfMemoryException:  # lists of hundreds of columns
            self._may_take_more = False
            with self._translated("take more memory"):
                self._execute("RESET memory_limit")
            return self._load(run, options)
        finally:
            self._may_take_more = False

    def _load(self, run: LoadableRun, options: LoadOptions) -> Loaded:
        prepared = self._preparation(run, options)
        with self._transaction(f"load run {run.run_id}"):
            for step in prepared.steps:
                with self._translated(f"make {step.what or step.table}"):
                    self._execute(step.sql)
            return self._filled(run, options, prepared)

    def _existing(self) -> Existing:
        with self._translated("read the tables"):
            # Names differ by more than case here, or not at all.
            ours = "database_name = current_database() AND lower(schema_name) = lower(?)"
            schemas = self._rows(f"SELECT 1 FROM duckdb_schemas() WHERE {ours}", [self._schema])
            views = self._rows(f"SELECT view_name FROM duckdb_views() WHERE {ours}", [self._schema])
            columns = self._rows(
                "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() "
                f"WHERE {ours} ORDER BY table_name, column_index",
                [self._schema],
            )
        tables: dict[str, dict[str, ExistingType]] = {}
        for table, column, shown, takes_null in columns:
            if table.lower() in ALL_TABLES:
                # Names differ by more than case here, or not at all.
                found = _existing_type(shown)._replace(takes_null=takes_null)
                tables.setdefault(table.lower(), {})[column.lower()] = found
        return Existing(bool(schemas), tables, frozenset(v.lower() for [v] in views) & {*VIEWS})

    def _run_rows(self) -> dict[str, Mapping[str, Any]]:
        with self._translated(f"read table {RUNS}"):
            found = self._execute(f"SELECT * FROM {self._place(RUNS)}")
            names = [str(column[0]).lower() for column in found.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        return {row["run_id"]: row for row in rows}

    def _ask(self, statement: str, values: Sequence[object], table: str) -> list[Any]:
        doing = "read" if statement.startswith("SELECT") else "erase rows of"
        with self._translated(f"{doing} table {table}"):
            return self._rows(statement, values)

    def _matches(self, text: str) -> str:
        return f"regexp_matches({text}, {self.mark})"

    def _remains(self, places: Sequence[str]) -> tuple[str, ...]:
        del places
        return (
            (
                "the file may hold them in free blocks until these are written over; a new file "
                "without them: ATTACH one, COPY FROM DATABASE, and take it in place of this one"
            ),
        )

    def _wait_for_loaders(self) -> None:
        pass  # the file is this process's

    def _is_claimed(self, run: LoadableRun, tables: str) -> bool:
        found = self._runs().get(run.run_id)
        if found is not None and found.manifest_sha256 != run.manifest_sha256:
            raise other_manifest(run, found.manifest_sha256)
        if found is not None:
            return False
        given = [column.name for column in RUN_COLUMNS if column.name != "loaded_at"]
        marks = ", ".join("?" for _ in given)
        with self._translated(f"write table {RUNS}"):
            self._execute(
                f"INSERT INTO {self._place(RUNS)} ({list_of(given)}, loaded_at) "
                f"VALUES ({marks}, now())",
                [{**run.row, LOADED_TABLES: tables}.get(name) for name in given],
            )
        return True

    def _insert(self, table: TableToLoad, texts: frozenset[str]) -> None:
        """Inserts all files of a table at once: DuckDB reads them in less memory than Arrow."""
        if not table.files:
            return
        files = read_parquet_of((table.folder / file.path).absolute() for file in table.files)
        values = ", ".join(_value(column, table, texts) for column in table.columns)
        with self._translated(f"write table {table.name}"):
            self._execute(
                f"INSERT INTO {self._place(table.name)} BY NAME SELECT {values} FROM {files}"
            )

    def _count(self, table: str, run_ids: Sequence[str]) -> int:
        with self._translated(f"read table {table}"):
            [[count]] = self._rows(
                f"SELECT count(*) FROM {self._place(table)} WHERE run_id IN "
                "(SELECT unnest(?::varchar[]))",
                [[*run_ids]],
            )
        return int(count)

    def _delete(self, table: str, run_ids: Sequence[str]) -> None:
        with self._translated(f"delete rows of table {table}"):
            self._execute(
                f"DELETE FROM {self._place(table)} WHERE run_id IN (SELECT unnest(?::varchar[]))",
                [[*run_ids]],
            )

    @contextmanager
    def _transaction(self, what: str) -> Iterator[None]:
        with self._translated(what):
            self._execute("BEGIN")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):  # it may have been undone already
                    self._database.rollback()
                raise

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        return list(self._execute(statement, values).fetchall())

    def _execute(self, statement: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        # In the main thread a signal is heard at a statement's end, or comes as a RuntimeError.
        return interruptible(
            lambda: self._database.execute(statement, [*values]),
            self._database.interrupt,
            ends=True,
        )

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Errors of the database as ``WarehouseError``: its texts quote cells, so none passes."""
        try:
            yield
        except duckdb.Error as error:
            if self._may_take_more and isinstance(error, duckdb.OutOfMemoryException):
                raise
            raise self._error(error, doing) from None

    def _error(self, error: duckdb.Error, doing: str) -> WarehouseError:
        kind = type(error).__name__
        what = f"cannot {doing} in {self._address.shown}: {kind}"
        if _is_full(error):
            return WarehouseError(
                f"{what}, the disk is full; nothing was kept: free space, then start again"
            )
        if isinstance(error, duckdb.TransactionException):
            return WarehouseError(
                f"{what}, another transaction was there first; start again",
                exit_code=ExitCode.LOCKED,
            )
        if isinstance(error, duckdb.DataError | duckdb.IntegrityError | duckdb.ProgrammingError):
            return WarehouseError(
                f"{what}; nothing of the run was kept: compare the table with the columns "
                "of the run; where its rows are there by other means, --replace deletes them first",
                exit_code=ExitCode.CONTENT,
            )
        return WarehouseError(f"{what}; nothing was kept: fix it, then start again")


def _is_full(error: duckdb.Error) -> bool:
    words = ("No space left", "quota exceeded", "File too large")
    return any(each in str(error) for each in words)


def _not_opened(error: duckdb.Error, address: Address) -> WarehouseError:
    said = str(error)
    if "Could not set lock" in said:
        holder = _HOLDER.search(said)
        by = f" (process {holder[1]})" if holder else ""
        return WarehouseError(
            f"{address.shown} is open elsewhere{by}; wait for that to end and start again",
            exit_code=ExitCode.LOCKED,
        )
    if "not a valid" in said or "newer version" in said:
        return WarehouseError(
            f"{address.shown} is no DuckDB database that this version can open; name another file",
            exit_code=ExitCode.CONTENT,
        )
    reason = "the disk is full" if _is_full(error) else type(error).__name__
    return WarehouseError(
        f"{address.shown} cannot be opened: {reason}; check that its folder is there and that you "
        "may write to it"
    )


def _value(column: WarehouseColumn, table: TableToLoad, texts: frozenset[str]) -> str:
    """A column of the files as the table takes it."""
    if not column.source:
        return f"DATE {literal(str(table.run_date))} AS {quoted(column.name)}"
    value = quoted(column.source)
    if column.name in texts and column.dtype == INSTANT:
        value = f"strftime({value} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"
    elif column.name in texts:
        value = f"CAST({value} AS varchar)"
    return f"{value} AS {quoted(column.name)}"


def _existing_type(shown: str) -> ExistingType:
    if match := _DECIMAL.fullmatch(shown):
        digits, scale = int(match[1]), int(match[2])
        return ExistingType(pl.Decimal(38, 0), shown, whole_digits=digits - scale)
    return ExistingType(_KINDS.get(shown), shown)
