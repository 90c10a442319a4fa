"""PostgreSQL: a transaction a run, which the row in ``runs`` claims, and text COPY by name.

Text, so that the server converts each value to its column's type or says that it cannot: binary
COPY (ADBC) into a column of another type writes other values without an error.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import polars as pl
import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict

from batch_screen.errors import ConfigurationError
from batch_screen.masking import masked_logger, safe_line
from batch_screen.schema import INSTANT
from batch_screen.warehouse.address import Address
from batch_screen.warehouse.columns import (
    ALL_TABLES,
    LOADED_TABLES,
    RUN_COLUMNS,
    RUNS,
    ExistingType,
)
from batch_screen.warehouse.database import SqlDatabase
from batch_screen.warehouse.runs import Batch, LoadableRun, TableToLoad
from batch_screen.warehouse.sql import (
    DDL_LOCK,
    POSTGRES,
    VIEWS,
    Existing,
    Preparation,
    Step,
    list_of,
    quoted,
)
from batch_screen.warehouse.sqlstate import Doing, failure, no_login
from batch_screen.warehouse.target import Loaded, LoadOptions, other_manifest

_CONNECT_SECONDS = 30

_STRUCTURE = """
SELECT c.relname, c.relkind::text, a.attname, t.typname, a.atttypmod,
    format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relname = ANY(%s)
ORDER BY c.relname, a.attnum
"""
_HOLDERS = """
SELECT DISTINCT s.pid, coalesce(s.usename, ''), coalesce(s.application_name, '')
FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS s ON s.pid = l.pid
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.granted AND l.pid <> pg_backend_pid() AND l.mode <> 'AccessShareLock'
    AND (n.nspname = %s OR l.locktype = 'advisory') LIMIT 3
