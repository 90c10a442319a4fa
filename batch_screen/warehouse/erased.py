"""People to erase from a warehouse, and what becomes of the rows in ``runs`` of runs that held one.

Independent of the target, which says what rows it holds and writes what comes back into ``runs``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.runs.layout import (
    CHANGES,
    DATA_FOLDERS,
    ERRORS,
    LOOKUPS,
    RESULTS,
    is_run_id,
    layout_of_run,
)
from batch_screen.schema import KEPT_PREFIX
from batch_screen.warehouse.runs import row_and_rows
from batch_screen.warehouse.target import ErasedFrom, Held, LoadedRun, RunNow, WhomToErase

_COUNTS = ("rows_read", "rows_accepted", "rows_rejected", "lookups", "failed")
_WRITTEN = ("manifest_sha256", "version", "erased_rows", *_COUNTS)
_ROWS_OF = {
    RESULTS: ("rows_accepted",),
    LOOKUPS: ("lookups",),
    ERRORS: ("failed", "rows_rejected"),
}
"""Table → the columns of ``runs`` that count its rows; the first loses those that are erased."""

HOLDING_TYPES = (pl.String(), pl.Int32(), pl.Int64(), pl.Float64(), pl.Decimal(38, 0))
"""Types of kept columns whose cells may hold a number."""


def runs_now(out: Path, before: Mapping[str, str]) -> dict[str, RunNow]:
    """The complete runs of an output folder from which people were erased, by run id.

    ``before``: digests of their manifests before the erasure that is under way.
    """
    found = {}
    for path in (out / "runs").glob("*"):
        layout = layout_of_run(out, path.name) if is_run_id(path.name) else None
        known = row_and_rows(layout) if layout and layout.is_marked else None
        if known is not None and known.facts.erased:
            has_emptied = any(each.cells for each in known.facts.erased)
            found[path.name] = RunNow(known.row, known.rows, before.get(path.name, ""), has_emptied)
    return found


def settled(
    rows: Mapping[str, Mapping[str, Any]],
    held: Mapping[str, Mapping[str, Held]],
    whom: WhomToErase,
) -> ErasedFrom:
    """What is erased, and what ``runs`` says of its runs then. ``held``: by table and run id."""
    changes, others = dict[str, dict[str, Any]](), list[str]()
    for run_id, row in rows.items():
        of_run = {table: held.get(table, {}).get(run_id, Held()) for table in DATA_FOLDERS}
        now = whom.runs.get(run_id)
        is_other = now is not None and row["manifest_sha256"] != now.row["manifest_sha256"]
        if now is not None and is_other and _is_now(row, of_run, now):
            changes[run_id] = {name: now.row.get(name) for name in _WRITTEN if name in row}
            continue
        if is_other:
            others.append(run_id)
        if fewer := _fewer(row, of_run):
            changes[run_id] = {name: value for name, value in fewer.items() if name in row}
    touched = {r for t in held.values() for r, each in t.items() if each.rows or each.cells}
    return ErasedFrom(
        {table: sum(each.rows for each in of_table.values()) for table, of_table in held.items()},
        sum(each.cells for of_table in held.values() for each in of_table.values()),
        tuple(sorted(touched)),
        changes,
        tuple(others),
    )


def _is_now(row: Mapping[str, Any], held: Mapping[str, Held], now: RunNow) -> bool:
    """Whether what is left of a run is what its new manifest says.

    Counts do not tell whether kept cells that an earlier erasure emptied are empty here, too.
    """
    is_next = row["manifest_sha256"] == now.before
    tables = LoadedRun.of_row(row).tables
    return all(held[t].left == now.rows[t] for t in tables) and (is_next or not now.has_emptied)


def _fewer(row: Mapping[str, Any], held: Mapping[str, Held]) -> dict[str, Any]:
    """Counts of a run after it lost rows, also those that a start has deleted which was killed."""
    tables, lost = LoadedRun.of_row(row).tables, {CHANGES: held[CHANGES].rows}
    for table, columns in _ROWS_OF.items():
        counts = [row.get(column) for column in columns]
        lost[table] = held[table].rows
        if table in tables and None not in counts:
            lost[table] = max(0, sum(filter(None, counts)) - held[table].left)
    if not any(lost.values()):
        return {}
    fewer = {"erased_rows": (row.get("erased_rows") or 0) + sum(lost.values())}
    for table, (column, *_) in _ROWS_OF.items():
        if row.get(column) is not None:
            fewer[column] = max(0, row[column] - lost[table])
    return fewer


def key_columns(columns: Sequence[str], whom: WhomToErase) -> list[str]:
    """Which columns of a table may have what stands for people."""
    return [name for name in whom.keys if name in columns]


def without(frame: pl.DataFrame, whom: WhomToErase) -> pl.DataFrame:
    """The rows of others, without the numbers in their kept cells."""
    left = frame.filter(~is_theirs(frame, whom))
    for name, where in in_cells(left, whom).items():
        left = left.with_columns(pl.when(~where).then(pl.col(name)).alias(name))
    return left


def looked_at(frame: pl.DataFrame, whom: WhomToErase) -> dict[str, Held]:
    """What some rows of a table hold of them, by run id."""
    theirs = is_theirs(frame, whom)
    others = pl.Series("cells", [0], pl.Int64()).new_from_index(0, frame.height)
    for where in in_cells(frame, whom).values():
        others += (where & ~theirs).cast(pl.Int64())
    counted = (
        frame.select("run_id")
        .with_columns(theirs.alias("theirs"), others.alias("cells"))
        .group_by("run_id")
        .agg(pl.len(), pl.col("theirs").sum(), pl.col("cells").sum())
    )
    return {run_id: Held(total, rows, cells) for run_id, total, rows, cells in counted.rows()}


def is_theirs(frame: pl.DataFrame, whom: WhomToErase) -> pl.Series:
    """Which rows are of one of them."""
    found = [
        pl.col(name).is_in([*whom.keys[name]]).fill_null(value=False)
        for name in key_columns(frame.columns, whom)
    ]
    none = pl.repeat(value=False, n=pl.len(), dtype=pl.Boolean())
    return frame.select(pl.any_horizontal(none, *found).alias("theirs")).to_series()


def in_cells(frame: pl.DataFrame, whom: WhomToErase) -> dict[str, pl.Series]:
    """Kept column → where its cells hold one of the numbers, if any does."""
    found = {}
    for column in frame:
        may_hold = column.dtype == pl.String or column.dtype.is_numeric()
        if column.name.startswith(KEPT_PREFIX) and may_hold:
            digits = pl.col("d").str.replace_all("[^0-9]", "")
            is_one = [digits.str.contains(pattern) for pattern in whom.patterns]
            cells = column.cast(pl.String).to_frame("d")
            where = cells.select(pl.any_horizontal(*is_one).fill_null(value=False)).to_series()
            if where.any():
                found[column.name] = where
    return found
