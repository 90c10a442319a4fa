"""How old a latest change is, in the bands that the signals' standard speaks of.

An age is counted from the answer, not from the clock of whoever reads it: the same files
always give the same ages.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import polars as pl


class Band(NamedTuple):
    """Ages below ``limit`` and not below the band before; None: all that are older."""

    name: str
    limit: timedelta | None


_HOUR, _DAY, _YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)
FUTURE = "in the future"
"""A change dated after its answer: clocks differ, or the date is wrong."""

BANDS = (
    Band("under 4 hours", 4 * _HOUR),
    Band("4 to 12 hours", 12 * _HOUR),
    Band("12 to 24 hours", _DAY),
    Band("1 day", 2 * _DAY),
    Band("2 to 4 days", 5 * _DAY),
    Band("5 to 6 days", 7 * _DAY),
    Band("7 to 13 days", 14 * _DAY),
    Band("14 to 29 days", 30 * _DAY),
    Band("30 to 59 days", 60 * _DAY),
    Band("60 to 89 days", 90 * _DAY),
    Band("90 to 179 days", 180 * _DAY),
    Band("180 days to 1 year", _YEAR),
    Band("1 year", 2 * _YEAR),
    Band("2 years", 3 * _YEAR),
    Band("3 years and more", None),
)
RECENT_DAYS = 7
RECENT = frozenset(
    band.name for band in BANDS if band.limit and band.limit <= timedelta(days=RECENT_DAYS)
)
"""Bands of changes young enough to be looked at."""


def band_of(age: pl.Expr) -> pl.Expr:
    """The band's name for an age (a Duration); null where there is none."""
    expression = pl.lit(BANDS[-1].name)
    for band in reversed(BANDS[:-1]):
        expression = pl.when(age < band.limit).then(pl.lit(band.name)).otherwise(expression)
    in_future = pl.when(age < timedelta()).then(pl.lit(FUTURE)).otherwise(expression)
    return pl.when(age.is_null()).then(None).otherwise(in_future)
