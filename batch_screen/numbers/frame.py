"""Normalisation of a frame of rows: most by whole columns, the others one by one.

Cells become digits (``read_cells``), region cells homes (``_homes``), and both numbers or refusals
(``decide``). The scalar ``Normaliser`` is the reference: it gets what the columns leave undecided,
and all rows of small frames. ``make differential`` compares both over millions of cells.
"""

from __future__ import annotations

import polars as pl

from batch_screen.numbers.columnar.clean import read_cells
from batch_screen.numbers.columnar.decide import AT_NO_HOME, AT_UNKNOWN_HOME, decide
from batch_screen.numbers.columnar.digits import first_of
from batch_screen.numbers.columnar.plans import places
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.regions import NO_REGION, UNKNOWN_REGION
from batch_screen.numbers.workers import judge

ADDED_COLUMNS = ("e164", "region", "number_type", "rule", "reject_reason", "reject_detail")
"""Columns that ``normalise_frame`` adds, in this order, all String."""

_KEY = ["raw", "raw_region"]
_ACCEPTED = ["row", "e164", "region", "number_type", "rule"]
# Fewer rows are done one by one before the tables of the numbering plans would be made.
_FEW = 10_000
# So many comparisons cost less than looking each cell up.
_FEW_HOMES = 8
_REJECT = {"reason": "reject_reason", "detail": "reject_detail"}


def normalise_frame(frame: pl.DataFrame, normaliser: Normaliser) -> pl.DataFrame:
    """Normalises every row; the same rows in the same order, with ``ADDED_COLUMNS``.

    Needs the columns ``raw`` and ``raw_region`` (String, nullable). Either ``e164`` to
    ``rule`` are filled in (``region`` may be null) or ``reject_reason`` is.
    """
    rows = frame.select(_KEY).with_row_index("row")
    if rows.height < _FEW:
        judged = _one_by_one(rows, normaliser).sort("row").drop("row")
        return frame.hstack(judged.rename(_REJECT))
    cells = read_cells(rows.select("row", "raw"), normaliser.column_kind)
    homes = _homes(rows["raw_region"], normaliser)
    dialled = cells.dialled.with_columns(homes.gather(cells.dialled["row"]).alias("home"))
    decided = decide(dialled, rows["raw"], normaliser)
    accepted = decided.chosen
    # Few lists have any, and only they pay for the join.
    modified = dialled.filter(pl.col("modifier") != "").select("row", "modifier")
    if modified.height:
        named = pl.coalesce(pl.format("{}+{}", "rule", "modifier"), "rule")
        accepted = accepted.join(modified, on="row", how="left").with_columns(rule=named)
    chosen = [accepted.select(_ACCEPTED)]
    refused = [cells.refused, decided.refused]
    undecided = pl.concat([cells.undecided, decided.undecided])
    if undecided.height:
        judged = _one_by_one(rows.join(undecided, on="row"), normaliser)
        chosen.append(judged.filter(pl.col("reason").is_null()).select(_ACCEPTED))
        refused.append(judged.drop_nulls("reason").select("row", "reason", "detail"))
    columns = [*_in_place(chosen, frame.height), *_in_place(refused, frame.height).rename(_REJECT)]
    return frame.hstack(columns)


def _in_place(parts: list[pl.DataFrame], height: int) -> pl.DataFrame:
    """The rows at the places that ``row`` names, and nulls at the others."""
    part = pl.concat(parts).rechunk()  # many chunks take three times as long to gather from
    # Scattered places and one gather, in place of a join or a sort of all rows.
    nowhere = pl.repeat(None, height, dtype=pl.UInt32, eager=True)
    places = nowhere.scatter(part["row"], pl.int_range(part.height, dtype=pl.UInt32, eager=True))
    return part.drop("row").select(pl.all().gather(places))


def _homes(cells: pl.Series, normaliser: Normaliser) -> pl.Series:
    """The home of each row, by its region cell, as ``decide`` takes it."""
    place_of = places() | {NO_REGION: AT_NO_HOME, UNKNOWN_REGION: AT_UNKNOWN_HOME}
    # A list names few regions, so the single cells' own rule can read each distinct cell.
    distinct = cells.unique()
    homes = [place_of[normaliser.home(cell)] for cell in distinct]
    if len(homes) == 1:
        return pl.repeat(homes[0], len(cells), dtype=pl.UInt16, eager=True)
    if len(homes) > _FEW_HOMES:
        return cells.replace_strict(distinct, homes, return_dtype=pl.UInt16)
    cases = [
        (pl.lit(cells).eq_missing(pl.lit(cell)), pl.lit(home, pl.UInt16))
        for cell, home in zip(distinct, homes, strict=True)
    ]
    return pl.select(first_of(cases[:-1], cases[-1][1])).to_series()


def _one_by_one(rows: pl.DataFrame, normaliser: Normaliser) -> pl.DataFrame:
    """The scalar judgement of each row; equal cells are judged once."""
    distinct = rows.select(_KEY).unique(maintain_order=True)
    names = ("e164", "region", "number_type", "rule", "reason", "detail")
    judged = pl.DataFrame(
        judge(distinct.rows(), normaliser), schema=dict.fromkeys(names, pl.String), orient="row"
    )
    return rows.join(distinct.hstack(judged), on=_KEY, how="left", nulls_equal=True).drop(_KEY)
