"""What lookups must say of where they come from, of their windows, and of contradictions.

As in ``agreement``: one line per kind of difference. Written apart from what wrote the columns
(``engine.deciding``, ``output.observed``), whose mistakes it should not repeat.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from batch_screen.model import (
    LONGEST_WINDOW_MINUTES,
    NOT_NEEDED,
    SPARED,
    Endpoint,
    LatestChange,
    OutcomeKind,
    Source,
)
from batch_screen.output.findings import Difference
from batch_screen.output.observed import TOLERANCE_SECONDS
from batch_screen.output.parts import LOOKUPS
from batch_screen.output.reread import Part

_MINUTE = 60_000_000
_SUCCESS = pl.col("outcome") == OutcomeKind.SUCCESS.value
_SKIPPED = pl.col("outcome") == OutcomeKind.SKIPPED.value
_IS_DATE = pl.col("endpoint").is_in([e.value for e in Endpoint if e.answers_date])
_IS_CHECK = pl.col("endpoint").is_in([e.value for e in Endpoint if e.takes_max_age])
_SIGNALS = {e.value: e.check.value for e in Endpoint}


def sources(part: Part) -> Iterator[Difference]:
    """Each lookup was asked, derived, reused or spared, and bears the marks of that."""
    source, reason = pl.col("source"), pl.col("reason")
    is_spared = _SKIPPED & reason.is_in([*SPARED]).fill_null(value=False)
    derived, reused = source == Source.DERIVED.value, source == Source.REUSED.value
    was_not_asked = (derived | reused).fill_null(value=False) | is_spared
    faults = {
        "a source nobody knows": ~source.is_in([*Source]),
        "a source though they were skipped, or none though they were not": source.is_null()
        != _SKIPPED,
        "requests though they were not asked": was_not_asked & (pl.col("attempts") > 0),
        "no success though they were derived or reused": (derived | reused) & ~_SUCCESS,
        "an earlier run though they were not reused, or none though they were": reused.fill_null(
            value=False
        )
        != pl.col("source_run_id").is_not_null(),
        "this run as the earlier one": pl.col("source_run_id") == pl.col("run_id"),
        "reuse of what is true of one instant": reused
        & (pl.col("endpoint") == Endpoint.CALL_FORWARDING_CHECK.value),
        "a derivation that no date allows": derived & ~_IS_CHECK,
        "not_needed though they are no dates": is_spared & (reason == NOT_NEEDED) & ~_IS_DATE,
        "a window longer than the API takes": (source == Source.ASKED.value)
        & (pl.col("max_age_minutes") > LONGEST_WINDOW_MINUTES),
    }
    yield from _counted(part, part.lookups, faults)
    yield from _derivations(part)
    yield from _unchanged(part)


def _derivations(part: Part) -> Iterator[Difference]:
    """What was derived is what the date of the same number says."""
    derived = part.lookups.filter(pl.col("source") == Source.DERIVED.value)
    dates = _dates(part).filter(pl.col("said") == LatestChange.REPORTED.value)
    joined = derived.join(dates, on=["e164", "endpoint"], how="left")
    age = (pl.col("date_at") - pl.col("date")).dt.total_microseconds()
    is_within = age <= pl.col("max_age_minutes").cast(pl.Int64) * _MINUTE
    faults = {
        "been derived, though no date of theirs was reported": pl.col("said").is_null(),
        "another value than their date says": pl.col("swapped") != is_within,
        "another time than the date they come from": pl.col("responded_at") != pl.col("date_at"),
    }
    yield from _counted(part, joined, faults)


def _unchanged(part: Part) -> Iterator[Difference]:
    """What was of no interest has a number of which the other signal is known not to change."""
    without = part.lookups.filter(
        _SUCCESS
        & (
            (pl.col("swapped") == pl.lit(value=False))
            | (pl.col("active") == pl.lit(value=False))
            | (pl.col("latest_change") == LatestChange.REPORTED.value)
        )
    ).select("e164", _reason(pl.col("endpoint")))
    reasons = [reason for reason in SPARED if reason != NOT_NEEDED]
    skipped = part.lookups.filter(_SKIPPED & pl.col("reason").is_in(reasons))
    unfounded = skipped.join(without, on=["e164", "reason"], how="anti").height
    if unfounded:
        yield Difference(
            part.names[LOOKUPS],
            f"{unfounded:,} lookups were skipped as unchanged, though nothing says so",
        )


def _reason(endpoint: pl.Expr) -> pl.Expr:
    return endpoint.replace_strict(
        {e.value: e.unchanged for e in Endpoint}, default=None, return_dtype=pl.String
    ).alias("reason")


def windows(part: Part) -> Iterator[Difference]:
    """Windows end with the answer, are as long as they say, and gaps are what lies before."""
    start, end, gap = (pl.col(n) for n in ("window_start", "window_end", "gap_minutes"))
    observes = _SUCCESS & _IS_CHECK
    length = pl.duration(minutes=pl.col("max_age_minutes"))
    before = -((pl.col("last_observed_at") - start).dt.total_microseconds() // _MINUTE)
    missed = pl.when(observes).then(before.clip(lower_bound=0))
    faults = {
        "a window though they have observed nothing, or none though they have": observes
        != (start.is_not_null() & end.is_not_null()),
        "a window that does not end with the answer": observes & (end != pl.col("responded_at")),
        "a window of another length than max_age_minutes": observes & (end - start != length),
        "another gap than their window leaves": gap.ne_missing(missed),
    }
    yield from _counted(part, part.lookups, faults)


def contradictions(part: Part) -> Iterator[Difference]:
    """Checks and dates contradict each other where they say so, and nowhere else."""
    joined = part.lookups.join(_dates(part), on=["e164", "endpoint"], how="left")
    asked = _SUCCESS & (pl.col("source") == Source.ASKED.value) & pl.col("said").is_not_null()
    tolerance = pl.duration(seconds=TOLERANCE_SECONDS)
    inside = (pl.col("date") - pl.col("window_start")).fill_null(pl.duration(weeks=-100_000))
    later = pl.col("responded_at") - pl.col("date_at") > tolerance
    recent = pl.col("responded_at") - pl.col("date") <= tolerance
    found = pl.when(inside >= -tolerance).then(statement=False).when(~later).then(statement=True)
    none = pl.when((inside <= tolerance) | recent).then(statement=False).otherwise(statement=True)
    right = pl.when(asked).then(pl.when("swapped").then(found).otherwise(none))
    faults = {"another word on contradictions": pl.col("contradiction").ne_missing(right)}
    yield from _counted(part, joined, faults)


def _dates(part: Part) -> pl.DataFrame:
    """The dates that were asked: number and check → what was said, the date, and when."""
    asked = _SUCCESS & _IS_DATE & (pl.col("source") == Source.ASKED.value)
    return (
        part.lookups.filter(asked)
        .select(
            "e164",
            pl.col("endpoint").replace_strict(_SIGNALS, return_dtype=pl.String),
            said="latest_change",
            date="latest_change_at",
            date_at="responded_at",
        )
        .unique(["e164", "endpoint"], keep="first")
    )


def _counted(part: Part, frame: pl.DataFrame, faults: dict[str, pl.Expr]) -> Iterator[Difference]:
    for fault, claim in faults.items():
        rows: int = frame.select(claim.sum()).item()
        if rows:
            yield Difference(part.names[LOOKUPS], f"{rows:,} lookups have {fault}")
