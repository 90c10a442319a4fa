"""Between two readings of the same digits, for whole columns: ``Normaliser``'s rules in doubt.

Rows have ``row`` and both readings: the one dialled at home as n_…, the one abroad as i_….
"""

from __future__ import annotations

import polars as pl
from phonenumbers import PhoneNumberType

from batch_screen.model import ColumnKind
from batch_screen.numbers.branches import split
from batch_screen.numbers.digits import ten_to, value_of
from batch_screen.numbers.masked import masked
from batch_screen.numbers.readings import TYPE_NAMES, UNKNOWN_TYPE, is_open_plan_with_trunk
from batch_screen.numbers.rules import RejectReason, Rule
from batch_screen.numbers.territories import MOBILE_TYPES, territories


def dialled_out(both: pl.DataFrame) -> pl.DataFrame:
    """Digits that start with 00 and with a longer international prefix: as either, if equal."""
    c = pl.col
    is_dialled = c("n_failure").is_null() & c("n_has_idd")
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
    """Between the two readings of digits that could start with a country code.

    ``both`` has the digits (``value`` and ``count``) and their ``home`` too.
    """
    c = pl.col
    both = both.join(_plans(both["home"]), on="home", how="left").with_columns(
        is_weak=~c("n_type").is_in(MOBILE_TYPES)
        & c("is_open")
        & (value_of(c("n_e164")) == c("code") * ten_to(c("count")) + c("value"))
    )
    both = both.with_columns(takes_abroad=_takes_abroad()).with_columns(reason=_reason(kind))
    refused, chosen = split(both, c("reason").is_not_null())  # few, and texts take long
    return pl.concat(
        [_taken(chosen, pl.lit(None, pl.String)), _taken(refused, _detail(c("reason")))]
    )


def _taken(both: pl.DataFrame, detail: pl.Expr) -> pl.DataFrame:
    """The readings that are meant."""
    rule = (
        pl.when("takes_abroad")
        .then(pl.lit(Rule.DIGITS_INTERNATIONAL.value))
        .when("n_has_idd")
        .then(pl.lit(Rule.INTERNATIONAL_IDD.value))
        .otherwise(pl.lit(Rule.NATIONAL.value))
    )

    def taken(name: str) -> pl.Expr:
        return pl.when("takes_abroad").then(f"i_{name}").otherwise(f"n_{name}")

    return both.select(
        "row",
        e164=taken("e164"),
        region=taken("region"),
        number_type=taken("type"),
        rule=rule,
        reason="reason",
        detail=detail,
    )


def _detail(reason: pl.Expr) -> pl.Expr:
    """What is told of a refusal."""
    is_missing = reason == RejectReason.MISSING_AREA_CODE.value
    return (
        pl.when(reason == RejectReason.AMBIGUOUS.value)
        .then(_two_readings())
        .when(is_missing & pl.col("n_failure").is_null())
        .then(pl.format("read as {}", masked("n_e164")))
    )


def _takes_abroad() -> pl.Expr:
    """Whether the reading abroad is the one that is meant."""
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
    """Why neither reading counts; null where one does."""
    c = pl.col
    n_is, i_is = c("n_failure").is_null(), c("i_failure").is_null()
    missing = pl.lit(RejectReason.MISSING_AREA_CODE.value)
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
    """For each territory its calling code and whether its landlines have an open plan."""
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
