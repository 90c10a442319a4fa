from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from batch_screen.errors import OutputError
from batch_screen.output import ordering
from batch_screen.output.ordering import write_in_order

ROWS = 1_000


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Rows of an input of which every tenth was rejected, dealt out to three parts."""
    rows = pl.DataFrame({"row_index": range(ROWS)}).with_columns(
        e164=pl.format("+4915111{}", pl.col("row_index").cast(pl.String).str.zfill(6))
    )
    accepted = rows.filter(pl.col("row_index") % 10 != 0)
    paths = [tmp_path / f"part-{part}.parquet" for part in range(3)]
    for part, path in enumerate(paths):
        accepted.filter(pl.col("row_index") % 3 == part).write_parquet(path, row_group_size=50)
    return paths


@pytest.mark.parametrize("range_rows", [1, 64, 400, 10_000])
def test_all_rows_stand_in_the_inputs_order(
    parts: list[Path], tmp_path: Path, range_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "RANGE_ROWS", range_rows)
    target = tmp_path / "in_order.parquet"
    write_in_order(parts, target, ROWS)
    assert pl.read_parquet(target).equals(pl.concat(map(pl.read_parquet, parts)).sort("row_index"))
    assert sorted(tmp_path.iterdir()) == sorted([*parts, target])
    assert target.stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_where_a_part_cannot_be_read(parts: list[Path], tmp_path: Path) -> None:
    parts[1].unlink()
    with pytest.raises(OutputError):
        write_in_order(parts, tmp_path / "in_order.parquet", ROWS)
    assert sorted(tmp_path.iterdir()) == [parts[0], parts[2]]
