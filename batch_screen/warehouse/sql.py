"""Tables, comments and views in SQL, for PostgreSQL and DuckDB, which share the words used here.

What a target has is compared with what a run needs before anything is written: missing tables and
columns are made, nothing is ever dropped, retyped or made anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from batch_screen.errors import ExitCode, WarehouseError
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS
from batch_screen.schema import INSTANT, NUMBER_ID, number_column
from batch_screen.warehouse.columns import (
    COMMENTS,
    INDEXED,
    KEYS,
    RUN_COLUMNS,
    RUNS,
    ExistingType,
    WarehouseColumn,
    keeps_every_value,
    keyed,
)
from batch_screen.warehouse.runs import LoadableRun, TableToLoad
from batch_screen.warehouse.target import LoadOptions

CURRENT_RUNS, CURRENT_RESULTS, SIGNALS = "current_runs", "current_results", "signals"
VIEWS = {CURRENT_RUNS: (RUNS,), CURRENT_RESULTS: (RUNS, RESULTS), SIGNALS: (RUNS, LOOKUPS)}
"""View → the tables it reads."""

DDL_LOCK = 0x6261_7463_6873
"""Any number of our own: by it loaders of PostgreSQL make tables one after the other."""

_GLOB = re.compile(r"[\[*?]")
_NUMBERS = ("e164", NUMBER_ID.name)
SIGNAL_COLUMNS = (
    *("e164", "number_id", "endpoint", "outcome", "reason", "swapped", "active", "latest_change"),
    *("latest_change_at", "max_age_minutes", "window_start", "window_end", "responded_at"),
    *("run_id", "run_date"),
)
VIEW_COMMENTS = {
    CURRENT_RUNS: "batch-screen: of each run date and list, the run completed last, no retried one",
    CURRENT_RESULTS: "batch-screen: results of current_runs: each customer once a night",
    SIGNALS: "batch-screen: the newest known answer for each number and endpoint; null is unknown",
}


class SqlTypes(NamedTuple):
    """What differs between the two: the words for types, and whether keys and indexes are kept."""

    text: str
    double: str
    has_indexes: bool

    @property
    def words(self) -> dict[pl.DataType, str]:
        return {
            pl.String(): self.text,
            pl.Boolean(): "boolean",
            pl.Int32(): "integer",
            pl.Int64(): "bigint",
            pl.Float64(): self.double,
            INSTANT: "timestamp with time zone",
            pl.Date(): "date",
        }

    def word(self, dtype: pl.DataType) -> str:
        return self.words[dtype]


POSTGRES = SqlTypes(text="text", double="double precision", has_indexes=True)
DUCKDB = SqlTypes(text="varchar", double="double", has_indexes=False)


class Existing(NamedTuple):
    """What a schema has of our tables, with their columns in order, and which of our views."""

    has_schema: bool
    tables: Mapping[str, Mapping[str, ExistingType]]
    views: frozenset[str]


class Step(NamedTuple):
    """Something to make: its SQL, what it is for people, and the table or view it belongs to."""

    sql: str
    what: str
    table: str


class Preparation(NamedTuple):
    """What has to be made before a run can be loaded, and the columns that take values as texts."""

    steps: tuple[Step, ...]
    texts: Mapping[str, frozenset[str]]

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(step.what for step in self.steps if step.what)


def quoted(*names: str) -> str:
    """A name, or a path of names, as SQL writes it."""
    return ".".join('"{}"'.format(name.replace('"', '""')) for name in names)


def literal(text: str) -> str:
    """A text as SQL writes it, where backslashes are plain."""
    return "'{}'".format(text.replace("'", "''"))


def list_of(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))


def read_parquet_of(paths: Iterable[Path]) -> str:
    """DuckDB's table function over just these files, whatever they are called."""
    # In brackets, signs of patterns are taken for themselves.
    files = ", ".join(literal(_GLOB.sub(r"[\g<0>]", str(path))) for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false)"


