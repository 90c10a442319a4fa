from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from batch_screen.storage import partition
from batch_screen.storage.partition import compact, in_ranges


def held_bytes(frame: pl.DataFrame) -> int:
    """All that the frame keeps in memory, whether its rows show it or not."""
    return frame.to_arrow(compat_level=pl.CompatLevel.newest()).get_total_buffer_size()


def test_a_few_rows_do_not_keep_the_texts_of_all() -> None:
    rows = range(50_000)
    many = pl.DataFrame({"row": rows, "text": [f"longer than a view, {n}" for n in rows]})
    few = many.filter(pl.col("row") % 10_000 == 0)
    assert compact(few).equals(few)
    assert compact(few).schema == few.schema
    assert held_bytes(compact(few)) < 1_000
    assert held_bytes(few) > 1_000_000  # else it needs no copy


def test_no_range_exceeds_its_share_where_most_rows_are_wider_than_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RANGE_BYTES", 20_000)
    rows = pl.DataFrame({"key": range(9_000)}).with_columns(
        text=pl.lit("x")
        .repeat_by(pl.when(pl.col("key") < 500).then(2).otherwise(400))
        .list.join("")
    )
    frames = [*rows.iter_slices(500)]
    with in_ranges([frames[0], *reversed(frames[1:])], "key", 9_000, tmp_path) as ranges:
        found = [*ranges]
    assert max(each.estimated_size() for each in found) <= 2 * 20_000 < rows.estimated_size() / 50
    assert pl.concat(found).equals(rows)
    assert not [*tmp_path.iterdir()]


def test_cells_without_a_value_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "RANGE_BYTES", 20_000)
    empty = {f"none_{n}": pl.lit(None, pl.String) for n in range(9)}
    rows = pl.DataFrame({"key": range(2_000)}).with_columns(**empty)
    with in_ranges([rows], "key", 2_000, tmp_path) as ranges:
        assert max(each.height for each in ranges) <= 2 * 20_000 // (10 * 16)


def test_of_no_rows_there_is_no_range(tmp_path: Path) -> None:
    with in_ranges([], "key", 10, tmp_path) as ranges:
        assert not [*ranges]
