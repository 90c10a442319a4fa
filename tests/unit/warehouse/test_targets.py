"""What both databases promise: each run once, whole or not at all, equal to the cell."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import batch_screen
from batch_screen import LoadOptions
from batch_screen.cli.main import cli
from batch_screen.commands.load import (
    ADDED,
    ALREADY,
    LOADED,
    REPLACED,
    WOULD,
    WOULD_ADD,
    WOULD_REPLACE,
    LoadReport,
)
from batch_screen.errors import BatchScreenError, ConfigurationError, InputError, RunLockedError
from batch_screen.runs.layout import DATA_FOLDERS, RESULTS, layout_of_run
from batch_screen.storage.atomic import make_folder
from batch_screen.storage.lock import alone
from batch_screen.tables.manifest import ListedFile
from batch_screen.warehouse.address import open_target, parse
from batch_screen.warehouse.columns import RUN_COLUMNS, kept_name, table_columns
from batch_screen.warehouse.runs import LoadableRun, TableToLoad, complete_runs, opened
from tests.nights import NASTY
from tests.thoroughness import in_full
from tests.threads import at_once

from .conftest import Database, PostgresDatabase, mostly_duckdb, mostly_postgres

EVERY = (*DATA_FOLDERS, "runs")


def load(folder: Path, database: Database, **more: Any) -> LoadReport:
    more = {"sandbox": True, "lock_seconds": 5.0, **more}
    return batch_screen.load([folder], database.to, **more)


def refused(folder: Path, database: Database, **more: Any) -> BatchScreenError:
    with pytest.raises(BatchScreenError) as raised:
        load(folder, database, **more)
    assert "+44207946" not in str(raised.value)
    return raised.value


def manifests(folder: Path) -> dict[str, dict[str, Any]]:
    read = (json.loads(file.read_bytes()) for file in folder.glob("runs/*/manifest.json"))
    return {each["run_id"]: each for each in read}


def of_files(folder: Path, table: str, run_ids: set[str] | None = None) -> pl.DataFrame:
    """A table of the complete runs as their files have it, under the warehouse's names."""
    frames = []
    for run_id, manifest in manifests(folder).items():
        for file in manifest["files"]:
            if file.get("table") == table and (run_ids is None or run_id in run_ids):
                frame = pl.read_parquet(folder / file["path"], hive_partitioning=False)
                day = pl.lit(date.fromisoformat(manifest["run_date"])).alias("run_date")
                kept = {name: kept_name(name) for name in frame.columns if name.startswith("in_")}
                frames.append(frame.rename(kept).with_columns(day))
    return pl.concat(frames, how="diagonal")


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(pl.concat_str(pl.all().cast(pl.String), separator="|", ignore_nulls=True))


def assert_equal(folder: Path, database: Database, run_ids: set[str] | None = None) -> None:
    for table in DATA_FOLDERS:
        expected = of_files(folder, table, run_ids)
        found = database.table(table, expected.schema)
        assert found.height == expected.height
        assert in_order(found).equals(in_order(expected)), table


@pytest.fixture
def nights(six_nights: Path, tmp_path: Path) -> Path:
    """The six nights, to be changed."""
    return shutil.copytree(six_nights, tmp_path / "screened")


def test_six_drifting_nights_come_back_equal_to_the_cell(
    six_nights: Path, database: Database
) -> None:
    report = load(six_nights, database)
    assert [run.state for run in report.runs] == [LOADED] * 6
    assert_equal(six_nights, database)
    loaded = database.table("runs", pl.Schema({c.name: c.dtype for c in RUN_COLUMNS}))
    known = batch_screen.list_runs(six_nights).runs
    assert loaded["run_id"].to_list() == [run.run_id for run in known], "oldest completion first"
    for run in known:
        row = loaded.row(by_predicate=pl.col("run_id") == run.run_id, named=True)
        assert row["manifest_sha256"] == run.manifest_sha256
        assert row["completed_at"] == run.completed_at
        assert (row["sandbox"], row["supersedes"]) == (True, " ".join(run.supersedes))
        assert (row["rows_read"], row["failed"]) == (run.counts.rows_read, run.counts.failed)
    current = database.ask("SELECT run_id FROM batch_screen.current_runs")
    assert {run_id for [run_id] in current} == {run.run_id for run in known if run.current}
    assert [run.state for run in load(six_nights, database).runs] == []


