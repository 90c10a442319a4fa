"""A few tens of thousands of the cases of ``make differential``, and every rule of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain, islice

import phonenumbers
import pytest

from batch_screen.config.screening import Ambiguous, Numbers, Strictness
from batch_screen.model import ColumnKind
from tests.differential.cases import (
    SPECIAL,
    Case,
    examples,
    ordinary,
    random_cases,
    random_conventions,
    writings,
)
from tests.differential.compare import differences_from_cells, differences_from_library
from tests.differential.mobiles import random_mobiles
from tests.thoroughness import IS_FULL, in_full


def of_region(region: str) -> Iterator[Case]:
    for home, number in examples():
        if home == region:
            for text in writings(number, region):
                yield text, region
                yield text, "DE"


@in_full
def test_regions_with_rules_of_their_own() -> None:
    step = 1 if IS_FULL else 3
    cases = {region: list(of_region(region))[::step] for region in sorted(SPECIAL)}
    assert [region for region, found in cases.items() if len(found) <= 20] == []
    for compare in (differences_from_library, differences_from_cells):
        compared, differing = compare([*chain.from_iterable(cases.values())])
        assert differing == []
        assert compared > 20 * len(cases)


def test_codes_of_no_country() -> None:
    codes = phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS
    numbers = [phonenumbers.example_number_for_non_geo_entity(code) for code in codes]
    cases: list[Case] = [(text, None) for number in numbers for text in writings(number, "DE")]
    compared, differing = differences_from_library(cases)
    assert differing == []
    assert compared >= 3 * len(codes)
    assert differences_from_cells(cases)[1] == []


def test_examples_in_many_writings_are_read_as_phonenumbers_reads_them() -> None:
    compared, differing = differences_from_library(islice(ordinary(), 0, None, 11))
    assert differing == []
    assert compared > 3_000


def test_a_code_that_may_be_written_twice_is_left_to_the_single_cells_rule() -> None:
    texts = [
        f"+{number.country_code}{number.country_code}{digits}"
        for _, number in examples()
        for national in [phonenumbers.national_significant_number(number)]
        for digits in (national, national[1:], f"0{national}")
    ]
    compared, differing = differences_from_library((text, None) for text in texts)
    assert differing == []
    assert 0 < compared < len(texts)  # the others take a second reading
    assert differences_from_cells((text, None) for text in texts)[1] == []


def test_random_cells_are_read_as_phonenumbers_reads_them() -> None:
    compared, differing = differences_from_library(random_cases(1, 12_000))
    assert differing == []
    assert compared > 8_000


WAYS = [
    (Numbers(), ""),
    (Numbers(strictness=Strictness.POSSIBLE, double_zero_is_plus=True), "DE"),
    (Numbers(strictness=Strictness.MOBILE, ambiguous=Ambiguous.INTERNATIONAL), "US"),
    (
        Numbers(
            ambiguous=Ambiguous.NATIONAL,
            vanity_letters=True,
            test_numbers=("+447700900123", "+491234567890"),
        ),
        "GB",
    ),
]


@pytest.mark.parametrize(
    ("settings", "default", "kind"),
    [
        pytest.param(*way, kind, marks=() if kind is ColumnKind.TEXT else in_full)
        for way in WAYS
        for kind in ColumnKind
    ],
)
def test_random_cells_are_judged_alike_together_and_alone(
    settings: Numbers, default: str, kind: ColumnKind
) -> None:
    cases = [*random_cases(2, 1_500), ("+49 1234 567890", None), ("0044 7700 900123", None)]
    compared, differing = differences_from_cells(cases, settings, kind, default)
    assert differing == []
    assert compared > 1_000


@pytest.mark.parametrize("kind", [ColumnKind.TEXT, pytest.param(ColumnKind.INTEGER, marks=in_full)])
def test_conventions_decide_alike_together_and_alone(kind: ColumnKind) -> None:
    cases = [
        *random_cases(3, 4_000),
        *(("(201) 555-0123", region) for region in ("US", "DE", None)),
        *(("(44) 20 7946 0000", "DE"), ("\uff08201\uff09 555-0123", "US"), ("846912031", "VN")),
        *((number, "DE") for number in random_mobiles("DE", 500, random.Random(3))),
        *(("79012345678", "KZ"), ("+49 49 171 3920012", None), ("9004446312", "TR")),
    ]
    compared, differing = differences_from_cells(
        cases, Numbers(), kind, "DE", random_conventions(3)
    )
    assert differing == []
    assert compared > 4_000


ODD = [
    *("1" * 250, "1" * 251, "+" + "1" * 249, "+" + "1" * 250, " " * 251, "0" * 20, "0" * 21),
    *("12", "+12", "123", "+123", "005", "0051", "00512", "+0049171", "+++49171", "00", "0"),
    *("0171/3920012", "030 23125123/24", "0171 3920012 / 0171 3920013", "01713920012 01713920013"),
    *("01.02.2020", "2020-01-02", "1/2/2020", "2020/01/02 10 00", "4917139200.0", "491713920012.5"),
    *("4.91E+11", "49E11", "'0171 3920012", '="0171 3920012"', '="0171"3920012"', "''", "'", '=""'),
    *(
        "\u00a00171\u00a03920012",
        "\uff10171 3920012",
        "٠١٧١ ٣٩٢٠٠١٢",
        "0171\u20103920012",
        "\u200e",
    ),
    *("0171\t3920012", "0171\n3920012", "\x00", "", " ", "(0)", "(0171) 3920012", "[0171]3920012"),
    *("+49 (0)171 3920012", "+49(0171)3920012", "tel:0171 3920012", "0171 3920012 x5", "0-0-0-0-0"),
    *("001114155552671", "0113912345678", "0086131234567", "0014155552671", "8~10 49 171 3920012"),
]


@pytest.mark.parametrize(
    "default",
    [
        "",
        "DE",
        "US",
        *(pytest.param(r, marks=in_full) for r in ("AU", "HK", "BR", "IT", "RU", "AR")),
    ],
)
def test_odd_cells_are_judged_alike_together_and_alone(default: str) -> None:
    for kind in ColumnKind:
        _, differing = differences_from_cells([(text, None) for text in ODD], None, kind, default)
        assert differing == []
