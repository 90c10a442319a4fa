"""Normaliser of a single cell: from a raw cell and a region cell to a number or a reject.

The steps, each of which may reject: ``clean`` takes the cell to digits, ``regions`` the region cell
to the home to dial in, ``parse`` the digits to one reading or two, ``_choose`` and ``_weigh``
decide between those, and the strictness has the last word. ``columnar`` has the same steps.

libphonenumber reads ``4915123456789`` in Germany as a valid landline of somebody else. So
digits without a + are read both ways, nationally and behind a +. Another country's number is taken
only from a + or an international prefix. Where both readings are valid numbers, brackets round the
area code or the list's own convention decide; everything else in doubt is rejected.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeGuard

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from batch_screen.config.screening import Ambiguous, Numbers, Strictness
from batch_screen.masking import mask_number
from batch_screen.model import ColumnKind
from batch_screen.numbers.clean import Cell, area_code, clean
from batch_screen.numbers.convention import Convention, Conventions
from batch_screen.numbers.parse import (
    E164,
    UNKNOWN_TYPE,
    Reading,
    calling_code_of,
    international_prefix_of,
    is_short_code,
    is_stable,
    is_weak_national,
    read,
    written_once,
)
from batch_screen.numbers.regions import UNKNOWN_REGION, default_region_of, region_of
from batch_screen.numbers.rules import (
    CODE_ONCE_OR_TWICE,
    READ_AS,
    TWO_READINGS,
    Accepted,
    Reject,
    RejectReason,
    Rule,
)

# Lists repeat numbers across batches; an entry takes about 0.35 KiB, so 22 MiB in all.
CACHED_CELLS = 65_536

ONE_DIGIT_CODE = 7
"""The calling code of one digit; for 1, this digit is the trunk prefix, too."""

NO_CONVENTIONS: Conventions = {}

_Choice = tuple[Reading, Rule]


def metadata_version() -> str:
    """The version of the numbering plans, which change."""
    return str(phonenumbers.__version__)


class Normaliser:
    """Normalises the cells of one column, with a cache."""

    def __init__(
        self,
        settings: Numbers,
        default_region: str = "",
        column_kind: ColumnKind = ColumnKind.TEXT,
        conventions: Conventions = NO_CONVENTIONS,
    ) -> None:
        self.settings = settings
        self.column_kind = column_kind
        self.conventions = conventions
        self._test_numbers = frozenset(filter(E164.fullmatch, settings.test_numbers))
        self.default_region = default_region_of(default_region)
        self._cached = lru_cache(maxsize=CACHED_CELLS)(self._normalise)

    def normalise(self, raw: str | None, region: str | None = None) -> Accepted | Reject:
        """The number in the cell; ``region`` is the row's own, or blank for the default."""
        return self._cached(raw, region)

    def with_conventions(self, conventions: Conventions) -> Normaliser:
        """The same for a list whose rows have shown these conventions."""
        return Normaliser(self.settings, self.default_region, self.column_kind, conventions)

    def home(self, region: str | None) -> str:
        """The region to dial in for a region cell, as ``region_of``; a blank one is the default."""
        return region_of(region) or self.default_region

    def _normalise(self, raw: str | None, region_cell: str | None) -> Accepted | Reject:
        cell = clean(raw, self.column_kind, vanity_letters=self.settings.vanity_letters)
        if isinstance(cell, Reject):
            return cell
        if test_number := self._as_test_number(cell):
            return test_number
        chosen = self._choose(cell, raw or "", self.home(region_cell))
        if isinstance(chosen, Reject):
            return chosen
        reading, rule = chosen
        if reading.e164 in self._test_numbers:
            rule = Rule.TEST_NUMBER
        elif once := written_once(reading):
            both = (mask_number(once.e164), mask_number(reading.e164))
            return Reject(RejectReason.AMBIGUOUS, CODE_ONCE_OR_TWICE.format(*both))
        elif refusal := self._refusal(reading):
            return Reject(refusal, READ_AS.format(mask_number(reading.e164)))
        return Accepted(reading.e164, reading.region, reading.type_name, _named(rule, cell))

    def _as_test_number(self, cell: Cell) -> Accepted | None:
        """The cell as a listed test number, which need not even be a possible one."""
        e164 = "+" + (cell.digits if cell.has_plus else cell.digits.removeprefix("00"))
        if e164 not in self._test_numbers:
            return None
        reading = read(e164, None)
        region, type_name = (
            (reading.region, reading.type_name)
            if isinstance(reading, Reading)
            else (None, UNKNOWN_TYPE)
        )
        return Accepted(e164, region, type_name, _named(Rule.TEST_NUMBER, cell))

    def _refusal(self, reading: Reading) -> RejectReason | None:
        strictness = self.settings.strictness
        if not reading.is_valid:
            if strictness is not Strictness.POSSIBLE:
                return RejectReason.NOT_VALID
            return None if is_stable(reading) else RejectReason.NOT_POSSIBLE
        if strictness is Strictness.MOBILE and not reading.is_mobile_capable:
            return RejectReason.NOT_MOBILE
        return None

    def _choose(  # noqa: PLR0911 (a decision table reads best as one)
        self, cell: Cell, raw: str, region: str
    ) -> _Choice | Reject:
        """The only reading of the cell beyond doubt, with its rule."""
        digits, forced = cell.digits, self.settings.ambiguous
        if cell.has_plus:
            rule = Rule.TEL_URI if cell.is_address else Rule.INTERNATIONAL_PLUS
            return _only(f"+{digits}", None, rule)
        if digits.startswith("00") and self.settings.double_zero_is_plus:
            return _only(f"+{digits[2:]}", None, Rule.INTERNATIONAL_00)
        if forced is Ambiguous.INTERNATIONAL and digits[0] != "0":
            return _only(f"+{digits}", None, Rule.DIGITS_FORCED_INTERNATIONAL)
        if region == UNKNOWN_REGION:
            return Reject(RejectReason.UNKNOWN_REGION)
        if digits.startswith("00"):
            return _double_zero(digits, region)
        if not region:
            return Reject(RejectReason.NO_REGION)
        # No country code begins with 0: such digits have no international reading.
        if digits[0] == "0":
            return _only(digits, region, Rule.NATIONAL)
        if is_short_code(digits, region):
            return Reject(RejectReason.SHORT_CODE)
        if forced is Ambiguous.NATIONAL:
            return _only(digits, region, Rule.DIGITS_FORCED_NATIONAL)
        return self._weigh(digits, raw, region)

    def _weigh(  # noqa: PLR0911 (a decision table reads best as one)
        self, digits: str, raw: str, region: str
    ) -> _Choice | Reject:
        """Decides between the two readings of digits that could start with a country code."""
        national, international = read(digits, region), read(f"+{digits}", None)
        if national is RejectReason.MISSING_AREA_CODE:
            return Reject(national)
        # Another country's number is never taken from bare digits: a digit too many makes one.
        own = international if _is_of(international, region) else None
        if isinstance(national, RejectReason):
            return (own, Rule.DIGITS_INTERNATIONAL) if own else Reject(national)
        is_weak = is_weak_national(digits, national, region)
        # libphonenumber takes a country's own code off its national reading, too.
        is_same = isinstance(international, Reading) and national.e164 == international.e164
        by_list = self.conventions.get(region)
        if own and (is_same or _is_the_only_mobile(own, national, is_weak=is_weak)):
            # In a list of national numbers, a landline may begin as the country code does.
            is_doubt = by_list is Convention.NATIONAL and national.is_valid and not is_same
            return _ambiguous(national, own) if is_doubt else (own, Rule.DIGITS_INTERNATIONAL)
        rule = Rule.NATIONAL
        # A number that nobody abroad can have is no doubt.
        if isinstance(international, Reading) and international.is_valid:
            # Against a mobile number of its own, a list's few exceptions count.
            outweighs = own and (own.is_mobile_capable or not national.is_mobile_capable)
            if is_same:
                return _ambiguous(national, international)
            if own and outweighs and by_list is Convention.INTERNATIONAL:
                return own, Rule.INTERNATIONAL_BY_LIST
            if not _is_area_code(area_code(raw)):
                if by_list is not Convention.NATIONAL:
                    return _ambiguous(national, international)
                rule = Rule.NATIONAL_BY_LIST
        if is_weak and self.column_kind is ColumnKind.TEXT:
            detail = READ_AS.format(mask_number(national.e164))
            return Reject(RejectReason.MISSING_AREA_CODE, detail)
        return _with_rule(national, rule)


