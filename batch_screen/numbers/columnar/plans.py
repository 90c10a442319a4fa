"""Numbering plans of the phonenumbers package, by territory, as interval tables and columns.

A territory is a region with a plan of its own, or a calling code that belongs to no country;
columns name it by its place in ``territories()``. Each rule is libphonenumber's own.
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

from batch_screen.numbers.columnar.digits import MOST_KEPT
from batch_screen.numbers.columnar.intervals import MOST_DIGITS, Patterns, Range, ranges
from batch_screen.numbers.parse import MOBILE_CAPABLE, TYPE_NAMES, UNKNOWN_TYPE
from batch_screen.numbers.rules import NO_COUNTRY, RejectReason

MOBILE_TYPES = tuple(TYPE_NAMES[number_type] for number_type in MOBILE_CAPABLE)
"""Types that a mobile number may have."""

CODES = tuple(sorted(COUNTRY_CODE_TO_REGION_CODE))
"""All calling codes."""

TYPES = tuple(TYPE_NAMES[number_type] for number_type in sorted(TYPE_NAMES))
"""All types, by libphonenumber's number for them."""

# In libphonenumber's order: the first that fits counts.
_SPECIAL = (
    *(Type.PREMIUM_RATE, Type.TOLL_FREE, Type.SHARED_COST, Type.VOIP, Type.PERSONAL_NUMBER),
    *(Type.PAGER, Type.UAN, Type.VOICEMAIL),
)
UNKNOWN = TYPES.index(UNKNOWN_TYPE)
"""The place among ``TYPES`` of a number without one."""

_PATTERNS = Patterns()


class _Kind(NamedTuple):
    """A kind of number in a territory: its pattern and its possible lengths."""

    pattern: int
    lengths: tuple[int, ...]

    def boundaries(self, length: int) -> list[int]:
        """``Patterns.boundaries`` of the kind's numbers of that many digits."""
        # As libphonenumber: where a kind names no lengths, its pattern decides alone.
        if self.lengths and length not in self.lengths:
            return []
        return _PATTERNS.boundaries(self.pattern, length)


