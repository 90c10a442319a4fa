from __future__ import annotations

import datetime as dt
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input.table import Table, open_listed, open_table

NUMBERS = [f"+1202555010{n}" for n in range(10)]
ROWS: list[list[Any]] = [["id", "phone", "note"], *([n, c, "x"] for n, c in enumerate(NUMBERS))]


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    with xlsxwriter.Workbook(str(path), {"default_date_format": "yyyy-mm-dd"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                for place, cell in enumerate(row):
                    if isinstance(cell, str):
                        sheet.write_string(number, place, cell)
                    elif cell is not None:
                        sheet.write(number, place, cell)
    return path


def opened(path: Path, **settings: object) -> Table:
    return open_table([path], Input.model_validate(settings))


def rows(table: Table, *columns: str) -> list[tuple[Any, ...]]:
    return [row for batch in table.batches() for row in batch.select(columns or "raw").iter_rows()]


def numbers(table: Table) -> list[Any]:
    return [row[0] for row in rows(table)]


def test_text_stays_text(tmp_path: Path) -> None:
    cells = ["+12025550100", "001 202 555 0101", "'0171 3920012", " (202) 555-0103 ", None, "n/a"]
    path = workbook(tmp_path / "x.xlsx", Kunden=[["phone", "id"], *([c, "1"] for c in cells)])
    table = opened(path)
    assert numbers(table) == cells
    assert table.kinds[0] == "text"
    assert table.expected_rows() == 6


@pytest.mark.parametrize("cells", [[12025550100, None, 12025550101], [12025550100.0, 1.5, 4.9e20]])
def test_a_column_of_numbers_is_known_as_one(tmp_path: Path, cells: list[Any]) -> None:
    path = workbook(tmp_path / "x.xlsx", Kunden=[["phone", "id"], *([c, "1"] for c in cells)])
    table = opened(path)
    assert table.kinds[0] == "float"
    assert numbers(table)[0] == "12025550100"
    if 4.9e20 in cells:
        assert numbers(table)[1:] == ["1.5", "49" + "0" * 19]  # too long for a number


def test_numbers_among_text_are_read_as_text(tmp_path: Path) -> None:
    cells = ["+12025550100", 12025550101, "n/a"]
    table = opened(workbook(tmp_path / "x.xlsx", Kunden=[["phone"], *([c] for c in cells)]))
    assert (table.kinds[0], numbers(table)) == ("text", [str(cell) for cell in cells])


def test_kept_cells_are_text(tmp_path: Path) -> None:
    cells = ["phone", dt.date(2026, 3, 2), 42, 0.1, True, None, ""]
    names = ["phone", *"abcdef"]
    path = workbook(tmp_path / "x.xlsx", Kunden=[names, ["+12025550100", *cells[1:]]])
    kept = rows(opened(path, keep_columns="all"), *(f"in_{name}" for name in names))
    assert kept == [("+12025550100", "2026-03-02 00:00:00", "42", "0.1", "true", None, None)]


def test_blank_rows_are_none_and_titles_are_skipped(tmp_path: Path) -> None:
    titles: list[list[Any]] = [[], ["Customer export"], [None, "", None], []]
    blank: list[list[Any]] = [[], [None, ""]]
    path = workbook(tmp_path / "x.xlsx", Kunden=[*titles, *ROWS[:4], *blank, *ROWS[4:]])
    table = opened(path)
    assert numbers(table) == NUMBERS
    assert table.notes == ("x.xlsx: 1 line above its header is skipped",)
    assert [row[0] for row in rows(table, "source_row")] == [*range(1, 11)]


def test_lines_are_skipped_by_their_number(tmp_path: Path) -> None:
    path = workbook(tmp_path / "x.xlsx", Kunden=[["a", "b", "c"], [1, 2, 3], *ROWS])
    assert numbers(opened(path, skip_lines=2)) == NUMBERS
    found = opened(path, skip_lines=3, has_header=False, phone_column="2")
    assert (found.phone_columns, numbers(found)) == (("column_2",), NUMBERS)


def test_the_only_sheet_with_rows_is_read(tmp_path: Path) -> None:
    table = opened(workbook(tmp_path / "x.xlsx", Leer=[], Kunden=ROWS, Auch=[[]]))
    assert numbers(table) == NUMBERS


@pytest.mark.parametrize("sheet", ["Kunden 2", "kunden 2 ", "2"])
def test_of_several_sheets_one_has_to_be_named(tmp_path: Path, sheet: str) -> None:
    other = [["phone", "x"], ["+12025550199", 1]]
    path = workbook(tmp_path / "x.xlsx", **{"Alt": other, "Kunden 2": ROWS})
    assert numbers(opened(path, sheet=sheet)) == NUMBERS
    with pytest.raises(InputError, match="2 of its sheets hold rows, Alt, Kunden 2; name one"):
        opened(path)
    with pytest.raises(InputError, match=r"no sheet 'Neu'; .* Alt, Kunden 2"):
        opened(path, sheet="Neu")


@pytest.mark.parametrize("filled", [[], [[]], [["phone", "id"]], [["Report"], ["phone", "id"]]])
def test_a_workbook_without_rows_is_refused(tmp_path: Path, filled: list[list[Any]]) -> None:
    with pytest.raises(InputError, match="rows") as caught:
        opened(workbook(tmp_path / "x.xlsx", Kunden=filled))
    assert caught.value.exit_code == 65


def test_workbooks_and_text_together(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("phone\n+12025550199\n")
    workbook(tmp_path / "b.xlsx", Kunden=ROWS)
    workbook(tmp_path / "c.xlsx", Kunden=[["phone"]])
    table = open_table(sorted(tmp_path.iterdir()), Input())
    assert numbers(table) == ["+12025550199", *NUMBERS]
    assert table.notes == ("c.xlsx: it holds no rows and is skipped",)


def test_an_opt_out_list_may_be_a_workbook(tmp_path: Path) -> None:
    for above in ([], [["Widersprüche"]]):
        path = workbook(tmp_path / "x.xlsx", No=[*above, *([cell] for cell in NUMBERS)])
        assert numbers(open_listed(path, "opt-out list", Input())[0]) == NUMBERS


def test_the_line_that_installs_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "x.xlsx", Kunden=ROWS)
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(InputError, match=r"Excel workbook; .* pip install 'batch-screen\[excel\]'"):
        opened(path)


@pytest.mark.parametrize("content", [b"\xd0\xcf\x11\xe0" + bytes(600), b"PK\x03\x04" + bytes(60)])
def test_a_damaged_workbook_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.xls"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^x\.xls: it is (a )?damaged") as caught:
        opened(path)
    assert "\n" not in str(caught.value)


def test_a_workbook_cut_anywhere_is_one_line(tmp_path: Path) -> None:
    content = workbook(tmp_path / "x.xlsx", Kunden=ROWS).read_bytes()
    for end in range(0, len(content) - 1, 500):
        (tmp_path / "x.xlsx").write_bytes(content[:end])
        with pytest.raises(InputError, match=r"^x\.xlsx: "):
            opened(tmp_path / "x.xlsx")


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "x.xlsx", Kunden=ROWS)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/media/zeros", bytes(100 << 20))
    with pytest.raises(InputError, match="200 times its size"):
        opened(path)


