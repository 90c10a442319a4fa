"""Figures relative to earlier runs: coverage of windows, requests saved, changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec
import polars as pl

from batch_screen.model import UNCHANGED, Endpoint


class Coverage(msgspec.Struct, frozen=True):
    """A check's numbers by the gap between their last observation and this one.

    ``without_gap``: nothing. ``with_gap``: minutes that nobody has observed. ``first``: no
    earlier observation is known. ``unobserved``: no answer this time, so the next window
    reaches back further; ``unchanged``: not asked, because another signal had not changed.
    """

    numbers: int
    without_gap: int
    with_gap: int
    first: int
    unobserved: int
    unchanged: int
    largest_gap_minutes: int


class Saved(msgspec.Struct, frozen=True):
    """Requests saved, and their cost.

    ``dates_asked`` are requests to dates that nobody had named, where a window did not reach
    back far enough: these were made besides.
    """

    requests: int = 0
    derived: int = 0
    reused: int = 0
    unchanged: int = 0
    cost: float = 0.0
    dates_asked: int = 0


def count_coverage(tables: Iterable[pl.LazyFrame]) -> dict[str, Coverage]:
    """Check → coverage, over tables with the columns ``schema.LOOKUPS``."""
    given = list(tables)
    if not given:
        return {}
    gap = pl.col("gap_minutes")
    was_observed = pl.col("window_end").is_not_null()
    is_unchanged = pl.col("reason").is_in(UNCHANGED).fill_null(value=False)
    counted = (
        pl.concat(given)
        .filter(pl.col("endpoint").is_in([e.value for e in Endpoint if e.takes_max_age]))
        .group_by("endpoint")
        .agg(
            numbers=pl.len(),
            without_gap=(gap == 0).sum(),
            with_gap=(gap > 0).sum(),
            first=(was_observed & gap.is_null()).sum(),
            unobserved=(~was_observed & ~is_unchanged).sum(),
            unchanged=is_unchanged.sum(),
            largest_gap_minutes=gap.max().fill_null(0),
        )
        .sort("endpoint")
        .collect(engine="streaming")
    )
    return {row.pop("endpoint"): Coverage(**row) for row in counted.iter_rows(named=True)}


def count_contradictions(tables: Iterable[pl.LazyFrame]) -> dict[str, int]:
    """Check → numbers whose check and date contradict each other; empty without any."""
    found: Counter[str] = Counter()
    for table in tables:
        rows = table.filter("contradiction").group_by("endpoint").len()
        found.update(dict(rows.collect(engine="streaming").iter_rows()))
    return dict(sorted(found.items()))


class Change(StrEnum):
    """How a number's answer at an endpoint changed."""

    NEWLY_POSITIVE = "newly_positive"
    NEWLY_NEGATIVE = "newly_negative"
    DATE_MOVED = "date_moved"
    BECAME_UNKNOWN = "became_unknown"
    BECAME_KNOWN = "became_known"


class Cohort(msgspec.Struct, frozen=True):
    """A country or block in which far more numbers than elsewhere are newly positive.

    ``level`` is country or block; ``name`` a region, or leading digits and an ellipsis, never a
    whole number. Of its ``numbers``, asked in both runs, ``share`` are newly positive, and
    ``usual_share`` of those outside it.
    """

    level: str
    name: str
    numbers: int
    newly_positive: int
    share: float
    usual_share: float


class Changes(msgspec.Struct, frozen=True):
    """Changes since an earlier run: ``endpoints`` maps endpoint → change → lookups.

    ``numbers_new`` were not asked in the earlier run at the endpoints that both runs asked,
    ``numbers_gone`` in this one, ``numbers_compared`` in both.
    """

    since_run: str
    since_date: str
    endpoints: dict[str, dict[str, int]]
    numbers_new: int
    numbers_gone: int
    numbers_compared: int
    cohorts: list[Cohort]