class Territory:
    """The numbering plan of one region, or of one calling code of no country."""

    def __init__(self, metadata: PhoneMetadata) -> None:
        self.region = str(metadata.id)
        self.code = int(metadata.country_code or 0)
        self.international_prefix = metadata.international_prefix or ""
        """What is dialled before a calling code: digits or an expression; empty if unknown."""
        self.national_prefix = metadata.national_prefix_for_parsing or ""
        """What is dialled before a national number, and is stripped or completed."""
        self._metadata = metadata
        general = metadata.general_desc or PhoneNumberDesc()
        self.lengths = tuple(general.possible_length)
        self.local_lengths = tuple(general.possible_length_local_only)

    def idd(self) -> str:
        """The international prefix, or digits that are one; empty if there are none."""
        return _plain_prefix(self.international_prefix)

    def trunk(self) -> str:
        """The national prefix, or digits that are one; empty if there are none."""
        return _plain_prefix(self.national_prefix)

    def has_more_idds(self) -> bool:
        """Whether there are other international prefixes."""
        return self.idd() != self.international_prefix

    def has_more_trunks(self) -> bool:
        """Whether there are other national prefixes."""
        return self.trunk() != self.national_prefix

    def code_digits(self) -> str:
        """The calling code as text."""
        return str(self.code)

    def code_length(self) -> int:
        """The number of digits of the calling code."""
        return len(str(self.code))

    def code_place(self) -> int:
        """The calling code's index in ``CODES``."""
        return CODES.index(self.code)

    def main_place(self) -> int:
        """The place of the calling code's main territory."""
        return behind(self.code)[0]

    def behind_idd(self, digits: pl.Expr) -> pl.Expr:
        """Strips the international prefix from texts of digits that start with it."""
        return digits.str.replace(anchored(self.international_prefix), "")

    def behind_trunk(self, digits: pl.Expr) -> pl.Expr:
        """Strips the national prefix from texts of digits that start with it, or completes them."""
        prefix = anchored(self.national_prefix)
        rest = digits.str.replace(prefix, "")
        rule = self._metadata.national_prefix_transform_rule
        if not rule:
            return rest
        # As libphonenumber: completed only where the prefix's last group took part in the match.
        last = digits.str.extract(prefix, re.compile(self.national_prefix).groups)
        completed = digits.str.replace(prefix, re.sub(r"\\(\d)", r"${\1}", rule))
        return pl.when(last.is_not_null()).then(completed).otherwise(rest)

    def is_too_long(self, length: int) -> bool:
        """Whether that is more digits than any number of the territory has."""
        return length > self.lengths[-1] and length not in self.local_lengths

    def may_remain(self, length: int) -> bool:
        """Whether stripping a national prefix may leave that many digits."""
        return length in self.lengths or self.is_too_long(length)

    def failure(self, length: int) -> RejectReason | None:
        """Why no number has that many digits; None if one may."""
        # In the order of libphonenumber's own test of lengths.
        if length in self.local_lengths:
            return RejectReason.MISSING_AREA_CODE
        if length < self.lengths[0]:
            return RejectReason.TOO_SHORT
        if length > self.lengths[-1]:
            return RejectReason.TOO_LONG
        return None if length in self.lengths else RejectReason.NOT_POSSIBLE

    def general(self, length: int) -> list[Range]:
        """Ranges of numbers that match the territory's general pattern: 0 or 1."""
        return ranges([_PATTERNS.boundaries(self._general.pattern, length)], lambda bits: bits)

    def short_codes(self, length: int) -> list[Range]:
        """Ranges of emergency and service codes: 0 or 1."""
        # A short number has to match two patterns: the general one and that of codes.
        return ranges([kind.boundaries(length) for kind in self._short], lambda bits: bits == 3)

    def prefixed(self, prefix: str, length: int) -> list[Range]:
        """Ranges of digits that start with the prefix: 0 or 1."""
        return ranges([_PATTERNS.boundaries(_starting_with(prefix), length)], lambda bits: bits)

    def boundaries(self, length: int) -> list[list[int]]:
        """The boundaries for the bits that ``type_of`` and ``is_here`` read."""
        return [kind.boundaries(length) for kind in self._kinds]

    def is_here(self, bits: int) -> bool:
        """Whether a number belongs to this one of the territories that share its calling code."""
        # Where the plan has leading digits they decide alone; else a number with a type is here.
        if self._metadata.leading_digits:
            return bool(bits & 1)
        return self.type_of(bits) != UNKNOWN

    def type_of(self, bits: int) -> int:
        """The type of a number, as an index into ``TYPES``."""
        general, fixed_line, mobile = (bool(bits & 1 << bit) for bit in (1, 2, 3))
        if not general:
            return UNKNOWN
        # As libphonenumber's order of questions has it: special types before line and mobile.
        for bit, number_type in enumerate(_SPECIAL, start=4):
            if bits & 1 << bit:
                return int(number_type)
        is_same = bool(self._metadata.same_mobile_and_fixed_line_pattern)
        if fixed_line:
            return int(Type.FIXED_LINE_OR_MOBILE if is_same or mobile else Type.FIXED_LINE)
        return int(Type.MOBILE if mobile and not is_same else UNKNOWN)

    @cached_property
    def _general(self) -> _Kind:
        return _kind(self._metadata.general_desc)

    @cached_property
    def _kinds(self) -> list[_Kind]:
        """Leading digits, general, fixed line, mobile and special kinds, in the order of bits."""
        plan = self._metadata
        digits = plan.leading_digits
        leading = _PATTERNS.beginning(_PATTERNS.read(digits)) if digits else Patterns.NEVER
        # In the metadata an attribute for each type, by its name.
        special = (getattr(plan, TYPES[number_type]) for number_type in _SPECIAL)
        lines = (_kind(each) for each in (plan.fixed_line, plan.mobile, *special))
        # ``type_of`` and ``is_here`` know the bits by this order.
        return [_Kind(leading, ()), self._general, *lines]

    @cached_property
    def _short(self) -> tuple[_Kind, _Kind]:
        plan = PhoneMetadata.short_metadata_for_region(self.region)
        return (_kind(plan.general_desc), _kind(plan.short_code)) if plan else (_kind(None),) * 2


