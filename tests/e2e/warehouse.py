"""Tables for Snowflake (docs/recipes/snowflake.sql): those that load makes in other warehouses.

``python -m tests.e2e.warehouse`` writes them anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from batch_screen.schema import CHANGES, ERRORS, INSTANT, LOOKUPS, Column, results
from batch_screen.warehouse.columns import (
    KEYS,
    RUN_COLUMNS,
    RUNS,
    WarehouseColumn,
    table_columns,
)

FILE = Path(__file__).parents[2] / "docs" / "recipes" / "snowflake.sql"
_TABLES = {"results": results({}), "lookups": LOOKUPS, "errors": ERRORS, "changes": CHANGES}
_WORDS: dict[pl.DataType, str] = {
    pl.String(): "varchar",
    pl.Boolean(): "boolean",
    pl.Int32(): "number(10, 0)",
    pl.Int64(): "number(19, 0)",
    pl.Float64(): "float",
    INSTANT: "timestamp_ltz",
    pl.Date(): "date",
}
_HEAD = """\
-- Tables for Snowflake, which does not enforce the keys. Add your own columns (in_…).
-- A test compares this file with the columns that are written.
"""
_CURRENT = """\
-- Of each run date and list, the run that was completed last, without those that were retried.
CREATE OR REPLACE VIEW current_runs AS
SELECT * FROM runs
WHERE run_id NOT IN (
    SELECT each.value FROM runs AS later, LATERAL SPLIT_TO_TABLE(later.supersedes, ' ') AS each
)
QUALIFY row_number() OVER (
    PARTITION BY run_date, inputs ORDER BY completed_at DESC NULLS LAST, run_id DESC
) = 1;
"""


def script() -> str:
    """What the file holds."""
    tables = (_table(name, table_columns(of, _dtypes(of))) for name, of in _TABLES.items())
    return "\n".join([_HEAD, _table(RUNS, RUN_COLUMNS), *tables, _CURRENT])


def _dtypes(columns: Sequence[Column]) -> dict[str, pl.DataType]:
    return {c.name: c.dtype() if isinstance(c.dtype, type) else c.dtype for c in columns}


def _table(name: str, columns: Sequence[WarehouseColumn]) -> str:
    lines = [f"{c.name} {_WORDS[c.dtype]}{_of(c)}" for c in columns]
    lines += [f"PRIMARY KEY ({', '.join(KEYS[name])})"] if KEYS[name] else []
    return f"CREATE TABLE IF NOT EXISTS {name} (\n    {f',{chr(10)}    '.join(lines)}\n);\n"


def _of(column: WarehouseColumn) -> str:
    now = " DEFAULT CURRENT_TIMESTAMP" if column.name == "loaded_at" else ""
    return f"{now} NOT NULL" if column.required else now


if __name__ == "__main__":
    FILE.write_text(script(), "utf-8")
