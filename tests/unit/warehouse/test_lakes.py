"""What every lake promises: a run counts once all of it is there, and is equal to the cell."""

from __future__ import annotations

import importlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import batch_screen
from batch_screen import LoadOptions
from batch_screen.commands.load import ALREADY, LOADED, REPLACED, WOULD
from batch_screen.runs.layout import DATA_FOLDERS, RESULTS
from batch_screen.warehouse.address import open_target, parse
from batch_screen.warehouse.columns import RUN_COLUMNS
from batch_screen.warehouse.runs import complete_runs
from tests.thoroughness import IS_FULL, in_full
from tests.threads import at_once

from .lakes import EVERY, LakeUnderTest, delta, iceberg, mostly_delta
from .test_targets import (
    assert_equal,
    assert_the_rest_comes_later,
    load,
    made_run,
    of_files,
    refused,
    rewrite_manifest,
    special,
)

__all__ = ["delta", "iceberg"]

AfterPut = Callable[..., AbstractContextManager[None]]
COUNT = 6 if IS_FULL else 1
"""Runs that several loads contend for: each gives way and begins anew when another was first."""


@pytest.fixture(params=["delta", "iceberg"])
def lake(request: pytest.FixtureRequest) -> LakeUnderTest:
    found: LakeUnderTest = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def nights(six_nights: Path, tmp_path: Path) -> Path:
    """The six nights, to be changed."""
    return shutil.copytree(six_nights, tmp_path / "screened")


@pytest.fixture
def after_put(lake: LakeUnderTest, monkeypatch: pytest.MonkeyPatch) -> AfterPut:
    """Has a function called after each table that was written, or an error raised."""
    module = importlib.import_module(f"batch_screen.warehouse.{lake.kind}")
    kind = getattr(module, lake.kind.capitalize())
    put = kind._put

    @contextmanager
    def set_up(
        action: Callable[[], object] = object, raised: type[Exception] | None = None
    ) -> Iterator[None]:
        def put_then(self: Any, rows: Any) -> bool:
            done: bool = put(self, rows)
            action()
            if raised:
                raise raised
            return done

        with monkeypatch.context() as patched:
            patched.setattr(kind, "_put", put_then)
            yield

    return set_up


@mostly_delta
def test_six_drifting_nights_in_any_order_come_back_equal_to_the_cell(
    six_nights: Path, lake: LakeUnderTest
) -> None:
    ids = [run.run_id for run in complete_runs(six_nights)]
    for run_id in ids[2], ids[1]:
        assert load(six_nights, lake, run_ids=[run_id]).runs[0].state == LOADED
    assert_equal(six_nights, lake, {ids[1], ids[2]})
    report = load(six_nights, lake)
    assert [(run.run_id, run.state) for run in report.runs] == [
        (run_id, LOADED) for run_id in ids if run_id not in ids[1:3]
    ]
    assert_equal(six_nights, lake)
    loaded = lake.table("runs", pl.Schema({c.name: c.dtype for c in RUN_COLUMNS}))
    for run in batch_screen.list_runs(six_nights).runs:
        row = loaded.row(by_predicate=pl.col("run_id") == run.run_id, named=True)
        assert row["manifest_sha256"] == run.manifest_sha256
        assert row["completed_at"] == run.completed_at
        assert (row["sandbox"], row["rows_read"]) == (True, run.counts.rows_read)
    assert load(six_nights, lake).runs == ()


@mostly_delta
def test_two_loads_at_once_load_once(six_nights: Path, lake: LakeUnderTest) -> None:
    ids = [run.run_id for run in complete_runs(six_nights)[:COUNT]]
    reports = at_once(lambda _: load(six_nights, lake, run_ids=ids, lock_seconds=30.0), range(3))
    states = [run.state for report in reports for run in report.runs]
    assert states.count(LOADED) == COUNT
    assert set(states) <= {LOADED, ALREADY}
    assert_equal(six_nights, lake, set(ids))
    assert lake.counts(["runs"]) == [COUNT]


@mostly_delta
def test_loads_of_different_runs_at_once(six_nights: Path, lake: LakeUnderTest) -> None:
    ids = [run.run_id for run in complete_runs(six_nights)[: COUNT + 1]]
    at_once(lambda each: load(six_nights, lake, run_ids=[each], lock_seconds=30.0), ids, len(ids))
    assert_equal(six_nights, lake, set(ids))


KILLED = """
import os, signal, sys
import batch_screen
from batch_screen.warehouse import lake
from batch_screen.warehouse.{module} import {target} as Target
calls = []
def die(at):
    calls.append(at)
    if len(calls) == {after}:
        os.kill(os.getpid(), signal.SIGKILL)
def dying(method):
    def wrapped(self, *given):
        done = method(self, *given)
        die(method.__name__)
        return done
    return wrapped
if "{where}" == "fitted":
    fitted = lake.fitted
    def killing(*given):
        die("fitted")
        return fitted(*given)
    sys.modules[Target.__module__].fitted = killing
else:
    setattr(Target, "{where}", dying(getattr(Target, "{where}")))
batch_screen.load([sys.argv[1]], sys.argv[2], sandbox=True, run_ids=sys.argv[3:])
"""


