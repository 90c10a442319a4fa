"""Vectorised decision: ``Normaliser``'s tables as expressions, from digits and homes to numbers.

Every row takes a route: one of its own, or a rule by which its only reading counts. Digits that
have two readings take both ways and are weighed in ``weigh``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from batch_screen.config.screening import Ambiguous, Numbers, Strictness
from batch_screen.numbers.columnar.digits import (
    count_of,
    first_of,
    masked,
    split,
    starts_with_zeros,
    text_of,
    value_of,
)
from batch_screen.numbers.columnar.intervals import IntervalTable
from batch_screen.numbers.columnar.parse import read_columns
from batch_screen.numbers.columnar.plans import MOBILE_TYPES, anchored, territories
from batch_screen.numbers.columnar.weigh import dialled_out, side_by_side, weighed
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.parse import E164, LONGEST_SHORT_CODE, UNKNOWN_TYPE
from batch_screen.numbers.rules import READ_AS, RejectReason, Rule

AT_NO_HOME, AT_UNKNOWN_HOME = 65_535, 65_534
"""Homes that are no territory's place."""

# Routes as small integers, which are compared faster than texts: one of these, or from
# ``_FIRST_RULE`` on the rule by which a row's only reading counts.
_UNSURE, _UNKNOWN_REGION, _NO_REGION, _DOUBLE_ZERO, _SHORT, _SHORT_CODE = range(6)
_WEIGH, _WEIGH_ABROAD, _DIAL_OUT = range(6, 9)
_RULES = list(Rule)
_FIRST_RULE = 10
_ROUTE, _HOME = pl.col("route"), pl.col("home")
_VALUE, _COUNT = pl.col("value"), pl.col("count")
_STARTS_0, _STARTS_00 = (starts_with_zeros(_VALUE, _COUNT, zeros) for zeros in (1, 2))
_SHORT_CODES = IntervalTable(lambda place, length: territories()[place].short_codes(length))


class Decided(NamedTuple):
    """Decided rows in three frames.

    ``chosen``: row, e164, region, number_type, rule, all but region filled in; ``refused``: row,
    reason, detail; ``undecided``: row.
    """

    chosen: pl.DataFrame
    refused: pl.DataFrame
    undecided: pl.DataFrame


def decide(cells: pl.DataFrame, raw: pl.Series, normaliser: Normaliser) -> Decided:
    """Decides rows of digits; rows that only ``normaliser`` can decide stay undecided.

    ``cells`` has ``row``, ``value``, ``count``, ``has_plus`` and ``home``: the place of the
    territory to dial in, or one of ``AT_NO_HOME`` and ``AT_UNKNOWN_HOME``. ``raw`` has the
    cell of each ``row``.
    """
    settings = normaliser.settings
    other, dialled = split(_routed(cells, settings), _ROUTE < _WEIGH)
    refused = [
        other.filter(_is(route)).select(
            "row", reason=pl.lit(reason), detail=pl.lit(None, pl.String)
        )
        for route, reason in (
            (_UNKNOWN_REGION, RejectReason.UNKNOWN_REGION),
            (_NO_REGION, RejectReason.NO_REGION),
            (_DOUBLE_ZERO, RejectReason.DOUBLE_ZERO),
            (_SHORT_CODE, RejectReason.SHORT_CODE),
        )
    ]
    undecided = [other.filter(_is(_UNSURE)).select("row")]
    # All readings in one call, the second ones too: the fewer calls, the fewer gathers.
    twice = dialled.filter(_ROUTE.is_in([_WEIGH, _DIAL_OUT]))
    readings = read_columns(pl.concat([_first_reading(dialled), _second_reading(twice)]))
    undecided.append(readings.unsure.unique())
    single, others = split(readings.read, _ROUTE >= _FIRST_RULE)
    found = _by_rule(single)
    if others.height:
        abroad = others.filter(_is(_WEIGH_ABROAD)).drop("route")
        at_home = others.filter(_is(_WEIGH)).drop("route")
        out = others.filter(_is(_DIAL_OUT)).drop("route")
        digits = twice.select("row", "value", "count", "home")
        both = side_by_side(at_home, abroad).join(digits, on="row")
        decided = weighed(both, raw, normaliser.column_kind, normaliser.conventions)
        found = pl.concat([found, decided, dialled_out(side_by_side(out, abroad))])
    if tests := list(settings.test_numbers):  # accepted by ``Normaliser``, whatever the strictness
        listed, found = split(found, pl.col("e164").is_in(tests))
        undecided.append(listed.select("row"))
    good, bad = split(found, pl.col("reason").is_null())
    refused.append(bad.select("row", "reason", "detail"))
    good, not_wanted = _strict_enough(good, settings)
    return Decided(
        good.select("row", "e164", "region", "number_type", "rule"),
        pl.concat([*refused, *not_wanted]),
        pl.concat(undecided),
    )


