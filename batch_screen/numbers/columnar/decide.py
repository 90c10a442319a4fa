"""Vectorised decision between readings: ``Normaliser``'s tables as expressions.

Every row takes a route: one of its own, or a rule by which its only reading counts. Rows with two
readings have the one dialled at home as n_…, the one dialled from abroad as i_….
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl
from phonenumbers import PhoneNumberType

from batch_screen.config.screening import Ambiguous, Numbers, Strictness
from batch_screen.model import ColumnKind
from batch_screen.numbers.columnar.clean import (
    count_of,
    first_of,
    masked,
    split,
    starts_with_zeros,
    ten_to,
    text_of,
    value_of,
)
from batch_screen.numbers.columnar.intervals import IntervalTable
from batch_screen.numbers.columnar.parse import DIALLED, read_columns
from batch_screen.numbers.columnar.plans import MOBILE_TYPES, anchored, territories
from batch_screen.numbers.parse import (
    E164,
    LONGEST_SHORT_CODE,
    TYPE_NAMES,
    UNKNOWN_TYPE,
    is_open_plan_with_trunk,
)
from batch_screen.numbers.rules import RejectReason, Rule


def dialled_out(both: pl.DataFrame) -> pl.DataFrame:
    """``normalise._double_zero`` for digits that start with a longer prefix, such as 0011."""
    c = pl.col
    is_dialled = c("n_failure").is_null() & c("n_has_idd")
    # In Hong Kong 0086131… loses its 008: then the digits behind 00 are another number.
    differs = c("i_failure").is_null() & (c("i_e164") != c("n_e164"))
    reason = (
        pl.when(~is_dialled.fill_null(value=False))
        .then(pl.lit(RejectReason.DOUBLE_ZERO.value))
        .when(differs.fill_null(value=False))
        .then(pl.lit(RejectReason.AMBIGUOUS.value))
    )
    return both.with_columns(reason=reason).select(
        "row",
        e164="n_e164",
        region="n_region",
        number_type="n_type",
        rule=pl.lit(Rule.INTERNATIONAL_IDD.value),
        reason="reason",
        detail=pl.when(c("reason") == RejectReason.AMBIGUOUS.value).then(_two_readings()),
    )


def weighed(both: pl.DataFrame, kind: ColumnKind) -> pl.DataFrame:
    """``Normaliser._weigh`` for digits that could start with a country code.

    ``both`` has the digits (``value`` and ``count``) and their ``home`` too.
    """
    c = pl.col
    # As in parse.is_weak_national: nothing was stripped where code and digits are the number.
    both = both.join(_plans(both["home"]), on="home", how="left").with_columns(
        is_weak=~c("n_type").is_in(MOBILE_TYPES)
        & c("is_open")
        & (value_of(c("n_e164")) == c("code") * ten_to(c("count")) + c("value"))
    )
    both = both.with_columns(takes_abroad=_takes_abroad()).with_columns(reason=_reason(kind))
    # Few are refused, and only they pay for the texts of a detail.
    refused, chosen = split(both, c("reason").is_not_null())
    is_missing = c("reason") == RejectReason.MISSING_AREA_CODE.value
    detail = (
        pl.when(c("reason") == RejectReason.AMBIGUOUS.value)
        .then(_two_readings())
        .when(is_missing & c("n_failure").is_null())
        .then(pl.format("read as {}", masked("n_e164")))
    )
    return pl.concat([_chosen(chosen, pl.lit(None, pl.String)), _chosen(refused, detail)])


def _chosen(both: pl.DataFrame, detail: pl.Expr) -> pl.DataFrame:
    """The chosen one of both readings, and its rule."""
    rule = (
        pl.when("takes_abroad")
        .then(pl.lit(Rule.DIGITS_INTERNATIONAL.value))
        .when("n_has_idd")
        .then(pl.lit(Rule.INTERNATIONAL_IDD.value))
        .otherwise(pl.lit(Rule.NATIONAL.value))
    )

    def chosen(name: str) -> pl.Expr:
        return pl.when("takes_abroad").then(f"i_{name}").otherwise(f"n_{name}")

    return both.select(
        "row",
        e164=chosen("e164"),
        region=chosen("region"),
        number_type=chosen("type"),
        rule=rule,
        reason="reason",
        detail=detail,
    )


def _takes_abroad() -> pl.Expr:
    """Whether the reading from abroad is chosen."""
    c = pl.col
    n_is, i_is = c("n_failure").is_null(), c("i_failure").is_null()
    n_valid = c("n_type") != UNKNOWN_TYPE
    is_mobile = c("i_type") == TYPE_NAMES[PhoneNumberType.MOBILE]
    # As in normalise._is_the_only_mobile.
    is_only_mobile = (
        ~c("n_type").is_in(MOBILE_TYPES)
        & c("i_type").is_in(MOBILE_TYPES)
        & (~n_valid | (c("is_weak") & is_mobile))
    )
    return i_is & (~n_is | (c("n_e164") == c("i_e164")) | is_only_mobile)


def _reason(kind: ColumnKind) -> pl.Expr:
    """Why neither reading is chosen; null where one is."""
    c = pl.col
    n_is, i_is = c("n_failure").is_null(), c("i_failure").is_null()
    missing = pl.lit(RejectReason.MISSING_AREA_CODE.value)
    # A country's own mobile number against digits that nobody abroad can have is no doubt:
    # otherwise every fifth American number would be rejected.
    is_doubtful = (c("i_type") != UNKNOWN_TYPE) | ~c("n_type").is_in(MOBILE_TYPES)
    is_local = c("is_weak") if kind is ColumnKind.TEXT else pl.lit(value=False)
    return (
        pl.when(c("n_failure") == missing)
        .then(missing)
        .when(~n_is & ~i_is)
        .then("n_failure")
        .when("takes_abroad")
        .then(None)
        .when(i_is & is_doubtful)
        .then(pl.lit(RejectReason.AMBIGUOUS.value))
        .when(is_local)
        .then(missing)
    )


def _plans(homes: pl.Series) -> pl.DataFrame:
    """Calling code and openness of the numbering plan of each home."""
    here = homes.unique().to_list()
    plans = [territories()[place] for place in here]
    return pl.DataFrame(
        {
            "home": here,
            "code": [plan.code for plan in plans],
            "is_open": [is_open_plan_with_trunk(plan.region) for plan in plans],
        },
        schema={"home": pl.UInt16, "code": pl.UInt64, "is_open": pl.Boolean},
    )


def _two_readings() -> pl.Expr:
    return pl.format("national {}, international {}", masked("n_e164"), masked("i_e164"))


NO_REGION, UNKNOWN_REGION = 65_535, 65_534
"""Homes that are no territory's place."""

