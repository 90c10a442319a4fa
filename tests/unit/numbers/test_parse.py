from __future__ import annotations

import gc
from itertools import product

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.numbers import parse
from batch_screen.numbers.parse import (
    Reading,
    international_prefix_of,
    is_short_code,
    is_stable,
    is_weak_national,
    read,
)
from batch_screen.numbers.rules import RejectReason
from tests.thoroughness import examples

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
digits = st.text("0123456789", min_size=3, max_size=20)


def reading_of(text: str, region: str | None = None) -> Reading:
    reading = read(text, region)
    assert isinstance(reading, Reading)
    return reading


@pytest.mark.parametrize(
    ("text", "region", "reason"),
    [
        ("+999123456", None, RejectReason.UNKNOWN_COUNTRY_CODE),
        ("+0491713920012", None, RejectReason.UNKNOWN_COUNTRY_CODE),
        ("+120155", None, RejectReason.TOO_SHORT),
        ("+12015550", None, RejectReason.MISSING_AREA_CODE),
        ("+1201555012345", None, RejectReason.TOO_LONG),
        ("+49491713920012345", None, RejectReason.TOO_LONG),
        ("5550123", "US", RejectReason.MISSING_AREA_CODE),
        ("+493023", None, RejectReason.TOO_SHORT),
        ("+4", None, RejectReason.NOT_A_NUMBER),
    ],
)
def test_impossible_numbers(text: str, region: str | None, reason: RejectReason) -> None:
    assert read(text, region) is reason


@pytest.mark.parametrize(("text", "region"), [("+999123456", None), ("+4", None), ("0", "DE")])
def test_a_refusal_leaves_no_garbage_that_holds_the_callers_tables(
    text: str, region: str | None
) -> None:
    read(text, region)  # tables that are made once
    gc.collect()
    gc.disable()
    try:
        assert isinstance(read(text, region), RejectReason)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_reading_knows_its_degree() -> None:
    mobile, landline = reading_of("+491713920012"), reading_of("+493023125123")
    american, unassigned = reading_of("+12015550123"), reading_of("+491234567890")
    assert (mobile.is_valid, mobile.is_mobile_capable, mobile.is_surely_mobile) == (True,) * 3
    assert (landline.is_valid, landline.is_mobile_capable) == (True, False)
    assert (american.is_mobile_capable, american.is_surely_mobile) == (True, False)
    assert not unassigned.is_valid
    assert (american.type_name, unassigned.type_name) == ("fixed_line_or_mobile", "unknown")
    assert reading_of("+80012345678").region == "001"


def test_short_codes() -> None:
    assert is_short_code("112", "DE")
    assert is_short_code("116117", "DE")
    assert not is_short_code("1713920012", "DE")


def test_a_national_landline_is_weak_without_its_zero_where_lengths_vary() -> None:
    assert is_weak_national("3023125123", reading_of("3023125123", "DE"), "DE")
    assert not is_weak_national("03023125123", reading_of("03023125123", "DE"), "DE")
    assert not is_weak_national("1713920012", reading_of("1713920012", "DE"), "DE")
    assert not is_weak_national("2079460000", reading_of("2079460000", "GB"), "GB")
    assert not is_weak_national("2015550123", reading_of("2015550123", "US"), "US")


def test_international_prefixes_differ_by_region() -> None:
    assert international_prefix_of("01149171", "US") == "011"
    assert international_prefix_of("001149171", "AU") == "0011"
    assert international_prefix_of("0049171", "ZZ") == ""


def test_an_invalid_number_may_change_when_read_again() -> None:
    assert not is_stable(reading_of("+200097325698"))
    assert is_stable(reading_of("+491234567890"))


def assert_agrees_with_parse(text: str, region: str | None) -> None:
    number = parse._unprefixed(text, region)
    if number is not None:
        assert number == phonenumbers.parse(text, region)


@given(digits, st.sampled_from(REGIONS))
@examples(1000)
def test_the_short_way_agrees_with_parse_nationally(text: str, region: str) -> None:
    assert_agrees_with_parse(text, region)


@given(st.sampled_from([*map(str, CODES), ""]), digits)
@examples(1000)
def test_the_short_way_agrees_with_parse_internationally(code: str, text: str) -> None:
    assert_agrees_with_parse(f"+{code}{text}", None)


def test_the_short_way_agrees_with_parse_on_examples() -> None:
    for region, number_type in product(REGIONS, phonenumbers.PhoneNumberType.values()):
        example = phonenumbers.example_number_for_type(region, number_type)
        if example is not None:
            national = phonenumbers.national_significant_number(example)
            assert_agrees_with_parse(national, region)
            assert_agrees_with_parse(f"+{example.country_code}{national}", None)


@given(st.sampled_from([*map(str, CODES), ""]), digits)
def test_valid_is_what_libphonenumber_calls_valid(code: str, text: str) -> None:
    reading = read(f"+{code}{text}", None)
    if isinstance(reading, Reading):
        assert reading.is_valid == phonenumbers.is_valid_number(reading.number)
        assert phonenumbers.is_possible_number(reading.number)
