"""Judged batches of raw cells, as the line hands them to the survey."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from batch_screen.config.screening import Numbers
from batch_screen.model import ColumnKind
from batch_screen.numbers.normalise import Normaliser
from batch_screen.planning.build import PhoneColumn, judged


def normaliser(
    region: str = "", kind: ColumnKind = ColumnKind.TEXT, numbers: Numbers | None = None
) -> Normaliser:
    return Normaliser(numbers or Numbers(), region, kind)


def batch(
    cells: Sequence[str | None],
    judge: Normaliser | None = None,
    *,
    regions: Sequence[str | None] | None = None,
    ragged: Sequence[bool] | None = None,
    file: str = "list.csv",
    first: int = 0,
) -> pl.DataFrame:
    height = len(cells)
    frame = pl.DataFrame(
        {
            "row_index": range(first, first + height),
            "source_file": [file] * height,
            "source_row": range(1, height + 1),
            "phone_column": ["phone"] * height,
            "raw": cells,
            "raw_region": regions or [None] * height,
            "ragged": ragged or [False] * height,
            "in_id": [f"c{i}" for i in range(height)],
        },
        schema={
            "row_index": pl.Int64,
            "source_file": pl.String,
            "source_row": pl.Int64,
            "phone_column": pl.String,
            "raw": pl.String,
            "raw_region": pl.String,
            "ragged": pl.Boolean,
            "in_id": pl.String,
        },
    )
    with judged([frame], [PhoneColumn(["phone"], judge or normaliser())]) as batches:
        return next(batches)


# Bundesnetzagentur, Arcep and Ofcom keep these free for films and books.
GERMAN_MOBILES = [f"0171 39200{i:02}" for i in range(100)]
GERMAN_LANDLINES = [f"030 23125{i:03}" for i in range(100)]
FRENCH = [f"01 99 00 12 {i:02}" for i in range(100)]
AMERICAN = [f"({area}) 555-01{i:02}" for area in (202, 206, 212) for i in range(40)]