"""
_KINDS: dict[str, pl.DataType] = {
    "text": pl.String(),
    "varchar": pl.String(),
    "bool": pl.Boolean(),
    "int4": pl.Int32(),
    "int8": pl.Int64(),
    "float8": pl.Float64(),
    "timestamptz": INSTANT,
    "date": pl.Date(),
    "numeric": pl.Decimal(38, 0),
}


def connect(address: Address, schema: str, lock_seconds: float, *, creates: bool) -> Postgres:
    """The database, open. Raises ``WarehouseError``: 69 where it is not reached, 77 the login."""
    del creates  # a database is never made
    masked_logger("psycopg")
    try:
        given = conninfo_to_dict(address.text)
    except psycopg.Error:
        raise ConfigurationError(
            f"--to {address.shown!r} is no address of PostgreSQL: write "
            "postgresql://user@host/database?sslmode=require"
        ) from None
    more: dict[str, Any] = {"fallback_application_name": "batch-screen", "client_encoding": "UTF8"}
    if "connect_timeout" not in given and "PGCONNECT_TIMEOUT" not in os.environ:
        more["connect_timeout"] = _CONNECT_SECONDS
    try:
        # No prepared statements: a pooler may hand each transaction to another server process.
        database = psycopg.connect(address.text, autocommit=True, prepare_threshold=None, **more)
    except psycopg.Error as error:
        raise no_login(error, address) from None
    database.isolation_level = IsolationLevel.READ_COMMITTED
    return Postgres(database, address, schema, lock_seconds)


class Postgres(SqlDatabase):
    """A schema of a PostgreSQL database."""

    types = POSTGRES
    mark = "%s"

    def __init__(
        self,
        database: psycopg.Connection[tuple[Any, ...]],
        address: Address,
        schema: str,
        lock_seconds: float,
    ) -> None:
        super().__init__(address, schema)
        self._database = database
        self._lock_seconds = lock_seconds

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._database.close()

    def load(self, run: LoadableRun, options: LoadOptions) -> Loaded:
        prepared = self._preparation(run, options)
        if prepared.steps:
            prepared = self._prepare(run, options)
        with self._transaction(f"load run {run.run_id}"):
            return self._filled(run, options, prepared)

    def _prepare(self, run: LoadableRun, options: LoadOptions) -> Preparation:
        """Makes what is missing, in a transaction of its own: readers wait for no whole load."""
        with self._transaction("make tables"):
            with self._translated(Doing("wait for another loader that makes tables")):
                self._execute(f"SELECT pg_advisory_xact_lock({DDL_LOCK})")
            prepared = self._preparation(run, options)  # the other may have made them
            for step in prepared.steps:
                what = f"make {step.what}" if step.what else f"describe {step.table}"
                with self._translated(Doing(what, self._right_to(step))):
                    self._execute(step.sql)
        return prepared

    def _existing(self) -> Existing:
        with self._translated(self._reading()):
            schemas = self._execute(
                "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", [self._schema]
            ).fetchall()
            rows = self._execute(_STRUCTURE, [self._schema, [*ALL_TABLES, *VIEWS]]).fetchall()
        tables: dict[str, dict[str, ExistingType]] = {}
        views = set()
        for name, kind, column, type_name, modifier, shown, is_required in rows:
            if kind in "vm":
                views.add(name)
            else:
                columns = tables.setdefault(name, {})
                if column is not None:
                    found = _existing_type(type_name, modifier, shown)
                    columns[column] = found._replace(takes_null=not is_required)
        return Existing(bool(schemas), tables, frozenset(views))

    def _run_rows(self) -> dict[str, Mapping[str, Any]]:
        with self._translated(self._reading(RUNS)):
            # As JSON: it may lack new columns, and times of some sessions cannot be read.
            rows = self._execute(f"SELECT to_jsonb(r) FROM {self._place(RUNS)} AS r").fetchall()
        return {row["run_id"]: row for [row] in rows}

    def _ask(self, statement: str, values: Sequence[object], table: str) -> list[Any]:
        right = f"GRANT SELECT, UPDATE, DELETE ON {self._place(table)} TO {self._user}"
        doing = Doing(f"erase rows of table {table}", right)
        if statement.startswith("SELECT"):
            doing = self._reading(table)
        with self._translated(doing):
            found = self._execute(statement, values)
            return found.fetchall() if found.description else []

    def _matches(self, text: str) -> str:
        return f"{text} ~ {self.mark}"

    def _remains(self, places: Sequence[str]) -> tuple[str, ...]:
        return (
            (
                f"pages hold what was deleted until its owner says: VACUUM {', '.join(places)}; "
                "backups and archived WAL hold it as long as their owner keeps them"
            ),
        )

    def _is_claimed(self, run: LoadableRun, tables: str) -> bool:
        """Whether the run is ours to load: its row is new. Waits for another that loads it."""
        names = [column.name for column in RUN_COLUMNS]
        row = {**run.row, LOADED_TABLES: tables}
        values = [row.get(name) for name in names]
        marks = ", ".join("now()" if name == "loaded_at" else "%s" for name in names)
        given = [v for name, v in zip(names, values, strict=True) if name != "loaded_at"]
        with self._translated(self._writing(RUNS)):
            claim = self._execute(
                f"INSERT INTO {self._place(RUNS)} ({list_of(names)}) VALUES ({marks}) "
                "ON CONFLICT (run_id) DO NOTHING RETURNING 1",
                given,
            )
            if claim.fetchone():
                return True
            found = self._execute(
                f"SELECT manifest_sha256 FROM {self._place(RUNS)} WHERE run_id = %s", [run.run_id]
            ).fetchone()
        if found is None or found[0] != run.manifest_sha256:
            raise other_manifest(run, str(found[0]) if found else "(just deleted)")
        return False

    def _wait_for_loaders(self) -> None:
        """Locks the table runs, which is still read, until the end of the transaction.

        Each statement sees what was committed before it: rows of a load that ends between two of
        them would be deleted, and its row in runs would stay.
        """
        right = f"GRANT SELECT, DELETE ON {self._place(RUNS)} TO {self._user}"
        with self._translated(Doing("wait for loaders of table runs", right)):
            self._execute(f"LOCK TABLE {self._place(RUNS)} IN SHARE ROW EXCLUSIVE MODE")

    def _insert(self, table: TableToLoad, texts: frozenset[str]) -> None:
        for batch in table.batches(texts):
            self._copy(table, batch)

    def _copy(self, table: TableToLoad, batch: Batch) -> None:
        text = io.BytesIO()
        # Texts are quoted, and nulls are not: an empty text and \. stay what they are.
        batch.frame.write_csv(
            text,
            include_header=False,
            quote_style="non_numeric",
            datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ",
            date_format="%Y-%m-%d",
        )
        doing = self._writing(table.name)._replace(table=table, batch=batch)
        statement = (
            f"COPY {self._place(table.name)} ({list_of(batch.frame.columns)}) "
            "FROM STDIN (FORMAT csv)"
        )
        with (
            self._translated(doing),
            self._database.cursor() as cursor,
            cursor.copy(statement.encode()) as copy,
        ):
            copy.write(text.getvalue().replace(b"\0", b""))  # which PostgreSQL cannot hold

    def _count(self, table: str, run_ids: Sequence[str]) -> int:
        with self._translated(self._reading(table)):
            [[count]] = self._execute(
                f"SELECT count(*) FROM {self._place(table)} WHERE run_id = ANY(%s)", [[*run_ids]]
            ).fetchall()
        return int(count)

    def _delete(self, table: str, run_ids: Sequence[str]) -> None:
        right = f"GRANT SELECT, DELETE ON {self._place(table)} TO {self._user}"
        with self._translated(Doing(f"delete rows of table {table}", right)):
            self._execute(f"DELETE FROM {self._place(table)} WHERE run_id = ANY(%s)", [[*run_ids]])

    @contextmanager
    def _transaction(self, what: str) -> Iterator[None]:
        with self._translated(Doing(what)), self._database.transaction():
            # Local, for a pooler may give the connection to somebody else afterwards.
            self._execute(
                f"SET LOCAL lock_timeout = '{int(self._lock_seconds * 1000)}ms'; "
                "SET LOCAL standard_conforming_strings = on; SET LOCAL TIME ZONE 'UTC'"
            )
            yield

    def _execute(
        self, statement: str, values: Sequence[object] | None = None
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._database.execute(statement.encode(), values)

    @property
    def _user(self) -> str:
        return quoted(self._database.info.user)

    def _reading(self, table: str = "") -> Doing:
        schema = quoted(self._schema)
        right = (
            f"GRANT USAGE ON SCHEMA {schema} TO {self._user}; "
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {self._user}"
        )
        return Doing(f"read {f'table {table}' if table else 'the tables'}", right)

    def _writing(self, table: str) -> Doing:
        right = (
            f"GRANT USAGE ON SCHEMA {quoted(self._schema)} TO {self._user}; "
            f"GRANT SELECT, INSERT ON {self._place(table)} TO {self._user}"
        )
        return Doing(f"write table {table}", right)

    def _right_to(self, step: Step) -> str:
        if step.sql.startswith("CREATE SCHEMA"):
            return f"GRANT CREATE ON DATABASE {quoted(self._database.info.dbname)} TO {self._user}"
        # Columns, comments and views that are there are changed by their owner alone.
        owns = f"ALTER TABLE {self._place(step.table)} OWNER TO {self._user}"
        if not step.sql.startswith("CREATE"):
            return owns
        makes = f"GRANT USAGE, CREATE ON SCHEMA {quoted(self._schema)} TO {self._user}"
        return makes if step.what else f"{owns}; {makes}"

    @contextmanager
    def _translated(self, doing: Doing) -> Iterator[None]:
        """Errors of the database as ``WarehouseError``: its texts quote cells, so none passes."""
        try:
            yield
        except psycopg.Error as error:
            is_lost = self._database.broken or self._database.closed
            failed = failure(error, doing, self._address, is_lost=is_lost, holders=self._holders)
            raise failed from None

    def _holders(self) -> str:
        """Who holds the locks that were waited for, as far as the server says."""
        try:
            with psycopg.connect(self._address.text, connect_timeout=5, autocommit=True) as other:
                found = other.execute(_HOLDERS.encode(), [self._schema]).fetchall()
        except psycopg.Error:
            return ""
        named = [
            safe_line(f"process {pid} of {user}{f' ({name})' if name else ''}")
            for pid, user, name in found
            if pid != self._database.info.backend_pid
        ]
        return f", held by {', '.join(named)}" if named else ""


def _existing_type(name: str, modifier: int, shown: str) -> ExistingType:
    """A type of PostgreSQL in words that all targets share (pg_attribute.atttypmod)."""
    kind = _KINDS.get(name)
    if name == "timestamptz" and modifier not in (-1, 6):
        kind = None  # it rounds
    if name == "varchar" and modifier >= 4:
        return ExistingType(kind, shown, most_characters=modifier - 4)
    if name == "numeric" and modifier >= 4:
        digits, scale = (modifier - 4) >> 16, (modifier - 4) & 0x7FF
        return ExistingType(kind, shown, whole_digits=digits - scale)
    return ExistingType(kind, shown)
