"""Runs with ids in the place of numbers: keys and views go by the id, and kinds do not mix."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import batch_screen
from batch_screen.commands.load import LOADED
from batch_screen.config.sections import Ids, Privacy
from batch_screen.privacy.ids import make_id_key
from batch_screen.warehouse.runs import complete_runs
from tests.nights import NIGHTS, job, write_lists
from tests.thoroughness import in_full

from .conftest import Database, PostgresDatabase, mostly_duckdb, mostly_postgres
from .lakes import LakeUnderTest, delta, iceberg
from .test_targets import assert_equal, load, of_files, refused

__all__ = ["delta", "iceberg"]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights of one list with ids, the second with another kept column."""
    folder = tmp_path_factory.mktemp("ids")
    write_lists(folder)
    key = folder / "ids.key"
    make_id_key(key)
    for night in (NIGHTS[0], NIGHTS[2]):
        privacy = Privacy(ids=Ids.HMAC, id_key_file=str(key))
        batch_screen.run(job(folder, night, privacy=privacy))
    return folder / "screened"


@mostly_duckdb
def test_runs_with_ids_come_back_equal_and_each_id_has_one_signal(
    nights: Path, database: Database
) -> None:
    assert [run.state for run in load(nights, database).runs] == [LOADED] * 2
    assert_equal(nights, database)
    lookups = of_files(nights, "lookups")
    numbers = database.ask(
        "SELECT count(*), count(DISTINCT number_id), count(e164) FROM batch_screen.signals"
    )
    found = lookups.select(pl.struct("number_id", "endpoint").n_unique()).item()
    assert numbers == [(found, lookups["number_id"].n_unique(), 0)]


def test_keys_and_indexes_are_of_the_id(nights: Path, postgres: PostgresDatabase) -> None:
    load(nights, postgres)
    keys = postgres.ask(
        "SELECT c.relname, pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c "
        "ON c.oid = k.conrelid WHERE k.contype = 'p' AND c.relname IN ('lookups', 'changes') "
        "ORDER BY 1"
    )
    key = "PRIMARY KEY (run_id, number_id, endpoint)"
    assert keys == [("changes", key), ("lookups", key)]
    indexes = postgres.ask("SELECT indexname FROM pg_indexes WHERE schemaname = 'batch_screen'")
    names = {name for [name] in indexes}
    assert "results_number_id" in names
    assert not {name for name in names if name.endswith("e164")}


@mostly_postgres
def test_a_schema_is_of_one_kind(nights: Path, six_nights: Path, database: Database) -> None:
    load(nights, database)
    before = database.counts(["results", "runs"])
    assert "made for runs with ids, and this one has plain numbers" in str(
        refused(six_nights, database)
    )
    assert database.counts(["results", "runs"]) == before
    [plain, *_] = complete_runs(six_nights)
    load(six_nights, database, run_ids=[plain.run_id], schema="plain")
    assert "made for runs with plain numbers, and this one has ids" in str(
        refused(nights, database, schema="plain")
    )


@in_full
@pytest.mark.parametrize("kind", ["delta", pytest.param("iceberg", marks=in_full)])
def test_a_lake_takes_them(nights: Path, kind: str, request: pytest.FixtureRequest) -> None:
    lake: LakeUnderTest = request.getfixturevalue(kind)
    assert [run.state for run in load(nights, lake).runs] == [LOADED] * 2
    assert_equal(nights, lake)
