"""Lookup figures per endpoint, counted from outcomes in written parts or in the state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec.structs
import polars as pl

from batch_screen.config.settings import Prices
from batch_screen.model import (
    NOT_NEEDED,
    UNCHANGED,
    AnswerSource,
    Endpoint,
    LatestChange,
    OutcomeKind,
)
from batch_screen.storage.parquet import scan_parquet
from batch_screen.tables.coverage import Saved
from batch_screen.tables.summary import LookupFigures


class LookupCounts(NamedTuple):
    """Lookups by endpoint and outcome; sums by endpoint; lookups by endpoint and latency."""

    by_outcome: pl.DataFrame
    figures: pl.DataFrame
    tenths: pl.DataFrame


_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


NO_LOOKUPS = LookupFigures(0, {}, 0, 0, 0, 0, {}, 0.0)


def scans_of(paths: Sequence[Path]) -> list[pl.LazyFrame]:
    """One lazy scan over Parquet files with the columns ``schema.LOOKUP``; none without files."""
    return [scan_parquet(paths)] if paths else []


def count_lookups(tables: Iterable[pl.LazyFrame], prices: Prices) -> dict[str, LookupFigures]:
    """Figures per endpoint over tables with the columns ``schema.LOOKUP``.

    One table is in use at a time; what is kept of it are counts.
    """
    counts: LookupCounts | None = None
    for table in tables:
        counts = added(counts, tally(table))
    return figures_of(counts, prices)


def tally(table: pl.LazyFrame) -> LookupCounts:
    """The counts of one table."""
    lookups = pl.len().cast(pl.Int64).alias("lookups")
    # Percentiles come from the number of lookups at each tenth of a millisecond: polars' quantile
    # holds every latency at once, in all 0.9 GiB for nine million lookups.
    timed = table.drop_nulls("latency_ms").with_columns(pl.col("latency_ms").round(1))
    counts = (
        table.group_by("endpoint", "outcome").agg(lookups),
        table.group_by("endpoint").agg(_figures()),
        timed.group_by("endpoint", "latency_ms").agg(lookups),
    )
    # One after the other: collect_all would keep the table for all of them.
    return LookupCounts(*(count.collect(engine="streaming") for count in counts))


def added(some: LookupCounts | None, more: LookupCounts) -> LookupCounts:
    """The sum of two tallies; ``some`` is None at first."""
    return more if some is None else LookupCounts(*map(sums, some, more))


def figures_of(counts: LookupCounts | None, prices: Prices) -> dict[str, LookupFigures]:
    """Figures per endpoint from the summed counts."""
    if counts is None:
        return {}
    outcomes: dict[str, dict[str, int]] = {}
    for name, outcome, lookups in counts.by_outcome.iter_rows():
        outcomes.setdefault(name, {})[outcome] = lookups
    latencies = _latencies(counts.tenths)
    figures = {row.pop("endpoint"): row for row in counts.figures.iter_rows(named=True)}
    found = {}
    for endpoint in Endpoint:
        if row := figures.get(endpoint.value):
            of_kind = outcomes[endpoint.value]
            billed = row["attempts"] - row["refusals"]
            found[endpoint.value] = LookupFigures(
                by_outcome={kind.value: of_kind[kind] for kind in OutcomeKind if kind in of_kind},
                latency_ms=latencies.get(endpoint.value, {}),
                cost=round(billed * prices.per_request.get(endpoint, 0.0), 6),
                **row,
            )
    return found


def with_left(
    counted: Mapping[str, LookupFigures], endpoints: Iterable[Endpoint], planned: int
) -> dict[str, LookupFigures]:
    """Figures of every endpoint, with the open lookups of ``planned``."""
    figures = {e.value: counted.get(e.value, NO_LOOKUPS) for e in endpoints}
    return {
        name: msgspec.structs.replace(each, left=planned - each.total)
        for name, each in figures.items()
    }


def count_saved(
    counted: Mapping[str, LookupFigures], named: Iterable[Endpoint], prices: Prices
) -> Saved:
    """Counts saved requests; ``named`` are the endpoints of the settings."""
    names = {endpoint.value for endpoint in named}
    saved = {name: f.derived + f.reused + f.unchanged for name, f in counted.items()}
    cost = sum(n * prices.per_request.get(Endpoint(name), 0.0) for name, n in saved.items())
    asked = sum(f.attempts - f.refusals for name, f in counted.items() if name not in names)
    return Saved(
        requests=sum(saved.values()),
        derived=sum(figures.derived for figures in counted.values()),
        reused=sum(figures.reused for figures in counted.values()),
        unchanged=sum(figures.unchanged for figures in counted.values()),
        cost=round(cost, 6),
        dates_asked=asked,
    )


def _figures() -> list[pl.Expr]:
    """The fields of ``LookupFigures`` that are sums."""
    is_date = pl.col("latest_change") == LatestChange.REPORTED.value
    reason = pl.when(pl.col("outcome") == OutcomeKind.SKIPPED.value).then("reason")
    counted = {
        "positives": pl.any_horizontal("swapped", "active", is_date),
        # Without a request of their own:
        "derived": pl.col("source") == AnswerSource.DERIVED.value,
        "reused": pl.col("source") == AnswerSource.REUSED.value,
        "carried": pl.col("source") == AnswerSource.CARRIED.value,
        "unchanged": reason.is_in(UNCHANGED),
        "not_needed": reason == NOT_NEEDED,
    }
    return [
        pl.len().cast(pl.Int64).alias("total"),
        pl.col("attempts", "refusals", "unanswered").sum().cast(pl.Int64),
        *(claim.sum().cast(pl.Int64).alias(name) for name, claim in counted.items()),
    ]


def sums(some: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """Adds up two tables of counts by their non-integer columns."""
    keys = [name for name, dtype in some.schema.items() if dtype != pl.Int64]
    return pl.concat([some, more]).group_by(keys).agg(pl.all().sum())


def _latencies(tenths: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Percentiles per endpoint, to a tenth of a millisecond: nearest ranks among the lookups."""
    found: dict[str, dict[str, float]] = {}
    by_endpoint = tenths.sort("latency_ms").partition_by("endpoint", as_dict=True)
    for (endpoint,), counts in by_endpoint.items():
        up_to = counts["lookups"].cum_sum()
        found[endpoint] = {}
        for name, share in _PERCENTILES.items():
            rank = int(share * (up_to[-1] - 1) + 0.5) + 1
            latency = counts["latency_ms"][int(up_to.search_sorted(rank))]
            found[endpoint][name] = round(float(latency), 1)
    return found
