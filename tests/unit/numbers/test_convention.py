from __future__ import annotations

import random

import polars as pl
import pytest
from phonenumbers import country_code_for_region

from batch_screen.config.screening import Numbers
from batch_screen.numbers.convention import Convention, ConventionCounter, Conventions, Evidence
from batch_screen.numbers.frame import normalise_frame
from batch_screen.numbers.normalise import Normaliser
from tests.differential.mobiles import random_mobiles

SCHEMA = {"raw": pl.String, "raw_region": pl.String}


def judged(
    cells: list[tuple[str, str | None]], default_region: str = ""
) -> tuple[ConventionCounter, pl.DataFrame]:
    """A list read twice, as planning does it."""
    frame = pl.DataFrame(cells, schema=SCHEMA, orient="row")
    first = Normaliser(Numbers(), default_region)
    counter = ConventionCounter(first.home)
    counter.add(normalise_frame(frame, first))
    second = Normaliser(Numbers(), default_region, conventions=counter.conventions())
    return counter, normalise_frame(frame, second)


def german(count: int, *, seed: int = 1) -> list[str]:
    return random_mobiles("DE", count, random.Random(seed))


def test_national_digits_of_a_uniform_list_are_all_read() -> None:
    numbers = german(1_000)
    counter, found = judged([(number, "DE") for number in numbers])
    rows = counter.evidence()["DE"]
    assert rows.international == 0
    assert rows.doubtful > 300
    assert rows.national + rows.doubtful == 1_000
    assert found["e164"].to_list() == [f"+49{number}" for number in numbers]
    assert set(found["rule"]) == {"national", "national_by_list"}


@pytest.mark.parametrize("zero", ["\N{ARABIC-INDIC DIGIT ZERO}", "\N{FULLWIDTH DIGIT ZERO}"])
def test_the_digits_of_other_scripts_count_too(zero: str) -> None:
    numbers = german(1_000)
    script = {ord("0") + n: ord(zero) + n for n in range(10)}
    _, found = judged([(number.translate(script), "DE") for number in numbers])
    assert found["e164"].to_list() == [f"+49{number}" for number in numbers]


def test_a_plus_of_another_script_is_no_row_without_one() -> None:
    counter, found = judged([("\N{FULLWIDTH PLUS SIGN}49491711234567", None)])
    assert found["reject_reason"].to_list() == ["ambiguous"]
    assert counter.evidence() == {}


@pytest.mark.parametrize("region", ["DE", "GB", "US"])
def test_a_list_that_mixes_both_ways_has_no_convention(region: str) -> None:
    numbers = random_mobiles(region, 1_000, random.Random(2))
    code = country_code_for_region(region)
    cells = [number if i % 2 else f"{code}{number}" for i, number in enumerate(numbers)]
    counter, found = judged([(cell, region) for cell in cells])
    assert counter.conventions() == {}
    read = found.filter(pl.col("e164").is_not_null())
    truth = pl.Series([f"+{code}{number}" for number in numbers])
    assert (read["e164"] == truth.filter(found["e164"].is_not_null())).all()


@pytest.mark.parametrize(
    ("evidence", "convention"),
    [
        (Evidence(199, 0, 9), None),
        (Evidence(200, 0, 9), Convention.NATIONAL),
        (Evidence(0, 200, 9), Convention.INTERNATIONAL),
        (Evidence(995, 5, 9), Convention.NATIONAL),
        (Evidence(994, 6, 9), None),
        (Evidence(6, 994, 9), None),
    ],
)
def test_two_hundred_rows_have_to_agree_to_995_in_a_thousand(
    evidence: Evidence, convention: Convention | None
) -> None:
    assert evidence.convention is convention


def test_rows_with_a_plus_or_a_zero_show_nothing() -> None:
    numbers = german(300)
    counter, _ = judged([(f"+49{n}", "DE") for n in numbers] + [(f"0{n}", "DE") for n in numbers])
    assert counter.evidence() == {}


def test_rows_without_a_region_of_their_own_count_for_the_default() -> None:
    counter, found = judged([(number, None) for number in german(1_000)], "DE")
    assert counter.conventions() == {"DE": Convention.NATIONAL}
    assert found["e164"].null_count() == 0


def test_a_region_of_few_rows_follows_those_of_its_calling_code() -> None:
    few = random_mobiles("MS", 50, random.Random(3))
    assert judged([(n, "MS") for n in few])[0].conventions() == {}
    many = random_mobiles("US", 1_000, random.Random(4))
    counter, found = judged([(n, "US") for n in many] + [(n, "MS") for n in few])
    conventions: Conventions = counter.conventions()
    assert conventions == {"US": Convention.NATIONAL, "MS": Convention.NATIONAL}
    assert found["e164"].null_count() == 0


def test_batches_add_up() -> None:
    normaliser = Normaliser(Numbers(), "DE")
    counter = ConventionCounter(normaliser.home)
    for seed in range(5):
        cells = [(number, None) for number in german(100, seed=seed)]
        frame = pl.DataFrame(cells, schema=SCHEMA, orient="row")
        counter.add(normalise_frame(frame, normaliser))
    assert sum(counter.evidence()["DE"]) == 500
