"""Delta Lake: its log, its types, folders that cannot be used, and buckets."""

from __future__ import annotations

import shutil
from contextlib import suppress
from itertools import product
from pathlib import Path
from threading import Barrier

import polars as pl
import pytest
from deltalake import DeltaTable, Field, Schema, write_deltalake
from deltalake.schema import PrimitiveType

import batch_screen
from batch_screen import LoadOptions
from batch_screen.runs.layout import RESULTS
from batch_screen.warehouse import lake
from batch_screen.warehouse.address import open_target, parse
from batch_screen.warehouse.columns import RUN_COLUMNS
from batch_screen.warehouse.delta import Delta
from batch_screen.warehouse.runs import complete_runs
from tests.buckets import Bucket, answer, scripted
from tests.thoroughness import IS_FULL
from tests.threads import at_once

from .lakes import DeltaFolder, delta
from .test_targets import assert_equal, load, of_files, refused

__all__ = ["delta"]


@pytest.fixture(scope="module")
def loaded(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> DeltaFolder:
    """A lake with the first run, to be read only."""
    place = DeltaFolder(tmp_path_factory.mktemp("loaded") / "lake")
    load(six_nights, place, run_ids=[complete_runs(six_nights)[0].run_id])
    return place


@pytest.fixture
def with_first(loaded: DeltaFolder, tmp_path: Path) -> DeltaFolder:
    """A lake with the first run, to be changed."""
    return DeltaFolder(shutil.copytree(loaded.place, tmp_path / "lake"))


def test_tables_say_what_they_hold(six_nights: Path, delta: DeltaFolder) -> None:
    runs = complete_runs(six_nights)[:2]
    load(six_nights, delta, run_ids=[run.run_id for run in runs])
    found = DeltaTable(delta.path(RESULTS))
    assert found.metadata().partition_columns == ["run_date"]
    assert "an accepted row of the list" in found.metadata().description
    fields = {field.name: field for field in found.schema().fields}
    assert fields["in_customer_id"].metadata == {"comment": "kept from the input: customer_id"}
    assert "run_date" in next(iter(fields))
    last = runs[-1]
    assert found.transaction_version(f"batch_screen:{last.run_id}") == 1
    noted = found.history(1)[0]
    assert noted["batch_screen.run_id"] == last.run_id
    assert noted["batch_screen.manifest_sha256"] == last.manifest_sha256
    assert (Path(delta.place).stat().st_mode & 0o777) == 0o700


TYPES = [
    ("in_credit_limit", "double", False),
    ("in_credit_limit", "timestamp", False),
    ("in_credit_limit", "integer", False),
    ("in_credit_limit", "decimal(20,2)", False),
    ("in_credit_limit", "decimal(19,0)", True),
    ("in_credit_limit", "string", True),
    ("in_opened", "timestamp_ntz", False),
    ("in_opened", "string", True),
    ("in_branch", "binary", False),
]


@pytest.mark.parametrize(("column", "kind", "is_fine"), TYPES)
def test_other_types_are_taken_only_where_every_value_survives(
    six_nights: Path, with_first: DeltaFolder, column: str, kind: str, is_fine: bool
) -> None:
    delta, second = with_first, complete_runs(six_nights)[1].run_id
    only = LoadOptions(tables=(RESULTS,))
    DeltaTable(delta.path(RESULTS)).alter.add_columns([Field(column, PrimitiveType(kind))])
    if not is_fine:
        error = refused(six_nights, delta, run_ids=[second], options=only)
        assert error.exit_code == 65
        assert f"column results.{column}" in str(error)
        assert kind.partition("(")[0] in str(error)
        assert delta.counts(["runs"]) == [1]
        return
    load(six_nights, delta, run_ids=[second], options=only)
    expected = of_files(six_nights, RESULTS, {second}).sort("row_index")[column]
    rows = DeltaTable(delta.path(RESULTS)).to_pyarrow_table()
    found = pl.DataFrame(rows).filter(run_id=second).sort("row_index")[column]
    values = found.to_list() if kind == "string" else found.cast(pl.Int64).cast(pl.String).to_list()
    assert values == expected.cast(pl.String).to_list()


def test_two_that_make_a_table_at_once_make_one(tmp_path: Path) -> None:
    """The library commits the second one as version 1, over the columns of the first."""
    for number in range(8):
        delta = DeltaFolder(tmp_path / str(number))

        def make(start: Barrier, place: DeltaFolder = delta) -> None:
            with open_target(parse(place.to)) as target, suppress(lake.ConflictError):
                assert isinstance(target, Delta)
                start.wait()
                target._create("runs", RUN_COLUMNS)

        at_once(make, [Barrier(2)] * 2)
        assert DeltaTable(delta.path("runs")).version() == 0


def test_columns_of_the_owners_stay(six_nights: Path, with_first: DeltaFolder) -> None:
    delta = with_first
    first, second = (run.run_id for run in complete_runs(six_nights)[:2])
    DeltaTable(delta.path(RESULTS)).alter.add_columns([Field("note", PrimitiveType("string"))])
    load(six_nights, delta, run_ids=[second])
    assert_equal(six_nights, delta, {first, second})


def test_folders_that_cannot_be_used(six_nights: Path, delta: DeltaFolder, tmp_path: Path) -> None:
    for place in (tmp_path / "no" / "lake", tmp_path / "file", tmp_path / "file" / "lake"):
        (tmp_path / "file").write_text("")
        error = refused(six_nights, DeltaFolder(place))
        assert (error.exit_code, "is not there and cannot be made" in str(error)) == (73, True)
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "batch_screen").write_text("")
    error = refused(six_nights, delta)
    assert error.exit_code == 73
    assert batch_screen.unload(f"delta:{tmp_path}/none", run_ids=["20261123-0123456789"]).rows == {}
    assert not (tmp_path / "none").exists()