KILLED_AT = [("_put", 4), ("fitted", 7), ("_create", 2), ("_put", 1), ("_put", 7)]


@pytest.mark.parametrize(
    ("lake", "where", "after"),
    [(kind, *at) for kind in ("delta", "iceberg") for at in KILLED_AT]
    if IS_FULL
    else [("delta", "fitted", 7)],
    indirect=["lake"],
)
def test_a_load_that_was_killed_is_completed(
    six_nights: Path, lake: LakeUnderTest, where: str, after: int
) -> None:
    script = KILLED.format(
        module=lake.kind, target=lake.kind.capitalize(), where=where, after=after
    )
    runs = [run.run_id for run in complete_runs(six_nights)[:2]]
    command = [sys.executable, "-c", script, six_nights, lake.to, *runs]
    done = subprocess.run(command, check=False)
    assert done.returncode == -signal.SIGKILL
    if lake.read("runs") is not None:
        known = {run_id for [run_id] in lake.ask("SELECT run_id FROM batch_screen.runs")}
        for table in DATA_FOLDERS if known else ():
            found = lake.ask(
                f"SELECT count(*) FROM batch_screen.{table} JOIN batch_screen.runs USING (run_id)"
            )
            assert found == [(of_files(six_nights, table, known).height,)], "whole, or not in runs"
    load(six_nights, lake, run_ids=runs)
    assert_equal(six_nights, lake, set(runs))
    assert lake.counts(["runs"]) == [2]


def test_half_of_another_manifest_is_replaced(
    nights: Path, lake: LakeUnderTest, after_put: AfterPut
) -> None:
    """A load was ended after its first table, and the run was written anew before the next one."""
    [run, *_] = complete_runs(nights)
    with after_put(raised=RuntimeError), pytest.raises(RuntimeError):
        load(nights, lake, run_ids=[run.run_id])
    assert lake.counts(["lookups", "runs"]) == [0, 0]
    rewrite_manifest(nights, run.run_id)
    load(nights, lake, run_ids=[run.run_id])
    assert_equal(nights, lake, {run.run_id})


@in_full
@mostly_delta
def test_another_manifest_is_refused_and_replaced_on_demand(
    nights: Path, lake: LakeUnderTest
) -> None:
    run, other = complete_runs(nights)[:2]
    both = [run.run_id, other.run_id]
    load(nights, lake, run_ids=both)
    digest = rewrite_manifest(nights, run.run_id)
    error = refused(nights, lake, run_ids=both)
    assert error.exit_code == 65
    assert digest in str(error)
    assert run.manifest_sha256 in str(error)
    assert refused(nights, lake, run_ids=both, dry_run=True).exit_code == 65
    report = load(nights, lake, run_ids=both, options=LoadOptions(replaces=True))
    assert [(each.run_id, each.state) for each in report.runs] == [(run.run_id, REPLACED)]
    assert_equal(nights, lake, set(both))
    assert (digest,) in lake.ask("SELECT manifest_sha256 FROM batch_screen.runs")


@mostly_delta
def test_a_damaged_part_stops_before_its_run(nights: Path, lake: LakeUnderTest) -> None:
    [_, run, *_] = complete_runs(nights)
    part = run.layout.part(RESULTS, 0)
    part.write_bytes(part.read_bytes()[:-10] + b"0123456789")
    error = refused(nights, lake)
    assert (error.exit_code, part.name in str(error)) == (65, True)
    assert lake.counts(["runs"]) == [1]


def test_a_part_that_is_damaged_while_it_is_read(
    nights: Path, lake: LakeUnderTest, after_put: AfterPut
) -> None:
    [run, *_] = complete_runs(nights)
    part = run.layout.part("lookups", 0)
    with after_put(lambda: part.write_bytes(b"PAR1" + b"\0" * 100 + b"PAR1")):
        error = refused(nights, lake, run_ids=[run.run_id])
    assert (error.exit_code, part.name in str(error)) == (65, True)
    assert lake.counts(["runs"]) == [0]


@mostly_delta
def test_a_dry_run_makes_nothing(six_nights: Path, lake: LakeUnderTest) -> None:
    report = load(six_nights, lake, dry_run=True)
    assert [run.state for run in report.runs] == [WOULD] * 6
    makes = [line for run in report.runs for line in run.makes]
    assert len(makes) == len(set(makes)) == 5
    assert all(lake.read(table) is None for table in EVERY)
    load(six_nights, lake, run_ids=[report.runs[0].run_id])
    makes = [line for run in load(six_nights, lake, dry_run=True).runs for line in run.makes]
    assert "column results.in_branch string" in makes


@in_full
@mostly_delta
def test_the_rest_of_the_tables_comes_later(six_nights: Path, lake: LakeUnderTest) -> None:
    assert_the_rest_comes_later(six_nights, lake)


