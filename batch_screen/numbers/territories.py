"""The numbering plans that the phonenumbers package ships, as polars expressions.

A territory is a region with a plan of its own, or a calling code that belongs to no country.
Each rule says the same as libphonenumber's of the same name, for a whole column at once.
Source: the metadata of the installed phonenumbers; its patterns need no look-around.
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import NamedTuple

import polars as pl
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    PhoneMetadata,
    PhoneNumberDesc,
    PhoneNumberType,
)

from batch_screen.numbers.branches import first_of
from batch_screen.numbers.rules import RejectReason

NO_COUNTRY = "001"
"""The region of calling codes that belong to no country."""

UNKNOWN, MOBILE = "unknown", "mobile"
MOBILE_CAPABLE = (MOBILE, "fixed_line_or_mobile")
"""Names of types; ``UNKNOWN`` is that of a number which nobody is given."""
_NATIONAL = "national"
NATIONAL = pl.col(_NATIONAL)
"""The column of national numbers, which most expressions of a territory are about."""

# In libphonenumber's order: the first that fits counts.
_SPECIAL = (
    PhoneNumberType.PREMIUM_RATE,
    PhoneNumberType.TOLL_FREE,
    PhoneNumberType.SHARED_COST,
    PhoneNumberType.VOIP,
    PhoneNumberType.PERSONAL_NUMBER,
    PhoneNumberType.PAGER,
    PhoneNumberType.UAN,
    PhoneNumberType.VOICEMAIL,
)


def type_name(number_type: int) -> str:
    """How a type of number is called here: ``mobile``, ``fixed_line``…"""
    return str(PhoneNumberType.to_string(number_type)).lower()


class _Kind(NamedTuple):
    """A kind of number in a territory: what its digits look like, and how many there are."""

    name: str
    pattern: str
    lengths: tuple[int, ...]

    @property
    def fits(self) -> pl.Expr:
        """Whether ``NATIONAL`` is of this kind."""
        fits = _is(_NATIONAL, self.pattern)
        return _is_one_of(_NATIONAL, self.lengths) & fits if self.lengths else fits


class Territory:
    """The numbering plan of one region, or of one calling code of no country."""

    def __init__(self, metadata: PhoneMetadata) -> None:
        self.region = str(metadata.id)
        self.code = int(metadata.country_code or 0)
        self._metadata = metadata
        general = metadata.general_desc or PhoneNumberDesc()
        self._general = _kind("", general)
        self._lengths = tuple(general.possible_length)
        self._local_lengths = tuple(general.possible_length_local_only)

    @cached_property
    def leading_digits(self) -> str:
        """What the territory's numbers start with, where that tells it from its neighbours."""
        return _anchored(self._metadata.leading_digits) if self._metadata.leading_digits else ""

    @cached_property
    def international_prefix(self) -> str:
        """What is dialled before a calling code; empty where nothing is known."""
        prefix = self._metadata.international_prefix
        return _anchored(prefix) if prefix else ""

    def looks_general(self, column: str) -> pl.Expr:
        """Whether the digits are any number of the territory, whatever their count."""
        return _is(column, self._general.pattern)

    def is_too_long(self, column: str) -> pl.Expr:
        """Whether no number of the territory has so many digits."""
        is_longer = _count(column).gt(self._lengths[-1])
        return is_longer & ~_is_one_of(column, self._local_lengths)

    def may_remain(self, column: str) -> pl.Expr:
        """Whether there are enough digits to be what a national prefix leaves."""
        return _is_one_of(column, self._lengths) | self.is_too_long(column)

    @cached_property
    def has_prefix(self) -> pl.Expr:
        """Whether ``NATIONAL`` starts with a prefix, or with what is completed like one."""
        prefix = self._metadata.national_prefix_for_parsing
        if not prefix:
            return pl.lit(value=False)
        text = NATIONAL.str
        return text.starts_with(prefix) if prefix.isdigit() else text.contains(_anchored(prefix))

    @cached_property
    def without_prefix(self) -> pl.Expr:
        """``NATIONAL``, where it has a prefix, without it, or completed."""
        prefix = str(self._metadata.national_prefix_for_parsing)
        if prefix.isdigit():
            return NATIONAL.str.slice(len(prefix))
        rest = NATIONAL.str.replace(_anchored(prefix), "")
        rule = self._metadata.national_prefix_transform_rule
        if not rule:
            return rest
        completed = NATIONAL.str.extract(_anchored(prefix), re.compile(prefix).groups)
        replaced = NATIONAL.str.replace(_anchored(prefix), _rust_rule(rule))
        return pl.when(completed.is_not_null()).then(replaced).otherwise(rest)

    @cached_property
    def failure(self) -> pl.Expr:
        """Why there can be no number with as many digits as ``NATIONAL``; null if there can."""
        count = _count(_NATIONAL)
        return (
            pl.when(_is_one_of(_NATIONAL, self._local_lengths))
            .then(pl.lit(RejectReason.MISSING_AREA_CODE.value))
            .when(count < self._lengths[0])
            .then(pl.lit(RejectReason.TOO_SHORT.value))
            .when(count > self._lengths[-1])
            .then(pl.lit(RejectReason.TOO_LONG.value))
            .when(~_is_one_of(_NATIONAL, self._lengths))
            .then(pl.lit(RejectReason.NOT_POSSIBLE.value))
        )

    @cached_property
    def is_special(self) -> pl.Expr:
        """Whether ``special_type`` need be asked: true for all that it knows, and a few more."""
        return _is(_NATIONAL, "|".join(f"(?:{kind.pattern})" for kind in self._special))

    @cached_property
    def type(self) -> pl.Expr:
        """The type's name where ``NATIONAL`` is not special; ``UNKNOWN``: there is no such."""
        fixed_line = self._kind_of(PhoneNumberType.FIXED_LINE)
        mobile = self._kind_of(PhoneNumberType.MOBILE)
        both = pl.lit(type_name(PhoneNumberType.FIXED_LINE_OR_MOBILE))
        is_same = self._metadata.same_mobile_and_fixed_line_pattern
        cases = [self._is_no_number]
        if fixed_line is not None:
            if is_same:
                cases.append((fixed_line.fits, both))
            elif mobile is not None:
                cases.append((fixed_line.fits & mobile.fits, both))
            cases.append((fixed_line.fits, pl.lit(fixed_line.name)))
        if mobile is not None and not is_same:
            cases.append((mobile.fits, pl.lit(mobile.name)))
        return first_of(cases, pl.lit(UNKNOWN))

    @cached_property
    def special_type(self) -> pl.Expr:
        """As ``type``, for any number."""
        kinds = [(kind.fits, pl.lit(kind.name)) for kind in self._special]
        return first_of([self._is_no_number, *kinds], self.type)

    @property
    def _is_no_number(self) -> tuple[pl.Expr, pl.Expr]:
        return ~self._general.fits, pl.lit(UNKNOWN)

    @cached_property
    def _special(self) -> list[_Kind]:
        return [kind for t in _SPECIAL if (kind := self._kind_of(t)) is not None]

    def _kind_of(self, number_type: int) -> _Kind | None:
        name = type_name(number_type)
        desc = getattr(self._metadata, name)
        return _kind(name, desc) if desc is not None and desc.national_number_pattern else None


