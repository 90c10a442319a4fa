"""The run in figures, counted from the files that were written, not from counters.

Accounting that must hold: input rows = accepted + rejected, and lookups = unique numbers ×
endpoints = success + each failure + skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.config.settings import Prices
from batch_screen.errors import BatchScreenError, OutputError
from batch_screen.files import write_whole
from batch_screen.model import INCONCLUSIVE, Endpoint, LatestChange, OutcomeKind, Plan

_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Rows(msgspec.Struct, frozen=True):
    """What became of the input's rows."""

    read: int
    accepted: int
    rejected: int
    rejected_by_reason: dict[str, int]
    duplicates: int
    unique_numbers: int


class Lookups(msgspec.Struct, frozen=True):
    """What became of one endpoint's lookups.

    ``positives``: swapped, active, or a date. ``unanswered``: requests that a crash left
    without a saved answer; they may have been billed and are not in the cost.
    """

    total: int
    by_outcome: dict[str, int]
    positives: int
    attempts: int
    refusals: int
    unanswered: int
    latency_ms: dict[str, float]
    cost: float


class Session(msgspec.Struct, frozen=True):
    """What this start of the run did; earlier starts bought the rest."""

    started_at: datetime
    ended_at: datetime
    attempts: int = 0
    asking_seconds: float = 0.0

    @property
    def rate_per_second(self) -> float:
        return self.attempts / self.asking_seconds if self.asking_seconds else 0.0


class Summary(msgspec.Struct, frozen=True):
    """summary.json, and what the closing block on the terminal is drawn from."""

    run_id: str
    run_date: str
    version: str
    status: str
    rows: Rows
    endpoints: dict[str, Lookups]
    cost: float
    currency: str
    session: Session
    settings: dict[str, object]
    facts: dict[str, str]

    @property
    def lookups(self) -> int:
        return sum(e.total for e in self.endpoints.values())

    @property
    def answered(self) -> int:
        """Lookups the API said something about, if only that it does not know."""
        fine = [OutcomeKind.SUCCESS, *INCONCLUSIVE]
        return sum(e.by_outcome.get(k, 0) for e in self.endpoints.values() for k in fine)

    @property
    def unanswered(self) -> int:
        """Requests over all starts of the run that may have been billed without an answer."""
        return sum(e.unanswered for e in self.endpoints.values())

    @property
    def failure_share(self) -> float:
        """Share of lookups that failed; what the API does not know has not failed."""
        return (self.lookups - self.answered) / self.lookups if self.lookups else 0.0


def count_rows(plan: Plan) -> Rows:
    """The plan's rows. Raises if they do not add up."""
    rejected = sum(plan.rejected.values())
    _must_agree("input rows", plan.rows, "accepted + rejected", plan.accepted + rejected)
    return Rows(
        read=plan.rows,
        accepted=plan.accepted,
        rejected=rejected,
        rejected_by_reason=plan.rejected,
        duplicates=plan.duplicates,
        unique_numbers=plan.unique_numbers,
    )


def count_lookups(paths: list[Path], prices: Prices) -> dict[str, Lookups]:
    """Figures per endpoint over Parquet files with the columns ``schema.LOOKUP``."""
    if not paths:
        return {}
    scan = pl.scan_parquet(paths)
    by_outcome = (
        scan.group_by("endpoint", "outcome")
        .agg(pl.len().alias("lookups"))
        .collect(engine="streaming")
    )
    figures = scan.group_by("endpoint").agg(_figures()).collect(engine="streaming")
    found = {row["endpoint"]: row for row in figures.iter_rows(named=True)}
    latencies = _latencies(scan)
    return {
        endpoint.value: _lookups(
            endpoint,
            found[endpoint.value],
            by_outcome,
            latencies.get(endpoint.value, {}),
            prices,
        )
        for endpoint in Endpoint
        if endpoint.value in found
    }


