from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from batch_screen.errors import InputError
from batch_screen.model import Plan
from batch_screen.planning import shards
from batch_screen.planning.kept import keep_anew
from batch_screen.planning.shards import check_plan, make_plan, read_plan, read_rows
from batch_screen.runs.events import RunEvents
from batch_screen.storage.partition import HELD_BYTES
from tests.making import batches

CELLS = [*range(40), None, None, *range(35, 60)]
_PLACE = ("row_index", "source_file", "source_row", "phone_column")


def planned(folder: Path, shard_rows: int = 1000) -> Plan:
    return make_plan(
        batches(CELLS, 7), folder, shard_rows=shard_rows, facts={}, on_rows=lambda _: None
    )


def listed(rows: int = 5, shift: int = 0) -> Iterator[pl.DataFrame]:
    """The list as it is read again, with other cells; ``shift``: otherwise than before."""
    for batch in batches(CELLS, rows):
        cells = batch.select(_PLACE).with_columns(
            pl.col("source_row") + shift,
            in_branch=pl.format("B{}\0", "row_index"),
            in_row=pl.col("row_index"),
        )
        yield cells.with_columns(source_file=pl.lit("called otherwise by now"))


def anew(folder: Path, plan: Plan, batches: Iterator[pl.DataFrame]) -> Plan:
    names = ["in_branch", "in_row"]
    return keep_anew(folder, plan, folder, batches, names, ["all"], HELD_BYTES, RunEvents())


@pytest.mark.parametrize("shard_rows", [1000, 20, 4])
def test_the_same_rows_lie_beside_other_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_rows: int
) -> None:
    monkeypatch.setattr(shards, "MOST_FILES", 4)
    folder = tmp_path / "plan"
    plan = planned(folder, shard_rows)
    before = [
        read_rows(folder, plan, n).select(pl.exclude("^in_.*$")) for n in range(len(plan.shards))
    ]
    changed = anew(folder, plan, listed())
    assert read_plan(folder) == changed
    check_plan(folder, changed)
    for number, rows in enumerate(before):
        now = read_rows(folder, changed, number)
        assert now.drop("in_branch", "in_row").equals(rows)
        assert now["in_row"].equals(rows["row_index"].alias("in_row"))
        assert now["in_branch"].to_list() == [f"B{n}" for n in rows["row_index"]]
    assert (changed.kept, changed.keep_columns) == (["in_branch", "in_row"], ["all"])
    assert changed.nul_cells == changed.accepted
    assert [s.rows for s in changed.shards] == [s.rows for s in plan.shards]
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]


def test_a_list_that_is_read_otherwise_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "plan"
    plan = planned(folder)
    for other in (listed(shift=1), iter([next(listed(5))])):
        with pytest.raises(InputError, match="read in another way than when the run was planned"):
            anew(folder, plan, other)
        assert read_plan(folder) == plan
        check_plan(folder, plan)


def test_it_reads_to_the_lists_end(tmp_path: Path) -> None:
    """Where it shows whether the list has changed meanwhile."""
    folder = tmp_path / "plan"
    plan = planned(folder)

    def changing() -> Iterator[pl.DataFrame]:
        yield from listed()
        raise InputError("it changed while it was read")

    with pytest.raises(InputError, match="it changed"):
        anew(folder, plan, changing())
    assert read_plan(folder) == plan
