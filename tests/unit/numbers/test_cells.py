from __future__ import annotations

import polars as pl
import pytest

from batch_screen.model import ColumnKind
from batch_screen.numbers.cells import read_cells
from batch_screen.numbers.rules import RejectReason


def read(*cells: str | None, kind: ColumnKind = ColumnKind.TEXT) -> dict[int, tuple[object, ...]]:
    """What became of each cell, by its row: digits…, a reason…, or nothing."""
    frame = pl.DataFrame({"raw": cells}, schema={"raw": pl.String}).with_row_index("row")
    found = read_cells(frame, kind)
    rows = [*found.dialled.rows(), *found.refused.rows(), *found.undecided.rows()]
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


def test_a_frame_without_rows() -> None:
    assert read() == {}
