"""How far windows reach back to earlier runs, and what needed no request: counted from lookups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
import polars as pl

from batch_screen.model import UNCHANGED, Endpoint


class Coverage(msgspec.Struct, frozen=True):
    """A check's numbers by what lies between their last observation and this one.

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
    """Requests that were not made, for the same answers, and what they would have cost.

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
    """Check → coverage, over tables with the columns ``schema.LOOKUPS``, one after the other."""
    counts = [
        table.filter(pl.col("endpoint").is_in([e.value for e in Endpoint if e.takes_max_age]))
        .group_by("endpoint")
        .agg(_figures())
        .collect(engine="streaming")
        for table in tables
    ]
    if not counts:
        return {}
    sums = pl.all().exclude("endpoint", "largest_gap_minutes").sum()
    added = pl.concat(counts).group_by("endpoint").agg(sums, pl.col("largest_gap_minutes").max())
    return {
        row.pop("endpoint"): Coverage(**{name: int(count) for name, count in row.items()})
        for row in added.sort("endpoint").iter_rows(named=True)
    }


def count_contradictions(tables: Iterable[pl.LazyFrame]) -> dict[str, int]:
    """Check → numbers whose check and date cannot both be true; nothing where there are none."""
    found: Counter[str] = Counter()
    for table in tables:
        rows = table.filter("contradiction").group_by("endpoint").len()
        found.update(dict(rows.collect(engine="streaming").iter_rows()))
    return dict(sorted(found.items()))


def _figures() -> list[pl.Expr]:
    gap = pl.col("gap_minutes")
    was_observed = pl.col("window_end").is_not_null()
    is_unchanged = pl.col("reason").is_in(UNCHANGED).fill_null(value=False)
    claims = {
        "without_gap": gap == 0,
        "with_gap": gap > 0,
        "first": was_observed & gap.is_null(),
        "unobserved": ~was_observed & ~is_unchanged,
        "unchanged": is_unchanged,
    }
    counted = [claim.sum().cast(pl.Int64).alias(name) for name, claim in claims.items()]
    largest = gap.max().fill_null(0).cast(pl.Int64).alias("largest_gap_minutes")
    return [pl.len().cast(pl.Int64).alias("numbers"), *counted, largest]
