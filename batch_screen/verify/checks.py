"""Checks of one part: rules within its tables and between them.

A rule is an expression over one view of the part that is true for the rows that break it; the
rules of a view are counted in one pass. Written apart from what wrote the columns
(``engine.dependencies``, ``tables.results``), whose mistakes it should not repeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl
from polars import col

from batch_screen.model import (
    LONGEST_WINDOW_MINUTES,
    NOT_NEEDED,
    SPARED,
    AnswerSource,
    Endpoint,
    LatestChange,
    OutcomeKind,
)
from batch_screen.planning.shards import shard_of
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS, TABLES
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.schema import (
    NUMBER_ID,
    RISK,
    keyed_by,
    number_column,
    results,
    results_groups,
)
from batch_screen.tables.errors import FAILURE_DETAIL
from batch_screen.tables.integrity import Difference
from batch_screen.tables.reader import Part
from batch_screen.tables.results import TOLERANCE_SECONDS, with_risk


@dataclass(frozen=True, eq=False)
class VerifyRule:
    """A rule: rows of a view that are ``wrong``, and the text to report; ``{n}`` is their count.

    No number of a telephone is ever reported.
    """

    view: str
    fault: str
    wrong: pl.Expr


class PartCheck(NamedTuple):
    """A check made part by part, and the tables whose rows it examines."""

    name: str
    claim: str
    tables: tuple[str, ...]
    rules: Sequence[VerifyRule]


def broken(frame: pl.DataFrame, rules: Iterable[VerifyRule]) -> dict[VerifyRule, str]:
    """The rules that rows of the frame break, with the text to report."""
    listed = list(rules)
    if not listed:
        return {}
    # All rules of a view in one pass over it.
    counts = frame.select(rule.wrong.sum().alias(str(n)) for n, rule in enumerate(listed))
    return {
        rule: rule.fault.replace("{n}", f"{count:,}")
        for rule, count in zip(listed, counts.row(0), strict=True)
        if count
    }


def differences(
    checks: Sequence[PartCheck],
    part: Part,
    shards: int,
    endpoints: Sequence[str],
    number: str = "e164",
) -> Iterator[tuple[str, Difference]]:
    """The differences in a part, each with the name of its check.

    ``number`` is the column that the run's tables are keyed by.
    """
    rules = [rule for check in checks for rule in check.rules]
    found: dict[VerifyRule, str] = {}
    for view, frame in _views(part, shards, endpoints, number):
        found |= broken(frame, (rule for rule in rules if rule.view == view))
    for check in checks:
        for rule in check.rules:
            if rule in found:
                where = part.names[_TABLE_OF.get(rule.view, LOOKUPS)]
                yield check.name, Difference(where, found[rule])


# Views beside the three tables, in which a rule sees what two of them say.
_TWICE, _LACKING, _EXTRA, _UNFOUNDED = "twice", "lacking", "extra", "unfounded"
_LISTED, _UNLISTED, _UNKNOWN = "listed", "unlisted", "unknown"
_TABLE_OF = {
    **dict.fromkeys([RESULTS, *(endpoint.value for endpoint in Endpoint)], RESULTS),
    **dict.fromkeys([ERRORS, _LISTED, _UNLISTED, _UNKNOWN], ERRORS),
}
"""View → the table whose file a difference names; ``lookups`` for all others."""
# The wording of remedies is not compared: a later version may know a better one.
_SHARED = ("endpoint", "reason", "detail", "http_status", "code", "attempts")

_E164 = r"^\+[1-9]\d{5,14}$"
_ID = r"^[0-9a-f]{32}$"
_DIGITS = {"e164": r"^\+\d{5,15}$", NUMBER_ID.name: _ID}
"""What has a shard, by the column of numbers; all else is reported as no number or no id."""

_MINUTE = 60_000_000

_SUCCESS = col.outcome == OutcomeKind.SUCCESS.value
_SKIPPED = col.outcome == OutcomeKind.SKIPPED.value
_SPARED = _SKIPPED & col.reason.is_in([*SPARED]).fill_null(value=False)
_ASKED = col.source == AnswerSource.ASKED.value
_DERIVED = col.source == AnswerSource.DERIVED.value
_REUSED = col.source == AnswerSource.REUSED.value
_CARRIED = col.source == AnswerSource.CARRIED.value
_ONCE_ASKED = _ASKED | _CARRIED
_IS_DATE = col.endpoint.is_in([e.value for e in Endpoint if e.answers_date])
_IS_CHECK = col.endpoint.is_in([e.value for e in Endpoint if e.takes_max_age])
_IS_FORWARDING = col.endpoint == Endpoint.CALL_FORWARDING_CHECK.value


def _views(
    part: Part, shards: int, endpoints: Sequence[str], number: str
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Every view of a part, one at a time, to bound memory."""
    key, shared = [number, "endpoint"], [number, *_SHARED]
    lookups, numbers = part.lookups, part.results.select(number).unique()
    sound = pl.when(col(number).str.contains(_DIGITS[number])).then(col(number))
    is_elsewhere = shard_of(sound, part.shards or shards) != part.number
    risk = with_risk(part.results).select(col([c.name for c in RISK]).name.prefix("right_"))
    yield RESULTS, part.results.hstack(risk).with_columns(is_elsewhere=is_elsewhere)
    for endpoint in Endpoint:
        group = results_groups(endpoint)
        answers = lookups.filter(col.endpoint == endpoint.value).select(number, *group)
        # A lookup that stands there twice is a fault of its own; here it must not make more rows.
        right = answers.unique(number, keep="first")
        published = part.results.select(number, *(column.name for column in group.values()))
        yield endpoint.value, published.join(right, on=number, how="left")
    yield LOOKUPS, lookups.join(_dates(lookups, key), on=key, how="left")
    # Endpoint by endpoint: joins and counts by one key take a quarter of the time of those by two.
    yield _TWICE, lookups.group_by("endpoint").agg(twice=pl.len() - col(number).n_unique())
    for name in endpoints:
        asked = lookups.filter(col.endpoint == name).select(number)
        yield f"{_LACKING} {name}", numbers.join(asked, on=number, how="anti")
    yield _EXTRA, lookups.select(key).join(numbers, on=number, how="anti").unique()
    yield _UNFOUNDED, _skipped_unfounded(lookups, number)
    listed = part.errors.filter(col.kind == "failure").select(shared)
    failed = lookups.filter(~_SUCCESS & ~_SPARED).select(
        *key, "http_status", "code", "attempts", reason="outcome", detail=FAILURE_DETAIL
    )
    yield ERRORS, part.errors
    yield _LISTED, listed
    yield _UNLISTED, failed.join(listed, on=shared, how="anti", nulls_equal=True)
    yield _UNKNOWN, listed.join(failed, on=shared, how="anti", nulls_equal=True)


