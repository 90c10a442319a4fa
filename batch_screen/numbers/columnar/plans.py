"""The numbering plans that the phonenumbers package ships, a row for each territory.

A territory is a region with a plan of its own, or a calling code that belongs to no country; it
is known by its place in ``territories()``. Each rule says the same as libphonenumber's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, cached_property
from typing import NamedTuple

import phonenumbers
import polars as pl
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc
from phonenumbers import PhoneNumberType as Type

from batch_screen.numbers.columnar.clean import MOST_KEPT
from batch_screen.numbers.columnar.intervals import MOST_DIGITS, Patterns, Range, ranges
from batch_screen.numbers.parse import MOBILE_CAPABLE, TYPE_NAMES, UNKNOWN_TYPE
from batch_screen.numbers.rules import NO_COUNTRY, RejectReason

MOBILE_TYPES = tuple(TYPE_NAMES[number_type] for number_type in MOBILE_CAPABLE)
"""The names of the types that a mobile number may have."""

CODES = tuple(sorted(COUNTRY_CODE_TO_REGION_CODE))
"""All calling codes."""

TYPES = tuple(TYPE_NAMES[number_type] for number_type in sorted(TYPE_NAMES))
"""The names of the types, in the order of libphonenumber's numbers for them."""

# In libphonenumber's order: the first that fits counts.
_SPECIAL = (
    *(Type.PREMIUM_RATE, Type.TOLL_FREE, Type.SHARED_COST, Type.VOIP, Type.PERSONAL_NUMBER),
    *(Type.PAGER, Type.UAN, Type.VOICEMAIL),
)
_UNKNOWN = TYPES.index(UNKNOWN_TYPE)
_PATTERNS = Patterns()


class _Kind(NamedTuple):
    """A kind of number in a territory: what its digits look like, and how many there are."""

    pattern: int
    lengths: tuple[int, ...]

    def turns(self, length: int) -> list[int]:
        """The values at which numbers of so many digits begin or cease to be of this kind."""
        if self.lengths and length not in self.lengths:
            return []
        return _PATTERNS.turns(self.pattern, length)


class Territory:
    """The numbering plan of one region, or of one calling code of no country."""

    def __init__(self, metadata: PhoneMetadata) -> None:
        self.region = str(metadata.id)
        self.code = int(metadata.country_code or 0)
        self._metadata = metadata
        general = metadata.general_desc or PhoneNumberDesc()
        self.lengths = tuple(general.possible_length)
        self.local_lengths = tuple(general.possible_length_local_only)

    @property
    def international_prefix(self) -> str:
        """What is dialled before a calling code: digits or an expression; empty: not known."""
        return self._metadata.international_prefix or ""

    @property
    def national_prefix(self) -> str:
        """What a national number starts with that is no part of it, or is to be completed."""
        return self._metadata.national_prefix_for_parsing or ""

    def behind_idd(self, digits: pl.Expr) -> pl.Expr:
        """Texts of digits that start with the international prefix, without it."""
        return digits.str.replace(anchored(self.international_prefix), "")

    def behind_trunk(self, digits: pl.Expr) -> pl.Expr:
        """Texts of digits that start with the national prefix, without it, or completed."""
        prefix = anchored(self.national_prefix)
        rest = digits.str.replace(prefix, "")
        rule = self._metadata.national_prefix_transform_rule
        if not rule:
            return rest
        last = digits.str.extract(prefix, re.compile(self.national_prefix).groups)
        completed = digits.str.replace(prefix, re.sub(r"\\(\d)", r"${\1}", rule))
        return pl.when(last.is_not_null()).then(completed).otherwise(rest)

    def is_too_long(self, length: int) -> bool:
        """Whether no number of the territory has so many digits."""
        return length > self.lengths[-1] and length not in self.local_lengths

    def failure(self, length: int) -> RejectReason | None:
        """Why there can be no number with so many digits; None if there can."""
        if length in self.local_lengths:
            return RejectReason.MISSING_AREA_CODE
        if length < self.lengths[0]:
            return RejectReason.TOO_SHORT
        if length > self.lengths[-1]:
            return RejectReason.TOO_LONG
        return None if length in self.lengths else RejectReason.NOT_POSSIBLE

    def general(self, length: int) -> list[Range]:
        """Which numbers are any number of the territory, as far as their digits tell: 0 or 1."""
        return ranges([_PATTERNS.turns(self._general.pattern, length)], lambda bits: bits)

    def short_codes(self, length: int) -> list[Range]:
        """Which digits are emergency and service codes there: 0 or 1."""
        return ranges([kind.turns(length) for kind in self._short], lambda bits: bits == 3)

    def prefixed(self, prefix: str, length: int) -> list[Range]:
        """Which numbers start with one of the territory's prefixes: 0 or 1."""
        return ranges([_PATTERNS.turns(_begun(prefix), length)], lambda bits: bits)

    def turns(self, length: int) -> list[list[int]]:
        """What ``type_of`` and ``is_here`` need to know, bit by bit."""
        kinds = (self._general, self._fixed_line, self._mobile, *self._special)
        return [_PATTERNS.turns(self._leading, length), *(kind.turns(length) for kind in kinds)]

    def is_here(self, bits: int) -> bool:
        """Whether a number is the territory's, among those that share its calling code."""
        if self._metadata.leading_digits:
            return bool(bits & 1)
        return self.type_of(bits) != _UNKNOWN

    def type_of(self, bits: int) -> int:
        """The type of a number, as a place in ``TYPES``."""
        general, fixed_line, mobile = (bool(bits & 1 << bit) for bit in (1, 2, 3))
        if not general:
            return _UNKNOWN
        for bit, number_type in enumerate(_SPECIAL, start=4):
            if bits & 1 << bit:
                return int(number_type)
        is_same = bool(self._metadata.same_mobile_and_fixed_line_pattern)
        if fixed_line:
            return int(Type.FIXED_LINE_OR_MOBILE if is_same or mobile else Type.FIXED_LINE)
        return int(Type.MOBILE if mobile and not is_same else _UNKNOWN)

    @cached_property
    def _leading(self) -> int:
        digits = self._metadata.leading_digits
        return _PATTERNS.beginning(_PATTERNS.read(digits)) if digits else Patterns.NEVER

    @cached_property
    def _general(self) -> _Kind:
        return _kind(self._metadata.general_desc)

    @cached_property
    def _fixed_line(self) -> _Kind:
        return _kind(self._metadata.fixed_line)

    @cached_property
    def _mobile(self) -> _Kind:
        return _kind(self._metadata.mobile)

    @cached_property
    def _short(self) -> tuple[_Kind, _Kind]:
        plan = PhoneMetadata.short_metadata_for_region(self.region)
        return (_kind(plan.general_desc), _kind(plan.short_code)) if plan else (_kind(None),) * 2

    @cached_property
    def _special(self) -> list[_Kind]:
        return [_kind(getattr(self._metadata, TYPES[number_type])) for number_type in _SPECIAL]


