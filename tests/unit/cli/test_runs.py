from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

import batch_screen
from batch_screen.cli.main import cli
from batch_screen.commands.runs import list_runs
from batch_screen.errors import InputError
from tests.nights import NIGHTS
from tests.unit.commands.test_runs import with_manifest


def called(*arguments: object) -> str:
    done = CliRunner().invoke(cli, ["runs", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_line_for_each_run(six_nights: Path, tmp_path: Path) -> None:
    first, *lines = called(six_nights, "--parquet", tmp_path / "runs.parquet").splitlines()
    assert first == "6 complete runs"
    assert lines[-1] == f"written to {tmp_path}/runs.parquet"
    listed = lines[2:-1]
    assert [line.split()[0][:8] for line in listed] == [n.day.replace("-", "") for n in NIGHTS]
    assert [line.endswith("current, sandbox") for line in listed].count(False) == 1


def test_what_programs_read(six_nights: Path) -> None:
    third = list_runs(six_nights).runs[2]
    at = third.completed_at.isoformat()
    found = json.loads(called(six_nights, "--since-completed", at, "--json"))
    assert [run["run_date"] for run in found["runs"]] == [night.day for night in NIGHTS[3:]]
    assert found["unfinished"] == found["damaged"] == []


def test_a_damaged_run_is_named_after_the_others(six_nights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(six_nights / "runs", out / "runs")
    first, second, *_ = (run.run_id for run in list_runs(six_nights).runs)
    (out / "runs" / first / "manifest.json").write_bytes(b"")
    (out / "runs" / second / "_SUCCESS").unlink()
    done = CliRunner().invoke(cli, ["runs", str(out)])
    assert done.stdout.startswith("4 complete runs, 1 unfinished")
    assert isinstance(done.exception, InputError)
    assert first in str(done.exception)


def test_a_kept_column_that_is_named_by_a_number_is_masked(
    six_nights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(six_nights / "runs", out / "runs")
    first = list_runs(out).runs[0].run_id
    with_manifest(out, first, lambda m: m.update(kept_columns=["in_+447700900123"]))
    shown = called(out, "--json")
    assert "in_+447" in shown
    assert "900123" not in shown


@pytest.mark.parametrize("time", ["yesterday", "23.11.2026", ""])
def test_a_time_that_is_none(time: str) -> None:
    done = CliRunner().invoke(cli, ["runs", "out", "--since-completed", time])
    assert done.exit_code == 2
    assert "2026-11-23T04:00:00Z" in done.stderr


def test_runs_that_purge_has_removed(six_nights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(six_nights, out)
    assert called(out, "--gone") == "0 purged runs\n"
    batch_screen.purge(batch_screen.PurgeScope(out, out / ".state", date(2026, 11, 25)))
    first, _, heads, *lines, last = called(
        out, "--gone", "--parquet", tmp_path / "gone.parquet"
    ).splitlines()
    assert (first, last) == (f"{len(lines)} purged runs", f"written to {tmp_path}/gone.parquet")
    assert heads.split()[:3] == ["run", "purged,", "UTC"]
    found = json.loads(called(out, "--gone", "--json"))["gone"]
    assert [run["run_id"] for run in found] == [line.split()[0] for line in lines]
    assert found[0]["rows"]["results"] > 0
    done = CliRunner().invoke(cli, ["runs", str(out), "--gone", "--since-completed", "2026-11-23"])
    assert done.exit_code == 2