def _dates(lookups: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The dates asked: number and check → status, date, and when it was answered."""
    checks = {e.value: e.check.value for e in Endpoint}
    asked = lookups.filter(_SUCCESS & _IS_DATE & _ONCE_ASKED).select(
        key[0],
        col.endpoint.replace_strict(checks, return_dtype=pl.String),
        said="latest_change",
        date="latest_change_at",
        date_at="responded_at",
    )
    return asked.unique(key, keep="first")


def _skipped_unfounded(lookups: pl.DataFrame, number: str) -> pl.DataFrame:
    """Lookups skipped as unchanged although the number's other signal does not say so."""
    # A reason names the signal that had not changed: every endpoint of it can found the skip.
    unchanged = {e.value: e.unchanged for e in Endpoint}
    is_known = (~col.swapped) | (~col.active) | (col.latest_change == LatestChange.REPORTED.value)
    without = lookups.filter(_SUCCESS & is_known).select(
        number, reason=col.endpoint.replace_strict(unchanged, default=None, return_dtype=pl.String)
    )
    skipped = lookups.filter(_SKIPPED & col.reason.is_in([r for r in SPARED if r != NOT_NEEDED]))
    return skipped.join(without, on=[number, "reason"], how="anti")


_CLAIMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "readable": ("rows can be read", TABLES),
    "required": ("rows of this run, with every required value", TABLES),
    "placing": ("rows of results in the part their number belongs to", (RESULTS,)),
    "lookups": ("lookups: every number of results once at every endpoint", (LOOKUPS,)),
    "values": ("lookups with a value where there is success, and nowhere else", (LOOKUPS,)),
    "sources": ("lookups: asked, derived, reused or skipped, as recorded", (LOOKUPS,)),
    "windows": ("lookups: windows and gaps match their times", (LOOKUPS,)),
    "conflicts": ("lookups: checks compared with dates", (LOOKUPS,)),
    "enrichment": ("rows of results with the values of their lookups", (RESULTS,)),
    "risk": ("rows of results with the ages and flags of their dates and checks", (RESULTS,)),
    "failures": ("errors: the rejects and the lookups without success", (ERRORS,)),
}
"""Check → its claim, and the tables it examines; unreadable rows fail the first."""


