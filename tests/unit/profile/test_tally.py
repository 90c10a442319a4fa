from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import ColumnKind
from batch_screen.planning.shards import shard_of
from batch_screen.profile.tally import ListTally, count_numbers

from .lists import batch, normaliser


def test_rows_by_file_and_rules_over_all_batches() -> None:
    judge = normaliser("DE")
    tally = ListTally(judge, ColumnKind.TEXT)
    for file, cells in (
        ("a.csv", ["030 23125001", "'+49 30 23125002", "n/a"]),
        ("b.csv", ["+49 30 23125003 ext. 5"]),
        ("a.csv", [None]),
    ):
        counted = tally.counted(batch(cells, judge, file=file))
        assert "in_id" not in counted.columns
        assert counted["raw"].to_list() == cells
    assert tally.rows == {"a.csv": 4, "b.csv": 1}
    assert tally.accepted == {"a.csv": 2, "b.csv": 1}
    assert tally.rules == {
        "national": 1,
        "international_plus": 2,
        "excel_undone": 1,
        "extension_dropped": 1,
    }
    assert tally.damage.found().filled_cells == 4


def rows(numbers: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "e164": [f"+4930231250{n:02}" for n in numbers],
            "region": ["DE" if n % 3 else None for n in numbers],
            "number_type": ["mobile" if n % 2 else "fixed_line" for n in numbers],
        },
        schema=dict.fromkeys(["e164", "region", "number_type"], pl.String),
    )


def test_numbers_are_counted_once() -> None:
    found = count_numbers([rows([1, 1, 1, 2]), rows([3, 3])])
    assert (found.unique, found.duplicate_rows, found.repeated, found.most_rows) == (3, 3, 2, 3)
    assert [(t.name, t.count) for t in found.regions] == [("DE", 2), ("unknown", 1)]
    assert [(t.name, t.count) for t in found.types] == [("mobile", 2), ("fixed_line", 1)]


def test_no_numbers() -> None:
    found = count_numbers([])
    assert (found.unique, found.most_rows, found.regions) == (0, 0, [])


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 5))
def test_counts_do_not_depend_on_the_shards(numbers: list[int], shards: int) -> None:
    frame = rows(numbers)
    parts = [frame.filter(shard_of(pl.col("e164"), shards) == n) for n in range(shards)]
    found = count_numbers(parts)
    assert found == count_numbers([frame])
    assert found.unique == len(set(numbers))
    assert found.unique + found.duplicate_rows == len(numbers)
    assert found.most_rows == max(map(numbers.count, numbers), default=0)
    assert sum(t.count for t in found.regions) == found.unique
