"""No digits become another country's number; a list's own convention leaves few in doubt.

Random valid mobiles of every region there is, each with its region beside it: whole, with a digit
too many or too few, with the country code twice, and in lists that write them in one way or both.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import polars as pl
import pytest
from phonenumbers import country_code_for_region

from batch_screen.config.screening import Numbers
from batch_screen.numbers.convention import ConventionCounter
from batch_screen.numbers.frame import normalise_frame
from batch_screen.numbers.normalise import Normaliser
from tests.differential.cases import REGIONS
from tests.differential.mobiles import random_mobiles

pytestmark = pytest.mark.differential

EACH = 1_000
MOST_REFUSED = 0.005

Writing = Callable[[str, str, int], str]
"""How a list writes a number: from its country code, its national digits and its row."""

NATIONAL: Writing = lambda code, digits, row: digits  # noqa: E731
INTERNATIONAL: Writing = lambda code, digits, row: code + digits  # noqa: E731


@cache
def mobiles() -> dict[str, list[str]]:
    rng = random.Random(18)
    found = {region: random_mobiles(region, EACH, rng) for region in REGIONS}
    return {region: digits for region, digits in found.items() if digits}


def read(writing: Writing) -> pl.DataFrame:
    """All regions' mobiles as one list, read as planning reads it."""
    rows = [
        (writing(str(country_code_for_region(region)), digits, row), region, _e164(region, digits))
        for region, numbers in mobiles().items()
        for row, digits in enumerate(numbers)
    ]
    schema = {"raw": pl.String, "raw_region": pl.String, "truth": pl.String}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    first = Normaliser(Numbers())
    counter = ConventionCounter(first.home)
    counter.add(normalise_frame(frame, first))
    return normalise_frame(frame, first.with_conventions(counter.conventions()))


def _e164(region: str, digits: str) -> str:
    return f"+{country_code_for_region(region)}{digits}"


def counts(found: pl.DataFrame) -> dict[str, int]:
    accepted = found.filter(pl.col("e164").is_not_null())
    codes = {region: f"+{country_code_for_region(region)}" for region in mobiles()}
    home = pl.col("raw_region").replace_strict(codes)
    return {
        "rows": found.height,
        "accepted": accepted.height,
        "other than meant": accepted.filter(pl.col("e164") != pl.col("truth")).height,
        "another country's": accepted.filter(~pl.col("e164").str.starts_with(home)).height,
        "another region's behind the same code": accepted.filter(
            pl.col("region") != pl.col("raw_region")
        ).height,
    }


@pytest.mark.parametrize("writing", [NATIONAL, INTERNATIONAL], ids=["national", "international"])
def test_a_uniform_list_is_read_whole_and_right(
    writing: Writing, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read(writing)
    refused = found.group_by("raw_region").agg(share=pl.col("e164").is_null().mean())
    worst = refused.sort("share", descending=True).head(3)
    _print(capsys, f"uniform list, worst regions {worst.rows()}", counts(found))
    assert refused["share"].max() <= MOST_REFUSED
    assert counts(found)["other than meant"] == 0


@pytest.mark.parametrize("every", [2, 300])
def test_a_list_that_mixes_both_ways_is_never_read_wrong(
    every: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for usual, other in ((NATIONAL, INTERNATIONAL), (INTERNATIONAL, NATIONAL)):
        found = read(
            lambda *a, usual=usual, other=other: (other if a[2] % every == 0 else usual)(*a)
        )
        _print(capsys, f"one row in {every} written otherwise", counts(found))
        assert counts(found)["other than meant"] == 0


def _with_digit(rng: random.Random) -> Writing:
    def write(_code: str, digits: str, _row: int) -> str:
        at = rng.randrange(len(digits) + 1)
        return digits[:at] + rng.choice("0123456789") + digits[at:]

    return write


def _without_digit(rng: random.Random) -> Writing:
    def write(_code: str, digits: str, _row: int) -> str:
        at = rng.randrange(len(digits))
        return digits[:at] + digits[at + 1 :]

    return write


@pytest.mark.parametrize("damage", [_with_digit, _without_digit], ids=["added", "lost"])
def test_no_damaged_digits_are_another_countrys_number(
    damage: Callable[[random.Random], Writing], capsys: pytest.CaptureFixture[str]
) -> None:
    found = read(damage(random.Random(19)))
    _print(capsys, f"one digit {damage.__name__}", counts(found))
    assert counts(found)["another country's"] == 0


@pytest.mark.parametrize(
    "form", ["+{c}{c}{d}", "00{c}{c}{d}", "{c}{c}{d}", "+{c} (0){c}{d}", "+{c} {c} {d}"]
)
def test_a_country_code_written_twice_is_never_a_stranger(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read(lambda code, digits, _: form.format(c=code, d=digits))
    _print(capsys, f"written {form}", counts(found))
    assert counts(found)["other than meant"] == 0


@pytest.mark.parametrize("form", ["(0)0{d}", "0 0{d}", "0-0{d}"])
def test_a_trunk_zero_written_twice_is_never_a_stranger(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read(lambda _code, digits, _row: form.format(d=digits))
    _print(capsys, f"written {form}", counts(found))
    assert counts(found)["another country's"] == 0


def _print(capsys: pytest.CaptureFixture[str], what: str, figures: dict[str, int]) -> None:
    with capsys.disabled():
        print(f"\n{what}: " + ", ".join(f"{name} {n:,}" for name, n in figures.items()), end="")