def test_an_open_document_sheet_is_read(tmp_path: Path) -> None:
    cells = "".join(
        "<table:table-row><table:table-cell office:value-type='string'><text:p>"
        f"{cell}</text:p></table:table-cell></table:table-row>"
        for cell in ("phone", *NUMBERS)
    )
    spaces = "".join(
        f" xmlns:{name}='urn:oasis:names:tc:opendocument:xmlns:{name}:1.0'"
        for name in ("office", "table", "text")
    )
    content = (
        f"<?xml version='1.0'?><office:document-content{spaces}><office:body><office:spreadsheet>"
        f"<table:table table:name='Kunden'>{cells}</table:table></office:spreadsheet>"
        "</office:body></office:document-content>"
    )
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr("content.xml", content)
        book.writestr("META-INF/manifest.xml", "<manifest/>")
    (tmp_path / "x.ods").write_bytes(held.getvalue())
    assert numbers(opened(tmp_path / "x.ods")) == NUMBERS


def test_more_lines_skipped_than_there_are(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(str(tmp_path / "x.xlsx")) as book:
        book.add_worksheet().write_row(0, 0, ("phone", "+12025550100"))
    with pytest.raises(InputError, match="--skip-lines 9 leaves no row"):
        open_table([tmp_path / "x.xlsx"], Input(skip_lines=9))
