"""Scripts in SQL that load one run, for people and schedulers to start with a client of their own.

A run's files go into staging tables with exactly its columns, in the order of the files; from
there its rows take the place of what the tables have of it, in one transaction with its row in
``runs``. Names, types and comments are those of ``load``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from markupsafe import Markup

import batch_screen
from batch_screen.masking import safe_line
from batch_screen.runs.layout import DATA_FOLDERS, LOOKUPS, RESULTS
from batch_screen.schema import NUMBER_ID, READ_VERSIONS, dtypes
from batch_screen.tables.manifest import table_columns as contract_columns
from batch_screen.warehouse.columns import (
    COMMENTS,
    KEYS,
    RUN_COLUMNS,
    RUN_DATE,
    RUNS,
    WarehouseColumn,
    table_columns,
)
from batch_screen.warehouse.dialects import DATABRICKS, Dialect
from batch_screen.warehouse.runs import LoadableRun
from batch_screen.warehouse.sql import (
    DDL_LOCK,
    SIGNAL_COLUMNS,
    VIEW_COMMENTS,
    declarations,
    read_parquet_of,
)

if TYPE_CHECKING:
    from jinja2 import Environment

_AT_ONCE = 1_000
"""Files that Snowflake and Databricks take by name in one statement."""


class Declaration(NamedTuple):
    """A table to be: its columns, its key, and the columns that one made earlier may lack."""

    name: str
    columns: tuple[WarehouseColumn, ...]
    key: tuple[str, ...]
    later: tuple[WarehouseColumn, ...]

    @property
    def comment(self) -> str:
        return COMMENTS[self.name]

    def is_required(self, column: WarehouseColumn) -> bool:
        return column.required or column.name in self.key


class StagedTable(NamedTuple):
    """A table of the run: its columns in the order of the files, and these, named as in OUT."""

    name: str
    columns: tuple[WarehouseColumn, ...]
    files: tuple[str, ...]
    rows: int

    @property
    def folder(self) -> str:
        return self.files[0].rpartition("/")[0]

    @staticmethod
    def within(file: str) -> str:
        """The file's name in the folder of all of them."""
        return file.rpartition("/")[2]

    @property
    def batches(self) -> list[tuple[str, ...]]:
        return [self.files[n : n + _AT_ONCE] for n in range(0, len(self.files), _AT_ONCE)]


class Place(NamedTuple):
    """Where a script finds files and tables.

    ``stage`` ends without a slash. ``access`` is the name of what opens the stage to the warehouse.
    """

    dialect: Dialect
    schema: str
    stage: str
    access: str = ""


def declared(runs: Sequence[LoadableRun]) -> tuple[Declaration, ...]:
    """The tables that take all of these runs: contract columns, then all their kept ones.

    Raises ``InputError`` where two kept columns would have one name.
    """
    kept: dict[str, pl.DataType] = {}
    for run in runs:
        for column in _of(run, RESULTS).columns:
            if column.is_kept:
                kept.setdefault(column.source, column.dtype)
    # Where ids stand for numbers, they and not the numbers are required.
    by_id = any(c.name == NUMBER_ID.name and c.required for c in _of(runs[0], LOOKUPS).columns)
    contract = contract_columns(kept, id_key="any" if by_id else None)
    oldest = contract_columns({}, version=min(READ_VERSIONS))
    tables = [Declaration(RUNS, RUN_COLUMNS, KEYS[RUNS], ())]
    for name in DATA_FOLDERS:
        columns = table_columns(contract[name], dict(dtypes(contract[name])))
        known = {RUN_DATE.name, *(column.name for column in oldest[name])}
        later = tuple(column for column in columns if column.source not in known | {""})
        key = tuple(NUMBER_ID.name if by_id and c == "e164" else c for c in KEYS[name])
        tables.append(Declaration(name, columns, key, later))
    return tuple(tables)