def _kind(name: str, desc: PhoneNumberDesc) -> _Kind:
    return _Kind(name, _rust(desc.national_number_pattern or ""), tuple(desc.possible_length))


def _count(column: str) -> pl.Expr:
    return pl.col(column).str.len_bytes()


@cache
def _is(column: str, pattern: str) -> pl.Expr:
    # Kept, because to write an expression down takes as long as to match some hundred rows.
    return pl.col(column).str.contains(f"^(?:{pattern})$") if pattern else pl.lit(value=False)


@cache
def _is_one_of(column: str, lengths: tuple[int, ...]) -> pl.Expr:
    return _count(column).is_in(lengths)


def _anchored(pattern: str) -> str:
    return f"^(?:{_rust(pattern)})"


def _rust(pattern: str) -> str:
    r"""The pattern for polars, whose ``\d`` would also mean the digits of all scripts."""
    return pattern.replace(r"\d", "[0-9]")


def _rust_rule(rule: str) -> str:
    r"""``268\1`` as polars writes it."""
    return re.sub(r"\\(\d)", r"${\1}", rule)


@cache
def territory_of(region: str) -> Territory:
    """The territory of a region that phonenumbers supports."""
    return _territory(PhoneMetadata.metadata_for_region(region), region)


@cache
def territories_of(code: int) -> tuple[Territory, ...]:
    """The territories behind a calling code, the main one first."""
    regions = COUNTRY_CODE_TO_REGION_CODE[code]
    if regions == (NO_COUNTRY,):
        return (_territory(PhoneMetadata.metadata_for_nongeo_region(code), str(code)),)
    return tuple(map(territory_of, regions))


def _territory(metadata: PhoneMetadata | None, name: str) -> Territory:
    if metadata is None:
        raise ValueError(f"phonenumbers has no numbering plan for {name}")
    return Territory(metadata)


@cache
def calling_codes() -> tuple[int, ...]:
    """For each beginning of three digits the calling code in it, or 0."""
    codes = [0] * 1000
    for code in COUNTRY_CODE_TO_REGION_CODE:
        digits = 10 ** (3 - len(str(code)))
        codes[code * digits : (code + 1) * digits] = [code] * digits
    return tuple(codes)