@cache
def _begun(prefix: str) -> int:
    """What starts with the prefix; an alternative that ends with $ is to be the whole."""
    choices = prefix.split("|") if "$" in prefix else [prefix]
    whole = [choice.removesuffix("$") for choice in choices if choice.endswith("$")]
    begun = [choice for choice in choices if not choice.endswith("$")]
    begun_patterns = [_PATTERNS.beginning(_PATTERNS.read("|".join(begun)))] if begun else []
    return _PATTERNS.any_of([*map(_PATTERNS.read, whole), *begun_patterns])


def _kind(desc: PhoneNumberDesc | None) -> _Kind:
    if desc is None or not desc.national_number_pattern:
        return _Kind(Patterns.NEVER, ())
    return _Kind(_PATTERNS.read(desc.national_number_pattern), tuple(desc.possible_length))


def anchored(pattern: str) -> str:
    r"""The pattern for polars, whose ``\d`` would also mean the digits of all scripts."""
    return "^(?:" + pattern.replace(r"\d", "[0-9]") + ")"


@cache
def territories() -> tuple[Territory, ...]:
    """All territories; loading them takes a quarter of a second."""
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    codes = [code for code in CODES if COUNTRY_CODE_TO_REGION_CODE[code] == (NO_COUNTRY,)]
    plans = [
        *map(PhoneMetadata.metadata_for_region, regions),
        *map(PhoneMetadata.metadata_for_nongeo_region, codes),
    ]
    return tuple(Territory(plan) for plan in plans if plan is not None)


@cache
def places() -> dict[str, int]:
    """The place of each region among the territories."""
    return {t.region: place for place, t in enumerate(territories()) if t.region != NO_COUNTRY}


@cache
def behind(code: int) -> tuple[int, ...]:
    """The places of the territories behind a calling code, the main one first."""
    regions = COUNTRY_CODE_TO_REGION_CODE[code]
    if regions == (NO_COUNTRY,):
        return tuple(place for place, t in enumerate(territories()) if t.code == code)
    return tuple(places()[region] for region in regions)


