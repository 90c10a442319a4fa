from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from batch_screen.config.sections import Output
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS, TABLES, Layout
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.schema import conform, results
from batch_screen.tables.reader import DamagedPartError, read_part

from .frames import number

COLUMNS = {RESULTS: results({}), LOOKUPS: LOOKUP_COLUMNS, ERRORS: ERROR_COLUMNS}
SHARDS = 6


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, "20261123-0123456789", "2026-11-23")


def written(
    layout: Layout, part: int, rows: Sequence[int], tables: Sequence[str] = TABLES
) -> dict[str, Path]:
    """A part with a shard of so many rows each, in every table."""
    for table in tables:
        with layout.opened_part(table, range(part, SHARDS), SHARDS, Output()) as write:
            for count in rows:
                numbers = pl.DataFrame({"e164": [number(i) for i in range(count)]})
                write(conform(numbers, COLUMNS[table]))
    return {table: layout.part(table, part) for table in TABLES}


def test_a_part_of_several_shards_is_read_shard_by_shard(layout: Layout) -> None:
    found = list(read_part(layout, 1, written(layout, 1, [3, 0, 2])))
    # Three of six shards lie in it, so every second one.
    assert [(part.number, part.shards) for part in found] == [(1, 6), (3, 6), (5, 6)]
    assert [part.results.height for part in found] == [3, 0, 2]
    assert all(frame.height == part.results.height for part in found for _, frame in part.frames())


def test_a_part_that_is_one_shard_is_read_whole(layout: Layout) -> None:
    for table in TABLES:
        numbers = pl.DataFrame({"e164": [number(i) for i in range(3000)]})
        output = Output(row_group_rows=1_000)
        layout.write_part(table, 2, conform(numbers, COLUMNS[table]), output)
    [part] = read_part(layout, 2, {table: layout.part(table, 2) for table in TABLES})
    assert (part.number, part.shards, part.results.height) == (2, 0, 3000)


@pytest.mark.parametrize("rows", [[3, 2], [3, 0, 2, 1]])
def test_tables_that_do_not_hold_the_same_shards(layout: Layout, rows: list[int]) -> None:
    paths = written(layout, 1, [3, 0, 2])
    written(layout, 1, rows, [LOOKUPS])
    with pytest.raises(DamagedPartError, match="not the shards that its tables share"):
        list(read_part(layout, 1, paths))
