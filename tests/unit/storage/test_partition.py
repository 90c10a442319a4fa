from __future__ import annotations

import polars as pl

from batch_screen.storage.partition import compact


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