def part_checks(
    run_id: str, endpoints: Sequence[str], id_key: str | None = None
) -> tuple[PartCheck, ...]:
    """The part-by-part checks of a run with these endpoints, in the order of the report."""
    rules: dict[str, Sequence[VerifyRule]] = {
        "required": [*_complete(run_id, id_key)],
        "placing": [
            VerifyRule(RESULTS, "{n} rows whose number belongs to another part", col.is_elsewhere)
        ],
        "lookups": _once_each(endpoints),
        "values": _lookups_have(_OUTCOME | (_ID_FORM if id_key else _NUMBER_FORM) | _VALUES),
        "sources": [
            *_lookups_have(_SOURCES),
            VerifyRule(
                _UNFOUNDED,
                "{n} lookups were skipped as unchanged, though nothing says so",
                pl.len(),
            ),
        ],
        "windows": _lookups_have(_WINDOWS),
        "conflicts": _lookups_have({"a wrong contradiction": _CONTRADICTION}),
        "enrichment": [
            VerifyRule(
                endpoint.value,
                f"{column.name} differs from lookups in {{n}} rows",
                col(column.name).ne_missing(col(name)),
            )
            for endpoint in Endpoint
            for name, column in results_groups(endpoint).items()
        ],
        "risk": [
            VerifyRule(
                RESULTS,
                f"{c.name} does not follow from its columns in {{n}} rows",
                col(c.name).ne_missing(col(f"right_{c.name}")),
            )
            for c in RISK
        ],
        "failures": _failures(number_column(id_key)),
    }
    return tuple(PartCheck(name, *claim, rules.get(name, ())) for name, claim in _CLAIMS.items())


def _complete(run_id: str, id_key: str | None) -> Iterator[VerifyRule]:
    """Required columns have no nulls, and every row names the run; with ids, no row a number."""
    columns = {RESULTS: results({}), LOOKUPS: LOOKUP_COLUMNS, ERRORS: ERROR_COLUMNS}
    for table, contract in columns.items():
        wanted = keyed_by(contract, id_key)
        if id_key:
            fault = "{n} rows with a number, though ids stand for numbers"
            yield VerifyRule(table, fault, col.e164.is_not_null())
        for c in (c for c in wanted if c.required):
            fault = f"{{n}} rows without {c.name}, which is required"
            yield VerifyRule(table, fault, col(c.name).is_null())
        yield VerifyRule(table, "{n} rows name another run", col.run_id != run_id)


def _once_each(endpoints: Sequence[str]) -> list[VerifyRule]:
    """Every number of results has one lookup at every endpoint, and no other has one."""
    rules = [VerifyRule(_TWICE, "{n} lookups are listed twice", col.twice)]
    for name in endpoints:
        lacking = f"{{n}} numbers of results lack a lookup of {name}"
        extra = f"{{n}} lookups of {name} for numbers not in results"
        rules.append(VerifyRule(f"{_LACKING} {name}", lacking, pl.len()))
        rules.append(VerifyRule(_EXTRA, extra, col.endpoint == name))
    unasked = "{n} lookups at an endpoint the run did not ask"
    return [*rules, VerifyRule(LOOKUPS, unasked, ~col.endpoint.is_in([*endpoints]))]


def _lookups_have(faults: Mapping[str, pl.Expr]) -> list[VerifyRule]:
    return [
        VerifyRule(LOOKUPS, f"{{n}} lookups have {fault}", wrong) for fault, wrong in faults.items()
    ]


_OWN_VALUE = (
    pl.when(_IS_DATE)
    .then(col.latest_change.is_not_null())
    .when(_IS_FORWARDING)
    .then(col.active.is_not_null())
    .otherwise(col.swapped.is_not_null())
)
_ANY_VALUE = pl.any_horizontal(
    col("swapped", "active", "latest_change", "latest_change_at").is_not_null()
)
_OUTCOME = {"an unknown outcome": ~col.outcome.is_in([kind.value for kind in OutcomeKind])}
_NUMBER_FORM = {"a number that is not E.164": ~col.e164.str.contains(_E164)}
_ID_FORM = {"an id that is not 32 hexadecimal digits": ~col(NUMBER_ID.name).str.contains(_ID)}
_VALUES = {
    "a value though they are no success": ~_SUCCESS & _ANY_VALUE,
    "success and no value": _SUCCESS & ~_OWN_VALUE,
    "a window though none is taken, or none though one is": ~_SPARED
    & (col.max_age_minutes.is_not_null() != _IS_CHECK),
    "more refusals than attempts": col.refusals > col.attempts,
}

