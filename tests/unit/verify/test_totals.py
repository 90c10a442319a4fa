from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from batch_screen.verify.totals import row_faults
from tests.thoroughness import in_full


@pytest.fixture
def parts(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    """Rows 0 to 299 over two parts of results and one of errors, where every tenth lies."""
    results = [i for i in range(300) if i % 10]
    paths = [tmp_path / f"{number}.parquet" for number in range(3)]
    for number in (0, 1):
        pl.DataFrame({"row_index": results[number::2]}).write_parquet(paths[number])
    errors = {"kind": ["reject"] * 30 + ["failure"] * 2, "row_index": [*range(0, 300, 10), 5, None]}
    pl.DataFrame(errors).write_parquet(paths[2])
    return paths[:2], paths[2:]


@pytest.mark.parametrize("at_once", [pytest.param(1, marks=in_full), 7, 100, 300, 1000])
def test_row_indexes_are_looked_at_in_windows(
    parts: tuple[list[Path], list[Path]], at_once: int
) -> None:
    assert list(row_faults(*parts, 300, at_once=at_once)) == []
    [less] = row_faults(*parts, 299, at_once=at_once)
    assert less == "1 row indexes lie outside 0 to 298"
    [more] = row_faults(*parts, 301, at_once=at_once)
    assert more == "1 row indexes are missing, the first is 300"


def test_an_index_in_two_parts(parts: tuple[list[Path], list[Path]]) -> None:
    results, errors = parts
    frame = pl.read_parquet(results[1])
    frame.with_columns(pl.col("row_index").replace(2, 1)).write_parquet(results[1])
    assert list(row_faults(results, errors, 300)) == [
        "1 row indexes are listed twice, the first is 1",
        "1 row indexes are missing, the first is 2",
    ]


def test_damage_is_told(parts: tuple[list[Path], list[Path]]) -> None:
    results, errors = parts
    results[0].write_bytes(b"PAR1")
    [told] = row_faults(results, errors, 300)
    assert told == "cannot be read: it is no whole Parquet file"