def preparation(
    dialect: SqlTypes, schema: str, there: Existing, run: LoadableRun, options: LoadOptions
) -> Preparation:
    """What to make in the schema for this run.

    Raises ``WarehouseError`` (65) where a table that is there cannot take it.
    """
    maker = _Maker(dialect, schema, options, run.number)
    wanted = [table for table in run.tables if table.name in options.tables]
    steps, texts = list[Step](), dict[str, frozenset[str]]()
    if not there.has_schema and options.creates:
        steps.append(Step(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}", f"schema {schema}", ""))
    has = {name: [*columns] for name, columns in there.tables.items()}
    for name, columns, table in (
        (RUNS, RUN_COLUMNS, None),
        *((table.name, table.columns, table) for table in wanted),
    ):
        if name not in there.tables:
            steps += maker.table(name, columns)
        else:
            added, texts[name] = maker.columns(name, columns, there.tables[name], table)
            steps += added
        has[name] = list(dict.fromkeys([*has.get(name, ()), *(c.name for c in columns)]))
    if options.creates:
        steps += maker.views(there, has, {step.table for step in steps})
    return Preparation(tuple(steps), texts)


def declarations(
    dialect: SqlTypes,
    schema: str,
    tables: Mapping[str, Sequence[WarehouseColumn]],
    later: Mapping[str, Sequence[WarehouseColumn]],
) -> list[str]:
    """Statements that make what is missing in a schema that nobody has looked at.

    ``later``: columns that a table which is there already may lack.
    """
    by_id = any(c.name == NUMBER_ID.name and c.required for c in tables[LOOKUPS])
    maker = _Maker(dialect, schema, LoadOptions(), number_column("any" if by_id else None))
    made = [f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}"]
    for name, columns in tables.items():
        table, *others = [step.sql for step in maker.table(name, columns)]
        added = [step.sql for column in later.get(name, ()) for step in maker.added(name, column)]
        made += [table, *added, *others]  # for the others describe columns that may be new
    has = {name: [column.name for column in columns] for name, columns in tables.items()}
    has[RESULTS] = []  # all that are there, in an order that is not known
    made += [step.sql for step in maker.views(Existing(True, {}, frozenset()), has, set())]  # noqa: FBT003
    return [*dict.fromkeys(made)]


class _Maker(NamedTuple):
    """Writes the steps for one schema."""

    dialect: SqlTypes
    schema: str
    options: LoadOptions
    number: str

    def table(self, name: str, columns: Sequence[WarehouseColumn]) -> list[Step]:
        place, shown = quoted(self.schema, name), f"table {self.schema}.{name}"
        key = keyed(KEYS[name], self.number) if self.dialect.has_indexes or name == RUNS else ()
        lines = [self._declared(c, is_required=c.required or c.name in key) for c in columns]
        lines += [f"PRIMARY KEY ({list_of(key)})"] if key else []
        declared = ",\n    ".join(lines)
        made = f"CREATE TABLE IF NOT EXISTS {place} (\n    {declared}\n)"
        if not self.options.creates:
            on_a_line = made.replace("\n", " ")
            raise WarehouseError(
                f"{shown} is not there, and --no-create forbids to make it; leave that out, or "
                f"say: {on_a_line}",
                exit_code=ExitCode.CONTENT,
            )
        steps = [Step(made, shown, name)]
        steps += [Step(f"COMMENT ON TABLE {place} IS {literal(COMMENTS[name])}", "", name)]
        steps += [self._comment(name, column) for column in columns]
        if self.dialect.has_indexes and name != RUNS:
            indexed = keyed((*INDEXED, "run_id") if name == ERRORS else INDEXED, self.number)
            steps += [
                Step(
                    f"CREATE INDEX IF NOT EXISTS {quoted(f'{name}_{column}')} ON {place} "
                    f"({quoted(column)})",
                    "",
                    name,
                )
                for column in indexed
            ]
        return steps

    def columns(
        self,
        name: str,
        columns: Sequence[WarehouseColumn],
        there: Mapping[str, ExistingType],
        table: TableToLoad | None,
    ) -> tuple[list[Step], frozenset[str]]:
        """Steps for the columns that are missing, and the names of those that are texts there."""
        steps, texts = list[Step](), set[str]()
        for column in columns:
            if column.name not in there:
                steps += self.added(name, column)
                continue
            found = there[column.name]
            is_filled = column.required or found.takes_null or name == ERRORS
            if column.name in _NUMBERS and not is_filled:
                raise self._other_numbers(name, column)
            is_bound = column.dtype == pl.String() and found.most_characters is not None
            longest = table.longest(column.name) if table and is_bound else 0
            if not keeps_every_value(column.dtype, found, longest):
                raise self._other_type(name, column, found, longest)
            if found.kind == pl.String() != column.dtype:
                texts.add(column.name)
        return steps, frozenset(texts)

    def views(
        self, there: Existing, has: Mapping[str, Sequence[str]], changed: set[str]
    ) -> list[Step]:
        steps = []
        for view, tables in VIEWS.items():
            is_due = view not in there.views or changed & {*tables}
            if not is_due or not all(table in has for table in tables):
                continue
            place = quoted(self.schema, view)
            made = f"CREATE OR REPLACE VIEW {place} AS {self._query(view, has)}"
            shown = "" if view in there.views else f"view {self.schema}.{view}"
            steps.append(Step(made, shown, view))
            steps.append(
                Step(f"COMMENT ON VIEW {place} IS {literal(VIEW_COMMENTS[view])}", "", view)
            )
        return steps

    def _query(self, view: str, has: Mapping[str, Sequence[str]]) -> str:
        runs, results, lookups = (quoted(self.schema, name) for name in (RUNS, RESULTS, LOOKUPS))
        if view == CURRENT_RUNS:
            names = list_of([column.name for column in RUN_COLUMNS])
            return (
                f"SELECT {names} FROM (SELECT r.*, row_number() OVER (PARTITION BY run_date, "
                f"inputs ORDER BY completed_at DESC NULLS LAST, run_id DESC) AS place "
                f"FROM {runs} AS r WHERE run_id NOT IN "
                f"(SELECT unnest(string_to_array(supersedes, ' ')) FROM {runs})) AS ranked "
                "WHERE place = 1"
            )
        if view == CURRENT_RESULTS:
            names = ", ".join(f"r.{quoted(name)}" for name in has[RESULTS]) or "r.*"
            current = quoted(self.schema, CURRENT_RUNS)
            return (
                f"SELECT {names} FROM {results} AS r WHERE r.run_id IN "
                f"(SELECT run_id FROM {current})"
            )
        # A number may be known by its id alone. A known answer, however old, before an unknown one.
        number = "coalesce(l.number_id, l.e164)" if "number_id" in has[LOOKUPS] else "l.e164"
        names = ", ".join(f"l.{quoted(name)}" for name in SIGNAL_COLUMNS if name in has[LOOKUPS])
        return (
            f"SELECT DISTINCT ON ({number}, l.endpoint) {names} FROM {lookups} AS l "
            f"JOIN {runs} AS r ON r.run_id = l.run_id ORDER BY {number}, l.endpoint, "
            "(l.outcome = 'success') DESC, l.responded_at DESC NULLS LAST, "
            "r.completed_at DESC NULLS LAST, l.run_id DESC"
        )

    def _declared(self, column: WarehouseColumn, *, is_required: bool) -> str:
        null = " NOT NULL" if is_required else ""
        return f"{quoted(column.name)} {self.dialect.word(column.dtype)}{null}"

    def _comment(self, table: str, column: WarehouseColumn) -> Step:
        where = quoted(self.schema, table, column.name)
        return Step(f"COMMENT ON COLUMN {where} IS {literal(column.comment)}", "", table)

    def added(self, table: str, column: WarehouseColumn) -> list[Step]:
        # Without NOT NULL: the rows that are there have no value for it.
        made = (
            f"ALTER TABLE {quoted(self.schema, table)} ADD COLUMN IF NOT EXISTS "
            f"{self._declared(column, is_required=False)}"
        )
        shown = f"column {table}.{column.name} {self.dialect.word(column.dtype)}"
        if not self.options.adds:
            raise WarehouseError(
                f"{shown} is missing in schema {self.schema}, and --new-columns refuse forbids to "
                f"add it; use --new-columns add, or say: {made}",
                exit_code=ExitCode.CONTENT,
            )
        return [Step(made, shown, table), self._comment(table, column)]

    def _other_numbers(self, table: str, column: WarehouseColumn) -> WarehouseError:
        here, there = ("ids", "plain numbers")[:: 1 if column.name == "e164" else -1]
        return WarehouseError(
            f"table {table} in schema {self.schema} takes no row without {column.name}: it was "
            f"made for runs with {there}, and this one has {here}; name another --schema",
            exit_code=ExitCode.CONTENT,
        )

    def _other_type(
        self, table: str, column: WarehouseColumn, found: ExistingType, longest: int
    ) -> WarehouseError:
        # Text holds whatever a list may bring the next night.
        is_text = column.is_kept or found.kind == pl.String()
        wanted = self.dialect.text if is_text else self.dialect.word(column.dtype)
        size = f" of up to {longest:,} characters" if longest else ""
        return WarehouseError(
            f"column {table}.{column.name} in schema {self.schema} is {found.shown}, which does "
            f"not keep every value of {self.dialect.word(column.dtype)}{size}; say: ALTER TABLE "
            f"{quoted(self.schema, table)} ALTER COLUMN {quoted(column.name)} TYPE {wanted}",
            exit_code=ExitCode.CONTENT,
        )
