from __future__ import annotations

import csv
import stat
from pathlib import Path

import polars as pl
import pytest

from batch_screen.numbers.rules import REMEDY, RejectReason
from batch_screen.planning.shards import make_plan, rejects_path
from batch_screen.profile.rejects import parts, rejected, write_rejects
from batch_screen.schema import CHECK_REJECTS, dtypes

from .lists import batch, normaliser

CELLS = ["030 23125001", None, "", "=1+1", "4.9E+11", "441134960000", "441134960001", "n/a", "n/a"]
REASONS = {
    "empty": 2,
    "ambiguous": 2,
    "not_a_number": 3,
    "scientific_notation": 1,
}


def planned(
    folder: Path, cells: list[str | None], column: str = "phone", *, file: str = "list.csv"
) -> list[pl.DataFrame]:
    """The parts of the plan's rejects, a few rows each."""
    judge = normaliser("DE")
    batches = [
        batch(cells[first : first + 3], judge, file=file, first=first)
        for first in range(0, len(cells), 3)
    ]
    made = (each.drop("in_id").with_columns(phone_column=pl.lit(column)) for each in batches)
    make_plan(made, folder / "plan", shard_rows=1_000, facts={}, on_rows=lambda _: None)
    return [*parts(rejects_path(folder / "plan"))]


def test_reasons_with_examples_that_look_different(tmp_path: Path) -> None:
    found = rejected(REASONS, planned(tmp_path, [*CELLS]))
    by_reason = {each.reason: each for each in found}
    assert list(by_reason) == list(REASONS)
    for reason, each in by_reason.items():
        assert (each.rows, each.remedy) == (REASONS[reason], REMEDY[RejectReason(reason)])
    assert [e.source_row for e in by_reason["empty"].examples] == [2, 3]
    words = [e.raw_masked for e in by_reason["not_a_number"].examples]
    assert words == ["=1+•", "n/•"]
    first, second = by_reason["ambiguous"].examples  # the cells look alike, their readings do not
    assert first.raw_masked == second.raw_masked == "44••••••••••"
    assert first.detail == "national +4944••••••••00, international +4411••••••00"
    assert second.detail == "national +4944••••••••01, international +4411••••••01"


def test_examples_are_few_however_many_rows_there_are(tmp_path: Path) -> None:
    cells = [f"{'x' * n} ?" for n in range(3, 30)]
    [found] = rejected({"not_a_number": 27}, planned(tmp_path, [*cells]))
    assert len(found.examples) == 3


def test_a_reason_that_nobody_explains_is_told_all_the_same() -> None:
    [found] = rejected({"of_later_versions": 3}, [])
    assert (found.rows, found.remedy, found.examples) == (3, "", [])


def test_no_rejects_are_no_parts(tmp_path: Path) -> None:
    assert [*parts(tmp_path / "none.parquet")] == []


def test_a_csv_for_spreadsheets(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    write_rejects(path, planned(tmp_path, [*CELLS], "=phone"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rows = [*csv.DictReader(path.read_text("utf-8-sig").splitlines())]
    assert list(rows[0]) == [column.name for column in CHECK_REJECTS]
    assert len(rows) == 8
    assert {row["column"] for row in rows} == {"'=phone"}
    assert {row["raw_masked"] for row in rows if row["reason"] == "not_a_number"} == {
        "'=1+•",
        "n/•",
    }
    assert all(row["remedy"] for row in rows)


def test_a_parquet_file_has_the_same_rows(tmp_path: Path) -> None:
    made = planned(tmp_path, [*CELLS], file="+491713920012.csv")
    path = tmp_path / "rejects.PARQUET"
    write_rejects(path, made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    frame = pl.read_parquet(path)
    assert frame.schema == dtypes(CHECK_REJECTS)
    assert frame["source_row"].to_list() == [2, 3, 1, 2, 3, 1, 2, 3]
    assert frame["reason"].value_counts().height == len(REASONS)
    assert "3920012" not in frame.write_json()


@pytest.mark.parametrize("name", ["rejects.csv", "rejects.parquet"])
def test_without_rejects_there_are_columns(tmp_path: Path, name: str) -> None:
    write_rejects(tmp_path / name, planned(tmp_path, ["030 23125001"]))
    read = pl.read_csv if name.endswith("csv") else pl.read_parquet
    frame = read(tmp_path / name)
    assert (frame.height, frame.columns) == (0, [column.name for column in CHECK_REJECTS])


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    path.write_text("old")
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        write_rejects(path, [pl.DataFrame({"a": [1]})])
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]
