"""What the tables of one part must say of themselves and of each other.

Each function yields one line per kind of difference, with table and count; no number is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.schema import RISK, Column, results, results_groups
from batch_screen.tables.integrity import Difference
from batch_screen.tables.reader import Part
from batch_screen.tables.results import TOLERANCE_SECONDS, with_risk

_E164 = r"^\+[1-9]\d{5,14}$"
_VALUES = ("swapped", "active", "latest_change", "latest_change_at")
_OF_REJECTS = ("row_index", "source_file", "source_row")
_OF_FAILURES = ("e164", "endpoint", "attempts")
# The wording of remedies is not compared: a later version may know a better one.
_SHARED = ("e164", "endpoint", "reason", "detail", "http_status", "code", "attempts")


def required(part: Part, run_id: str) -> Iterator[Difference]:
    """Required columns hold no null, and every row is this run's."""
    columns = {RESULTS: results({}), LOOKUPS: LOOKUP_COLUMNS, ERRORS: ERROR_COLUMNS}
    for table, frame in part.frames():
        where = part.names[table]
        yield from (Difference(where, what) for what in _nulls(frame, columns[table]))
        strange = _count(frame, pl.col("run_id") != run_id)
        if strange:
            yield Difference(where, f"{strange:,} rows name another run")


def _nulls(frame: pl.DataFrame, columns: tuple[Column, ...]) -> Iterator[str]:
    for column in columns:
        empty = frame[column.name].null_count() if column.required else 0
        if empty:
            yield f"{empty:,} rows without {column.name}, which is required"


def lookups(part: Part, endpoints: Sequence[str]) -> Iterator[Difference]:
    """Each number of results has one lookup at each endpoint, and no other number has any."""
    where = part.names[LOOKUPS]
    twice = part.lookups.height - part.lookups.select("e164", "endpoint").n_unique()
    if twice:
        yield Difference(where, f"{twice:,} lookups stand there twice")
    numbers = part.results.select("e164").unique()
    for endpoint in endpoints:
        asked = part.lookups.filter(pl.col("endpoint") == endpoint).select("e164").unique()
        lacking = numbers.join(asked, on="e164", how="anti").height
        if lacking:
            yield Difference(where, f"{lacking:,} numbers of results lack a lookup of {endpoint}")
        extra = asked.join(numbers, on="e164", how="anti").height
        if extra:
            yield Difference(where, f"{extra:,} lookups of {endpoint} for numbers not in results")
    strange = _count(part.lookups, ~pl.col("endpoint").is_in(list(endpoints)))
    if strange:
        yield Difference(where, f"{strange:,} lookups at an endpoint the run did not ask")


def values(part: Part) -> Iterator[Difference]:
    """A success has its endpoint's value; whatever has no success has none: unknown, not safe."""
    kinds = [kind.value for kind in OutcomeKind]
    success = pl.col("outcome") == OutcomeKind.SUCCESS.value
    faults = {
        "an outcome nobody knows": ~pl.col("outcome").is_in(kinds),
        "a number that is not E.164": ~pl.col("e164").str.contains(_E164),
        "a value though they are no success": ~success
        & pl.any_horizontal(pl.col(name).is_not_null() for name in _VALUES),
        "success and no value": success & ~_has_value(),
        "a window though none is taken, or none though one is": ~_is_spared()
        & (_takes_window() != pl.col("max_age_minutes").is_not_null()),
        "more refusals than attempts": pl.col("refusals") > pl.col("attempts"),
    }
    for fault, claim in faults.items():
        rows = _count(part.lookups, claim)
        if rows:
            yield Difference(part.names[LOOKUPS], f"{rows:,} lookups have {fault}")


def _has_value() -> pl.Expr:
    """Whether the endpoint's own value is there."""
    endpoint = pl.col("endpoint")
    dated = endpoint.is_in([e.value for e in Endpoint if e.answers_date])
    forwarding = endpoint == Endpoint.CALL_FORWARDING_CHECK.value
    named = pl.when(dated).then(pl.col("latest_change").is_not_null())
    return (
        named.when(forwarding)
        .then(pl.col("active").is_not_null())
        .otherwise(pl.col("swapped").is_not_null())
    )


