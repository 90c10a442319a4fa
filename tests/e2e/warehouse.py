"""The tables of docs/recipes/ for a warehouse, made from the columns that are written.

``python -m tests.e2e.warehouse`` writes them anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import polars as pl

from batch_screen.schema import CHANGES, ERRORS, INSTANT, LOOKUPS, Column, results

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
TABLES = {"results": results({}), "lookups": LOOKUPS, "errors": ERRORS, "changes": CHANGES}
# Of errors, each kind has a key of its own; what it does not have is null, and nulls are not equal.
KEYS = {
    "results": ("PRIMARY KEY (run_id, row_index)",),
    "lookups": ("PRIMARY KEY (run_id, e164, endpoint)",),
    "errors": ("UNIQUE (run_id, row_index)", "UNIQUE (run_id, e164, endpoint)"),
    "changes": ("PRIMARY KEY (run_id, e164, endpoint)",),
}
_RUNS = """\
CREATE TABLE IF NOT EXISTS runs (
    run_id {text} NOT NULL,
    run_date date NOT NULL,
    ended_at {instant} NOT NULL,
    manifest_sha256 {text} NOT NULL,
    loaded_at {instant} DEFAULT CURRENT_TIMESTAMP NOT NULL,
    PRIMARY KEY (run_id)
);
"""
_CURRENT = """\
-- Of each run date, the complete run that ended last.
CREATE OR REPLACE VIEW current_runs AS
SELECT run_id, run_date, ended_at, manifest_sha256, loaded_at
FROM (
    SELECT runs.*, row_number() OVER (PARTITION BY run_date ORDER BY ended_at DESC) AS place
    FROM runs
) AS ranked
WHERE place = 1;
"""


class Dialect(NamedTuple):
    """A warehouse's words for our types, and what stands at the file's head."""

    file: str
    head: str
    text: str
    integer: str
    bigint: str
    floating: str
    instant: str

    def word(self, column: Column) -> str:
        words = {
            pl.String(): self.text,
            pl.Boolean(): "boolean",
            pl.Int32(): self.integer,
            pl.Int64(): self.bigint,
            pl.Float64(): self.floating,
            INSTANT: self.instant,
        }
        dtype = column.dtype() if isinstance(column.dtype, type) else column.dtype
        return words[dtype]

    def script(self) -> str:
        return "\n".join(
            [self.head, _RUNS.format(**self._asdict()), *map(self.table, TABLES), _CURRENT]
        )

    def table(self, name: str) -> str:
        columns = [
            f"{c.name} {self.word(c)}{' NOT NULL' if c.required else ''}" for c in TABLES[name]
        ]
        lines = ",\n    ".join(["run_date date NOT NULL", *columns, *KEYS[name]])
        return f"CREATE TABLE IF NOT EXISTS {name} (\n    {lines}\n);\n"


POSTGRES = Dialect(
    "warehouse.sql",
    "-- Tables for PostgreSQL and DuckDB. The loaders add your own columns (in_…), as text.\n"
    "-- A test compares this file with the columns that are written.\n",
    "text",
    "integer",
    "bigint",
    "double precision",
    "timestamptz",
)
SNOWFLAKE = Dialect(
    "snowflake.sql",
    "-- Tables for Snowflake, which does not enforce the keys. Add your own columns (in_…).\n"
    "-- A test compares this file with the columns that are written.\n",
    "varchar",
    "number(10, 0)",
    "number(19, 0)",
    "float",
    "timestamp_ltz",
)


def main() -> None:
    for dialect in (POSTGRES, SNOWFLAKE):
        (RECIPES / dialect.file).write_text(dialect.script(), "utf-8")


if __name__ == "__main__":
    main()
