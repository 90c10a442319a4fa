"""Parsing of digits into one reading by libphonenumber, with its type and validity.

Knows no settings and decides nothing.
"""

from __future__ import annotations

import re
from functools import cache
from traceback import clear_frames

import msgspec
import phonenumbers
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    CountryCodeSource,
    NumberParseException,
    PhoneMetadata,
    PhoneNumberFormat,
    PhoneNumberType,
    ValidationResult,
)

from batch_screen.numbers.rules import RejectReason

# The patterns of all regions together overflow the cache of ``re``: eight times slower.
phonenumbers.enable_pattern_cache()

LONGEST_SHORT_CODE = 6
"""In digits; longer ones may be a short code and a number, and are taken for the number."""

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
"""ITU-T E.164 as the API takes it; for ``fullmatch``, because ``$`` lets a newline through."""

TYPE_NAMES: dict[int, str] = {
    number_type: PhoneNumberType.to_string(number_type).lower()
    for number_type in PhoneNumberType.values()
}

UNKNOWN_TYPE = TYPE_NAMES[PhoneNumberType.UNKNOWN]

_PARSE_FAILURES = {
    NumberParseException.INVALID_COUNTRY_CODE: RejectReason.UNKNOWN_COUNTRY_CODE,
    NumberParseException.NOT_A_NUMBER: RejectReason.NOT_A_NUMBER,
    NumberParseException.TOO_SHORT_AFTER_IDD: RejectReason.TOO_SHORT,
    NumberParseException.TOO_SHORT_NSN: RejectReason.TOO_SHORT,
    NumberParseException.TOO_LONG: RejectReason.TOO_LONG,
}
_IMPOSSIBLE = {
    ValidationResult.INVALID_COUNTRY_CODE: RejectReason.UNKNOWN_COUNTRY_CODE,
    ValidationResult.TOO_SHORT: RejectReason.TOO_SHORT,
    ValidationResult.TOO_LONG: RejectReason.TOO_LONG,
    ValidationResult.INVALID_LENGTH: RejectReason.NOT_POSSIBLE,
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: RejectReason.MISSING_AREA_CODE,
}
_NEVER = r"(?!)"
_ANY = re.compile("")
MOBILE_CAPABLE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


class Reading(msgspec.Struct, frozen=True):
    """A possible number, whose length fits its country; valid if its type is known."""

    e164: str
    number: phonenumbers.PhoneNumber
    type_code: int

    @property
    def is_valid(self) -> bool:
        return self.type_code != PhoneNumberType.UNKNOWN

    @property
    def is_mobile_capable(self) -> bool:
        return self.type_code in MOBILE_CAPABLE

    @property
    def is_surely_mobile(self) -> bool:
        return self.type_code == PhoneNumberType.MOBILE

    @property
    def calling_code(self) -> int:
        return int(self.number.country_code or 0)

    @property
    def used_international_prefix(self) -> bool:
        source = self.number.country_code_source
        return bool(source == CountryCodeSource.FROM_NUMBER_WITH_IDD)

    @property
    def region(self) -> str | None:
        return phonenumbers.region_code_for_number(self.number)

    @property
    def type_name(self) -> str:
        return TYPE_NAMES[self.type_code]


def read(digits: str, region: str | None) -> Reading | RejectReason:
    """Parses digits, with or without a + in front, as dialled in the region.

    Without a region they must start with +.
    """
    try:
        number = _unprefixed(digits, region) or phonenumbers.parse(
            digits, region, keep_raw_input=region is not None
        )
    except NumberParseException as failure:
        # The failure and a variable of the library hold each other: until the next garbage
        # collection, they would keep all our callers' tables in memory.
        clear_frames(failure.__traceback__)
        return _PARSE_FAILURES[failure.error_type]
    # is_valid_number is "the type is known", and costs the same regular expressions again.
    type_code = phonenumbers.number_type(number)
    if type_code == PhoneNumberType.UNKNOWN:
        possibility = phonenumbers.is_possible_number_with_reason(number)
        if possibility != ValidationResult.IS_POSSIBLE:
            return _IMPOSSIBLE[possibility]
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if not E164.fullmatch(e164):
        return RejectReason.TOO_SHORT if len(e164) < 8 else RejectReason.TOO_LONG
    return Reading(e164, number, type_code)


def is_stable(reading: Reading) -> bool:
    """Whether the number is the same when read again.

    Always so for valid ones; an invalid one may still start with a trunk zero (+20 0097…)
    that each further reading takes off.
    """
    again = read(reading.e164, None)
    return isinstance(again, Reading) and again.e164 == reading.e164


