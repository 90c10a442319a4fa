from __future__ import annotations

import pytest

from batch_screen.input.cells import csv_kind, is_clearly_number, is_data, may_be_number, most


@pytest.mark.parametrize(
    "cell",
    [
        "+491713920012",
        "0171 3920012",
        "(0171) 392-0012",
        "0033639981234",
        "tel:+12025550123",
        "'+491713920012",
        '="+491713920012"',
        " +49 171/3920012 ",
        "+49\u00a0171\u00a03920012",
    ],
)
def test_numbers_are_seen_through_their_wrapping(cell: str) -> None:
    assert is_clearly_number(cell)


@pytest.mark.parametrize(
    "cell",
    ["", "Bob", "01.02.1990", "2024-01-31", "20240131", "0.12345678", "10.0", "0171", "0" * 16],
)
def test_dates_decimals_and_names_are_none(cell: str) -> None:
    assert not may_be_number(cell)


def test_digits_alone_are_possible_but_not_clear() -> None:
    assert may_be_number("491713920012")
    assert not is_clearly_number("491713920012")


@pytest.mark.parametrize("cell", ["phone", "20240131", "column_2", "2024", "address 1", "1.0"])
def test_names_of_columns_are_no_data(cell: str) -> None:
    assert not is_data(cell)


def test_most_counts_only_filled_cells() -> None:
    assert most(["a", None, " ", "a", "b"], "a".__eq__)
    assert not most([None, ""], "a".__eq__)
    assert csv_kind([None, ""]) == "text"
