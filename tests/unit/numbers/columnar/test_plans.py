from __future__ import annotations

import phonenumbers
import pytest

from batch_screen.numbers.columnar.plans import (
    CODES,
    MOBILE_TYPES,
    TYPES,
    Territory,
    behind,
    places,
    territories,
    types_of,
)
from batch_screen.numbers.parse import is_short_code
from batch_screen.numbers.rules import NO_COUNTRY, RejectReason


def of(region: str) -> Territory:
    return territories()[places()[region]]


def test_there_is_a_territory_for_every_region_and_every_code_of_no_country() -> None:
    assert set(places()) == set(phonenumbers.SUPPORTED_REGIONS)
    without = [territory.code for territory in territories() if territory.region == NO_COUNTRY]
    assert sorted(without) == sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
    assert all(territories()[place].code == code for code in CODES for place in behind(code))


def test_the_main_territory_comes_first() -> None:
    main = {1: "US", 7: "RU", 39: "IT", 44: "GB", 47: "NO", 61: "AU"}
    assert {code: territories()[behind(code)[0]].region for code in main} == main


@pytest.mark.parametrize(
    ("region", "length", "reason"),
    [
        ("US", 10, None),
        ("US", 7, RejectReason.MISSING_AREA_CODE),
        ("US", 6, RejectReason.TOO_SHORT),
        ("US", 11, RejectReason.TOO_LONG),
        ("GB", 8, RejectReason.MISSING_AREA_CODE),
        ("FR", 9, None),
    ],
)
def test_why_a_length_is_none(region: str, length: int, reason: RejectReason | None) -> None:
    assert of(region).failure(length) is reason


def test_names_of_types() -> None:
    assert MOBILE_TYPES == ("mobile", "fixed_line_or_mobile")
    assert TYPES[phonenumbers.PhoneNumberType.VOIP] == "voip"


def test_what_is_to_be_the_whole_number_begins_no_longer_one() -> None:
    antigua = of("AG")  # its prefix: ([457]\d{6})$|1
    assert antigua.prefixed(antigua.national_prefix, 7) == [
        *((0, 0), (1_000_000, 1), (2_000_000, 0), (4_000_000, 1), (6_000_000, 0)),
        *((7_000_000, 1), (8_000_000, 0)),
    ]
    assert antigua.prefixed(antigua.national_prefix, 8) == [
        *((0, 0), (10_000_000, 1), (20_000_000, 0)),
    ]


@pytest.mark.parametrize("region", ["DE", "US", "GB", "HU", "AD", "TK"])
def test_short_codes_are_those_of_phonenumbers(region: str) -> None:
    for length in (3, 4):
        found = of(region).short_codes(length)
        for value in range(10 ** (length - 1), 10**length):
            verdict = next(verdict for begin, verdict in reversed(found) if begin <= value)
            assert bool(verdict) == is_short_code(str(value), region)


def test_ranges_of_a_code_name_region_and_type() -> None:
    found = types_of(7, 10)
    verdict = next(verdict for begin, verdict in reversed(found) if begin <= 7_710_009_998)
    place, number_type = divmod(verdict, len(TYPES))
    assert (territories()[place - 1].region, TYPES[number_type]) == ("KZ", "mobile")
