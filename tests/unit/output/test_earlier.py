"""What earlier runs in the output folder have answered, read from their own files."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from batch_screen.output.earlier import earlier_answers, earlier_runs
from batch_screen.output.parts import LOOKUPS

from .whole_run import DAY, WholeRun, new_whole_run

SERVER = {"api.base_url": "https://api.tyntec.com/network-signal/v1", "api.dialect": "v1.0.0"}
NOW = DAY + timedelta(hours=1)
LONG = timedelta(days=30)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("whole"))


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
    written = pl.concat(run.frame(LOOKUPS, number) for number in range(3))
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


def test_a_damaged_part_is_told_and_its_run_left_out(run: WholeRun) -> None:
    path = run.layout.part(LOOKUPS, 1)
    path.write_bytes(b"PAR1" * (path.stat().st_size // 4) + b"P" * (path.stat().st_size % 4))
    found, [said] = answers(run)
    assert run.layout.run_id in said
    assert found.height > 0  # of the part before it


def test_parts_of_an_earlier_schema_are_read_too(run: WholeRun) -> None:
    new = ["source", "source_run_id", "last_observed_at", "window_start", "contradiction"]
    for number in range(3):
        run.rewrite(LOOKUPS, lambda frame: frame.drop(new), number)
    found, _ = answers(run)
    assert set(found["source_run_id"]) == {run.layout.run_id}
