"""The results table: a shard's rows with outcomes, observation times and risk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import polars as pl

from batch_screen.model import AnswerSource, Endpoint, LatestChange, OutcomeKind
from batch_screen.schema import (
    KEPT_PREFIX,
    LOOKUP,
    OBSERVED,
    RISK,
    conform,
    results,
    results_groups,
)

# What a shard's outcomes say of time: windows, gaps, and where check and date contradict.
#
# A pure function of the outcomes. A window ends when the answer arrived: the margin of the next
# one, a minute at least, covers the seconds that the request took.

TOLERANCE_SECONDS = 120
"""A check and a date that differ by less are no contradiction: clocks and roundings differ."""

_MICROSECONDS = 60_000_000
_CHECKS = [e.value for e in Endpoint if e.takes_max_age]
_CHECK_OF = {e.value: e.check.value for e in Endpoint if e.answers_date}


def observed(outcomes: pl.DataFrame) -> pl.DataFrame:
    """The outcomes (``schema.LOOKUP``) with the columns ``schema.OBSERVED``, in their order."""
    has_window = pl.col("endpoint").is_in(_CHECKS) & _is_success()
    missed = (pl.col("window_start") - pl.col("last_observed_at")).dt.total_microseconds()
    # Begun minutes: nothing that was missed is rounded away.
    gap = (missed + _MICROSECONDS - 1).floordiv(_MICROSECONDS).clip(lower_bound=0)
    windows = outcomes.with_columns(
        window_start=pl.when(has_window).then(
            pl.col("responded_at") - pl.duration(minutes=pl.col("max_age_minutes"))
        ),
        window_end=pl.when(has_window).then(pl.col("responded_at")),
    ).with_columns(gap_minutes=gap.cast(pl.Int32))
    return conform(_with_contradictions(windows), (*LOOKUP, *OBSERVED))


def _with_contradictions(outcomes: pl.DataFrame) -> pl.DataFrame:
    """Compares each check with the date of the same signal, where both were asked."""
    # One of a superseded run was asked too; what was reused may have been derived.
    asked = [AnswerSource.ASKED.value, AnswerSource.CARRIED.value]
    is_asked = _is_success() & pl.col("source").is_in(asked)
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
    """The check found a change, the date has none in its window.

    Null where the check came so much later that the change may lie between the two.
    """
    tolerance = pl.duration(seconds=TOLERANCE_SECONDS)
    none = pl.col("_said") == LatestChange.NONE_REPORTED.value
    is_older = pl.col("_date") < pl.col("window_start") - tolerance
    is_beside = pl.col("responded_at") - pl.col("_date_at") <= tolerance
    is_denied = none | is_older.fill_null(value=False)
    return pl.when(~is_denied | is_beside).then(is_denied)


def _missed() -> pl.Expr:
    """The date lies well within the window, but the check found nothing."""
    tolerance = pl.duration(seconds=TOLERANCE_SECONDS)
    after = pl.col("_date") > pl.col("window_start") + tolerance
    before = pl.col("_date") < pl.col("responded_at") - tolerance
    return (after & before).fill_null(value=False)


def _is_success() -> pl.Expr:
    return pl.col("outcome") == OutcomeKind.SUCCESS.value


# The bands of an age, as the signals' standard speaks of them: names and limits alone.

RECENT_HOURS = 7 * 24
"""A change is recent below this age."""

BANDS = {
    "<4h": 4,
    "<12h": 12,
    "<1d": 24,
    "<2d": 2 * 24,
    "<5d": 5 * 24,
    "<7d": 7 * 24,
    "<14d": 14 * 24,
    "<30d": 30 * 24,
    "<60d": 60 * 24,
    "<90d": 90 * 24,
    "<180d": 180 * 24,
    "<1y": 365 * 24,
    "<2y": 2 * 365 * 24,
    "<3y": 3 * 365 * 24,
}
"""Age bands, as discussed for the standard, each with the hours below which it ends."""

OLDEST = "3y+"
NAMES = (*BANDS, OLDEST)
"""All bands, the youngest first."""

RECENT = frozenset(name for name, hours in BANDS.items() if hours <= RECENT_HOURS)
"""The bands of recent changes."""


# The risk view: the age of the latest change, the standard's bands, and simple flags.
#
# Pure expressions over the columns of results, the same for every row: ``RISK_VERSION`` stands
# beside them and rises with any change of a rule. A flag is true, false or null: unknown, and
# false only where an answer rules the claim out.

RISK_VERSION = 1
AHEAD_HOURS = 24
"""Clocks and time zones differ: a date so little after its answer counts as the answer's moment.
What lies further ahead is no date of a change."""

UNKNOWN = "unknown"

_HOUR_US = 3_600_000_000
_HOUR_DIGITS = 4  # a third of a second
_SIM = (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE)
_DEVICE = (Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE)
_COUNTED = [column.name for column in RISK if not column.name.endswith("_hours")]
_FLAGS = [column.name for column in RISK if column.dtype == pl.Boolean]
_FLAG_VALUES = (True, False, None)


def with_risk(results: pl.DataFrame) -> pl.DataFrame:
    """The rows with the columns ``schema.RISK``, computed from their endpoints' groups."""
    sim, device = _is_recent(*_SIM), _is_recent(*_DEVICE)
    found = {
        "sim_change_age_hours": _hours(_SIM[1]),
        "sim_change_age_band": _band(_SIM[1]),
        "device_change_age_hours": _hours(_DEVICE[1]),
        "device_change_age_band": _band(_DEVICE[1]),
        "risk_sim_and_device_recent": sim & device,  # polars' and is three-valued
        "risk_sim_recent": sim,
        "risk_device_recent": device,
        "risk_forwarding_active": _of(Endpoint.CALL_FORWARDING_CHECK, "active"),
        "risk_version": pl.lit(RISK_VERSION),
    }
    return results.with_columns(found[c.name].cast(c.dtype).alias(c.name) for c in RISK)