@pytest.mark.parametrize(
    ("lake", "puts"),
    [
        ("delta", 4),
        pytest.param("delta", 5, marks=in_full),
        pytest.param("iceberg", 4, marks=in_full),
        pytest.param("iceberg", 5, marks=in_full),
    ],
    indirect=["lake"],
)
def test_an_unload_during_a_load_leaves_all_of_the_run_or_nothing(
    six_nights: Path, lake: LakeUnderTest, after_put: AfterPut, puts: int
) -> None:
    """It comes after the last table, or after the row in ``runs``."""
    [run, *_] = complete_runs(six_nights)
    calls = 0

    def unload_once() -> None:
        nonlocal calls
        calls += 1
        if calls == puts:
            batch_screen.unload(lake.to, run_ids=[run.run_id])

    with after_put(unload_once):
        error = refused(six_nights, lake, run_ids=[run.run_id])
    assert error.exit_code == (65 if puts == 4 else 75)
    assert lake.counts(["runs"]) == [0], "a run in runs is whole"
    load(six_nights, lake, run_ids=[run.run_id])
    assert_equal(six_nights, lake, {run.run_id})


@in_full
@mostly_delta
def test_a_load_during_an_unload_leaves_all_of_the_run_or_nothing(
    six_nights: Path, lake: LakeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"batch_screen.warehouse.{lake.kind}")
    kind = getattr(module, lake.kind.capitalize())
    delete, calls = kind._delete, list[str]()
    run_ids = [run.run_id for run in complete_runs(six_nights)[:2]]
    load(six_nights, lake, run_ids=run_ids)

    def delete_then(self: Any, table: str, which: Any) -> None:
        delete(self, table, which)
        calls.append(table)
        if len(calls) == 5:  # all tables are done: now the run is loaded anew
            load(six_nights, lake, run_ids=run_ids)

    with monkeypatch.context() as patched:
        patched.setattr(kind, "_delete", delete_then)
        batch_screen.unload(lake.to, run_ids=run_ids[:1])
    assert lake.ask("SELECT run_id FROM batch_screen.runs") == [(run_ids[1],)]
    assert_equal(six_nights, lake, {run_ids[1]})


def test_some_tables_in_another_schema(six_nights: Path, lake: LakeUnderTest) -> None:
    [run, *_] = complete_runs(six_nights)
    some = LoadOptions(tables=("lookups",))
    load(six_nights, lake, run_ids=[run.run_id], schema="raw", options=some)
    assert lake.ask("SELECT count(*) FROM batch_screen.runs", "raw") == [(1,)]
    assert [lake.read(table, "raw") is None for table in EVERY] == [True, False, True, True, False]


@in_full
@mostly_delta
def test_what_is_missing_is_refused_on_demand(six_nights: Path, lake: LakeUnderTest) -> None:
    error = refused(six_nights, lake, options=LoadOptions(creates=False))
    assert (error.exit_code, "--no-create" in str(error)) in ((65, True), (73, False))
    load(six_nights, lake, run_ids=[complete_runs(six_nights)[0].run_id])
    error = refused(six_nights, lake, options=LoadOptions(adds=False))
    assert (error.exit_code, "column results.in_branch" in str(error)) == (65, True)
    assert lake.counts(["runs"]) == [1]
    assert len(load(six_nights, lake, options=LoadOptions(creates=False)).runs) == 5


def test_values_that_loaders_change_stay_what_they_are(
    six_nights: Path, lake: LakeUnderTest, tmp_path: Path
) -> None:
    frame = special()
    with (
        made_run(six_nights, frame, tmp_path) as run,
        open_target(parse(lake.to)) as target,
    ):
        assert target.load(run, LoadOptions()).rows[RESULTS] == frame.height
    rows = lake.read(RESULTS)
    assert rows is not None
    found = pl.DataFrame(rows).sort("row_index").select(frame.columns).cast(dict(frame.schema))
    for name in frame.columns:
        assert found[name].equals(frame[name], null_equal=True), name
    assert found["in_float"].to_list()[4].hex() == "-0x0.0p+0"


@in_full
@mostly_delta
def test_unload(six_nights: Path, lake: LakeUnderTest) -> None:
    ids = [run.run_id for run in complete_runs(six_nights)[:3]]
    load(six_nights, lake, run_ids=ids)
    looked = batch_screen.unload(lake.to, run_ids=ids[:1], dry_run=True)
    assert (looked.removed, looked.runs) == (False, (ids[0],))
    assert looked.rows[RESULTS] == of_files(six_nights, RESULTS, {ids[0]}).height
    assert batch_screen.unload(lake.to, run_ids=ids[:1]).rows == looked.rows
    assert_equal(six_nights, lake, set(ids[1:]))
    assert batch_screen.unload(lake.to, before=date(2026, 11, 25)).runs == (ids[1],)
    assert load(six_nights, lake, run_ids=ids).already == 1
    assert_equal(six_nights, lake, set(ids))


def test_unload_of_a_lake_without_tables(lake: LakeUnderTest) -> None:
    done = batch_screen.unload(lake.to, before=date(2100, 1, 1))
    assert (done.removed, done.runs) == (False, ())
