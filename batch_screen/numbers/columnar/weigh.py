"""Vectorised weighing of two readings: as a number of the home, or as one dialled from abroad.

A row has both side by side, the first as n_… and the second as i_…, each a failure or a number.
What is known of the whole column, such as its kind, can speak for one of them in ``weighed``.
"""

from __future__ import annotations

import polars as pl
from phonenumbers import PhoneNumberType

from batch_screen.model import ColumnKind
from batch_screen.numbers.clean import AREA_CODE_IN_BRACKETS, ascii_text
from batch_screen.numbers.columnar.digits import masked, split, starts_with, ten_to, value_of
from batch_screen.numbers.columnar.plans import CODES, MOBILE_TYPES, territories
from batch_screen.numbers.convention import Convention, Conventions
from batch_screen.numbers.normalise import ONE_DIGIT_CODE
from batch_screen.numbers.parse import TYPE_NAMES, UNKNOWN_TYPE, is_open_plan_with_trunk
from batch_screen.numbers.rules import READ_AS, TWO_READINGS, RejectReason, Rule

_N_IS, _I_IS = (pl.col(f"{side}_failure").is_null() for side in "ni")
_WEIGHED = ("row", "home", "is_own", "is_only_mobile", "n_e164", "i_e164", "n_type", "i_type")
_IS_AMBIGUOUS = pl.col("reason") == RejectReason.AMBIGUOUS
_TWO_READINGS = pl.format(TWO_READINGS, masked("n_e164"), masked("i_e164"))


def side_by_side(at_home: pl.DataFrame, abroad: pl.DataFrame) -> pl.DataFrame:
    """Both readings of each ``row``."""
    n_named = at_home.rename(lambda name: name if name == "row" else f"n_{name}")
    i_named = abroad.rename(lambda name: name if name == "row" else f"i_{name}")
    return n_named.join(i_named, on="row")


def dialled_out(both: pl.DataFrame) -> pl.DataFrame:
    """``normalise._double_zero`` for digits that start with a longer prefix, such as 0011."""
    is_dialled = _N_IS & pl.col("n_has_idd")
    # In Hong Kong 0086131… loses its 008: then the digits behind 00 are another number.
    differs = _I_IS & (pl.col("i_e164") != pl.col("n_e164"))
    reason = (
        pl.when(~is_dialled.fill_null(value=False))
        .then(pl.lit(RejectReason.DOUBLE_ZERO))
        .when(differs)
        .then(pl.lit(RejectReason.AMBIGUOUS))
    )
    return both.with_columns(reason=reason).select(
        "row",
        e164="n_e164",
        region="n_region",
        number_type="n_type",
        rule=pl.lit(Rule.INTERNATIONAL_IDD),
        reason="reason",
        detail=pl.when(_IS_AMBIGUOUS).then(_TWO_READINGS),
    )


def weighed(
    both: pl.DataFrame, raw: pl.Series, kind: ColumnKind, conventions: Conventions
) -> pl.DataFrame:
    """``Normaliser._weigh`` for digits that could start with a country code.

    ``both`` has the digits (``value`` and ``count``) and their ``home`` too; ``raw`` has the cell
    of each ``row``.
    """
    c = pl.col
    codes = pl.Series([plan.code for plan in territories()], dtype=pl.UInt64)
    is_open = pl.Series([is_open_plan_with_trunk(plan.region) for plan in territories()])
    # As in parse.is_weak_national: nothing was stripped where code and digits are the number.
    unstripped = pl.lit(codes).gather("home") * ten_to(c("count")) + c("value")
    is_weak = (
        ~c("n_type").is_in(MOBILE_TYPES)
        & pl.lit(is_open).gather("home")
        & (value_of(c("n_e164")) == unstripped)
    )
    lengths = pl.Series([plan.code_length() for plan in territories()], dtype=pl.UInt8)
    # No calling code begins another, so digits that begin with the home's are read behind it.
    is_own = starts_with(
        c("value"), c("count"), pl.lit(codes).gather("home"), pl.lit(lengths).gather("home")
    )
    # Step by step, for each column is read several times by the next.
    both = both.with_columns(is_weak=is_weak, is_own=_I_IS & is_own & _is_of_home(codes))
    both = both.with_columns(is_only_mobile=_is_only_mobile())
    both = both.with_columns(takes_abroad=_takes_abroad(conventions))
    both = _decided(both, raw, conventions).with_columns(reason=_reason(kind))
    # Few are refused, and only they pay for the texts of a detail.
    refused, chosen = split(both, c("reason").is_not_null())
    is_missing = c("reason") == RejectReason.MISSING_AREA_CODE
    detail = (
        pl.when(_IS_AMBIGUOUS)
        .then(_TWO_READINGS)
        .when(is_missing & _N_IS)
        .then(pl.format(READ_AS, masked("n_e164")))
    )
    return pl.concat([_chosen(chosen, pl.lit(None, pl.String)), _chosen(refused, detail)])


def _is_of_home(codes: pl.Series) -> pl.Expr:
    """Whether a number behind the home's code may be one of the home: as in normalise._is_of."""
    regions = pl.Series([plan.region for plan in territories()])
    is_here = pl.col("i_region").eq_missing(pl.lit(regions).gather("home"))
    is_shared = pl.Series(codes == ONE_DIGIT_CODE)
    return ~pl.lit(is_shared).gather("home") | is_here