# Routes: one of these, or from ``_FIRST_RULE`` on the rule by which a row's only reading counts.
_UNSURE, _UNKNOWN_REGION, _NO_REGION, _DOUBLE_ZERO, _SHORT, _SHORT_CODE = range(6)
_WEIGH, _WEIGH_ABROAD, _DIAL_OUT = range(6, 9)
_RULES = list(Rule)
_FIRST_RULE = 10
_ROUTE, _HOME = pl.col("route"), pl.col("home")
_VALUE, _COUNT = pl.col("value"), pl.col("count")
_STARTS_0, _STARTS_00 = (starts_with_zeros(_VALUE, _COUNT, zeros) for zeros in (1, 2))
_IS_READ = pl.col("reason").is_null()
_SHORT_CODES = IntervalTable(lambda place, length: territories()[place].short_codes(length))


class Decided(NamedTuple):
    """Decided rows in three frames.

    ``chosen``: row, e164, region, number_type, rule, all but region filled in; ``refused``: row,
    reason, detail; ``undecided``: row.
    """

    chosen: pl.DataFrame
    refused: pl.DataFrame
    undecided: pl.DataFrame


def decide(cells: pl.DataFrame, settings: Numbers, kind: ColumnKind) -> Decided:
    """Reads and decides rows of digits; what only ``Normaliser`` can decide stays undecided.

    ``cells`` has ``row``, ``value``, ``count``, ``has_plus`` and ``home``: the place of the
    territory to dial in, or one of ``NO_REGION`` and ``UNKNOWN_REGION``.
    """
    rows = cells.select("row", "value", "count", "home", route=_route(settings))
    doubtful, rows = split(rows, _is(_DOUBLE_ZERO))
    short, rows = split(rows, _is(_SHORT))
    rows = pl.concat([rows, *_double_zeros(doubtful), *_short(short, settings)])
    refused = [
        rows.filter(_is(route)).select(
            "row", reason=pl.lit(reason.value), detail=pl.lit(None, pl.String)
        )
        for route, reason in (
            (_UNKNOWN_REGION, RejectReason.UNKNOWN_REGION),
            (_NO_REGION, RejectReason.NO_REGION),
            (_DOUBLE_ZERO, RejectReason.DOUBLE_ZERO),
            (_SHORT_CODE, RejectReason.SHORT_CODE),
        )
    ]
    undecided = [rows.filter(_is(_UNSURE)).select("row")]
    dialled = rows.filter(_ROUTE >= _WEIGH)
    twice = dialled.filter(_ROUTE.is_in([_WEIGH, _DIAL_OUT]))
    readings = read_columns(pl.concat([_dialled(dialled), _dialled_abroad(twice)]))
    undecided.append(readings.too_long.unique())
    single, others = split(readings.read, _ROUTE >= _FIRST_RULE)
    chosen = [_single(single)]
    if others.height:
        at_home = twice.select("row", "value", "count", "home")
        chosen += [
            weighed(_both(others, _WEIGH).join(at_home, on="row"), kind),
            dialled_out(_both(others, _DIAL_OUT)),
        ]
    found = pl.concat(chosen)
    tests = list(settings.test_numbers)
    if tests:  # accepted by ``Normaliser``, whatever the strictness
        listed, found = split(found, pl.col("e164").is_in(tests))
        undecided.append(listed.select("row"))
    good, bad = split(found, _IS_READ)
    refused.append(bad.select("row", "reason", "detail"))
    good, not_wanted = _judged(good, settings)
    refused += not_wanted
    return Decided(
        good.select("row", "e164", "region", "number_type", "rule"),
        pl.concat(refused),
        pl.concat(undecided),
    )