_IS_EARLIER = (_REUSED | _CARRIED).fill_null(value=False)
_HAS_EARLIER = col.source_run_id.is_not_null()
_NOT_ASKED = _DERIVED.fill_null(value=False) | _IS_EARLIER | _SPARED
# A derived answer stands on the date beside it, which must itself have been asked and reported.
_HAS_DATE = (col.said == LatestChange.REPORTED.value).fill_null(value=False)
_AGE = (col.date_at - col.date).dt.total_microseconds()
_IS_WITHIN = col.max_age_minutes.cast(pl.Int64) * _MINUTE >= _AGE
_SOURCES = {
    "an unknown source": ~col.source.is_in([*AnswerSource]),
    "a source though they were skipped, or none though they were not": col.source.is_null()
    != _SKIPPED,
    "requests though they were not asked": _NOT_ASKED & (col.attempts > 0),
    "no success though they were derived or reused": (_DERIVED | _REUSED) & ~_SUCCESS,
    "an earlier run though they were not reused, or none though they were": _HAS_EARLIER
    != _IS_EARLIER,
    "this run as the earlier one": col.source_run_id == col.run_id,
    "reuse of what is true of one instant": _REUSED & _IS_FORWARDING,
    "a derivation that no date allows": _DERIVED & ~_IS_CHECK,
    "not_needed though they are no dates": _SPARED & (col.reason == NOT_NEEDED) & ~_IS_DATE,
    "a window longer than the API takes": _ONCE_ASKED
    & (col.max_age_minutes > LONGEST_WINDOW_MINUTES),
    "been derived, though no date of theirs was reported": _DERIVED & ~_HAS_DATE,
    "another value than their date says": _DERIVED & _HAS_DATE & (col.swapped != _IS_WITHIN),
    "another time than the date they come from": _DERIVED
    & _HAS_DATE
    & (col.responded_at != col.date_at),
}

_OBSERVES = _SUCCESS & _IS_CHECK
_HAS_WINDOW = col.window_start.is_not_null() & col.window_end.is_not_null()
_LENGTH = pl.duration(minutes=col.max_age_minutes)
# Begun minutes: negated before the floor and after it, the division rounds up.
_UNSEEN = -((col.last_observed_at - col.window_start).dt.total_microseconds() // _MINUTE)
_WINDOWS = {
    "a window though they have observed nothing, or none though they have": _OBSERVES
    != _HAS_WINDOW,
    "a window that does not end with the answer": _OBSERVES & (col.window_end != col.responded_at),
    "a window of another length than max_age_minutes": _OBSERVES
    & (col.window_end - col.window_start != _LENGTH),
    "another gap than their window leaves": col.gap_minutes.ne_missing(
        pl.when(_OBSERVES).then(_UNSEEN.clip(lower_bound=0))
    ),
}


def _contradiction() -> pl.Expr:
    """Whether ``contradiction`` is other than check and date, both asked, make it."""
    # Within the tolerance both may be true: clocks and roundings differ.
    tolerance = pl.duration(seconds=TOLERANCE_SECONDS)
    # Where no date was reported, the change lies before every window.
    inside = (col.date - col.window_start).fill_null(pl.duration(weeks=-100_000))
    later = col.responded_at - col.date_at > tolerance
    recent = col.responded_at - col.date <= tolerance
    # A check that came later may have seen a change since the date was asked: then null.
    swapped = pl.when(inside >= -tolerance).then(statement=False).when(~later).then(statement=True)
    not_swapped = pl.when((inside <= tolerance) | recent).then(statement=False)
    right = pl.when("swapped").then(swapped).otherwise(not_swapped.otherwise(statement=True))
    return col.contradiction.ne_missing(
        pl.when(_SUCCESS & _ONCE_ASKED & col.said.is_not_null()).then(right)
    )


_CONTRADICTION = _contradiction()


def _shape(kind: str, there: Sequence[str], absent: Sequence[str]) -> pl.Expr:
    """Whether an error is of this kind, with the columns of its kind and not the other's."""
    named = [col(name).is_not_null() for name in there], [col(name).is_null() for name in absent]
    return (col.kind == kind) & pl.all_horizontal(*named[0], *named[1])


_OF_REJECTS = ("row_index", "source_file", "source_row", "phone_column")


def _failures(number: str) -> tuple[VerifyRule, ...]:
    of_failures = (number, "endpoint", "attempts")
    is_shaped = _shape("reject", _OF_REJECTS, of_failures) | _shape(
        "failure", of_failures, _OF_REJECTS
    )
    repeated = pl.len() - pl.struct(number, *_SHARED).n_unique()
    return (
        VerifyRule(_UNLISTED, "{n} failed lookups are not listed as they are in lookups", pl.len()),
        VerifyRule(_UNKNOWN, "{n} failures are not in lookups as they are listed", pl.len()),
        VerifyRule(_LISTED, "{n} failures are listed twice", repeated),
        VerifyRule(ERRORS, "{n} rows are neither a reject nor a failure", ~is_shaped),
    )