def _decided(both: pl.DataFrame, raw: pl.Series, conventions: Conventions) -> pl.DataFrame:
    """Adds ``rule`` and ``is_ambiguous``, and decides for rows of two valid numbers.

    Only they pay for it: the list's convention or brackets round the area code decide, or nothing.
    """
    # A number that nobody abroad can have is no doubt.
    is_doubtful = _N_IS & ~pl.col("takes_abroad") & (pl.col("i_type") != UNKNOWN_TYPE)
    at = both.select(is_doubtful.fill_null(value=False)).to_series().arg_true()
    takes_abroad = both["takes_abroad"]
    rule = pl.repeat(None, both.height, dtype=pl.String, eager=True)
    is_ambiguous = pl.repeat(value=False, n=both.height, eager=True)
    if at.len():
        decided = _doubt(both.select(_WEIGHED)[at], raw, conventions)
        takes_abroad = takes_abroad.scatter(at, decided["takes_abroad"])
        rule = rule.scatter(at, decided["rule"])
        is_ambiguous = is_ambiguous.scatter(at, decided["is_ambiguous"])
    return both.with_columns(takes_abroad=takes_abroad, rule=rule, is_ambiguous=is_ambiguous)


def _doubt(doubtful: pl.DataFrame, raw: pl.Series, conventions: Conventions) -> pl.DataFrame:
    """Decisions between two valid numbers, as in ``Normaliser._weigh``."""
    c = pl.col
    convention = _by_list(conventions)
    cells = raw.gather(doubtful["row"])
    if (cells.str.len_bytes() != cells.str.len_chars()).any():
        cells = pl.Series(map(ascii_text, cells))
    bracketed = cells.str.extract(AREA_CODE_IN_BRACKETS).cast(pl.UInt64)
    is_area_code = pl.lit((~bracketed.is_in(CODES)).fill_null(value=False))
    # Against a mobile number of its own, a list's few exceptions count.
    outweighs = c("i_type").is_in(MOBILE_TYPES) | ~c("n_type").is_in(MOBILE_TYPES)
    takes_abroad = c("is_own") & outweighs & (convention == Convention.INTERNATIONAL)
    is_national = is_area_code | (convention == Convention.NATIONAL)
    # Both are the same number of another region behind the same code.
    is_same = c("n_e164") == c("i_e164")
    return doubtful.select(
        takes_abroad=takes_abroad & ~is_same,
        rule=pl.when(takes_abroad)
        .then(pl.lit(Rule.INTERNATIONAL_BY_LIST))
        .when(~is_area_code)
        .then(pl.lit(Rule.NATIONAL_BY_LIST)),
        is_ambiguous=is_same | c("is_only_mobile") | ~(takes_abroad | is_national),
    )


def _by_list(conventions: Conventions) -> pl.Expr:
    """The list's convention for the home; empty where it shows none."""
    by_list = [conventions.get(plan.region, "") for plan in territories()]
    return pl.lit(pl.Series(by_list, dtype=pl.String)).gather("home")


def _is_only_mobile() -> pl.Expr:
    """Whether the reading with the home's own country code is a mobile, the other one none."""
    c = pl.col
    # As in normalise._is_the_only_mobile: a valid landline gives way only if it is weak.
    is_mobile = c("i_type") == TYPE_NAMES[PhoneNumberType.MOBILE]
    return (
        c("is_own")
        & ~c("n_type").is_in(MOBILE_TYPES)
        & c("i_type").is_in(MOBILE_TYPES)
        & ((c("n_type") == UNKNOWN_TYPE) | (c("is_weak") & is_mobile))
    ).fill_null(value=False)


def _takes_abroad(conventions: Conventions) -> pl.Expr:
    """Whether the reading with the home's own country code in front is chosen without doubt."""
    c = pl.col
    is_only_mobile = c("is_only_mobile")
    if Convention.NATIONAL in conventions.values():
        is_landline = (c("n_type") != UNKNOWN_TYPE).fill_null(value=False)
        is_only_mobile &= ~(is_landline & (_by_list(conventions) == Convention.NATIONAL))
    # libphonenumber takes a country's own code off its national reading: then both are the same.
    chosen = ~_N_IS | (c("n_e164") == c("i_e164")) | is_only_mobile
    # A local number without its area code is none with a country code.
    is_local = (c("n_failure") == RejectReason.MISSING_AREA_CODE).fill_null(value=False)
    return (c("is_own") & chosen & ~is_local).fill_null(value=False)


def _reason(kind: ColumnKind) -> pl.Expr:
    """Why neither reading is chosen; null where one is."""
    c = pl.col
    missing = pl.lit(RejectReason.MISSING_AREA_CODE)
    # A column of integers has lost the trunk zeros that would have made its numbers strong.
    is_local = c("is_weak") if kind is ColumnKind.TEXT else pl.lit(value=False)
    return (
        pl.when("takes_abroad")
        .then(None)
        .when(~_N_IS)
        .then("n_failure")
        .when("is_ambiguous")
        .then(pl.lit(RejectReason.AMBIGUOUS))
        .when(is_local)
        .then(missing)
    )


def _chosen(both: pl.DataFrame, detail: pl.Expr) -> pl.DataFrame:
    """The chosen one of both readings, and its rule."""
    rule = (
        pl.when("takes_abroad")
        .then(pl.coalesce("rule", pl.lit(Rule.DIGITS_INTERNATIONAL)))
        .when("n_has_idd")
        .then(pl.lit(Rule.INTERNATIONAL_IDD))
        .otherwise(pl.coalesce("rule", pl.lit(Rule.NATIONAL)))
    )
    e164, region, number_type = (
        pl.when("takes_abroad").then(f"i_{name}").otherwise(f"n_{name}")
        for name in ("e164", "region", "type")
    )
    return both.select(
        "row",
        e164=e164,
        region=region,
        number_type=number_type,
        rule=rule,
        reason="reason",
        detail=detail,
    )
