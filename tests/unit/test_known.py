"""What earlier runs know is dealt to the plan's shards, the newest of each number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from batch_screen.errors import JournalError
from batch_screen.known import is_reusable, read_known
from batch_screen.model import Endpoint
from batch_screen.plan import check_plan, known_path
from tests.making import known_rows, made, number

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def row(i: int, endpoint: Endpoint, minutes: int, **values: object) -> dict[str, object]:
    told = {"outcome": "success", "source_run_id": f"run-{minutes}", "reusable": False}
    at = NOW - timedelta(minutes=minutes)
    return {"e164": number(i), "endpoint": endpoint.value, "responded_at": at, **told, **values}


@pytest.mark.parametrize("shard_rows", [1000, 30, 1], ids=["one", "some", "more than files"])
def test_each_shard_has_the_newest_rows_of_its_own_numbers(tmp_path: Path, shard_rows: int) -> None:
    rows = [
        row(i, endpoint, minutes, swapped=endpoint is CHECK and minutes == 10, reusable=minutes > 9)
        for minutes in (10, 5, 20)
        for i in range(0, 400, 2)
        for endpoint in (CHECK, DATE)
    ]
    run, plan = made(tmp_path, range(200), shard_rows=shard_rows, known=known_rows(rows))
    found = [
        read_known(known_path(run.plan, shard), planned.known_sha256)
        for shard, planned in enumerate(plan.shards)
    ]
    for shard, known in enumerate(found):
        numbers = pl.read_parquet(run.plan / f"rows-{shard:05d}.parquet")["e164"]
        assert known["e164"].is_in(numbers.implode()).all()
        assert known_path(run.plan, shard).exists() == (known.height > 0)
    together = pl.concat(found).sort("e164", "endpoint", "reusable")
    keys = [(number(i), e.value) for i in range(0, 200, 2) for e in (CHECK, DATE)]
    assert together.select("e164", "endpoint", "source_run_id", "swapped").rows() == [
        (*key, run_id, swapped)
        for key in keys
        for run_id, swapped in (("run-5", False), ("run-10", key[1] == CHECK.value))
    ]
    assert not list(run.plan.glob("*.spool"))
    assert (len(plan.shards) > 128) == (shard_rows == 1)


def test_a_plan_without_a_past_has_no_such_files(tmp_path: Path) -> None:
    run, plan = made(tmp_path, [1, 2])
    assert [planned.known_sha256 for planned in plan.shards] == [""]
    assert not list(run.plan.glob("known-*"))
    assert read_known(known_path(run.plan, 0), "").height == 0


def test_what_was_damaged_is_refused_by_name(tmp_path: Path) -> None:
    run, plan = made(tmp_path, [1, 2], known=known_rows([row(1, CHECK, 5)]))
    check_plan(run.plan, plan)
    path = known_path(run.plan, 0)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(JournalError, match=r"known-00000\.parquet is missing or not as it was"):
        check_plan(run.plan, plan)
    with pytest.raises(JournalError, match=r"known-00000\.parquet"):
        read_known(path, plan.shards[0].known_sha256)


@pytest.mark.parametrize(
    ("endpoint", "minutes", "asked_with", "window", "expected"),
    [
        (CHECK, 60, 2400, 2400, True),
        (CHECK, 61, 2400, 2400, False),
        (CHECK, 5, 240, 2400, False),
        (CHECK, 5, 240, None, True),
        (DATE, 5, None, 2400, False),  # nobody asks for it to be reused
    ],
)
def test_what_may_stand_for_an_answer(
    endpoint: Endpoint, minutes: int, asked_with: int | None, window: int | None, expected: bool
) -> None:
    rows = known_rows([row(1, endpoint, minutes, max_age_minutes=asked_with)])
    assert rows.select(is_reusable({CHECK: 60}, NOW, window)).item() is expected
    assert rows.select(is_reusable({}, NOW, window)).item() is False