def _is_of(reading: Reading | RejectReason, region: str) -> TypeGuard[Reading]:
    """Whether it is a number with the region's own country code."""
    if not isinstance(reading, Reading) or reading.calling_code != calling_code_of(region):
        return False
    # With one digit too many, a Kazakh number reads as a Russian one behind its 7.
    return reading.calling_code != ONE_DIGIT_CODE or reading.region == region


def _is_area_code(bracketed: str) -> bool:
    """Whether digits in brackets say that the number is national: a calling code does not."""
    return bracketed != "" and int(bracketed) not in COUNTRY_CODE_TO_REGION_CODE


def _named(rule: Rule, cell: Cell) -> str:
    return "+".join((rule.value, *(modifier.value for modifier in cell.modifiers)))


def _only(digits: str, region: str | None, rule: Rule) -> _Choice | Reject:
    reading = read(digits, region)
    return Reject(reading) if isinstance(reading, RejectReason) else _with_rule(reading, rule)


def _with_rule(reading: Reading, rule: Rule) -> _Choice:
    """The reading with its rule, unless libphonenumber took an international prefix off."""
    return reading, Rule.INTERNATIONAL_IDD if reading.used_international_prefix else rule


def _is_the_only_mobile(international: Reading, national: Reading, *, is_weak: bool) -> bool:
    """Whether the international reading is a mobile number and the national one is none.

    A valid national landline gives way only if its reading is weak, and not where landlines
    and mobiles share their numbers (the US), for there "mobile" is only a maybe.
    """
    if national.is_mobile_capable or not international.is_mobile_capable:
        return False
    # Weak in open plans only: elsewhere this would turn whole cities into foreign mobiles.
    return not national.is_valid or (is_weak and international.is_surely_mobile)


def _double_zero(digits: str, region: str) -> _Choice | Reject:
    """Reads digits that start with 00, the international prefix in most regions but not all."""
    prefix = international_prefix_of(digits, region) if region else ""
    if prefix == "00":
        return _only(f"+{digits[2:]}", None, Rule.INTERNATIONAL_00)
    if not prefix:
        return Reject(RejectReason.DOUBLE_ZERO)
    # A longer prefix: 0011 in Australia; but in Hong Kong 0086131… loses its 008.
    dialled = read(digits, region)
    if isinstance(dialled, RejectReason) or not dialled.used_international_prefix:
        return Reject(RejectReason.DOUBLE_ZERO)
    with_plus = read(f"+{digits[2:]}", None)
    if isinstance(with_plus, Reading) and with_plus.e164 != dialled.e164:
        return _ambiguous(dialled, with_plus)
    return dialled, Rule.INTERNATIONAL_IDD


def _ambiguous(national: Reading, international: Reading) -> Reject:
    both = (mask_number(reading.e164) for reading in (national, international))
    return Reject(RejectReason.AMBIGUOUS, TWO_READINGS.format(*both))
