from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.masking import mask_number
from batch_screen.numbers.columnar.digits import (
    MOST_KEPT,
    behind_start,
    count_of,
    masked,
    starts_with,
    starts_with_zeros,
    text_of,
    value_of,
)

DIGITS = st.text("0123456789", min_size=1, max_size=MOST_KEPT)
VALUE, COUNT = pl.col("value"), pl.col("count")


def as_digits(text: str) -> pl.DataFrame:
    return pl.DataFrame({"text": [text]}).select(
        value=value_of(pl.col("text")), count=count_of(pl.col("text"))
    )


@given(st.text("0123456789", max_size=MOST_KEPT))
def test_digits_stay_the_same(text: str) -> None:
    assert as_digits(text).select(text_of(VALUE, COUNT)).item() == text


@given(DIGITS, DIGITS)
def test_as_texts_do(text: str, start: str) -> None:
    for digits in (text, (start + text)[:MOST_KEPT]):
        row = as_digits(digits)
        value, length = pl.lit(int(start), pl.UInt64), pl.lit(len(start), pl.UInt8)
        is_so = row.select(starts_with(VALUE, COUNT, value, length)).item()
        assert is_so == digits.startswith(start)
        if is_so:
            behind = row.select(behind_start(VALUE, COUNT, length)).item()
            assert behind == int(digits.removeprefix(start) or 0)


@given(st.integers(1, 3), st.from_regex(r"0{0,4}[0-9]{0,10}", fullmatch=True))
def test_zeros(zeros: int, text: str) -> None:
    is_so = as_digits(text).select(starts_with_zeros(VALUE, COUNT, zeros)).item()
    assert is_so == text.startswith("0" * zeros)


numbers = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)


@given(st.lists(numbers, min_size=1, max_size=20))
def test_a_column_is_masked_as_single_numbers_are(e164: list[str]) -> None:
    found = pl.DataFrame({"e164": e164}).select(masked("e164")).to_series()
    assert found.to_list() == [mask_number(number) for number in e164]