def _figures() -> list[pl.Expr]:
    positive = (
        pl.col("swapped").fill_null(value=False)
        | pl.col("active").fill_null(value=False)
        | (pl.col("latest_change") == LatestChange.REPORTED.value).fill_null(value=False)
    )
    return [
        pl.len().alias("total"),
        positive.sum().alias("positives"),
        pl.col("attempts").sum().cast(pl.Int64),
        pl.col("refusals").sum().cast(pl.Int64),
        pl.col("unanswered").sum().cast(pl.Int64),
    ]


def _latencies(scan: pl.LazyFrame) -> dict[str, dict[str, float]]:
    """Percentiles per endpoint, to a tenth of a millisecond.

    From the number of lookups at each tenth: polars' quantile holds every latency at once, in
    all 0.9 GiB for nine million lookups.
    """
    tenths = (
        scan.drop_nulls("latency_ms")
        .group_by("endpoint", pl.col("latency_ms").round(1))
        .agg(pl.len().alias("lookups"))
        .collect(engine="streaming")
        .sort("latency_ms")
    )
    return {
        endpoint: {name: _at(counts, share) for name, share in _PERCENTILES.items()}
        for (endpoint,), counts in tenths.partition_by("endpoint", as_dict=True).items()
    }


def _at(counts: pl.DataFrame, share: float) -> float:
    """The latency below which this share of the counted lookups lies: the nearest rank."""
    up_to = counts["lookups"].cum_sum()
    rank = int(share * (up_to[-1] - 1) + 0.5) + 1
    return round(float(counts["latency_ms"][int(up_to.search_sorted(rank))]), 1)


def _lookups(
    endpoint: Endpoint,
    row: Mapping[str, float],
    by_outcome: pl.DataFrame,
    latency_ms: dict[str, float],
    prices: Prices,
) -> Lookups:
    counts = by_outcome.filter(pl.col("endpoint") == endpoint.value)
    outcomes = dict(zip(counts["outcome"], counts["lookups"], strict=True))
    billed = row["attempts"] - row["refusals"]
    return Lookups(
        total=int(row["total"]),
        by_outcome={
            kind.value: outcomes[kind.value] for kind in OutcomeKind if kind.value in outcomes
        },
        positives=int(row["positives"]),
        attempts=int(row["attempts"]),
        refusals=int(row["refusals"]),
        unanswered=int(row["unanswered"]),
        latency_ms=latency_ms,
        cost=round(billed * prices.per_request.get(endpoint, 0.0), 6),
    )


def check(
    plan: Plan,
    endpoints: int,
    counted: Mapping[str, Lookups],
    *,
    result_rows: int,
    error_rows: int,
) -> None:
    """Raises unless rows and lookups in the written files add up to the plan."""
    _must_agree("accepted rows", plan.accepted, "result rows", result_rows)
    expected = plan.unique_numbers * endpoints
    _must_agree("lookups planned", expected, "outcomes", sum(e.total for e in counted.values()))
    for endpoint, figures in counted.items():
        by_outcome = sum(figures.by_outcome.values())
        _must_agree(f"lookups of {endpoint}", figures.total, "success + failures", by_outcome)
    failed = sum(e.total - e.by_outcome.get(OutcomeKind.SUCCESS, 0) for e in counted.values())
    listed = sum(plan.rejected.values()) + failed
    _must_agree("rejected rows + failed lookups", listed, "error rows", error_rows)


def write_summary(path: Path, summary: Summary) -> None:
    """summary.json: no phone number, no key."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(summary)) + b"\n")


def read_summary(path: Path) -> Summary:
    """The figures of a run that is complete."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Summary)
    except (OSError, ValueError) as error:  # msgspec's, or bytes that are no UTF-8
        raise OutputError(
            f"{path} cannot be read though its run is complete; use --new-run to screen again"
        ) from error


def _must_agree(what: str, one: int, other_what: str, other: int) -> None:
    if one != other:
        raise BatchScreenError(
            f"the accounting does not add up: {what} {one}, {other_what} {other}; the run is not "
            "marked complete. Please report this"
        )
