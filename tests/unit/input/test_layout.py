from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batch_screen.input.layout import shown, unique


@given(st.lists(st.sampled_from(["a", "a_2", "a_3", "", "column_1", " a "]), max_size=8))
def test_names_become_unique(names: list[str]) -> None:
    labels = [name for name, _ in unique(names)]
    assert len(set(labels)) == len(names)


def test_a_name_that_is_a_number_is_masked() -> None:
    assert "3920012" not in shown("+491713920012")


def test_a_hundred_thousand_equal_names_take_no_time() -> None:
    found = unique(["c"] * 100_000)
    assert len({name for name, _ in found}) == 100_000
    assert found[99_999] == ("c_100000", "c")