def _is(route: int) -> pl.Expr:
    return _ROUTE.eq(route)


def _by(rule: Rule) -> int:
    return _FIRST_RULE + _RULES.index(rule)


def _route(settings: Numbers) -> pl.Expr:
    """The route of each row: ``Normaliser._choose`` as one expression."""
    is_short = _COUNT <= LONGEST_SHORT_CODE
    # With so few digits libphonenumber has rules of its own, so ``Normaliser`` reads those.
    cases = [(_STARTS_00 & is_short, _UNSURE)]
    # Nor need a listed number be one that its plan allows.
    if tests := [int(number) for number in settings.test_numbers if E164.fullmatch(number)]:
        cases.append((_VALUE.is_in(pl.Series(tests, dtype=pl.UInt64).implode()), _UNSURE))
    cases.append((pl.col("has_plus"), _by(Rule.INTERNATIONAL_PLUS)))
    if settings.double_zero_is_plus:
        cases.append((_STARTS_00, _by(Rule.INTERNATIONAL_00)))
    if settings.ambiguous is Ambiguous.INTERNATIONAL:
        cases.append((~_STARTS_0, _by(Rule.DIGITS_FORCED_INTERNATIONAL)))
    cases += [
        (_HOME.eq(UNKNOWN_REGION), _UNKNOWN_REGION),
        (_STARTS_00, _DOUBLE_ZERO),
        (_HOME.eq(NO_REGION), _NO_REGION),
        (_STARTS_0, _by(Rule.NATIONAL)),
        (is_short, _SHORT),
    ]
    return first_of(
        [(condition, _number(route)) for condition, route in cases], _number(_otherwise(settings))
    )


def _otherwise(settings: Numbers) -> int:
    """The route of digits that could be a national number or start with a country code."""
    forced = settings.ambiguous is Ambiguous.NATIONAL
    return _by(Rule.DIGITS_FORCED_NATIONAL) if forced else _WEIGH


def _number(route: int) -> pl.Expr:
    return pl.lit(route, pl.UInt8)


