from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from batch_screen.config.screening import Input
from batch_screen.input.table import open_table

ROWS = [("Ada", "2025550100"), ("Ben", "2025550101"), ("Cy", "2025550102")]


def cells(path: Path, chunk_bytes: int = 1 << 20) -> list[Any]:
    table = open_table([path], Input(phone_column="phone"), chunk_bytes=chunk_bytes)
    return [cell for batch in table.batches() for cell in batch["raw"]]


@pytest.mark.parametrize(
    "label",
    [
        *("Total", "TOTALS:", "Grand total", "Summe", "Gesamt (3)", "Итого", "3 records"),
        *("Total général", "Total geral", "Suma total", "Összesen", "I alt", "合计", "Σύνολο"),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\n\n(3 rows affected)\n"])
@pytest.mark.parametrize("size", [7, 1 << 20])
def test_a_sum_is_no_number(tmp_path: Path, label: str, end: str, size: int) -> None:
    lines = ["name;phone", *(f"{name};{cell}" for name, cell in ROWS), f"{label};6076650303"]
    (tmp_path / "x.csv").write_text("\n".join(lines) + end)
    found = cells(tmp_path / "x.csv", size)
    assert found[:4] == [*(cell for _, cell in ROWS), label]


@pytest.mark.parametrize("row", ["Total;+33 1 23 45 67 89", "Totalsen;2025550104", ";2025550104"])
def test_people_are_no_totals(tmp_path: Path, row: str) -> None:
    lines = ["name;phone", *(f"{name};{cell}" for name, cell in ROWS), row]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    assert cells(tmp_path / "x.csv")[3] == row.partition(";")[2]


def test_only_the_last_rows_are_looked_at(tmp_path: Path) -> None:
    lines = ["name;phone", "Total;2025550104", *("Ada;2025550100" for _ in range(9))]
    for size in (20, 1 << 20):
        (tmp_path / "x.csv").write_text("\n".join(lines))
        assert cells(tmp_path / "x.csv", size)[0] == "2025550104"


def test_a_kept_column_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("name,phone\nAda,2025550100\nTotal,2025550100\n")
    table = open_table([tmp_path / "x.csv"], Input(phone_column="phone", keep_columns=("phone",)))
    found = next(table.batches()).select("raw", "in_phone").row(1)
    assert found == ("Total", "2025550100")


def test_a_total_in_a_workbook(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(str(tmp_path / "x.xlsx")) as book:
        sheet = book.add_worksheet()
        for number, (name, cell) in enumerate((("name", "phone"), *ROWS)):
            sheet.write_row(number, 0, [name, int(cell) if cell.isdigit() else cell])
        sheet.write_row(4, 0, ["Total", 6076650303])
    assert cells(tmp_path / "x.xlsx") == [*(cell for _, cell in ROWS), "Total"]
