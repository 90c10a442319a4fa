from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from batch_screen.config.input import Input
from batch_screen.reading.read import open_table

LINE = "C{:07},+49 171 39{:05},DE\n"


def listed(rows: int) -> bytes:
    lines = (LINE.format(row, row % 100_000) for row in range(rows))
    return ("id,phone,country\n" + "".join(lines)).encode()


def expected(path: Path) -> int:
    return open_table([path], Input(phone_column="phone")).expected_rows()


@pytest.mark.parametrize("rows", [1, 1_000, 100_000])
def test_text_is_counted_by_its_beginning(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(listed(rows))
    assert expected(path) == pytest.approx(rows, rel=0.02, abs=1)


def test_what_is_packed_is_of_the_same_order(tmp_path: Path) -> None:
    path = tmp_path / "list.csv.gz"
    path.write_bytes(gzip.compress(listed(200_000)))
    assert 50_000 < expected(path) < 1_000_000


def test_parquet_knows(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    pl.DataFrame({"phone": ["+491713920012"] * 1234}).write_parquet(path)
    assert expected(path) == 1234