@mostly_postgres
def test_a_run_that_was_retried_is_never_current(six_nights: Path, database: Database) -> None:
    load(six_nights, database)
    date = "run_date = DATE '2026-11-26'"
    query = f"SELECT run_id FROM batch_screen.current_runs WHERE {date}"
    [[retried]] = database.ask(query)  # completed last, as one that was written anew is
    database.do(
        "UPDATE batch_screen.runs SET supersedes = "
        f"'20261126-0123456789 {retried}' WHERE {date} AND run_id <> '{retried}'"
    )
    assert database.ask(query) == [(retried.removesuffix("-2"),)]


def test_current_results_and_signals(six_nights: Path, database: Database) -> None:
    load(six_nights, database)
    [[rows, columns]] = database.ask(
        "SELECT count(*), count(in_branch) FROM batch_screen.current_results"
    )
    current = {run.run_id for run in batch_screen.list_runs(six_nights).runs if run.current}
    expected = of_files(six_nights, RESULTS, current)
    assert (rows, columns) == (expected.height, expected["in_branch"].count())
    lookups = of_files(six_nights, "lookups")
    [[signals, known]] = database.ask(
        "SELECT count(*), count(*) FILTER (WHERE outcome = 'success') FROM batch_screen.signals"
    )
    keys = lookups.select("e164", "endpoint")
    assert signals == keys.n_unique()
    assert known == keys.filter(lookups["outcome"] == "success").n_unique()
    newest = lookups.filter(outcome="success").group_by("e164", "endpoint")
    wanted = newest.agg(pl.col("responded_at").max()).sort("e164", "endpoint")
    found = database.table("signals WHERE outcome = 'success'", wanted.schema)
    assert found.sort("e164", "endpoint").equals(wanted)


