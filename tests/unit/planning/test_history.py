"""What earlier runs in the output folder have answered, read from their own files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from batch_screen.errors import JournalError
from batch_screen.model import Endpoint
from batch_screen.planning.history import earlier_answers, earlier_runs, is_reusable, read_history
from batch_screen.planning.shards import MOST_FILES, check_plan, history_path
from batch_screen.runs.layout import LOOKUPS
from tests.making import known_rows, made
from tests.making import number as number_making
from tests.thoroughness import in_full
from tests.unit.tables.whole_run import DAY, WholeRun, new_whole_run

SERVER = {"api.base_url": "https://api.tyntec.com/network-signal/v1", "api.dialect": "v1.0.0"}
NOW = DAY + timedelta(hours=1)
LONG = timedelta(days=30)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("whole"), shard_rows=70)


@pytest.fixture
def run(original: WholeRun, tmp_path: Path) -> WholeRun:
    return original.copy(tmp_path / "out")


def answers(run: WholeRun, look_back: timedelta = LONG) -> tuple[pl.DataFrame, list[str]]:
    said: list[str] = []
    runs = earlier_runs(run.layout.folder, SERVER, NOW - LONG)
    found = list(earlier_answers(runs, NOW, look_back, said.append))
    return pl.concat(found) if found else pl.DataFrame(), said


def test_successes_of_every_part_are_told_with_the_run_that_asked(run: WholeRun) -> None:
    found, said = answers(run)
    written = pl.concat(run.frame(LOOKUPS, number) for number in range(4))
    wanted = written.filter(
        pl.col("outcome") == "success", pl.col("endpoint") != "call-forwarding/check"
    )
    assert found.height == wanted.height > 0
    assert found.drop("source_run_id").equals(wanted.drop("source_run_id"))
    assert set(found["source_run_id"]) == {run.layout.run_id}
    assert said == []


def test_what_was_reused_there_names_the_run_that_asked(run: WholeRun) -> None:
    run.rewrite(LOOKUPS, lambda f: f.with_columns(source_run_id=pl.lit("20261101-0123456789")))
    assert "20261101-0123456789" in set(answers(run)[0]["source_run_id"])


def test_only_what_is_recent_and_not_of_the_future_counts(run: WholeRun) -> None:
    found, _ = answers(run, timedelta(minutes=59))
    assert found["responded_at"].min() >= NOW - timedelta(minutes=59)  # type: ignore[operator]
    run.rewrite(LOOKUPS, lambda f: f.with_columns(responded_at=pl.lit(NOW + timedelta(days=2))))
    part = set(run.frame(LOOKUPS)["e164"])
    assert not part & set(answers(run)[0]["e164"])


@pytest.mark.parametrize(
    "settings",
    [{**SERVER, "api.base_url": "sandbox"}, {**SERVER, "api.dialect": "2026-04"}, {}],
)
def test_another_servers_answers_are_none(run: WholeRun, settings: dict[str, str]) -> None:
    assert len(earlier_runs(run.layout.folder, SERVER, NOW - LONG)) == 1
    assert earlier_runs(run.layout.folder, settings, NOW - LONG) == []


def test_a_run_that_is_old_or_not_whole_does_not_count(run: WholeRun) -> None:
    assert earlier_runs(run.layout.folder, SERVER, DAY + timedelta(days=1)) == []
    run.layout.marker.unlink()
    assert earlier_runs(run.layout.folder, SERVER, NOW - LONG) == []
    assert earlier_runs(run.layout.folder / "nowhere", SERVER, NOW - LONG) == []


@pytest.mark.parametrize("name", ["summary.json", "manifest.json"])
def test_a_run_that_cannot_be_read_is_noted_and_left_out(run: WholeRun, name: str) -> None:
    (run.layout.run / name).write_bytes(b"{" * 100_000)
    said: list[str] = []
    assert earlier_runs(run.layout.folder, SERVER, NOW - LONG, said.append) == []
    assert [line.partition(":")[0] for line in said] == [
        f"run {run.layout.run_id} was complete and cannot be read any more"
    ]
    assert earlier_runs(run.layout.folder, SERVER, NOW + LONG, said.append) == []
    assert len(said) == 1  # one of long ago is of no interest


def test_a_damaged_part_is_told_and_its_run_left_out(run: WholeRun) -> None:
    path = run.layout.part(LOOKUPS, 1)
    path.write_bytes(b"PAR1" * (path.stat().st_size // 4) + b"P" * (path.stat().st_size % 4))
    found, [said] = answers(run)
    assert run.layout.run_id in said
    assert found.height > 0  # of the part before it


def test_parts_of_an_earlier_schema_are_read_too(run: WholeRun) -> None:
    new = ["source", "source_run_id", "last_observed_at", "window_start", "contradiction"]
    for number in range(4):
        run.rewrite(LOOKUPS, lambda frame: frame.drop(new), number)
    found, _ = answers(run)
    assert set(found["source_run_id"]) == {run.layout.run_id}


CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
NOW_OF_KNOWN = datetime(2026, 3, 2, tzinfo=UTC)


def row(i: int, endpoint: Endpoint, minutes: int, **values: object) -> dict[str, object]:
    told = {"outcome": "success", "source_run_id": f"run-{minutes}", "reusable": False}
    at = NOW_OF_KNOWN - timedelta(minutes=minutes)
    return {
        "e164": number_making(i),
        "endpoint": endpoint.value,
        "responded_at": at,
        **told,
        **values,
    }


@pytest.mark.parametrize(
    ("shard_rows", "files"),
    [
        pytest.param(1000, MOST_FILES, id="one"),
        pytest.param(30, MOST_FILES, id="some"),
        pytest.param(30, 4, id="more than files"),
        pytest.param(1, MOST_FILES, id="more than the most files", marks=in_full),
    ],
)
def test_each_shard_has_the_newest_rows_of_its_own_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_rows: int, files: int
) -> None:
    monkeypatch.setattr("batch_screen.planning.history.MOST_FILES", files)
    rows = [
        row(i, endpoint, minutes, swapped=endpoint is CHECK and minutes == 10, reusable=minutes > 9)
        for minutes in (10, 5, 20)
        for i in range(0, 400, 2)
        for endpoint in (CHECK, DATE)
    ]
    run, plan = made(tmp_path, range(200), shard_rows=shard_rows, known=known_rows(rows))
    found = [
        read_history(history_path(run.plan, shard), planned.history_sha256)
        for shard, planned in enumerate(plan.shards)
    ]
    assert (len(found) > files) == (shard_rows == 1 or files == 4)
    for shard, known in enumerate(found):
        numbers = pl.read_parquet(run.plan / f"rows-{shard:05d}.parquet")["e164"]
        assert known["e164"].is_in(numbers.implode()).all()
        assert history_path(run.plan, shard).exists() == (known.height > 0)
    together = pl.concat(found).sort("e164", "endpoint", "reusable")
    keys = [(number_making(i), e.value) for i in range(0, 200, 2) for e in (CHECK, DATE)]
    assert together.select("e164", "endpoint", "source_run_id", "swapped").rows() == [
        (*key, run_id, swapped)
        for key in keys
        for run_id, swapped in (("run-5", False), ("run-10", key[1] == CHECK.value))
    ]
    assert not list(run.plan.glob("*.spool"))
    assert (len(plan.shards) > 128) == (shard_rows == 1)


def test_a_plan_without_a_history_has_no_such_files(tmp_path: Path) -> None:
    run, plan = made(tmp_path, [1, 2])
    assert [planned.history_sha256 for planned in plan.shards] == [""]
    assert not list(run.plan.glob("history-*"))
    assert read_history(history_path(run.plan, 0), "").height == 0


def test_what_was_damaged_is_refused_by_name(tmp_path: Path) -> None:
    run, plan = made(tmp_path, [1, 2], known=known_rows([row(1, CHECK, 5)]))
    check_plan(run.plan, plan)
    path = history_path(run.plan, 0)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(JournalError, match=r"history-00000\.parquet is missing or not as it was"):
        check_plan(run.plan, plan)
    with pytest.raises(JournalError, match=r"history-00000\.parquet"):
        read_history(path, plan.shards[0].history_sha256)


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
    assert rows.select(is_reusable({CHECK: 60}, NOW_OF_KNOWN, window)).item() is expected
    assert rows.select(is_reusable({}, NOW_OF_KNOWN, window)).item() is False