def _plain_prefix(prefix: str) -> str:
    """The prefix if it is digits; of an expression such as 0|180020 the choice 0.

    Digits that begin with such a choice match no other one, and need no expression.
    """
    if prefix.isdigit() or not prefix:
        return prefix
    # Without its $, which makes the pattern match more: never less.
    pattern = _PATTERNS.read(prefix.replace("$", ""))
    for choice in filter(str.isdigit, prefix.split("|")):
        found = re.match(prefix, choice)
        is_whole = found and found.group() == choice and not found.lastindex
        if is_whole and _PATTERNS.is_only(pattern, choice):
            return choice
    return ""


@cache
def _starting_with(prefix: str) -> int:
    """The pattern of digits that start with the prefix; with a $, of those that are just it."""
    # A prefix with a $ has no bar inside a group, so it can be taken apart at the bars.
    choices = prefix.split("|") if "$" in prefix else [prefix]
    whole = [choice.removesuffix("$") for choice in choices if choice.endswith("$")]
    open_ended = [choice for choice in choices if not choice.endswith("$")]
    open_patterns = (
        [_PATTERNS.beginning(_PATTERNS.read("|".join(open_ended)))] if open_ended else []
    )
    return _PATTERNS.any_of([*map(_PATTERNS.read, whole), *open_patterns])


def _kind(desc: PhoneNumberDesc | None) -> _Kind:
    if desc is None or not desc.national_number_pattern:
        return _Kind(Patterns.NEVER, ())
    return _Kind(_PATTERNS.read(desc.national_number_pattern), tuple(desc.possible_length))


def anchored(pattern: str) -> str:
    r"""The pattern anchored for polars, whose ``\d`` would match the digits of all scripts."""
    return "^(?:" + pattern.replace(r"\d", "[0-9]") + ")"


@cache
def territories() -> tuple[Territory, ...]:
    """All territories, loaded once: it takes a quarter of a second."""
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    codes = [code for code in CODES if COUNTRY_CODE_TO_REGION_CODE[code] == (NO_COUNTRY,)]
    plans = [
        *map(PhoneMetadata.metadata_for_region, regions),
        *map(PhoneMetadata.metadata_for_nongeo_region, codes),
    ]
    return tuple(Territory(plan) for plan in plans if plan is not None)


@cache
def places() -> dict[str, int]:
    """Each region's place in ``territories()``."""
    return {t.region: place for place, t in enumerate(territories()) if t.region != NO_COUNTRY}


@cache
def behind(code: int) -> tuple[int, ...]:
    """Places of the territories that share a calling code, the main one first."""
    regions = COUNTRY_CODE_TO_REGION_CODE[code]
    if regions == (NO_COUNTRY,):
        return tuple(place for place, t in enumerate(territories()) if t.code == code)
    return tuple(places()[region] for region in regions)


def types_of(code: int, length: int) -> list[Range]:
    """Ranges of region and type of the numbers of that many digits behind a calling code.

    A verdict is ``(place + 1) * len(TYPES) + type``; place + 1 is 0 where no region is known. It
    is ``code_twice()`` where the code may be written twice, which mobile numbers only seem to be.
    """
    here = behind(code)
    # All territories' patterns side by side, so that a number's bits hold the bits of each.
    boundaries: list[list[int]] = [_begins_again(code, length)]
    shifts = []
    for place in here:
        shifts.append(len(boundaries))
        boundaries += territories()[place].boundaries(length)

    @cache  # thousands of ranges share a few hundred sets of patterns
    def verdict(bits: int) -> int:
        region, number_type = 0, UNKNOWN
        for place, shift in zip(here, shifts, strict=True):
            territory = territories()[place]
            # A code of one territory alone needs no test: libphonenumber makes none either.
            if len(here) == 1 or territory.is_here(bits >> shift):
                region, number_type = place + 1, territory.type_of(bits >> shift)
                break
        if bits & 1 and TYPES[number_type] not in MOBILE_TYPES:
            return code_twice()
        return region * len(TYPES) + number_type

    return ranges(boundaries, verdict)


