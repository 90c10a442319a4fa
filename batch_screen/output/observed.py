"""What a shard's outcomes say of time: windows, gaps, and where check and date contradict.

A pure function of the outcomes. A window ends when the answer arrived: the margin of the next
one, a minute at least, covers the seconds that the request took.
"""

from __future__ import annotations

import polars as pl

from batch_screen.model import Endpoint, LatestChange, OutcomeKind, Source
from batch_screen.schema import LOOKUP, OBSERVED, conform

TOLERANCE_SECONDS = 120
"""A check and a date that differ by less may both be true: clocks and roundings differ."""

_MICROSECONDS = 60_000_000
_CHECKS = [e.value for e in Endpoint if e.takes_max_age]
_CHECK_OF = {e.value: e.check.value for e in Endpoint if e.answers_date}


def observed(outcomes: pl.DataFrame) -> pl.DataFrame:
    """The outcomes (``schema.LOOKUP``) with the columns ``schema.OBSERVED``, in their order."""
    has_window = pl.col("endpoint").is_in(_CHECKS) & _is_success()
    windows = outcomes.with_columns(
        window_start=pl.when(has_window).then(
            pl.col("responded_at") - pl.duration(minutes=pl.col("max_age_minutes"))
        ),
        window_end=pl.when(has_window).then(pl.col("responded_at")),
    ).with_columns(gap_minutes=_gap_minutes())
    return conform(_with_contradictions(windows), (*LOOKUP, *OBSERVED))


def _gap_minutes() -> pl.Expr:
    """Begun minutes: nothing that was missed is rounded away."""
    missed = (pl.col("window_start") - pl.col("last_observed_at")).dt.total_microseconds()
    begun = (missed + _MICROSECONDS - 1).floordiv(_MICROSECONDS)
    return begun.clip(lower_bound=0).cast(pl.Int32)


def _with_contradictions(outcomes: pl.DataFrame) -> pl.DataFrame:
    """Compares each check with the date of the same signal, where both were asked."""
    is_asked = _is_success() & (pl.col("source") == Source.ASKED.value)
    dates = outcomes.filter(is_asked & pl.col("endpoint").is_in([*_CHECK_OF])).select(
        "e164",
        pl.col("endpoint").replace_strict(_CHECK_OF, return_dtype=pl.String),
        _said=pl.col("latest_change"),
        _date=pl.col("latest_change_at"),
        _date_at=pl.col("responded_at"),
    )
    if dates.is_empty():
        return outcomes.with_columns(contradiction=pl.lit(None, pl.Boolean))
    joined = outcomes.join(dates, on=["e164", "endpoint"], how="left", maintain_order="left")
    return joined.with_columns(
        contradiction=pl.when(is_asked & pl.col("_said").is_not_null()).then(
            pl.when("swapped").then(_denied()).otherwise(_missed())
        )
    )


def _denied() -> pl.Expr:
    """The check found a change, the date knows none in its window.

    Null where the check came so much later that the change may lie between the two.
    """
    tolerance = pl.duration(seconds=TOLERANCE_SECONDS)
    none = pl.col("_said") == LatestChange.NONE_REPORTED.value
    is_older = pl.col("_date") < pl.col("window_start") - tolerance
    is_beside = pl.col("responded_at") - pl.col("_date_at") <= tolerance
    is_denied = none | is_older.fill_null(value=False)
    return pl.when(~is_denied | is_beside).then(is_denied)


def _missed() -> pl.Expr:
    """The date lies well within the window, and the check has found nothing."""
    tolerance = pl.duration(seconds=TOLERANCE_SECONDS)
    after = pl.col("_date") > pl.col("window_start") + tolerance
    before = pl.col("_date") < pl.col("responded_at") - tolerance
    return (after & before).fill_null(value=False)


def _is_success() -> pl.Expr:
    return pl.col("outcome") == OutcomeKind.SUCCESS.value
