from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from batch_screen.commands.parts import results_of, write_in_order, write_part
from batch_screen.errors import OutputError
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS, TABLES
from batch_screen.storage import partition
from tests.unit.commands.test_write import ReportResult

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


@pytest.mark.parametrize("range_bytes", [1, 1_000, 10_000, 1 << 20])
def test_all_rows_stand_in_the_inputs_order(
    parts: list[Path], tmp_path: Path, range_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RANGE_BYTES", range_bytes)
    target = tmp_path / "in_order.parquet"
    write_in_order(parts, target, ROWS, {"batch_screen.run_id": "x"})
    assert pl.read_parquet_metadata(target)["batch_screen.run_id"] == "x"
    assert pl.read_parquet(target).equals(pl.concat(map(pl.read_parquet, parts)).sort("row_index"))
    assert sorted(tmp_path.iterdir()) == sorted([*parts, target])
    assert target.stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_where_a_part_cannot_be_read(parts: list[Path], tmp_path: Path) -> None:
    parts[1].unlink()
    with pytest.raises(OutputError):
        write_in_order(parts, tmp_path / "in_order.parquet", ROWS)
    assert sorted(tmp_path.iterdir()) == [parts[0], parts[2]]


def test_a_part_of_every_table_holds_its_shards_and_their_counts(tmp_path: Path) -> None:
    whole = ReportResult(tmp_path, 500)
    run, plan, layout = whole.run, whole.plan, whole.layout
    groups = [(0, 2), (1, 3)]
    tallies = [write_part(run, plan, shards, layout, whole.settings) for shards in groups]
    assert [len(of_part) for of_part in tallies] == [2, 2]
    assert [len(layout.parts(table)) for table in TABLES] == [2, 2, 2]
    shards = [results_of(run, plan, shard) for shard in (0, 2, 1, 3)]
    results, errors = whole.table(RESULTS), whole.table(ERRORS)
    assert results.equals(pl.concat(shards))
    rejected = errors.filter(kind="reject")["row_index"]
    assert pl.concat([results["row_index"], rejected]).n_unique() == plan.rows
    counted = [tallied.numbers["numbers"].sum() for of_part in tallies for tallied in of_part]
    assert sum(counted) == plan.unique_numbers == whole.table(LOOKUPS).height