def _routed(cells: pl.DataFrame, settings: Numbers) -> pl.DataFrame:
    """The rows with their routes, some of which depend on a numbering plan."""
    rows = cells.select("row", "value", "count", "home", route=_route(settings))
    doubtful, rows = split(rows, _is(_DOUBLE_ZERO))
    short, rows = split(rows, _is(_SHORT))
    if short.height:
        is_code = _SHORT_CODES.verdicts(short["home"], short["value"], short["count"]) == 1
        cases = [(pl.lit(is_code), _number(_SHORT_CODE))]
        short = short.with_columns(route=first_of(cases, _number(_otherwise(settings))))
    return pl.concat([rows, *_double_zeros(doubtful), short])


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
        (_HOME.eq(AT_UNKNOWN_HOME), _UNKNOWN_REGION),
        (_STARTS_00, _DOUBLE_ZERO),
        (_HOME.eq(AT_NO_HOME), _NO_REGION),
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
    nowhere, doubtful = split(doubtful, _HOME.eq(AT_NO_HOME))
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


def _first_reading(rows: pl.DataFrame) -> pl.DataFrame:
    """The reading that each row has, as ``read_columns`` takes it."""
    at_home = [_WEIGH, _DIAL_OUT, _by(Rule.NATIONAL), _by(Rule.DIGITS_FORCED_NATIONAL)]
    is_00 = _is(_by(Rule.INTERNATIONAL_00))
    return rows.select(
        "row",
        "route",
        "value",  # 00 in front leaves it as it is
        count=pl.when(is_00).then(_COUNT - 2).otherwise(_COUNT),
        place=pl.when(_ROUTE.is_in(at_home)).then(_HOME),
    )


def _second_reading(twice: pl.DataFrame) -> pl.DataFrame:
    """The reading from abroad of the rows that have two."""
    return twice.select(
        "row",
        route=_number(_WEIGH_ABROAD),
        value="value",
        count=pl.when(_is(_DIAL_OUT)).then(_COUNT - 2).otherwise(_COUNT),
        place=pl.lit(None, pl.UInt16),
    )


def _by_rule(read: pl.DataFrame) -> pl.DataFrame:
    """Rows with one reading, accepted by their route's rule or refused by the reading's failure."""
    rules = pl.Series(_RULES, dtype=pl.String).gather(read["route"] - _FIRST_RULE)
    idd = pl.lit(Rule.INTERNATIONAL_IDD)
    return read.select(
        "row",
        "e164",
        "region",
        number_type="type",
        rule=pl.when("has_idd").then(idd).otherwise(pl.lit(rules)),
        reason="failure",
        detail=pl.lit(None, pl.String),
    )


def _strict_enough(
    good: pl.DataFrame, settings: Numbers
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """The numbers that meet the strictness, and the refusals of the others."""
    unknown, good = split(good, pl.col("number_type") == UNKNOWN_TYPE)
    if settings.strictness is Strictness.POSSIBLE:
        # As parse.is_stable: a number without a type may start with a trunk zero that is stripped
        # when it is read again; a valid one is always the same.
        e164 = pl.col("e164")
        again = read_columns(
            unknown.select(
                "row",
                route=_number(0),
                value=value_of(e164),
                count=count_of(e164) - 1,
                place=pl.lit(None, pl.UInt16),
            )
        ).read.select("row", again="e164")
        stable, unstable = split(unknown.join(again, on="row", how="left"), pl.col("again") == e164)
        refused = [_read_as(unstable, RejectReason.NOT_POSSIBLE)]
        return pl.concat([good, stable.drop("again")]), refused
    refused = [_read_as(unknown, RejectReason.NOT_VALID)]
    if settings.strictness is Strictness.MOBILE:
        good, others = split(good, pl.col("number_type").is_in(MOBILE_TYPES))
        refused.append(_read_as(others, RejectReason.NOT_MOBILE))
    return good, refused


def _read_as(rows: pl.DataFrame, reason: RejectReason) -> pl.DataFrame:
    detail = pl.format(READ_AS, masked("e164"))
    return rows.select("row", reason=pl.lit(reason), detail=detail)