def _begins_again(code: int, length: int) -> list[int]:
    """The boundaries of numbers behind a code that begin with it and may be whole without it."""
    lengths = {length for place in behind(code) for length in territories()[place].lengths}
    rest = length - len(str(code))
    # One digit less where a trunk zero is stripped.
    if length not in lengths or not {rest, rest - 1} & lengths:
        return []
    return [code * 10**rest, (code + 1) * 10**rest]


@cache
def code_twice() -> int:
    """The verdict on numbers whose calling code may be written twice: in no region, no type."""
    return (len(territories()) + 1) * len(TYPES) + UNKNOWN


CODE_DIGITS = 3
"""The digits of the longest calling codes."""

_LENGTHS = MOST_DIGITS + 1


# Cached by the function that gives the fact, so that has to be a method of ``Territory``: a lambda
# would be another at every call.
@cache
def by_place(of: Callable[[Territory], object], dtype: pl.DataType) -> pl.Series:
    """A fact about each territory, to gather by place."""
    return pl.Series([of(territory) for territory in territories()], dtype=dtype)


def by_place_and_length(
    of: Callable[[Territory, int], object],
    dtype: pl.DataType,
    places: pl.Series,
    counts: pl.Series,
) -> pl.Series:
    """Looks up a fact about each place and count of up to ``MOST_DIGITS`` digits."""
    at = places.cast(pl.UInt32) * _LENGTHS + counts
    return _by_place_and_length(of, dtype).gather(at)


@cache
def _by_place_and_length(of: Callable[[Territory, int], object], dtype: pl.DataType) -> pl.Series:
    facts = [of(t, length) for t in territories() for length in range(_LENGTHS)]
    return pl.Series(facts, dtype=dtype)


def with_digits(frame: pl.DataFrame, of: Callable[[Territory], str]) -> pl.DataFrame:
    """Adds digits of each ``place``'s territory, as ``start``, their value, and ``length``."""
    starts, lengths = _digits_by_place(of)
    return frame.with_columns(
        starts.gather(frame["place"]).alias("start"), lengths.gather(frame["place"]).alias("length")
    )


@cache
def _digits_by_place(of: Callable[[Territory], str]) -> tuple[pl.Series, pl.Series]:
    texts = [of(territory) for territory in territories()]
    # An empty text gets a length beyond all numbers, so that none starts with it.
    starts = [int(text or 0) for text in texts]
    lengths = [len(text) or MOST_KEPT + 1 for text in texts]
    return pl.Series(starts, dtype=pl.UInt64), pl.Series(lengths, dtype=pl.UInt8)


def by_territory(frame: pl.DataFrame) -> list[tuple[pl.DataFrame, Territory]]:
    """The rows by territory."""
    parts = frame.partition_by("place") if frame.height else []
    return [(part, territories()[part["place"][0]]) for part in parts]


@cache
def main_places() -> pl.Series:
    """The main territory by a number's first ``CODE_DIGITS`` digits; null without a code."""
    found: list[int | None] = [None] * 10**CODE_DIGITS
    for code in CODES:
        # No code is the beginning of another, so a short one has all numbers that begin with it.
        numbers = 10 ** (CODE_DIGITS - len(str(code)))
        found[code * numbers : (code + 1) * numbers] = [behind(code)[0]] * numbers
    return pl.Series(found, dtype=pl.UInt16)
