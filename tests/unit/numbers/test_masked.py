from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.masking import mask_number
from batch_screen.numbers.masked import masked

numbers = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)


@given(st.lists(numbers, min_size=1, max_size=20))
def test_a_column_is_masked_as_single_numbers_are(e164: list[str]) -> None:
    found = pl.DataFrame({"e164": e164}).select(masked("e164")).to_series()
    assert found.to_list() == [mask_number(number) for number in e164]