def types_of(code: int, length: int) -> list[Range]:
    """Region and type of all numbers of so many digits behind a calling code.

    A verdict is ``(place + 1) * len(TYPES) + type``; place + 1 is 0 where no region is known.
    """
    here = behind(code)
    turns: list[list[int]] = []
    shifts = []
    for place in here:
        shifts.append(len(turns))
        turns += territories()[place].turns(length)

    def verdict(bits: int) -> int:
        for place, shift in zip(here, shifts, strict=True):
            territory = territories()[place]
            if len(here) == 1 or territory.is_here(bits >> shift):
                return (place + 1) * len(TYPES) + territory.type_of(bits >> shift)
        return _UNKNOWN

    return ranges(turns, verdict)


# Facts about territories, gathered for whole columns of places.

CODE_DIGITS = 3
"""How many digits the longest calling codes have."""

_LENGTHS = MOST_DIGITS + 1


def fact(of: Callable[[Territory], object], dtype: pl.DataType, places: pl.Series) -> pl.Series:
    """A fact about the territory of each place."""
    return _by_place(of, dtype).gather(places)


def fact_of_length(
    of: Callable[[Territory, int], object],
    dtype: pl.DataType,
    places: pl.Series,
    counts: pl.Series,
) -> pl.Series:
    """A fact about numbers of up to ``MOST_DIGITS`` digits that hangs on place and count."""
    at = places.cast(pl.UInt32) * _LENGTHS + counts
    return _by_place_and_length(of, dtype).gather(at)


def with_digits(frame: pl.DataFrame, of: Callable[[Territory], str | None]) -> pl.DataFrame:
    """The frame with some digits of the territory of each row's ``place``, null where it has none.

    ``start`` is their value and ``length`` their count.
    """
    starts, lengths = _digits_by_place(of)
    return frame.with_columns(
        starts.gather(frame["place"]).alias("start"), lengths.gather(frame["place"]).alias("length")
    )


def by_territory(frame: pl.DataFrame) -> list[tuple[pl.DataFrame, Territory]]:
    """The rows of each territory."""
    parts = frame.partition_by("place") if frame.height else []
    return [(part, territories()[part["place"][0]]) for part in parts]


@cache
def _by_place(of: Callable[[Territory], object], dtype: pl.DataType) -> pl.Series:
    return pl.Series([of(territory) for territory in territories()], dtype=dtype)


@cache
def _digits_by_place(of: Callable[[Territory], str | None]) -> tuple[pl.Series, pl.Series]:
    texts = [of(territory) for territory in territories()]
    # Where there are none, they are longer than any number, which then never starts with them.
    starts = [None if text is None else int(text or 0) for text in texts]
    lengths = [None if text is None else len(text) or MOST_KEPT + 1 for text in texts]
    return pl.Series(starts, dtype=pl.UInt64), pl.Series(lengths, dtype=pl.UInt8)


@cache
def _by_place_and_length(of: Callable[[Territory, int], object], dtype: pl.DataType) -> pl.Series:
    facts = [of(t, length) for t in territories() for length in range(_LENGTHS)]
    return pl.Series(facts, dtype=dtype)


@cache
def main_places() -> pl.Series:
    """For each ``CODE_DIGITS`` first digits the main territory behind the code in them, if any."""
    found: list[int | None] = [None] * 10**CODE_DIGITS
    for calling in CODES:
        digits = 10 ** (CODE_DIGITS - len(str(calling)))
        found[calling * digits : (calling + 1) * digits] = [behind(calling)[0]] * digits
    return pl.Series(found, dtype=pl.UInt16)


def idd(territory: Territory) -> str | None:
    """The international prefix; empty if there is none, None if it is more than digits."""
    return _plain(territory.international_prefix)


def trunk(territory: Territory) -> str | None:
    """The national prefix; empty if there is none, None if it is more than digits."""
    return _plain(territory.national_prefix)


def _plain(prefix: str) -> str | None:
    return prefix if prefix.isdigit() or not prefix else None


def code(territory: Territory) -> str:
    """The calling code."""
    return str(territory.code)


def code_length(territory: Territory) -> int:
    """How many digits the calling code has."""
    return len(code(territory))


def code_place(territory: Territory) -> int:
    """Where the calling code stands in ``CODES``."""
    return CODES.index(territory.code)


def main_place(territory: Territory) -> int:
    """The place of the main territory behind the calling code."""
    return behind(territory.code)[0]


def may_remain(territory: Territory, length: int) -> bool:
    """Whether so many digits are enough to be what a national prefix leaves."""
    return length in territory.lengths or territory.is_too_long(length)


def failure(territory: Territory, length: int) -> str | None:
    """``Territory.failure`` as a text."""
    reason = territory.failure(length)
    return reason.value if reason else None
