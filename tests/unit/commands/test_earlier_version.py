"""Runs that version 4 of the schema wrote, complete and killed, are read and resumed by this one.

Their files are the recorded ones of ``tests/golden``: kept columns first, no ``number_id``, no
``changes`` in a first run, and a manifest of four fields.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

import batch_screen
from batch_screen import Job, PurgeScope, Settings
from batch_screen.config.screening import Input, Screening
from batch_screen.config.sections import Output
from batch_screen.config.settings import Pacing, Planner
from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.runs.layout import CHANGES, LOOKUPS, RESULTS, Layout
from batch_screen.schema import SCHEMA_VERSION, dtypes, results
from tests.golden.lists import CUSTOMERS, column
from tests.golden.scenes.trouble import KILLED_NUMBERS
from tests.golden.stage import FIXTURES
from tests.thoroughness import in_full
from tests.unit.tables.whole_run import WholeRun

DAY, NEXT = date(2026, 3, 2), date(2026, 3, 3)


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(FIXTURES / f"{name}.tar.gz") as packed:
        packed.extractall(folder / "out", filter="fully_trusted")
    return folder / "out"


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """A complete run of version 4, with its state and its list."""
    (tmp_path / "customers.csv").write_text(CUSTOMERS, "utf-8")
    return unpacked("night", tmp_path)


def job(out: Path, day: date, **more: Any) -> Job:
    sections = {
        "screening": Screening(endpoints=tuple(Endpoint)),
        "input": Input(region_column="country", keep_columns=("customer_id",)),
        "pacing": Pacing(rate_per_second=2_000, ramp_up_seconds=0),
        "output": Output(folder=str(out)),
    }
    settings = Settings(**{**sections, **more})
    return Job((str(out.parent / "customers.csv"),), settings, run_date=day, sandbox=True)


def the_run(out: Path) -> Layout:
    [run] = batch_screen.list_runs(out).runs
    assert run.schema_version == 4 < SCHEMA_VERSION
    return Layout(out, run.run_id, run.run_date)


def test_it_is_listed_with_what_its_summary_says(night: Path) -> None:
    [run] = batch_screen.list_runs(night).runs
    summary = json.loads(the_run(night).summary.read_bytes())
    assert (run.sandbox, run.current, run.since_run_id) == (True, True, None)
    assert run.kept_columns == ["in_customer_id"]
    assert run.completed_at.isoformat()[:19] == summary["session"]["ended_at"][:19]
    assert run.counts
    assert run.counts.rows_read == summary["rows"]["read"]
    assert run.rows["changes"] == 0
    assert run.rows["results"] == run.counts.rows_accepted


def test_it_is_whole_and_its_damage_is_found(night: Path) -> None:
    layout = the_run(night)
    found = batch_screen.validate(night)
    assert [c.name for c in found.checks if not c.is_ok] == []
    path = layout.part(RESULTS, 0)
    frame = pl.read_parquet(path, hive_partitioning=False)
    assert frame.columns[0] == "in_customer_id"
    path.write_bytes(path.read_bytes()[:-1])
    assert not batch_screen.validate(night).is_whole


def test_it_is_loaded_beside_runs_of_now(night: Path, tmp_path: Path) -> None:
    to = f"duckdb:{tmp_path / 'warehouse.duckdb'}"
    batch_screen.run(job(night, NEXT))
    loaded = batch_screen.load([night], to, sandbox=True)
    assert [run.state for run in loaded.runs] == ["loaded"] * 2
    with duckdb.connect(tmp_path / "warehouse.duckdb") as db:
        found = db.execute(
            "SELECT schema_version, sandbox, rows_read > 0, count(in_customer_id) > 0 "
            "FROM batch_screen.runs JOIN batch_screen.results USING (run_id) "
            "GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert found == [(4, True, True, True), (SCHEMA_VERSION, True, True, True)]


def test_a_complete_one_asks_nothing_and_status_and_purge_know_it(night: Path) -> None:
    again = batch_screen.run(job(night, DAY))
    assert again.was_complete
    status = batch_screen.status(night, night / ".state")
    assert [run.run_id for run in status.runs] == [again.summary.run_id]
    gone = batch_screen.purge(PurgeScope(night, night / ".state", NEXT))
    assert [run.run_id for run in gone.runs] == [again.summary.run_id]
    assert [*night.rglob("*.parquet")] == []


def test_its_files_are_written_anew_as_of_now(night: Path) -> None:
    layout = the_run(night)
    before = pl.read_parquet(layout.part(RESULTS, 0), hive_partitioning=False)
    layout.part(RESULTS, 0).unlink()
    written = batch_screen.run(job(night, DAY))
    assert written.summary.session.attempts == 0
    after = pl.read_parquet(layout.part(RESULTS, 0), hive_partitioning=False)
    assert after.schema == dtypes(results({"in_customer_id": pl.String()}))
    assert after.select(before.columns).equals(before)
    assert batch_screen.validate(night).is_whole


def test_the_night_after_counts_its_changes_from_it_and_reuses_its_answers(night: Path) -> None:
    planner = Planner(reuse_within_minutes={Endpoint.SIM_SWAP_DATE: 2_880})
    screening = Screening(endpoints=tuple(Endpoint), max_age="since-last-run")
    before = the_run(night)
    after = batch_screen.run(job(night, NEXT, planner=planner, screening=screening))
    lookups = pl.read_parquet(after.layout.parts(LOOKUPS), hive_partitioning=False)
    assert lookups.filter(pl.col("source") == "reused")["source_run_id"].unique().to_list() == [
        before.run_id
    ]
    assert lookups["last_observed_at"].is_not_null().any()
    assert after.summary.changes
    assert after.summary.changes.since_run == before.run_id
    found = batch_screen.validate(night, after.summary.run_id)
    assert [c.name for c in found.checks if not c.is_ok] == []
    assert batch_screen.validate(night, before.run_id).is_whole
    both = batch_screen.diff(before.run_id, after.summary.run_id, out=night)
    assert both.changes == after.summary.changes
    back = batch_screen.diff(after.summary.run_id, before.run_id, out=night)
    assert back.changes.numbers_compared == both.changes.numbers_compared


def test_its_changes_are_validated_though_they_lack_a_column(night: Path) -> None:
    """A second night's table of changes as version 4 wrote it."""
    after = batch_screen.run(job(night, NEXT)).layout
    for table in (RESULTS, LOOKUPS, "errors", CHANGES):
        for path in after.parts(table):
            frame = pl.read_parquet(path, hive_partitioning=False).drop("number_id")
            kept = [name for name in frame.columns if name.startswith("in_")]
            frame.select(*kept, pl.exclude(kept)).write_parquet(path)
    _as_version_4(after)
    found = batch_screen.validate(night, after.run_id)
    assert [(c.name, c.differences) for c in found.checks if not c.is_ok] == []
    assert after.part(CHANGES, 0).exists()


