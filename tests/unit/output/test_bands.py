from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import polars as pl
import pytest

from batch_screen.output.bands import BANDS, FUTURE, RECENT, band_of

INSTANT = timedelta(microseconds=1)


def band(age: timedelta | None) -> str | None:
    ages = pl.DataFrame({"age": [age]}, schema={"age": pl.Duration("us")})
    found: str | None = ages.select(band_of(pl.col("age"))).item()
    return found


def test_bands_have_the_limits_of_the_standard() -> None:
    days = [band.limit / timedelta(days=1) for band in BANDS if band.limit]
    hours = [4 / 24, 12 / 24]
    assert days == [*hours, 1, 2, 5, 7, 14, 30, 60, 90, 180, 365, 730, 1095]
    assert BANDS[-1].limit is None


@pytest.mark.parametrize(("younger", "older"), list(pairwise(BANDS)))
def test_a_limit_belongs_to_the_older_band(younger: tuple[str, timedelta], older: object) -> None:
    name, limit = younger
    assert band(limit - INSTANT) == name
    assert band(limit) == older[0]  # type: ignore[index]


def test_ends() -> None:
    assert band(timedelta()) == BANDS[0].name
    assert band(timedelta(days=40_000)) == BANDS[-1].name
    assert band(-INSTANT) == FUTURE
    assert band(None) is None


def test_recent_are_those_under_seven_days() -> None:
    assert [b.name in RECENT for b in BANDS] == [True] * 6 + [False] * 9