def is_short_code(digits: str, region: str) -> bool:
    """Whether the digits are an emergency or service code such as 112 or 116117."""
    if len(digits) > LONGEST_SHORT_CODE:
        return False
    number = phonenumbers.PhoneNumber(
        country_code=phonenumbers.country_code_for_region(region), national_number=int(digits)
    )
    return bool(phonenumbers.is_valid_short_number_for_region(number, region))


def is_weak_national(digits: str, reading: Reading, region: str) -> bool:
    """Whether a national reading proves little: digits without a trunk prefix in an open plan.

    In Germany and Austria landlines have so many lengths that almost any digits are a valid
    one, another country's number or a local number without its area code included. Written
    with the trunk zero, or where landlines have one or two lengths (Britain, France), a
    valid reading is meant.
    """
    return (
        not reading.is_mobile_capable
        and is_open_plan_with_trunk(region)
        and phonenumbers.national_significant_number(reading.number) == digits
    )


def written_once(reading: Reading) -> Reading | None:
    """Reads a number whose country code may be written twice (+49 49 171…) with one of them.

    Some systems store such numbers, and libphonenumber takes them for landlines of somebody else.
    None where the number behind the first code is not valid, or where the whole may be a mobile:
    then it only looks so, as Indian and Italian mobiles do.
    """
    national = phonenumbers.national_significant_number(reading.number)
    if reading.is_mobile_capable or not national.startswith(str(reading.calling_code)):
        return None
    once = read(f"+{national}", None)
    return once if isinstance(once, Reading) and once.is_valid else None


def _unprefixed(digits: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    """The result of ``phonenumbers.parse`` where it has no prefix to strip; else None.

    Most numbers have none, and for bare digits the rest of ``parse`` is a search for punctuation,
    letters and extensions: three quarters of a number's time.
    """
    if region is not None:
        (code, prefixes), national = _plan_of_region(region), digits
    else:
        # Up to three digits behind the +; no code is the beginning of another, or starts with 0.
        codes = (int(digits[1:end]) for end in (2, 3, 4) if digits[1] != "0")
        code = next((code for code in codes if code in COUNTRY_CODE_TO_REGION_CODE), 0)
        national, prefixes = digits[len(str(code)) + 1 :], _prefixes_of_code(code)
    if not 2 <= len(national) <= 17 or national[0] == "0" or prefixes.match(national):
        return None
    return phonenumbers.PhoneNumber(country_code=code, national_number=int(national))


@cache
def _plan_of_region(region: str) -> tuple[int, re.Pattern[str]]:
    """The region's calling code, and the prefixes ``parse`` may strip from digits dialled there."""
    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.country_code is None:
        return 0, _ANY
    found = (metadata.international_prefix, metadata.national_prefix_for_parsing)
    patterns = [str(metadata.country_code), *filter(None, found)]
    return metadata.country_code, re.compile("|".join(f"(?:{p})" for p in patterns))


@cache
def _prefixes_of_code(code: int) -> re.Pattern[str]:
    """The prefixes ``parse`` may strip behind a calling code."""
    region = phonenumbers.region_code_for_country_code(code)
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    if metadata is None:
        return _ANY
    return re.compile(metadata.national_prefix_for_parsing or _NEVER)


@cache
def calling_code_of(region: str) -> int:
    """The calling code behind which the region's numbers are."""
    return phonenumbers.country_code_for_region(region)


@cache
def is_open_plan_with_trunk(region: str) -> bool:
    """Whether landlines have more than two lengths and are written with a trunk prefix."""
    metadata = PhoneMetadata.metadata_for_region(region)
    fixed_line = metadata.fixed_line if metadata else None
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.FIXED_LINE)
    prefix = phonenumbers.ndd_prefix_for_region(region, strip_non_digits=True)
    if fixed_line is None or example is None or not prefix:
        return False
    written = phonenumbers.format_number(example, PhoneNumberFormat.NATIONAL).lstrip("(")
    return len(fixed_line.possible_length) > 2 and written.startswith(prefix)


@cache
def _international_prefix(region: str) -> re.Pattern[str]:
    metadata = PhoneMetadata.metadata_for_region(region)
    return re.compile((metadata.international_prefix if metadata else None) or _NEVER)


def international_prefix_of(digits: str, region: str) -> str:
    """The international prefix that the digits start with in region, or an empty string.

    >>> international_prefix_of("0049171", "DE"), international_prefix_of("0049171", "US")
    ('00', '')
    """
    match = _international_prefix(region).match(digits)
    return match.group() if match else ""


def national_digits(e164: str) -> str:
    """The number's digits without its calling code: with them every way to write it ends.

    >>> national_digits("+491713920012"), national_digits("+390612345678")
    ('1713920012', '0612345678')
    """
    return phonenumbers.national_significant_number(phonenumbers.parse(e164))