def _double_zeros(doubtful: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Routes of rows that start with 00, the international prefix in most regions."""
    if not doubtful.height:
        return
    nowhere, doubtful = split(doubtful, _HOME.eq(NO_REGION))
    yield nowhere
    prefixes = [territory.international_prefix for territory in territories()]
    named = doubtful.with_columns(pl.Series(prefixes).gather(doubtful["home"]).alias("prefix"))
    usual, others = split(named, pl.col("prefix").eq("00"))
    yield usual.drop("prefix").with_columns(route=_number(_by(Rule.INTERNATIONAL_00)))
    prefix = pl.col("prefix").str
    # Prefixes of digits that do not start with 00, such as 011, were not dialled here.
    is_other = prefix.contains("^[0-9]*$") & ~prefix.starts_with("00")
    not_dialled, others = split(others, is_other)
    yield not_dialled.drop("prefix")
    for part in others.partition_by("prefix", include_key=True) if others.height else ():
        found = text_of(_VALUE, _COUNT).str.extract(f"({anchored(part['prefix'][0])})")
        # A longer prefix: 0011 in Australia; but in Hong Kong 0086131… loses its 008.
        cases = [
            (found == "00", _number(_by(Rule.INTERNATIONAL_00))),
            (found.is_not_null(), _number(_DIAL_OUT)),
        ]
        yield part.drop("prefix").with_columns(route=first_of(cases, _number(_DOUBLE_ZERO)))


def _short(short: pl.DataFrame, settings: Numbers) -> Iterator[pl.DataFrame]:
    """Routes of rows of few digits: short codes, or as longer ones."""
    if short.height:
        is_code = _SHORT_CODES.verdicts(short["home"], short["value"], short["count"]) == 1
        yield short.filter(is_code).with_columns(route=_number(_SHORT_CODE))
        yield short.filter(~is_code).with_columns(route=_number(_otherwise(settings)))


def _dialled(rows: pl.DataFrame) -> pl.DataFrame:
    """The first reading of each row, as ``read_columns`` takes it."""
    is_00 = _is(_by(Rule.INTERNATIONAL_00))
    at_home = [_WEIGH, _DIAL_OUT, _by(Rule.NATIONAL), _by(Rule.DIGITS_FORCED_NATIONAL)]
    return rows.select(
        "row",
        "route",
        "value",
        count=pl.when(is_00).then(_COUNT - 2).otherwise(_COUNT),
        place=pl.when(_ROUTE.is_in(at_home)).then(_HOME),
    ).select(DIALLED)


def _dialled_abroad(twice: pl.DataFrame) -> pl.DataFrame:
    """The second reading of rows that have two, from abroad."""
    is_out = _is(_DIAL_OUT)
    return twice.select(
        "row",
        "value",
        route=pl.lit(_WEIGH_ABROAD, pl.UInt8),
        count=pl.when(is_out).then(_COUNT - 2).otherwise(_COUNT),
        place=pl.lit(None, pl.UInt16),
    ).select(DIALLED)


def _single(read: pl.DataFrame) -> pl.DataFrame:
    """The decision about rows with one reading."""
    rules = pl.Series([rule.value for rule in _RULES])
    rule = rules.gather(read["route"] - _FIRST_RULE)
    idd = pl.lit(Rule.INTERNATIONAL_IDD.value)
    return read.with_columns(rule.alias("rule")).select(
        "row",
        "e164",
        "region",
        number_type="type",
        rule=pl.when("has_idd").then(idd).otherwise("rule"),
        reason="failure",
        detail=pl.lit(None, pl.String),
    )


def _both(read: pl.DataFrame, route: int) -> pl.DataFrame:
    """Both readings of the rows of a route, side by side."""
    at_home = read.filter(_is(route)).drop("route")
    abroad = read.filter(_is(_WEIGH_ABROAD)).drop("route")
    return at_home.rename(lambda name: name if name == "row" else f"n_{name}").join(
        abroad.rename(lambda name: name if name == "row" else f"i_{name}"), on="row"
    )


def _judged(good: pl.DataFrame, settings: Numbers) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """The numbers that meet the strictness, and the refusals of the others."""
    unknown, good = split(good, pl.col("number_type") == UNKNOWN_TYPE)
    if settings.strictness is Strictness.POSSIBLE:
        # As parse.is_stable: a number without a type may start with a trunk zero that is stripped
        # when it is read again; a valid one is always the same.
        e164 = pl.col("e164")
        again = read_columns(
            unknown.select(
                "row",
                route=pl.lit(0, pl.UInt8),
                value=value_of(e164),
                count=count_of(e164) - 1,
                place=pl.lit(None, pl.UInt16),
            )
        ).read.select("row", again="e164")
        stable, unstable = split(unknown.join(again, on="row"), pl.col("again") == e164)
        refused = [_read_as(unstable, RejectReason.NOT_POSSIBLE)]
        return pl.concat([good, stable.drop("again")]), refused
    refused = [_read_as(unknown, RejectReason.NOT_VALID)]
    if settings.strictness is Strictness.MOBILE:
        good, others = split(good, pl.col("number_type").is_in(MOBILE_TYPES))
        refused.append(_read_as(others, RejectReason.NOT_MOBILE))
    return good, refused


def _read_as(rows: pl.DataFrame, reason: RejectReason) -> pl.DataFrame:
    detail = pl.format("read as {}", masked("e164"))
    return rows.select("row", reason=pl.lit(reason.value), detail=detail)