def script(place: Place, tables: Sequence[Declaration], run: LoadableRun | None = None) -> str:
    """The script: makes the tables, if there are any, then loads the run, if there is one."""
    template = _templates().get_template(f"{place.dialect.name}.sql.jinja")
    return template.render(
        {
            "d": place.dialect,
            "version": _plain(batch_screen.__version__),
            "access": place.access,
            "schema": place.dialect.path(place.schema),
            "schema_name": place.schema,
            "path": lambda name: place.dialect.path(place.schema, name),
            "col": place.dialect.identifier,
            "names": lambda columns: _names(place.dialect, columns),
            "new": lambda table: _new(place, table, run),
            "ddl_lock": DDL_LOCK,
            "at": lambda file: place.dialect.literal(f"{place.stage}/{file}"),
            "plain": _plain,
            "tables": tables,
            "made": _made(place, tables),
            "run": run,
            "run_columns": RUN_COLUMNS,
            "signal_columns": SIGNAL_COLUMNS,
            "view_comments": VIEW_COMMENTS,
            "staged": [_staged(run, name) for name in DATA_FOLDERS] if run else [],
            "read_parquet": lambda table: Markup(_read(place, table)),  # noqa: S704 (quoted there)
            "duckdb_line": lambda table: _duckdb_line(place, table),
        }
    )


def _of(run: LoadableRun, name: str) -> Any:
    [table] = (table for table in run.tables if table.name == name)
    return table


def _staged(run: LoadableRun, name: str) -> StagedTable:
    table = _of(run, name)
    columns = tuple(column for column in table.columns if column.source)
    return StagedTable(name, columns, tuple(file.path for file in table.files), table.rows)


def _made(place: Place, tables: Sequence[Declaration]) -> list[Markup]:
    """What load would make, statement by statement, in the databases that it loads."""
    if place.dialect.types is None or not tables:
        return []
    made = declarations(
        place.dialect.types,
        place.schema,
        {table.name: table.columns for table in tables},
        {table.name: table.later for table in tables},
    )
    return [Markup(each) for each in made]  # noqa: S704 (quoted there)


def _new(place: Place, table: StagedTable, run: LoadableRun | None) -> Markup:
    """The name of a table's staging table."""
    name, dialect = f"new_{table.name}", place.dialect
    if dialect.name == DATABRICKS and run:  # which has no temporary ones
        name = f"{name}_{run.run_id.replace('-', '_')}"
    return dialect.identifier(name) if dialect.has_temporary else dialect.path(place.schema, name)


def _names(dialect: Dialect, columns: Iterable[WarehouseColumn | str]) -> Markup:
    named = (each if isinstance(each, str) else each.name for each in columns)
    return Markup(", ").join(map(dialect.identifier, named))


def _plain(text: object) -> Markup:
    """A text of our own as a comment has it: on one line."""
    return Markup(safe_line(str(text)))  # noqa: S704 (no user's)


def _read(place: Place, table: StagedTable) -> str:
    return read_parquet_of(Path(place.stage) / file for file in table.files)


def _duckdb_line(place: Place, table: StagedTable) -> Markup:
    """A command that prints the rows as PostgreSQL's text COPY takes them, quoted for psql.

    Texts have no line breaks then: psql before 17 takes a line of two signs, backslash and point,
    for the end, even within the quotes of CSV.
    """
    value = "COLUMNS(*)::varchar"
    for sign, becomes in ((0, "''"), (92, r"'\\'"), (9, r"'\t'"), (10, r"'\n'"), (13, r"'\r'")):
        value = f"replace({value}, chr({sign}), {becomes})"
    copied = (
        f"COPY (SELECT {value} FROM {_read(place, table)}) TO '/dev/stdout' "
        r"(FORMAT csv, HEADER false, DELIMITER '\t', QUOTE '', ESCAPE '', NULLSTR '\N')"
    )
    command = 'duckdb -c "{}"'.format(re.sub(r'([\\"$`])', r"\\\1", copied))
    return Markup("'{}'".format(command.replace("'", "''")))  # noqa: S704 (quoted for both)


@cache
def _templates() -> Environment:
    """The templates; a text that no dialect has quoted is an error in any of them."""
    # Only scripts need the library: it would delay the start of any other command.
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    return Environment(
        loader=PackageLoader("batch_screen", "warehouse"),
        autoescape=True,  # so that what macros and blocks return stays marked
        finalize=_only_sql,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _only_sql(value: object) -> object:
    if isinstance(value, Markup | int):
        return value
    raise TypeError("a script takes what a dialect has quoted, and no other text")