def _of(endpoint: Endpoint, name: str) -> pl.Expr:
    return pl.col(f"{endpoint.column}_{name}")


def _age_us(date: Endpoint) -> pl.Expr:
    """Microseconds from the latest change to the answer; null where there is no date."""
    age = (_of(date, "responded_at") - _of(date, "latest_change_at")).dt.total_microseconds()
    return pl.when(age >= -AHEAD_HOURS * _HOUR_US).then(pl.max_horizontal(age, 0))


def _hours(date: Endpoint) -> pl.Expr:
    return (_age_us(date) / _HOUR_US).round(_HOUR_DIGITS)


def _band(date: Endpoint) -> pl.Expr:
    age = _age_us(date)
    within = [pl.when(age < hours * _HOUR_US).then(pl.lit(band)) for band, hours in BANDS.items()]
    return pl.coalesce(*within, pl.when(age.is_not_null()).then(pl.lit(OLDEST)))


def _is_recent(check: Endpoint, date: Endpoint) -> pl.Expr:
    """True if the date or the check says so; false only by an older date.

    That there was no swap in the window, at most 40 hours, does not rule out the days before it.
    """
    dated = _age_us(date) < RECENT_HOURS * _HOUR_US
    return pl.when(_of(check, "swapped")).then(True).otherwise(dated)  # noqa: FBT003 (a value)


def count_risk(tables: Iterable[pl.LazyFrame]) -> dict[str, dict[str, int]]:
    """Per risk column, the count of each value; null counts as ``UNKNOWN``."""
    # Sums, for grouping takes five times as long.
    flag_counts = [
        pl.col(flag).eq_missing(pl.lit(value, pl.Boolean)).sum().alias(f"{flag} {value}")
        for flag in _FLAGS
        for value in _FLAG_VALUES
    ]
    counted: dict[str, Counter[object]] = {name: Counter() for name in _COUNTED}
    for table in tables:
        flags = table.select(flag_counts).collect(engine="streaming").row(0, named=True)
        for name, values in counted.items():
            if name in _FLAGS:
                values.update({value: flags[f"{name} {value}"] for value in _FLAG_VALUES})
            else:
                found = table.group_by(name).agg(pl.len()).collect(engine="streaming")
                values.update(dict(found.iter_rows()))
    return {name: _named(+values) for name, values in counted.items()}


def _named(values: Mapping[object, int]) -> dict[str, int]:
    """The counts with JSON keys; bands from the newest on, unknown last.

    >>> _named({None: 1, "3y+": 2, "<4h": 3}), _named({False: 1, True: 2})
    ({'<4h': 3, '3y+': 2, 'unknown': 1}, {'true': 2, 'false': 1})
    """
    order = [*NAMES, "true", "false"]
    named = {UNKNOWN if v is None else str(v).lower(): rows for v, rows in values.items()}
    known = sorted(named.keys() - {UNKNOWN}, key=lambda n: (order.index(n) if n in order else 0, n))
    return {name: named[name] for name in (*known, *({UNKNOWN} & named.keys()))}


# Joins a shard's rows with its outcomes: same rows, same order, more columns.
#
# A pure function of two frames, so a report can be made again at any time.

_KEY = "_digits"


def enrich(rows: pl.DataFrame, outcomes: pl.DataFrame, run_id: str) -> pl.DataFrame:
    """The rows with groups of columns per endpoint and the risk, as ``schema.results`` has them.

    ``rows`` has the kept columns and ``schema.IDENTITY`` without the run; ``outcomes`` those of
    ``schema.LOOKUP`` and ``schema.OBSERVED``, at most one row per number and
    endpoint. A group is null only where its endpoint was not asked.
    """
    joined = rows.with_columns(_key(), run_id=pl.lit(run_id))
    for endpoint in Endpoint:
        names = {source: column.name for source, column in results_groups(endpoint).items()}
        asked = outcomes.filter(pl.col("endpoint") == endpoint.value)
        answered = asked.select(_key(), *names).rename(names)
        if answered.height:
            joined = joined.join(answered, on=_KEY, how="left", maintain_order="left")
    kept = {name: dtype for name, dtype in rows.schema.items() if name.startswith(KEPT_PREFIX)}
    return with_risk(conform(joined, results(kept)))


def _key() -> pl.Expr:
    """The number's digits: integers are joined in two thirds of the time."""
    return pl.col("e164").cast(pl.UInt64).alias(_KEY)