def truncate(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-40])


def garbage(log: Path) -> None:
    log.write_text('{"add": "+442079460000"')


def test_a_damaged_log_is_not_written_to(
    six_nights: Path, with_first: DeltaFolder, tmp_path: Path
) -> None:
    load(six_nights, with_first, run_ids=[complete_runs(six_nights)[1].run_id])
    for number, (damage, version) in enumerate(product([truncate, garbage, Path.unlink], [0, 1])):
        delta = DeltaFolder(shutil.copytree(with_first.place, tmp_path / str(number)))
        log = Path(delta.path("lookups"), "_delta_log")
        damage(log / f"{version:020}.json")
        before = sorted(path.name for path in log.iterdir())
        error = refused(six_nights, delta)
        assert (error.exit_code, "_delta_log" in str(error)) == (65, True), (damage, version)
        assert sorted(path.name for path in log.iterdir()) == before, (damage, version)


def test_rows_that_another_tool_left_are_replaced(
    six_nights: Path, with_first: DeltaFolder
) -> None:
    delta, run_id = with_first, complete_runs(six_nights)[0].run_id
    table = DeltaTable(delta.path(RESULTS))
    rows = table.to_pyarrow_table()
    write_deltalake(table, rows, mode="append")
    DeltaTable(delta.path("runs")).delete()
    load(six_nights, delta, run_ids=[run_id])
    assert_equal(six_nights, delta, {run_id})


def test_the_gate_counts_what_the_lake_has(
    six_nights: Path, delta: DeltaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake, "fitted", lambda frame, schema: [])
    monkeypatch.setattr("batch_screen.warehouse.delta.fitted", lambda frame, schema: [])
    error = refused(six_nights, delta)
    assert (error.exit_code, "in its manifest" in str(error)) == (65, True)
    assert delta.counts(["runs"]) == [0]


def test_a_table_with_rules_of_its_own(six_nights: Path, delta: DeltaFolder) -> None:
    load(six_nights, delta, run_ids=[complete_runs(six_nights)[0].run_id])
    DeltaTable(delta.path("lookups")).alter.add_constraint({"old": "run_date < DATE '2026-11-24'"})
    error = refused(six_nights, delta)
    assert (error.exit_code, "lookups" in str(error)) == (65, True)
    assert delta.counts(["runs"]) == [1]


def test_a_table_in_the_way(six_nights: Path, delta: DeltaFolder) -> None:
    Path(delta.path(RESULTS)).mkdir(parents=True)
    DeltaTable.create(delta.path("runs"), Schema([Field("run_id", PrimitiveType("long"))]))
    error = refused(six_nights, delta)
    assert (error.exit_code, "column runs.run_id" in str(error)) in ((65, True), (65, False))


def test_a_bucket(six_nights: Path, bucket: Bucket) -> None:
    place = DeltaFolder(f"{bucket.address}/lake")
    runs = [run.run_id for run in complete_runs(six_nights)[: 2 if IS_FULL else 1]]
    assert len(load(six_nights, place, run_ids=runs).runs) == len(runs)
    assert load(six_nights, place, run_ids=runs).already == len(runs)
    assert_equal(six_nights, place, set(runs))
    batch_screen.unload(place.to, run_ids=runs[:1])
    assert place.counts(["runs"]) == [len(runs) - 1]
    assert place.ask(f"SELECT count(*) FROM batch_screen.lookups WHERE run_id = '{runs[0]}'") == [
        (0,)
    ]


def test_buckets_that_cannot_be_used(
    six_nights: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused(six_nights, DeltaFolder("s3://not-there/lake"))
    assert (error.exit_code, "no such folder or bucket" in str(error)) == (73, True)
    denied = b"<Error><Code>AccessDenied</Code></Error>"
    with scripted(lambda request: answer(request, 403, denied)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        error = refused(six_nights, DeltaFolder("s3://denied/lake"))
    assert (error.exit_code, "access is denied" in str(error)) == (73, True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    error = refused(six_nights, DeltaFolder("s3://unreachable/lake"))
    assert (error.exit_code, "does not answer" in str(error)) == (69, True)
    assert "test-secret" not in str(error)