def _is_spared() -> pl.Expr:
    """Whether a lookup was skipped by a plan, which is no failure."""
    skipped = pl.col("outcome") == OutcomeKind.SKIPPED.value
    return skipped & pl.col("reason").is_in([*SPARED]).fill_null(value=False)


def _takes_window() -> pl.Expr:
    return pl.col("endpoint").is_in([e.value for e in Endpoint if e.takes_max_age])


def enrichment(part: Part) -> Iterator[Difference]:
    """Every row of results has the values of its number's lookups, and null where none was made.

    Written apart from ``tables.results``, whose mistakes it should not repeat.
    """
    for endpoint in Endpoint:
        group = results_groups(endpoint)
        answers = part.lookups.filter(pl.col("endpoint") == endpoint.value)
        # Twice asked is a difference of its own; here it must not make more rows.
        right = answers.select("e164", *group).unique("e164", keep="first")
        published = {column.name: name for name, column in group.items()}
        joined = part.results.select("e164", *published).join(right, on="e164", how="left")
        for column, name in published.items():
            rows = _count(joined, pl.col(column).ne_missing(pl.col(name)))
            if rows:
                yield Difference(
                    part.names[RESULTS], f"{column} differs from lookups in {rows:,} rows"
                )


def risk(part: Part) -> Iterator[Difference]:
    """The risk view is what its row's dates and checks make it."""
    right = with_risk(part.results)
    for column in RISK:
        rows = (part.results[column.name].ne_missing(right[column.name])).sum()
        if rows:
            yield Difference(
                part.names[RESULTS],
                f"{column.name} is not what its columns make it in {rows:,} rows",
            )


def errors(part: Part) -> Iterator[Difference]:
    """The errors are the failed lookups, each once, and rejects that name their row."""
    where = part.names[ERRORS]
    listed = part.errors.filter(pl.col("kind") == "failure").select(_SHARED)
    lacking = (pl.col("outcome") != OutcomeKind.SUCCESS.value) & ~_is_spared()
    failed = part.lookups.filter(lacking).select(
        *(name for name in _SHARED if name not in ("reason", "detail")),
        reason=pl.col("outcome"),
        detail=pl.coalesce("reason", "message"),
    )
    unlisted = failed.join(listed, on=_SHARED, how="anti", nulls_equal=True).height
    if unlisted:
        yield Difference(
            where, f"{unlisted:,} failed lookups are not listed as they are in lookups"
        )
    unfounded = listed.join(failed, on=_SHARED, how="anti", nulls_equal=True).height
    if unfounded:
        yield Difference(where, f"{unfounded:,} failures are not in lookups as they are listed")
    twice = listed.height - listed.n_unique()
    if twice:
        yield Difference(where, f"{twice:,} failures stand there twice")
    misshapen = _count(part.errors, ~_is_reject() & ~_is_failure())
    if misshapen:
        yield Difference(where, f"{misshapen:,} rows are neither a reject nor a failure")


def _is_reject() -> pl.Expr:
    return (pl.col("kind") == "reject") & _only(_OF_REJECTS, _OF_FAILURES)


def _is_failure() -> pl.Expr:
    return (pl.col("kind") == "failure") & _only(_OF_FAILURES, _OF_REJECTS)


def _only(there: Sequence[str], absent: Sequence[str]) -> pl.Expr:
    return pl.all_horizontal(
        *(pl.col(name).is_not_null() for name in there),
        *(pl.col(name).is_null() for name in absent),
    )


def _count(frame: pl.DataFrame, claim: pl.Expr) -> int:
    """Rows for which the claim is true; unknown is not."""
    rows: int = frame.select(claim.sum()).item()
    return rows


# What lookups must say of where they come from, of their windows, and of contradictions.
#
# As above: one line per kind of difference. Written apart from what wrote the columns
# (``engine.dependencies``, ``tables.results``), whose mistakes it should not repeat.

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
