"""Delta Lake: an append a table, which an application transaction of the run makes unique.

Each commit raises the run's version in the table's log, under the run's id and under the id with
its manifest: two loaders of one run cannot both commit, and equal versions say that this very
manifest's rows are there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, Self

import polars as pl
import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    Field,
    QueryBuilder,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import PrimitiveType

from batch_screen import __version__
from batch_screen.errors import ExitCode, WarehouseError
from batch_screen.runs.layout import run_date_of
from batch_screen.schema import INSTANT
from batch_screen.storage.interruptible import interruptible
from batch_screen.storage.objects import CREDENTIALS
from batch_screen.warehouse.address import Address
from batch_screen.warehouse.columns import COMMENTS, RUN_DATE, RUNS, ExistingType, WarehouseColumn
from batch_screen.warehouse.lake import (
    DISK_FULL,
    NO_ANSWER,
    ConflictError,
    Fault,
    Lake,
    TableRows,
    fitted,
    known_fault,
)
from batch_screen.warehouse.sql import list_of

_TYPES: dict[pl.DataType, str] = {
    pl.String(): "string",
    pl.Boolean(): "boolean",
    pl.Int32(): "integer",
    pl.Int64(): "long",
    pl.Float64(): "double",
    INSTANT: "timestamp",
    pl.Date(): "date",
}
_KINDS = {name: dtype for dtype, name in _TYPES.items()}
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_APPLICATION = "batch_screen"
_FIRST_COMMIT = f"{0:020}.json"
_ROW_GROUP_ROWS = 50_000  # one is in memory
# What the library holds of a table that it writes; it reads these once, at its first write.
os.environ.setdefault("DELTARS_WRITER_BATCH_CHANNEL_SIZE", "1")  # of BATCH_ROWS; 10 otherwise
os.environ.setdefault("DELTARS_MAX_CONCURRENCY_TASKS", "2")  # uploads of 5 MiB; 10 otherwise
_STORAGE = {"max_retries": "5", "retry_timeout": "60s", "connect_timeout": "10s"}

_FAULTS: tuple[Fault, ...] = (
    (r"No space left|Disk quota|StorageFull|File too large", *DISK_FULL),
    (
        r"token request|/api/token|169\.254\.|NoCredentials|InvalidAccessKey|SignatureDoes|\b401\b",
        "there are no credentials for it, or they were refused",
        CREDENTIALS,
        ExitCode.KEY,
    ),
    (
        r"URL scheme is not allowed",
        "plain http was not permitted",
        "use https, or set AWS_ALLOW_HTTP=true",
        ExitCode.USAGE,
    ),
    (r"403 Forbidden|AccessDenied", "access is denied", CREDENTIALS, ExitCode.CANNOT_WRITE),
    (
        r"Permission ?denied|ReadOnlyFilesystem|Read-only file system",
        "permission is denied",
        "check who may read and write that folder",
        ExitCode.CANNOT_WRITE,
    ),
    (
        r"NotADirectory|Not a directory|NoSuchBucket",
        "there is no such folder or bucket",
        "check the address",
        ExitCode.CANNOT_WRITE,
    ),
    (
        r"error sending request|client error|timed out|TimedOut|dns error|\b50\d\b|SlowDown",
        *NO_ANSWER,
    ),
)


def connect(address: Address, schema: str, lock_seconds: float, *, creates: bool) -> Delta:
    """The folder of tables; a local one is made if it is missing, but not the one it lies in."""
    delta = Delta(address, schema, lock_seconds)
    if creates and delta.folder is not None and not delta.folder.is_dir():
        try:
            delta.folder.mkdir(mode=0o700, exist_ok=True)  # its files will hold numbers
        except OSError as error:
            raise WarehouseError(
                f"{address.shown} is not there and cannot be made: {error.strerror}; make that "
                "folder, or name another one"
            ) from None
    return delta


class Delta(Lake):
    """Tables below a folder or a prefix in a bucket, in a folder named as the schema."""

    type_names = _TYPES

    def __init__(self, address: Address, schema: str, lock_seconds: float) -> None:
        super().__init__(address, schema, lock_seconds)
        is_bucket = "://" in address.text
        self.folder = None if is_bucket else Path(address.text).absolute()
        self._root = address.text.rstrip("/") if is_bucket else str(self.folder)
        self._storage = dict(_STORAGE) if is_bucket else None

    def _place(self, table: str) -> str:
        return f"{self._address.shown.rstrip('/')}/{self._schema}/{table}"

    def _columns(self, table: str) -> Mapping[str, ExistingType] | None:
        found = self._opened(table)
        if found is None:
            return None
        return {field.name: _existing_type(field) for field in found.schema().fields}

    def _create(self, table: str, columns: Sequence[WarehouseColumn]) -> None:
        with self._translated(f"make table {table}"):
            if self.folder is not None:
                (self.folder / self._schema).mkdir(mode=0o700, exist_ok=True)
            try:
                interruptible(
                    lambda: DeltaTable.create(
                        self._path(table),
                        Schema([_field(column) for column in columns]),
                        mode="error",
                        partition_by=None if table == RUNS else [RUN_DATE.name],
                        name=table,
                        description=COMMENTS[table],
                        storage_options=self._storage,
                        # A second attempt would commit as version 1, over another one's columns.
                        commit_properties=CommitProperties(max_commit_retries=0),
                    )
                )
            except DeltaError as error:
                if "already exists" not in str(error):
                    raise
                raise ConflictError from None  # it may lack columns of this run

    def _add(self, table: str, columns: Sequence[WarehouseColumn]) -> None:
        with self._translated(f"add columns to table {table}"):
            fields = [_field(column) for column in columns]
            interruptible(lambda: self._existing(table).alter.add_columns(fields))

    def _run_rows(self) -> dict[str, Mapping[str, Any]]:
        found = self._opened(RUNS)
        if found is None:
            return {}
        with self._translated("read table runs"):
            rows = _queried(found, "SELECT * FROM rows")  # it may lack new columns
        return {row["run_id"]: row for row in rows.to_pylist()}

    def _scan(self, table: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        with self._translated(f"read table {table}"):
            yield from _frames(self._existing(table), columns)

    def _rewrite(
        self, table: str, run_id: str, change: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> None:
        with self._translated(f"erase rows of table {table}"):
            found = self._existing(table)
            name, where = f"{_APPLICATION}:{run_id}", _of_runs(table, [run_id])
            names = [field.name for field in found.schema().fields]

            def frames() -> Iterator[pl.DataFrame]:
                return map(change, _frames(found, names, where))

            # A loader that looked at the table before must not commit after this.
            version = (found.transaction_version(name) or 0) + 1
            how = {"mode": "overwrite", "predicate": where}
            rows = TableRows(table, run_id, "", 0, frames)
            self._write(found, rows, how, _properties(None, {name: version}))

    def _remains(self, table: str) -> str:
        with self._translated(f"read table {table}"):
            found = self._existing(table)
            old = interruptible(
                lambda: found.vacuum(0, dry_run=True, enforce_retention_duration=False)
            )
        if not old:
            return ""
        return (
            f"{len(old)} old files of {table} may hold what was deleted, and its log their bounds, "
            f"until its owner removes them: t = DeltaTable({self._path(table)!r}); "
            "t.vacuum(0, dry_run=False, enforce_retention_duration=False); t.create_checkpoint(); "
            "t.cleanup_metadata()"
        )

    def _put(self, rows: TableRows) -> bool:
        found = self._existing(rows.table)
        run = f"{_APPLICATION}:{rows.run_id}"
        manifest = f"{run}:{rows.manifest_sha256}"
        with self._translated(f"write table {rows.table}"):
            there = _counted(found, rows.table, [rows.run_id])
            version = found.transaction_version(run) or 0
            is_ours = version > 0 and found.transaction_version(manifest) == version
            is_ours &= there == rows.expected
            if bool(there) != rows.more if rows.table == RUNS else is_ours:
                return False
            # What a load of another manifest, or another tool, has left of the run is replaced.
            how = {"mode": "append"}
            if there:
                how = {"mode": "overwrite", "predicate": _of_runs(rows.table, [rows.run_id])}
            properties = _properties(rows, {run: version + 1, manifest: version + 1})
            self._write(found, rows, how, properties)
        return True

    def _write(
        self,
        found: DeltaTable,
        rows: TableRows,
        how: Mapping[str, str],
        properties: CommitProperties,
    ) -> None:
        with _Stream(rows, pa.schema(found.schema().to_arrow())) as stream:
            interruptible(
                lambda: write_deltalake(
                    found,
                    stream.reader,
                    commit_properties=properties,
                    writer_properties=WriterProperties(max_row_group_size=_ROW_GROUP_ROWS),
                    **how,  # type: ignore[call-overload]
                ),
                stream.stop.set,
            )

    def _count(self, table: str, run_ids: Sequence[str]) -> int:
        with self._translated(f"read table {table}"):
            return _counted(self._existing(table), table, run_ids)

    def _delete(self, table: str, run_ids: Sequence[str]) -> None:
        with self._translated(f"delete rows of table {table}"):
            found = self._existing(table)
            names = [f"{_APPLICATION}:{run_id}" for run_id in run_ids]
            # A loader that looked at the table before this delete must not commit after it.
            versions = {name: (found.transaction_version(name) or 0) + 1 for name in names}
            interruptible(
                lambda: found.delete(
                    _of_runs(table, run_ids), commit_properties=_properties(None, versions)
                )
            )

    def _path(self, table: str) -> str:
        return f"{self._root}/{self._schema}/{table}"

    def _opened(self, table: str) -> DeltaTable | None:
        path, storage = self._path(table), self._storage
        with self._translated(f"read table {table}"):
            try:
                return interruptible(lambda: DeltaTable(path, storage_options=storage))
            except TableNotFoundError as error:
                # Folders that may not be read are said to be missing, too.
                if not re.search(r"No files in log segment|kind: NotFound", str(error)):
                    raise
            if self.folder is None or not (
                log := {p.name for p in Path(path).glob("_delta_log/*")}
            ):
                return None
            if _FIRST_COMMIT not in log:  # it must not be begun anew
                raise self._damaged(f"read table {table}")
            return interruptible(lambda: DeltaTable(path, storage_options=storage))  # just made

    def _existing(self, table: str) -> DeltaTable:
        found = self._opened(table)
        if found is None:
            raise WarehouseError(f"{self._place(table)} was removed meanwhile; start again")
        return found

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Errors of the library as ``WarehouseError``: its texts quote cells, so none passes."""
        try:
            yield
        except CommitFailedError:
            raise ConflictError from None
        except BaseException as error:
            # Rust's panics derive from BaseException, and its arrow has modules of its own.
            is_foreign = type(error).__module__.startswith(
                ("_internal", "deltalake", "pyo3", "arro3")
            )
            if not (is_foreign or isinstance(error, (OSError, ValueError, pa.ArrowException))):
                raise
            raise self._error(error, doing) from None

    def _error(self, error: BaseException, doing: str) -> WarehouseError:
        what = f"cannot {doing} in {self._address.shown}"
        faults = _FAULTS if isinstance(error, (OSError, TableNotFoundError)) else ()
        if known := known_fault(error, what, faults):
            return known
        if doing.startswith("read") and isinstance(error, DeltaError):
            return self._damaged(doing)
        if isinstance(error, OSError):
            return WarehouseError(f"{what}: OSError; fix it, then start again")
        return WarehouseError(
            f"{what}: {type(error).__name__}; table {self._schema} has rules or columns that the "
            "run does not meet, or files of it are missing; fix it, or load into another --schema; "
            "the run does not count until it is in runs",
            exit_code=ExitCode.CONTENT,
        )

    def _damaged(self, doing: str) -> WarehouseError:
        return WarehouseError(
            f"cannot {doing} in {self._address.shown}: its log (_delta_log) is damaged, or needs "
            "a newer version of deltalake; restore it from a copy, or load into another --schema",
            exit_code=ExitCode.CONTENT,
        )


