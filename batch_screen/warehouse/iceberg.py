"""Iceberg: an overwrite a table of all that it has of the run, never an append.

Catalogs and their credentials are pyiceberg's own configuration. An overwrite fails where another
commit has touched rows of the run meanwhile; then it is looked at again.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import polars as pl
import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    ForbiddenError,
    NoSuchNamespaceError,
    NoSuchTableError,
    NotInstalledError,
    OAuthError,
    RESTError,
    TableAlreadyExistsError,
    UnauthorizedError,
    ValidationException,
)
from pyiceberg.expressions import BooleanExpression, In, Reference
from pyiceberg.expressions.literals import literal
from pyiceberg.schema import Schema
from pyiceberg.table import DataScan, Table
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy.exc import IntegrityError, OperationalError

from batch_screen.errors import ConfigurationError, ExitCode, WarehouseError
from batch_screen.masking import masked_logger
from batch_screen.schema import INSTANT
from batch_screen.warehouse.address import Address
from batch_screen.warehouse.columns import COMMENTS, RUNS, ExistingType, WarehouseColumn
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
from batch_screen.warehouse.target import SCHEMA

_TYPES: dict[pl.DataType, IcebergType] = {
    pl.String(): StringType(),
    pl.Boolean(): BooleanType(),
    pl.Int32(): IntegerType(),
    pl.Int64(): LongType(),
    pl.Float64(): DoubleType(),
    INSTANT: TimestamptzType(),
    pl.Date(): DateType(),
}
_KINDS = {kind: dtype for dtype, kind in _TYPES.items()}
_RUN_ID, _MANIFEST = "batch_screen.run_id", "batch_screen.manifest_sha256"
_FILE_BYTES = 12 << 20
"""Of rows in memory, for one data file: of a reader the library holds all batches at once."""

_PROPERTIES = {"write.metadata.metrics.column.run_id": "full"}
"""With bounds that are cut, a delete would read and write files that it could drop."""

_PAUSE_SECONDS = 0.5
_FOREIGN = ("pyiceberg", "pyarrow", "sqlalchemy", "requests", "pydantic", "botocore", "fsspec")
_FAULTS: tuple[Fault, ...] = (
    (
        "database is locked",
        "the catalog is locked",
        "start the same command again later",
        ExitCode.LOCKED,
    ),
    ("No space left|Disk quota|File too large|disk is full", *DISK_FULL),
    (
        "Permission denied|ACCESS_DENIED|Read-only file system|readonly database",
        "permission is denied",
        "check who may read and write the catalog and its warehouse folder",
        ExitCode.CANNOT_WRITE,
    ),
    (
        "unable to open database file|Not a directory|NO_SUCH_BUCKET|Cannot create",
        "there is no such folder or bucket",
        "check uri and warehouse in pyiceberg's configuration",
        ExitCode.CANNOT_WRITE,
    ),
    (
        "NETWORK_CONNECTION|onnection refused|timed out|Max retries|could not connect",
        *NO_ANSWER,
    ),
)


def connect(address: Address, schema: str, lock_seconds: float, *, creates: bool) -> Iceberg:
    """The catalog, open. Raises ``ConfigurationError`` where pyiceberg knows none of that name."""
    del creates  # the namespace is made with its first table
    name, _, namespace = address.text.partition(".")
    if namespace and schema not in (SCHEMA, namespace):
        raise ConfigurationError(
            f"--to {address.shown} names a namespace, and --schema another one; leave one out"
        )
    masked_logger("pyiceberg").setLevel("ERROR")  # conflicts are dealt with here
    # Once for the process, as the filters are all threads': a delete that finds nothing, above all.
    warnings.filterwarnings("ignore", module=rf"pyiceberg\.|{__name__}")
    with _translated("open the catalog", address.shown):
        try:
            catalog = _loaded(name)
        except (ValueError, KeyError, NotInstalledError):
            raise ConfigurationError(
                f"--to {address.shown}: pyiceberg's configuration has no catalog {name} that can "
                "be used; name its type and uri in .pyiceberg.yaml, or in "
                f"PYICEBERG_CATALOG__{name.upper()}__URI, and install what pyiceberg needs for it"
            ) from None
    return Iceberg(catalog, address, namespace or schema, lock_seconds)


def _loaded(name: str) -> Catalog:
    with suppress(OperationalError):  # somebody else makes the tables of a new catalog in SQL
        return load_catalog(name)
    time.sleep(_PAUSE_SECONDS)
    return load_catalog(name)


class Iceberg(Lake):
    """A namespace of a catalog."""

    type_names: Mapping[pl.DataType, str] = {dtype: str(kind) for dtype, kind in _TYPES.items()}

    def __init__(
        self, catalog: Catalog, address: Address, namespace: str, lock_seconds: float
    ) -> None:
        super().__init__(address, namespace, lock_seconds)
        self._catalog = catalog

    def close(self) -> None:
        with suppress(Exception):
            self._catalog.close()

    def _place(self, table: str) -> str:
        catalog = self._address.shown.partition(".")[0]
        return f"{catalog}.{self._schema}.{table}"

    def _columns(self, table: str) -> Mapping[str, ExistingType] | None:
        found = self._opened(table)
        if found is None:
            return None
        return {field.name: _existing_type(field.field_type) for field in found.schema().fields}

    def _create(self, table: str, columns: Sequence[WarehouseColumn]) -> None:
        with self._translated(f"make table {table}"):
            self._catalog.create_namespace_if_not_exists(self._schema)
            self._catalog.create_table(
                f"{self._schema}.{table}",
                _schema(columns),
                properties={"comment": COMMENTS[table], **_PROPERTIES},
            )

    def _add(self, table: str, columns: Sequence[WarehouseColumn]) -> None:
        with (
            self._translated(f"add columns to table {table}"),
            self._existing(table).update_schema() as update,
        ):
            update.union_by_name(_schema(columns))  # another loader may have added some

    def _run_rows(self) -> dict[str, Mapping[str, Any]]:
        found = self._opened(RUNS)
        if found is None:
            return {}
        with self._translated("read table runs"):
            rows = found.scan().to_arrow()
        return {row["run_id"]: row for row in rows.to_pylist()}

    def _scan(self, table: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        with self._translated(f"read table {table}"):
            yield from _frames(self._existing(table).scan(selected_fields=tuple(columns)))

    def _rewrite(
        self, table: str, run_id: str, change: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> None:
        with self._translated(f"erase rows of table {table}"):
            found, where = self._existing(table), _of_runs([run_id])

            def frames() -> Iterator[pl.DataFrame]:
                return map(change, _frames(found.scan(where)))

            rows = TableRows(table, run_id, "", 0, frames)
            with found.transaction() as transaction:
                parts = _parts(rows, found.schema().as_arrow())
                transaction.overwrite(next(parts), where)
                for part in parts:
                    transaction.append(part)

    def _remains(self, table: str) -> str:
        with self._translated(f"read table {table}"):
            old = len(self._existing(table).snapshots()) - 1
        if old < 1:
            return ""
        return (
            f"{old} old snapshots of {table} may hold what was deleted, until its owner expires "
            f"them: load_catalog({self._address.shown.partition('.')[0]!r}).load_table("
            f"'{self._schema}.{table}').maintenance.expire_snapshots().older_than(datetime.now())"
            ".commit(), then removes files that no snapshot names (remove_orphan_files in Spark)"
        )

    def _put(self, rows: TableRows) -> bool:
        found = self._existing(rows.table)
        with self._translated(f"write table {rows.table}"):
            there = _counted(found, [rows.run_id])
            is_ours = there == rows.expected and _manifest_of(found, rows) == rows.manifest_sha256
            if bool(there) != rows.more if rows.table == RUNS else is_ours:
                return False
            noted = {_RUN_ID: rows.run_id, _MANIFEST: rows.manifest_sha256}
            # All or nothing: the snapshots of a transaction become visible at once.
            with found.transaction() as transaction:
                parts = _parts(rows, found.schema().as_arrow())
                transaction.overwrite(next(parts), _of_runs([rows.run_id]), noted)
                for part in parts:
                    transaction.append(part, noted)
        return True

    def _count(self, table: str, run_ids: Sequence[str]) -> int:
        with self._translated(f"read table {table}"):
            return _counted(self._existing(table), run_ids)

    def _delete(self, table: str, run_ids: Sequence[str]) -> None:
        with self._translated(f"delete rows of table {table}"):
            self._existing(table).delete(_of_runs(run_ids))

    def _opened(self, table: str) -> Table | None:
        with self._translated(f"read table {table}"):
            try:
                return self._catalog.load_table(f"{self._schema}.{table}")
            except (NoSuchTableError, NoSuchNamespaceError):
                return None

    def _existing(self, table: str) -> Table:
        found = self._opened(table)
        if found is None:
            raise WarehouseError(f"{self._place(table)} was removed meanwhile; start again")
        return found

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return _translated(doing, self._address.shown)


@contextmanager
def _translated(doing: str, where: str) -> Iterator[None]:
    """Errors of the libraries as ``WarehouseError``: their texts may quote cells and secrets."""
    try:
        yield
    except (CommitFailedException, ValidationException, TableAlreadyExistsError, IntegrityError):
        raise ConflictError from None
    except Exception as error:
        is_foreign = type(error).__module__.startswith(_FOREIGN)
        if not (is_foreign or isinstance(error, (OSError, ValueError, KeyError))):
            raise
        raise _error(error, f"cannot {doing} in {where}") from None


def _error(error: Exception, what: str) -> WarehouseError:
    if known := known_fault(error, what, _FAULTS):
        return known
    kind = type(error).__name__
    if isinstance(error, (UnauthorizedError, OAuthError)):
        return WarehouseError(
            f"{what}: the login was refused ({kind}); check the credentials in pyiceberg's "
            "configuration",
            exit_code=ExitCode.KEY,
        )
    if isinstance(error, ForbiddenError):
        return WarehouseError(f"{what}: access is denied; ask an owner of the catalog to grant it")
    if isinstance(error, RESTError) or type(error).__module__.startswith("requests"):
        return WarehouseError(
            f"{what}: the catalog's server fails ({kind}); start the same command again later",
            exit_code=ExitCode.UNREACHABLE,
        )
    return WarehouseError(
        f"{what}: {kind}; a file of the table or its catalog is missing or damaged, or the table "
        "has rules that the run does not meet; compare it with the columns of the run, restore it, "
        "or load into another namespace",
        exit_code=ExitCode.CONTENT,
    )


def _schema(columns: Sequence[WarehouseColumn]) -> Schema:
    return Schema(
        *(
            NestedField(number, column.name, _TYPES[column.dtype], doc=column.comment or None)
            for number, column in enumerate(columns, start=1)
        )
    )


def _frames(scan: DataScan) -> Iterator[pl.DataFrame]:
    for batch in scan.to_arrow_batch_reader():
        yield pl.DataFrame(pa.Table.from_batches([batch]))


def _parts(rows: TableRows, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows, at least one table, each as large as a data file may be in memory."""
    batches, size = list[pa.RecordBatch](), 0
    is_first = True
    for frame in rows.frames():
        for batch in fitted(frame, schema):
            batches.append(batch)
            size += batch.nbytes
        if size >= _FILE_BYTES:
            yield pa.Table.from_batches(batches, schema)
            batches, size, is_first = [], 0, False
    if batches or is_first:
        yield pa.Table.from_batches(batches, schema)


def _manifest_of(table: Table, rows: TableRows) -> str | None:
    """The manifest whose rows of the run were written last."""
    for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
        noted = snapshot.summary.additional_properties if snapshot.summary else {}
        if noted.get(_RUN_ID) == rows.run_id:
            return noted.get(_MANIFEST)
    return None


def _of_runs(run_ids: Sequence[str]) -> BooleanExpression:
    return In(term=Reference("run_id"), values=set(map(literal, run_ids)))


def _counted(table: Table, run_ids: Sequence[str]) -> int:
    return table.scan(_of_runs(run_ids), selected_fields=("run_id",)).count()


def _existing_type(found: IcebergType) -> ExistingType:
    if isinstance(found, DecimalType):
        whole = found.precision - found.scale
        return ExistingType(pl.Decimal(38, 0), str(found), whole_digits=whole)
    return ExistingType(_KINDS.get(found), str(found))