@mostly_postgres
def test_two_loads_at_once_load_once(six_nights: Path, database: Database) -> None:
    if database.kind == "duckdb":  # threads of one process share the file
        command = [sys.executable, "-m", "batch_screen", "load", six_nights, "--to", database.to]
        started = [
            subprocess.Popen([*command, "--sandbox", "--json"], stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        told = [json.loads(each.communicate()[0]) for each in started]
        assert [each.returncode for each in started] == [0, 0]
        states = [run["state"] for report in told for run in report["runs"]]
    else:
        reports = at_once(lambda _: load(six_nights, database, lock_seconds=30.0), range(2))
        states = [run.state for report in reports for run in report.runs]
    assert states.count(LOADED) == 6
    assert set(states) <= {LOADED, ALREADY}
    assert_equal(six_nights, database)


KILLED = """
import os, signal, sys
import batch_screen
from batch_screen.warehouse.{module} import {target} as Target
method = getattr(Target, "{method}")
calls = []
def killing(self, table, more):
    method(self, table, more)
    calls.append(table.name)
    if len(calls) == {after}:
        os.kill(os.getpid(), signal.SIGKILL)
setattr(Target, "{method}", killing)
batch_screen.load([sys.argv[1]], sys.argv[2], sandbox=True)
"""


def kill_load(folder: Path, database: Database, after: int) -> None:
    names = {
        "postgres": {"module": "postgres", "target": "Postgres", "method": "_copy"},
        "duckdb": {"module": "duckdb", "target": "DuckDB", "method": "_insert"},
    }[database.kind]
    script = KILLED.format(**names, after=after)
    done = subprocess.run([sys.executable, "-c", script, folder, database.to], check=False)
    assert done.returncode == -signal.SIGKILL


@mostly_duckdb
def test_night_one_killed_then_night_two_loaded(
    six_nights: Path, database: Database, tmp_path: Path
) -> None:
    first, second = (run.run_id for run in complete_runs(six_nights)[:2])
    own = tmp_path / "first"
    for each in ("results", "lookups", "errors", "changes", "runs"):
        shutil.copytree(six_nights / each, own / each)
    shutil.copy(six_nights / "latest.json", own)
    for run in complete_runs(own)[1:]:
        run.layout.marker.unlink()
    kill_load(own, database, after=2)
    if database.ask(
        "SELECT 1 FROM information_schema.tables "
        "WHERE table_schema = 'batch_screen' AND table_name = 'results'"
    ):
        assert database.counts(EVERY) == [0] * 5, "nothing of the run that was killed"
    (own / "runs" / second / "_SUCCESS").write_bytes(
        (six_nights / "runs" / second / "_SUCCESS").read_bytes()
    )
    report = load(own, database)
    assert [(run.run_id, run.state) for run in report.runs] == [(first, LOADED), (second, LOADED)]
    assert_equal(six_nights, database, {first, second})


@in_full
@mostly_postgres
def test_a_second_load_after_a_kill_completes(six_nights: Path, database: Database) -> None:
    kill_load(six_nights, database, after=9)
    rows = database.counts(DATA_FOLDERS)
    known = {run_id for [run_id] in database.ask("SELECT run_id FROM batch_screen.runs")}
    files = [of_files(six_nights, table, known).height for table in DATA_FOLDERS]
    assert rows == files, "only whole runs are there"
    load(six_nights, database)
    assert_equal(six_nights, database)


def rewrite_manifest(folder: Path, run_id: str) -> str:
    """The run as if it were written anew: another manifest of the same files."""
    layout = layout_of_run(folder, run_id)
    layout.manifest.write_bytes(layout.manifest.read_bytes() + b"\n")
    digest = sha256(layout.manifest.read_bytes()).hexdigest()
    layout.marker.write_text(f"{digest}\n")
    return digest


@mostly_postgres
def test_another_manifest_is_refused_and_replaced_on_demand(
    nights: Path, database: Database
) -> None:
    load(nights, database)
    [run, *_] = complete_runs(nights)
    digest = rewrite_manifest(nights, run.run_id)
    error = refused(nights, database)
    assert error.exit_code == 65
    assert digest in str(error)
    assert run.manifest_sha256 in str(error)
    assert refused(nights, database, dry_run=True).exit_code == 65
    looked = load(nights, database, dry_run=True, options=LoadOptions(replaces=True))
    assert [each.state for each in looked.runs] == [WOULD_REPLACE]
    report = load(nights, database, options=LoadOptions(replaces=True))
    assert [(each.run_id, each.state) for each in report.runs] == [(run.run_id, REPLACED)]
    assert_equal(nights, database)


@mostly_postgres
def test_rows_without_their_run_are_replaced_on_demand(
    six_nights: Path, database: Database
) -> None:
    load(six_nights, database)
    database.do("DELETE FROM batch_screen.runs")
    error = refused(six_nights, database)
    assert (error.exit_code, "--replace" in str(error)) == (65, True)
    report = load(six_nights, database, options=LoadOptions(replaces=True))
    assert [run.state for run in report.runs] == [REPLACED] * 6
    assert_equal(six_nights, database)


@mostly_duckdb
def test_a_damaged_part_stops_before_its_run(nights: Path, database: Database) -> None:
    [_, run, *_] = complete_runs(nights)
    part = run.layout.part(RESULTS, 0)
    part.write_bytes(part.read_bytes()[:-10] + b"0123456789")
    error = refused(nights, database)
    assert isinstance(error, InputError)
    assert error.exit_code == 65
    assert part.name in str(error)
    assert database.ask("SELECT count(*) FROM batch_screen.runs") == [(1,)]
    part.unlink()
    assert refused(nights, database).exit_code == 65


@mostly_postgres
def test_runs_without_marker_are_not_looked_at(nights: Path, database: Database) -> None:
    for run in complete_runs(nights)[1:]:
        run.layout.marker.unlink()
    assert len(load(nights, database).runs) == 1


@mostly_duckdb
def test_runs_can_be_picked(six_nights: Path, database: Database) -> None:
    picked = complete_runs(six_nights)[2]
    assert [r.run_id for r in load(six_nights, database, run_ids=[picked.run_id]).runs] == [
        picked.run_id
    ]
    assert load(picked.layout.run, database).already == 1
    error = refused(six_nights, database, run_ids=["20200101-0123456789"])
    assert (error.exit_code, "no complete run" in str(error)) == (66, True)


def test_the_sandbox_is_refused_before_anything_is_made(
    six_nights: Path, database: Database
) -> None:
    error = refused(six_nights, database, sandbox=False)
    assert isinstance(error, ConfigurationError)
    assert error.exit_code == 2
    if database.kind == "duckdb":
        assert not Path(database.to.removeprefix("duckdb:")).exists()


def test_a_dry_run_makes_nothing(six_nights: Path, database: Database) -> None:
    report = load(six_nights, database, dry_run=True)
    assert [run.state for run in report.runs] == [WOULD] * 6
    makes = [line for run in report.runs for line in run.makes]
    assert len(makes) == len(set(makes))
    assert "table batch_screen.results" in makes
    if database.kind == "duckdb":
        assert not Path(database.to.removeprefix("duckdb:")).exists()
    else:
        assert database.ask("SELECT 1 FROM pg_namespace WHERE nspname = 'batch_screen'") == []
    rows = sum(run.rows["lookups"] for run in report.runs)
    assert rows == of_files(six_nights, "lookups").height


@mostly_postgres
def test_some_tables_only(six_nights: Path, database: Database) -> None:
    load(six_nights, database, options=LoadOptions(tables=("lookups",)))
    assert database.counts(["lookups", "runs"])[1] == 6
    named = database.ask(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'batch_screen'"
    )
    assert {name for [name] in named} == {"lookups", "runs", "current_runs", "signals"}


def assert_the_rest_comes_later(six_nights: Path, warehouse: Database) -> None:
    """Tables that a first load left out are loaded by the next one that asks for them, once."""
    run_ids = [run.run_id for run in complete_runs(six_nights)[:2]]
    some = LoadOptions(tables=("results",))

    def loaded(options: LoadOptions, **more: Any) -> list[tuple[str, list[str]]]:
        report = load(six_nights, warehouse, run_ids=run_ids, options=options, **more)
        return [(run.state, [*run.rows]) for run in report.runs]

    def noted() -> list[tuple[str]]:
        return warehouse.ask("SELECT DISTINCT loaded_tables FROM batch_screen.runs")

    assert loaded(some) == [(LOADED, ["results"])] * 2
    assert noted() == [("results",)]
    assert loaded(some) == []
    assert loaded(LoadOptions(tables=("results", "errors"))) == [(ADDED, ["errors"])] * 2
    rest = ["lookups", "changes"]
    assert loaded(LoadOptions(), dry_run=True) == [(WOULD_ADD, rest)] * 2
    assert noted() == [("results errors",)]
    assert loaded(LoadOptions()) == [(ADDED, rest)] * 2
    assert noted() == [("results lookups errors changes",)]
    assert loaded(LoadOptions()) == loaded(some) == []
    assert_equal(six_nights, warehouse, {*run_ids})
    assert warehouse.counts(["runs"]) == [2]


@mostly_postgres
def test_the_rest_of_the_tables_comes_later(six_nights: Path, database: Database) -> None:
    assert_the_rest_comes_later(six_nights, database)


@mostly_duckdb
def test_rows_of_the_rest_that_are_there_by_other_means(
    six_nights: Path, database: Database
) -> None:
    """``--replace`` deletes them, and leaves the tables that are loaded as they are."""
    [run, *_] = complete_runs(six_nights)
    load(six_nights, database, run_ids=[run.run_id])
    database.do("UPDATE batch_screen.runs SET loaded_tables = 'results'")
    error = refused(six_nights, database, run_ids=[run.run_id])
    assert (error.exit_code, "--replace" in str(error)) == (65, True)
    assert database.ask("SELECT loaded_tables FROM batch_screen.runs") == [("results",)]
    replace = LoadOptions(replaces=True)
    report = load(six_nights, database, run_ids=[run.run_id], options=replace)
    assert [each.state for each in report.runs] == [REPLACED]
    assert_equal(six_nights, database, {run.run_id})


def test_two_loads_at_once_of_different_tables(
    six_nights: Path, postgres: PostgresDatabase
) -> None:
    run = complete_runs(six_nights)[0].run_id

    def one(table: str) -> None:
        only = LoadOptions(tables=(table,))
        load(six_nights, postgres, run_ids=[run], options=only, lock_seconds=30.0)

    at_once(one, ["results", "lookups"])
    load(six_nights, postgres, run_ids=[run])
    assert_equal(six_nights, postgres, {run})


@mostly_postgres
def test_a_table_of_runs_from_before_it_named_tables(six_nights: Path, database: Database) -> None:
    """A run whose tables are not named has all."""
    load(six_nights, database)
    database.do(
        "DROP VIEW batch_screen.current_results",
        "DROP VIEW batch_screen.current_runs",
        "ALTER TABLE batch_screen.runs DROP COLUMN loaded_tables",
    )
    assert load(six_nights, database).already == 6


def test_names_that_differ_by_case(six_nights: Path, database: Database) -> None:
    """They are two schemas in PostgreSQL, and one in DuckDB, whose names have no case."""
    [run, *_] = complete_runs(six_nights)
    load(six_nights, database, run_ids=[run.run_id], schema="Raw")
    again = load(six_nights, database, run_ids=[run.run_id], schema="raw")
    is_one = database.kind == "duckdb"
    assert (again.already, len(again.runs)) == ((1, 0) if is_one else (0, 1))
    assert database.ask('SELECT count(*) FROM "Raw".runs') == [(1,)]
    gone = batch_screen.unload(database.to, before=date(2100, 1, 1), schema="RAW")
    assert len(gone.runs) == (1 if is_one else 0)


def test_tables_and_columns_whose_names_differ_by_case(
    six_nights: Path, database: Database
) -> None:
    runs = [run.run_id for run in complete_runs(six_nights)[:2]]
    load(six_nights, database, run_ids=runs[:1])
    database.do(
        'ALTER TABLE batch_screen.errors RENAME TO "Errors"',
        'ALTER TABLE batch_screen.lookups RENAME COLUMN latency_ms TO "Latency_MS"',
    )
    load(six_nights, database, run_ids=runs[1:])
    upper = 'SELECT count("Latency_MS") FROM batch_screen.lookups'
    first = of_files(six_nights, "lookups", {runs[0]})["latency_ms"].count()
    both = of_files(six_nights, "lookups", {*runs})["latency_ms"].count()
    errors = of_files(six_nights, "errors", {*runs}).height
    if database.kind == "duckdb":
        assert database.ask(upper) == [(both,)]
        assert database.counts(["errors"]) == [errors]
    else:
        assert database.ask(upper) == [(first,)]
        assert database.counts(['"Errors"', "errors"]) == [
            of_files(six_nights, "errors", {run}).height for run in runs
        ]


def test_another_schema(six_nights: Path, database: Database) -> None:
    [run, *_] = complete_runs(six_nights)
    load(six_nights, database, run_ids=[run.run_id], schema='Raw "2026"')
    assert database.ask('SELECT count(*) FROM "Raw ""2026""".runs') == [(1,)]


@mostly_duckdb
def test_missing_columns_are_refused_on_demand(six_nights: Path, database: Database) -> None:
    first = complete_runs(six_nights)[0]
    load(six_nights, database, run_ids=[first.run_id])
    error = refused(six_nights, database, options=LoadOptions(adds=False))
    assert error.exit_code == 65
    assert 'ADD COLUMN IF NOT EXISTS "in_branch"' in str(error)
    assert database.counts(["runs"]) == [1]


@mostly_postgres
def test_missing_tables_are_refused_on_demand(six_nights: Path, database: Database) -> None:
    error = refused(six_nights, database, options=LoadOptions(creates=False))
    assert error.exit_code == 65
    assert "CREATE TABLE" in str(error)
    load(six_nights, database, run_ids=[complete_runs(six_nights)[0].run_id])
    assert len(load(six_nights, database, options=LoadOptions(creates=False)).runs) == 5


TYPES = [
    # The column of the table, its type there, what the files have, and whether it may be.
    ("in_credit_limit", "double precision", False),
    ("in_credit_limit", "timestamp with time zone", False),
    ("in_credit_limit", "integer", False),
    ("in_credit_limit", "numeric(20, 2)", False),
    ("in_credit_limit", "numeric(19, 0)", True),
    ("in_credit_limit", "text", True),
    ("http_status", "bigint", True),
    ("latency_ms", "bigint", False),
    ("latency_ms", "numeric(30, 10)", False),
    ("latency_ms", "real", False),
    ("responded_at", "timestamp", False),
    ("swapped", "text", True),
    ("in_opened", "timestamp", False),
    ("in_opened", "text", True),
    ("responded_at", "text", True),
]


# Which types lose values is decided for both; how values are written differs.
DUCKDB_TYPES = {
    ("in_credit_limit", "numeric(19, 0)"),
    ("in_credit_limit", "double precision"),
    ("swapped", "text"),
    ("responded_at", "text"),
}


@pytest.mark.parametrize(
    ("database", "column", "kind", "is_fine"),
    [
        *(("postgres", *each) for each in TYPES),
        *(
            pytest.param("duckdb", *each, marks=() if each[:2] in DUCKDB_TYPES else in_full)
            for each in TYPES
        ),
    ],
    indirect=["database"],
)
def test_other_types_are_taken_only_where_every_value_survives(
    six_nights: Path, database: Database, column: str, kind: str, is_fine: bool
) -> None:
    """Binary COPY of int64 into double precision writes 5e-324 for 1, without an error."""
    run = complete_runs(six_nights)[1]
    table = "results" if column.startswith("in_") else "lookups"
    only = LoadOptions(tables=(table,))
    load(six_nights, database, run_ids=[complete_runs(six_nights)[0].run_id], options=only)
    if column.startswith("in_"):
        database.do(f"ALTER TABLE batch_screen.{table} ADD COLUMN {column} {kind}")
    else:
        using = "" if database.kind == "duckdb" else f" USING {column}::text::{kind}"
        database.do(
            "DROP VIEW batch_screen.signals",
            "DELETE FROM batch_screen.lookups",
            f"ALTER TABLE batch_screen.{table} ALTER COLUMN {column} TYPE {kind}{using}",
        )
    if not is_fine:
        error = refused(six_nights, database, run_ids=[run.run_id], options=only)
        assert error.exit_code == 65
        assert f"{table}.{column}" in str(error)
        assert "ALTER TABLE" in str(error)
        assert database.counts(["runs"]) == [1]
        return
    load(six_nights, database, run_ids=[run.run_id], options=only)
    expected = of_files(six_nights, table, {run.run_id})[column]
    dtype = pl.String if kind == "text" else expected.dtype
    found = database.table(
        f"{table} WHERE run_id = '{run.run_id}'", pl.Schema({column: pl.Object})
    )[column].to_list()
    values = [value if value is None else str(value) for value in found]
    if dtype == pl.String and expected.dtype == pl.Boolean:
        assert sorted(map(str, values)) == sorted(
            str(v).lower() if v is not None else "None" for v in expected
        )
    elif dtype == pl.String and expected.dtype == pl.Datetime:
        parsed = [v if v is None else datetime.fromisoformat(v) for v in found]
        assert sorted(map(str, parsed)) == sorted(map(str, expected))
    else:
        assert sorted(map(str, values)) == sorted(map(str, expected))


def special() -> pl.DataFrame:
    """Values that loaders are known to change."""
    texts = [
        *NASTY[:-1],
        "\\.",
        "\ufeffbom",
        "\r",
        "\n",
        '"',
        "'",
        "''",
        "\\",
        "\t",
        "a,b",
        " ",
        "é",
        "\u2028",
        "NaN",
        "+44",
    ]
    texts += ["null", "\\N\n", "\\.\n\\.", '""', "0", "true", "😀"]
    floats = [math.nan, math.inf, -math.inf, 5e-324, -0.0, 0.1, 1e308, -1e-308, 1 / 3, 2**53 + 2.0]
    longs = [2**63 - 1, -(2**63), 0, 1, -1, 2**53 + 1]
    instants = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(1900, 2, 28, tzinfo=UTC),
    ]
    days = [date(1, 1, 1), date(9999, 12, 31), date(1969, 12, 31), date(2024, 2, 29)]

    def filled(values: list[Any]) -> list[Any]:
        return [*values, *[None] * (len(texts) + 1 - len(values))]

    return pl.DataFrame(
        {
            "in_text": filled(texts),
            "in_float": filled(floats),
            "in_long": filled(longs),
            "in_int": pl.Series(filled([2**31 - 1, -(2**31), 0]), dtype=pl.Int32),
            "in_flag": filled([True, False]),
            "in_at": pl.Series(filled(instants), dtype=pl.Datetime("us", "UTC")),
            "in_day": filled(days),
        }
    )


@contextmanager
def made_run(six_nights: Path, frame: pl.DataFrame, folder: Path) -> Iterator[LoadableRun]:
    """A night whose results have these kept columns in place of its own."""
    with opened(complete_runs(six_nights)[1]) as run:
        listed = next(table for table in run.tables if table.name == RESULTS)
        contract = of_files(six_nights, RESULTS, {run.run_id}).drop("run_date", "^in_.*$")
        rows = pl.concat([contract.head(frame.height), frame], how="horizontal")
        rows.write_parquet(folder / "part.parquet")
        file = ListedFile("part.parquet", 1, "", RESULTS, rows.height)
        columns = table_columns([], dict(rows.schema))
        table = TableToLoad(RESULTS, columns, rows.height, folder, (file,), listed.run_date)
        yield run._replace(tables=(table, *run.tables[1:]))


def test_values_that_loaders_change_stay_what_they_are(
    six_nights: Path, database: Database, tmp_path: Path
) -> None:
    frame = special()
    with (
        made_run(six_nights, frame, tmp_path) as run,
        open_target(parse(database.to)) as target,
    ):
        assert target.load(run, LoadOptions()).rows[RESULTS] == frame.height
    found = database.table("results ORDER BY row_index", frame.schema)
    for name in frame.columns:
        assert found[name].equals(frame[name], null_equal=True), name
    assert found["in_float"].to_list()[4].hex() == "-0x0.0p+0"


def test_a_run_that_is_gone_since_it_was_listed(nights: Path) -> None:
    first, second, *_ = complete_runs(nights)
    second.layout.manifest.unlink()
    with pytest.raises(InputError, match="not what was written"), opened(second):
        pass
    batch_screen.purge(batch_screen.PurgeScope(nights, nights / ".state", date(2026, 11, 24)))
    with pytest.raises(RunLockedError, match="was removed"), opened(first):
        pass


def test_a_run_that_was_written_anew_since_it_was_listed(nights: Path) -> None:
    [run, *_] = complete_runs(nights)
    digest = rewrite_manifest(nights, run.run_id)
    with opened(run) as ready:
        assert ready.manifest_sha256 == ready.row["manifest_sha256"] == digest


@pytest.mark.parametrize("is_first_purge", [True, False])
def test_purge_and_load_keep_apart(nights: Path, database: Database, is_first_purge: bool) -> None:
    [run, *_] = complete_runs(nights)
    scope = batch_screen.PurgeScope(nights, nights / ".state", date(2100, 1, 1))
    if is_first_purge:
        with alone(run.layout.manifest, "run"):
            error = refused(nights, database)
        assert (error.exit_code, "being removed" in str(error)) == (75, True)
        return
    with opened(run), pytest.raises(BatchScreenError) as raised:
        batch_screen.purge(scope)
    assert raised.value.exit_code == 75
    assert run.layout.marker.exists(), "nothing was removed"


@mostly_postgres
def test_unload(nights: Path, database: Database) -> None:
    load(nights, database)
    runs = complete_runs(nights)
    ids = [run.run_id for run in runs]
    looked = batch_screen.unload(database.to, run_ids=ids[:1], dry_run=True)
    assert (looked.removed, looked.runs) == (False, (ids[0],))
    assert looked.rows[RESULTS] == of_files(nights, RESULTS, {ids[0]}).height
    assert batch_screen.unload(database.to, run_ids=ids[:1]).rows == looked.rows
    assert_equal(nights, database, set(ids[1:]))
    assert batch_screen.unload(database.to, run_ids=ids[:1]).missing == (ids[0],)
    old = batch_screen.unload(database.to, before=date(2026, 11, 26))
    assert set(old.runs) == {each for each in ids[1:] if each < "20261126"}
    assert batch_screen.unload(database.to, gone=[nights]).runs == ()
    # A run's own folder stands for the one it lies in: its other runs are not gone.
    assert batch_screen.unload(database.to, gone=[runs[-1].layout.run]).runs == ()
    last = runs[-1]
    batch_screen.purge(batch_screen.PurgeScope(nights, nights / ".state", date(2026, 11, 27)))
    gone = batch_screen.unload(database.to, gone=[nights])
    assert gone.removed
    left = database.ask("SELECT run_id FROM batch_screen.runs")
    assert left == [(last.run_id,)]
    assert_equal(nights, database, {last.run_id})


@mostly_duckdb
def test_only_what_purge_took_from_the_folder_is_unloaded(
    nights: Path, database: Database, tmp_path: Path
) -> None:
    load(nights, database)
    first, second, *_ = complete_runs(nights)
    for empty in (tmp_path / "none", make_folder(tmp_path / "unmounted")):
        with pytest.raises(InputError) as raised:
            batch_screen.unload(database.to, gone=[empty])
        assert raised.value.exit_code == 66
    other = make_folder(tmp_path / "other")
    shutil.copytree(nights / "runs" / second.run_id, other / "runs" / second.run_id)
    assert batch_screen.unload(database.to, gone=[other]).runs == ()
    shutil.rmtree(first.layout.run)  # by hand: no record says so
    assert batch_screen.unload(database.to, gone=[nights]).runs == ()
    digest = rewrite_manifest(nights, second.run_id)
    batch_screen.purge(batch_screen.PurgeScope(nights, nights / ".state", date(2100, 1, 1)))
    assert batch_screen.unload(database.to, gone=[nights, other], dry_run=True).differing == ()
    taken = batch_screen.unload(database.to, gone=[nights])
    assert len(taken.runs) == 4
    assert taken.differing == (second.run_id,), "what is loaded is not what went"
    assert digest in {run.manifest_sha256 for run in batch_screen.list_purged(nights)}
    left = database.ask("SELECT run_id FROM batch_screen.runs ORDER BY run_id")
    assert left == [(first.run_id,), (second.run_id,)]
    done = CliRunner().invoke(cli, ["unload", "--to", database.to, "--gone", str(nights)])
    assert isinstance(done.exception, InputError)
    assert f"--run {second.run_id}" in str(done.exception)


def test_unload_of_a_warehouse_without_tables(database: Database) -> None:
    done = batch_screen.unload(database.to, before=date(2100, 1, 1))
    assert (done.removed, done.runs) == (False, ())


@mostly_postgres
def test_more_columns_of_the_owners_are_left_alone(six_nights: Path, database: Database) -> None:
    first = complete_runs(six_nights)[0]
    load(six_nights, database, run_ids=[first.run_id])
    database.do("ALTER TABLE batch_screen.results ADD COLUMN note varchar DEFAULT 'ours'")
    load(six_nights, database)
    assert_equal(six_nights, database)
    notes = database.ask("SELECT DISTINCT note FROM batch_screen.current_results")
    assert notes == [("ours",)]