class _Stream:
    """The rows as record batches, read in another thread: it keeps the error that ends them."""

    def __init__(self, rows: TableRows, schema: pa.Schema) -> None:
        self._rows, self._schema = rows, schema
        self._failed: BaseException | None = None
        self.stop = Event()
        self.reader = pa.RecordBatchReader.from_batches(schema, self._batches())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.stop.set()
        if isinstance(error, Exception) and self._failed is not None:  # no signal, which ended it
            raise self._failed from None

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for frame in self._rows.frames():
                if self.stop.is_set():
                    raise InterruptedError
                yield from fitted(frame, self._schema)
        except BaseException as error:
            self._failed = error
            raise


def _frames(
    table: DeltaTable, columns: Sequence[str], where: str = "true"
) -> Iterator[pl.DataFrame]:
    query = f"SELECT {list_of(columns)} FROM rows WHERE {where}"
    read = interruptible(lambda: QueryBuilder().register("rows", table).execute(query))
    for batch in pa.RecordBatchReader.from_stream(read):
        yield pl.DataFrame(pa.table([*batch.columns], schema=batch.schema))


def _queried(table: DeltaTable, query: str) -> pa.Table:
    def ask() -> pa.Table:
        return pa.table(QueryBuilder().register("rows", table).execute(query))

    return interruptible(ask)