def _as_version_4(layout: Layout) -> None:
    """Manifest, schema and errors.csv of a run as version 4 had them."""
    schema = json.loads(layout.schema.read_bytes())
    for columns in schema["tables"].values():
        columns[:] = [c for c in columns if c["name"] != "number_id"]
        columns.sort(key=lambda c: not c["name"].startswith("in_"))
    layout.schema.write_text(json.dumps({**schema, "schema_version": 4}), "utf-8")
    lines = layout.errors_csv.read_text("utf-8").splitlines()
    cut = [line.removesuffix(",number_id").removesuffix(",") for line in lines]
    layout.errors_csv.write_text("\n".join(cut) + "\n", "utf-8")
    whole = WholeRun(layout)
    manifest = {**whole.manifest(), "schema_version": 4}
    names = ("schema_version", "run_id", "run_date", "shards", "supersedes", "files")
    whole.write_manifest({name: manifest[name] for name in names})
    whole.relist()


def test_retry_report_and_export(night: Path, tmp_path: Path) -> None:
    layout = the_run(night)
    lookups = pl.read_parquet(layout.part(LOOKUPS, 0), hive_partitioning=False)
    missing = lookups.filter(pl.col("outcome") == OutcomeKind.NOT_FOUND).height
    again = batch_screen.retry(job(night, DAY), layout.run_id, {OutcomeKind.NOT_FOUND})
    assert again
    assert again.summary.session.attempts == missing > 0
    assert again.summary.supersedes == [layout.run_id]
    found = batch_screen.validate(night, again.summary.run_id)
    assert [(c.name, c.differences) for c in found.checks if not c.is_ok] == []
    frame = pl.read_parquet(again.layout.parts(RESULTS), hive_partitioning=False)
    assert frame.columns[-2:] == ["number_id", "in_customer_id"]
    current = {run.run_id: run.current for run in batch_screen.list_runs(night).runs}
    assert current == {layout.run_id: False, again.summary.run_id: True}
    page = batch_screen.report(night, layout.run_id, tmp_path / "page.html")
    assert page.run_id == layout.run_id
    sheet = batch_screen.export(night, tmp_path / "flagged.parquet", layout.run_id)
    assert sheet.rows > 0


@in_full
def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    out = unpacked("killed", tmp_path)
    (tmp_path / "list.csv").write_text(column(*KILLED_NUMBERS), "utf-8")
    [name] = [path.name for path in (out / ".state" / "runs").iterdir()]
    checks = (
        Endpoint.SIM_SWAP_CHECK,
        Endpoint.DEVICE_SWAP_CHECK,
        Endpoint.CALL_FORWARDING_CHECK,
    )
    resumed = replace(
        job(
            out,
            DAY,
            screening=Screening(endpoints=checks),
            input=Input(),
            output=Output(folder=str(out), shard_lookups=1_000),
        ),
        inputs=(str(tmp_path / "list.csv"),),
    )
    done = batch_screen.run(resumed)
    assert done.summary.run_id == name
    assert done.summary.session.attempts < done.summary.lookups
    assert batch_screen.validate(out).is_whole
