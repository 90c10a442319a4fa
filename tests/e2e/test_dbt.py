"""The dbt project's SQL runs on what load fills, says what load's views say, and its tests bite.

Without dbt, which ``make dbt`` plays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import batch_screen
from tests.thoroughness import in_full

from .dbt import MODELS, SCHEMA, Project, described, sources

_RUNS_OF_A_DATE = "SELECT run_id FROM batch_screen.runs WHERE run_date = '2026-11-26'"
NAMES = "number_key, endpoint, outcome, swapped, active, latest_change, latest_change_at, run_id"


@pytest.fixture(scope="module")
def loaded(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DuckDB file with nights of different columns, one of them run twice."""
    warehouse = tmp_path_factory.mktemp("dbt") / "warehouse.duckdb"
    batch_screen.load([six_nights], f"duckdb:{warehouse}", sandbox=True)
    return warehouse


@pytest.fixture
def db(loaded: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file with the project's models; what a test changes is taken back."""
    with duckdb.connect(loaded) as db:
        db.execute("BEGIN")
        make_models(db, Project(include_sandbox=True))
        yield db
        db.execute("ROLLBACK")


def make_models(db: duckdb.DuckDBPyConnection, project: Project) -> None:
    db.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    for name in project.in_order():
        db.execute(f"CREATE OR REPLACE VIEW {SCHEMA}.{name} AS {project.model(name)}")


def rows(db: duckdb.DuckDBPyConnection, query: str) -> set[tuple[Any, ...]]:
    return set(db.execute(query).fetchall())


def failing(db: duckdb.DuckDBPyConnection) -> set[str]:
    """The names of the tests that find something."""
    tests = Project(include_sandbox=True).tests()
    return {name.split()[0] for name, query in tests if db.execute(query).fetchall()}


def columns(db: duckdb.DuckDBPyConnection, place: str) -> set[str]:
    return {name for name, *_ in db.execute(f"DESCRIBE {place}").fetchall()}


@in_full  # make dbt has dbt itself say so
def test_every_test_is_green(db: duckdb.DuckDBPyConnection) -> None:
    assert failing(db) == set()


def test_models_say_what_the_views_of_load_say(db: duckdb.DuckDBPyConnection) -> None:
    for name in "current_runs", "current_results":
        ours = rows(db, f"SELECT run_id FROM {SCHEMA}.{name}")
        assert ours == rows(db, f"SELECT run_id FROM batch_screen.{name}")
        counts = (
            f"SELECT count(*) FROM {SCHEMA}.{name}",
            f"SELECT count(*) FROM batch_screen.{name}",
        )
        assert rows(db, counts[0]) == rows(db, counts[1]) != {(0,)}
    signals = rows(db, f"SELECT {NAMES} FROM {SCHEMA}.current_signals")
    key = NAMES.replace("number_key", "coalesce(number_id, e164)")
    assert signals == rows(db, f"SELECT {key} FROM batch_screen.signals") != set()


def test_nothing_is_shown_of_the_sandbox_unless_it_is_asked_for(
    db: duckdb.DuckDBPyConnection,
) -> None:
    make_models(db, Project())
    for name in MODELS:
        assert rows(db, f"SELECT count(*) FROM {SCHEMA}.{name}") == {(0,)}, name


def test_kept_columns_of_later_nights_are_there(db: duckdb.DuckDBPyConnection) -> None:
    assert {"in_customer_id", "in_branch"} <= columns(db, f"{SCHEMA}.current_results")


def test_new_positives_are_of_every_run_of_a_date_and_no_likely_migrations(
    db: duckdb.DuckDBPyConnection,
) -> None:
    # The second run of the date has no changes, for it is compared with the first.
    first, second = (run_id for (run_id,) in sorted(rows(db, _RUNS_OF_A_DATE)))
    changes = f"SELECT e164, endpoint FROM batch_screen.changes WHERE run_id = '{first}'"
    positive, moved, negative = sorted(rows(db, changes))[:3]
    db.execute(
        "UPDATE batch_screen.changes SET change = 'newly_positive', after_outcome = 'success', "
        f"likely_migration = (e164, endpoint) = {moved} WHERE run_id = '{first}' "
        f"AND (e164, endpoint) IN ({positive}, {moved}, {negative})"
    )
    shown = f"SELECT e164, endpoint FROM {SCHEMA}.new_positives"
    assert rows(db, shown) == {positive, negative}
    # One that a later run of the date takes back is none.
    db.execute(
        f"INSERT INTO batch_screen.changes SELECT * REPLACE ('{second}' AS run_id, "
        "'newly_negative' AS change) FROM batch_screen.changes "
        f"WHERE run_id = '{first}' AND (e164, endpoint) = {negative}"
    )
    assert rows(db, shown) == {positive}
    assert failing(db) == set()


@pytest.mark.parametrize(
    ("done", "found"),
    [
        ("UPDATE lookups SET swapped = false WHERE outcome <> 'success'", "unknown_is_never_false"),
        (
            """UPDATE results SET call_forwarding_check_active = false
            WHERE call_forwarding_check_outcome <> 'success'""",
            "unknown_is_never_false",
        ),
        (
            "UPDATE results SET risk_sim_recent = false WHERE risk_sim_recent IS NULL",
            "risk_is_false_only_by_an_answer",
        ),
        ("DELETE FROM results WHERE row_index = 3", "rows_are_those_of_the_run"),
        (
            "INSERT INTO lookups SELECT * FROM lookups WHERE endpoint = 'sim-swap/check'",
            "unique_combination",
        ),
    ],
)
def test_a_test_finds_what_it_is_for(db: duckdb.DuckDBPyConnection, done: str, found: str) -> None:
    db.execute("USE batch_screen")
    db.execute(done)
    assert found in failing(db)


def test_a_count_that_takes_unknown_for_no_is_found(db: duckdb.DuckDBPyConnection) -> None:
    wrong = Project(include_sandbox=True).model("daily_answers")
    wrong = wrong.replace("l.answer", "replace(l.answer, 'unknown', 'no')").replace(
        "endpoint,\n    replace(l.answer, 'unknown', 'no')",
        "endpoint,\n    replace(l.answer, 'unknown', 'no') AS answer",
        1,
    )
    db.execute(f"CREATE OR REPLACE VIEW {SCHEMA}.daily_answers AS {wrong}")
    assert "unknown_is_counted_as_unknown" in failing(db)


def test_files_name_only_columns_that_are_there(db: duckdb.DuckDBPyConnection) -> None:
    for table in sources():
        known = {column["name"] for column in table["columns"]}
        there = columns(db, f"batch_screen.{table['name']}")
        assert {name for name in there if not name.startswith("in_")} == known, table["name"]
    assert {model["name"] for model in described()} == MODELS.keys()
    for model in described():
        there = columns(db, f"{SCHEMA}.{model['name']}")
        assert {column["name"] for column in model.get("columns", ())} <= there, model["name"]
