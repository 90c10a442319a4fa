from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import ColumnKind
from batch_screen.numbers.clean import clean
from batch_screen.numbers.columnar.clean import _PLAIN, read_cells
from batch_screen.numbers.columnar.digits import text_of
from batch_screen.numbers.rules import Reject, RejectReason


def read(*cells: str | None, kind: ColumnKind = ColumnKind.TEXT) -> dict[int, tuple[object, ...]]:
    """What became of each cell, by its row: digits…, a reason…, or nothing."""
    frame = pl.DataFrame({"raw": cells}, schema={"raw": pl.String}).with_row_index("row")
    found = read_cells(frame, kind)
    digits = text_of(pl.col("value"), pl.col("count")).alias("digits")
    dialled = found.dialled.select("row", digits, "has_plus", "modifier")
    rows = [*dialled.rows(), *found.refused.rows(), *found.undecided.rows()]
    assert sorted(row for row, *_ in rows) == [*range(len(cells))]  # each of them once
    return {row: tuple(rest) for row, *rest in rows}


def test_cells_go_where_they_belong() -> None:
    found = read(
        *("+49 (0)171 3920012", "0171/3920012", "'0171 3920012", None, " ", "n/a", "12"),
        *("4.9E+11", "491713920012.0", "01.02.2020", "0171 3920012 x5", "\uff10171"),
    )
    assert found == {
        0: ("4901713920012", True, ""),
        1: ("01713920012", False, ""),
        2: ("01713920012", False, "excel_undone"),
        3: (RejectReason.EMPTY, None),
        4: (RejectReason.EMPTY, None),
        5: (),
        6: (RejectReason.TOO_SHORT, "2 digits"),
        7: (RejectReason.SCIENTIFIC_NOTATION, None),
        8: (RejectReason.FLOAT_ARTEFACT, None),
        9: (RejectReason.NOT_A_NUMBER, "reads as a date"),
        10: (),
        11: ("0171", False, ""),
    }


@pytest.mark.parametrize(
    ("kind", "modifier"),
    [(ColumnKind.INTEGER, "integer_column"), (ColumnKind.FLOAT, "float_column")],
)
def test_columns_of_figures(kind: ColumnKind, modifier: str) -> None:
    assert read("491713920012", "-1", None, kind=kind) == {
        0: ("491713920012", False, modifier),
        1: (),
        2: (),
    }


def test_a_slash_behind_an_area_code_or_a_whole_number() -> None:
    found = read("030123/4567", "0301234/4567", "+49 30123/4567", "004930123/4567", "0301234567/")
    assert {row for row, became in found.items() if became[0] == "multiple_numbers"} == {1, 3}


def test_too_many_digits_for_arithmetic_are_left_to_others() -> None:
    found = read("9" * 18, "9" * 19, "9" * 20, "0" * 20, "9" * 21, "0" * 21, "0" * 251)
    assert found == {
        0: ("9" * 18, False, ""),
        1: ("9" * 19, False, ""),
        2: (),
        3: (),
        4: (RejectReason.TOO_LONG, "21 digits"),
        5: (RejectReason.TOO_LONG, "21 digits"),
        6: (),
    }


@given(st.text("0123456789+- ._eE\n\t,\x00\uff11\u0663", max_size=8))
def test_a_cast_takes_what_is_written_in_digits_alone_and_nothing_else(text: str) -> None:
    cast = pl.Series([text]).cast(pl.UInt64, strict=False).item()
    bare = re.fullmatch(r"\+?[0-9]+", text)
    assert cast == (int(text) if bare else None)


def test_a_frame_without_rows() -> None:
    assert read() == {}


@given(st.lists(st.from_regex(_PLAIN, fullmatch=True), min_size=1))
def test_the_usual_writings_are_read_at_once_as_they_are_one_by_one(texts: list[str]) -> None:
    found = read(*texts)
    for row, text in enumerate(texts):
        alone = clean(text, ColumnKind.TEXT, vanity_letters=False)
        if isinstance(alone, Reject):
            expected: tuple[object, ...] = (alone.reason, alone.detail)
        else:
            expected = (alone.digits, alone.has_plus, "")
        assert found[row] in {expected, ()}  # of 20 digits nothing is said here


def test_zeros_that_stand_apart_are_left_to_the_single_cells() -> None:
    apart = ["(0)0171 3920012", "0 0171 3920012", "[0] (0)171 3920012"]
    together = ["(00)49 171 3920012", "00 49 171 3920012", "0171 0039200", "+49 (0)0171 3920012"]
    cells = pl.DataFrame({"raw": [*apart, *together]}).with_row_index("row")
    found = read_cells(cells, ColumnKind.TEXT)
    assert found.undecided["row"].to_list() == [0, 1, 2]
    assert found.dialled["row"].sort().to_list() == [3, 4, 5, 6]