def _counted(found: DeltaTable, table: str, run_ids: Sequence[str]) -> int:
    """Rows of the runs: by the log, where each file has one run's, for reading takes 1 GiB."""
    files = pl.DataFrame(pa.table(found.get_add_actions(flatten=True)))
    is_known = {"num_records", "min.run_id", "max.run_id", "null_count.run_id"} <= {*files.columns}
    if is_known and "deletionVectors" not in (found.protocol().reader_features or ()):
        least, most = pl.col("min.run_id"), pl.col("max.run_id")
        # A file without these statistics stays, and is read.
        others = (least > max(run_ids, default="")) | (most < min(run_ids, default=""))
        files = files.filter(others.fill_null(value=False).not_())
        is_one = (least == most) & (pl.col("null_count.run_id") == 0)
        if files.select(is_one.fill_null(value=False).all()).item():
            return int(files.filter(least.is_in(run_ids))["num_records"].sum())
    count = _queried(found, f"SELECT count(*) AS n FROM rows WHERE {_of_runs(table, run_ids)}")
    return int(count["n"][0].as_py())


def _properties(rows: TableRows | None, versions: Mapping[str, int]) -> CommitProperties:
    noted = {"batch_screen.version": __version__}
    if rows is not None:
        noted |= {
            "batch_screen.run_id": rows.run_id,
            "batch_screen.manifest_sha256": rows.manifest_sha256,
        }
    transactions = [Transaction(name, version) for name, version in versions.items()]
    return CommitProperties(custom_metadata=noted, app_transactions=transactions)


def _of_runs(table: str, run_ids: Sequence[str]) -> str:
    """The rows of the runs, as a condition that leaves files of other days unread."""
    named = ", ".join(_literal(run_id) for run_id in run_ids)
    if table == RUNS:
        return f"run_id IN ({named})"
    days = {run_date_of(run_id) for run_id in run_ids}
    dates = ", ".join(f"DATE {_literal(day)}" for day in sorted(days))
    return f"{RUN_DATE.name} IN ({dates}) AND run_id IN ({named})"


def _literal(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def _field(column: WarehouseColumn) -> Field:
    metadata: dict[str, Any] = {"comment": column.comment} if column.comment else {}
    return Field(column.name, PrimitiveType(_TYPES[column.dtype]), metadata=metadata)


def _existing_type(field: Field) -> ExistingType:
    shown = field.type.type if isinstance(field.type, PrimitiveType) else "nested"
    if match := _DECIMAL.fullmatch(shown):
        digits, scale = int(match[1]), int(match[2])
        return ExistingType(pl.Decimal(38, 0), shown, whole_digits=digits - scale)
    return ExistingType(_KINDS.get(shown), shown)
