from __future__ import annotations

import csv
import errno
import io
import stat
import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen.errors import ConfigurationError, OutputError
from batch_screen.schema import Column, dtypes
from batch_screen.tables import sheets
from batch_screen.tables.sheets import check_suffix, write_sheet

COLUMNS = (
    Column("line", pl.Int64, ""),
    Column("in_note", pl.String, ""),
    Column("in_account", pl.Int64, ""),
    Column("in_since", pl.Date, ""),
    Column("e164", pl.String, ""),
)
NUMBER = "+447700900123"
# What a spreadsheet would run, and what it would read as a figure and change.
RUNS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '"=1"', " =1", "\uff1d1", "a;=1"]
FIGURES = ["07700900123", "447700900123", "4.47E+11", "00123"]
TEXTS = ["Müller, Ann", "07700 900123", "12345", "a=b", "ÅÖ 漢字"]


def frame(*notes: str | None) -> pl.DataFrame:
    height = len(notes)
    return pl.DataFrame(
        {
            "line": range(2, height + 2),
            "in_note": notes,
            "in_account": [447_700_900_123] * height,
            "in_since": [date(2026, 11, 23)] * height,
            "e164": [NUMBER] * height,
        },
        schema=dtypes(COLUMNS),
    )


def write(path: Path, *frames: pl.DataFrame, masked: bool = False) -> Path:
    write_sheet(path, "flagged", COLUMNS, iter(frames), masked=masked)
    return path


def lines(path: Path) -> list[dict[str, str]]:
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")  # else Excel takes it for another encoding
    return [*csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))]


def workbook(path: Path) -> pl.DataFrame:
    return pl.read_excel(path, engine="calamine", infer_schema_length=0)


def test_no_cell_of_a_csv_runs_and_numbers_stay_texts(tmp_path: Path) -> None:
    found = lines(write(tmp_path / "a.csv", frame(*RUNS, *FIGURES, *TEXTS)))
    cells = [row["in_note"] for row in found]
    assert all(cell.lstrip(' "').startswith("'") or ";'" in cell for cell in cells[: len(RUNS)])
    assert cells[len(RUNS) :] == [*(f"'{cell}" for cell in FIGURES), *TEXTS]
    assert {row["e164"] for row in found} == {f"'{NUMBER}"}
    assert (found[0]["line"], found[0]["in_account"]) == ("2", "'447700900123")


def test_a_workbook_has_texts_where_a_csv_needs_apostrophes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", frame(*RUNS), frame(*FIGURES, *TEXTS, None))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = workbook(path)
    assert found.columns == [column.name for column in COLUMNS]
    assert found["in_note"].to_list()[len(RUNS) :] == [*FIGURES, *TEXTS, None]
    assert set(found["e164"]) == {NUMBER}
    assert set(found["in_account"]) == {"447700900123"}
    assert set(found["in_since"]) == {"2026-11-23"}
    with zipfile.ZipFile(path) as opened:
        sheet = opened.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet  # not one formula
    assert '<c r="A2"><v>2</v></c>' in sheet


def test_parquet_keeps_the_types(tmp_path: Path) -> None:
    rows = frame("=1", "a")
    assert pl.read_parquet(write(tmp_path / "a.parquet", rows)).equals(rows)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_masked_sheets_hold_no_number(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", frame("call +44 7700 900123", None), masked=True)
    found = pl.read_parquet(path) if suffix == ".parquet" else None
    if suffix == ".csv":
        found = pl.DataFrame(lines(path))
    elif suffix == ".xlsx":
        found = workbook(path)
    assert found is not None
    assert "900123" not in found.write_csv()
    assert "•" in found["in_note"][0]
    assert "•" in found["e164"][0]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".PARQUET"])
def test_without_rows_there_are_columns(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}")
    if suffix == ".csv":
        assert path.read_text("utf-8-sig").strip() == ",".join(c.name for c in COLUMNS)
    elif suffix == ".PARQUET":
        assert pl.read_parquet(path).schema == dtypes(COLUMNS)
    else:
        with zipfile.ZipFile(path) as opened:
            assert '<row r="1"' in opened.read("xl/worksheets/sheet1.xml").decode()


def test_more_rows_than_a_sheet_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "MOST_WORKBOOK_ROWS", 4)
    write(tmp_path / "three.xlsx", frame("a", "b", "c"))
    with pytest.raises(ConfigurationError, match=r"holds 4 rows.*\.csv"):
        write(tmp_path / "four.xlsx", frame("a", "b"), frame("c", "d"))
    assert [path.name for path in tmp_path.iterdir()] == ["three.xlsx"]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BufferedWriter):
        def write(self, content: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("batch_screen.storage.atomic.BufferedWriter", Full)
    with pytest.raises(OutputError, match=r"No space left.*free space") as caught:
        write(tmp_path / f"a{suffix}", frame("a"))
    assert caught.value.exit_code == 73
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["rejects", "rejects.xls", "csv", ".csv"])
def test_other_formats_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--to .*\.csv, \.xlsx or \.parquet"):
        check_suffix(Path(name), "--to")


def test_a_workbook_without_its_library_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'batch-screen\[excel\]'"):
        check_suffix(Path("a.xlsx"), "--to")


def test_short_numbers_of_a_kept_phone_column_are_masked(tmp_path: Path) -> None:
    """Six digits are a whole number in Andorra, and in no text are they taken for one."""
    names = {"e164": pl.String, "column": pl.String, "in_phone": pl.String, "in_id": pl.Int64}
    columns = tuple(Column(name, dtype, "") for name, dtype in names.items())
    row = {"e164": "+376312345", "column": "phone", "in_phone": "312345", "in_id": 312345}
    write_sheet(tmp_path / "a.csv", "a", columns, [pl.DataFrame([row])], masked=True)
    [_, line] = (tmp_path / "a.csv").read_text("utf-8-sig").splitlines()
    assert line == "'+3763•••45,phone,31••••,312345"
