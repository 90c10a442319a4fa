from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from batch_screen.config.screening import Numbers
from batch_screen.numbers.frame import normalise_frame
from batch_screen.numbers.normalise import Normaliser
from batch_screen.schema import LOOKUP, dtypes
from benchmarks import memory
from benchmarks.stages import alone, stages
from benchmarks.stages.answered import sealed
from benchmarks.stages.lists import JUNK_EVERY, chunk, numbers, write_list

ROWS = 20_000


@pytest.mark.parametrize("first", [0, 99_000_000])
def test_every_row_but_the_junk_holds_a_valid_number(first: int) -> None:
    rows = chunk(first, ROWS, numbers(100_000_000)).rename(
        {"phone": "raw", "country": "raw_region"}
    )
    judged = normalise_frame(rows, Normaliser(Numbers()))
    reasons = judged["reject_reason"].drop_nulls()
    assert reasons.unique().to_list() == ["not_a_number"]
    assert len(reasons) == ROWS // JUNK_EVERY


def test_nine_in_ten_rows_have_a_number_of_their_own() -> None:
    rows = chunk(0, ROWS, numbers(ROWS)).rename({"phone": "raw", "country": "raw_region"})
    found = normalise_frame(rows, Normaliser(Numbers()))["e164"].drop_nulls()
    assert found.n_unique() == pytest.approx(0.9 * ROWS, rel=0.02)


def test_made_up_outcomes_are_as_they_would_be_sealed() -> None:
    found = sealed(pl.Series(["+4915100000002", "+4915100000001"] * 1))
    assert found.schema == dtypes(LOOKUP)
    assert found["e164"].to_list() == ["+4915100000001", "+4915100000002"]
    assert found["outcome"].to_list() == ["not_found", "success"]


def test_stages_that_follow_each_other_are_one() -> None:
    parts = [memory.Stage("starting", 1.0, 0.5, 100), memory.Stage("reading", 2.0, 1.5, 300)]
    assert stages.joined(parts) == memory.Stage("starting", 3.0, 2.0, 300)
    assert stages.figures(parts[1], 10, parts[0]) == ("2.0", "5", "1.5", "3.00", "300")


def test_polars_alone_does_as_much_with_the_same_bytes(tmp_path: Path) -> None:
    write_list(1_000, tmp_path / "list.csv")
    alone.plan(str(tmp_path / "list.csv"), str(tmp_path / "plan"), "4")
    files = list((tmp_path / "plan").rglob("*.parquet"))
    assert (len(files), pl.read_parquet(files).height) == (4, 1_000)
    stage = stages.alone("plan", str(tmp_path / "list.csv"), str(tmp_path / "again"), "4")
    assert stage.peak_mib > 0 < stage.cpu_seconds
