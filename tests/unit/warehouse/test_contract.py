"""Contracts hold against their standard, and the tables against them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import polars as pl
import pytest
import yaml
from click.testing import CliRunner

import batch_screen
from batch_screen.cli.main import cli
from batch_screen.errors import ConfigurationError, InputError
from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.schema import CHANGES, ERRORS, LOOKUPS, results
from batch_screen.warehouse.columns import RUN_COLUMNS
from batch_screen.warehouse.contract import Dataset, contract

from .conftest import Database, DuckDBFile
from .test_targets import load

STANDARD = Path(__file__).parent / "odcs" / "odcs-3.1.0.schema.json"
"""The schema that Bitol publishes with the standard, under Apache-2.0."""

KEPT = {"in_Kunden Nr.": pl.String(), "in_opened": pl.Date()}
SERVER = {"server": "files", "type": "local", "path": "screened/{model}", "format": "parquet"}
CONTRACTS = {
    "files": contract(Dataset(KEPT), SERVER),
    "loaded": contract(Dataset(KEPT, is_loaded=True)),
    "keyed": contract(Dataset(KEPT, "8ed2d54a", is_loaded=True)),
}


@pytest.fixture(scope="module")
def standard() -> jsonschema.Draft201909Validator:
    return jsonschema.Draft201909Validator(json.loads(STANDARD.read_bytes()))


def tables(made: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Each table's properties by name."""
    return {t["name"]: {p["name"]: p for p in t["properties"]} for t in made["schema"]}


@pytest.mark.parametrize("name", CONTRACTS)
def test_contracts_are_of_the_standard(
    name: str, standard: jsonschema.Draft201909Validator
) -> None:
    assert [error.message for error in standard.iter_errors(CONTRACTS[name])] == []
    wrong = copy.deepcopy(CONTRACTS[name])
    wrong["schema"][0]["properties"][0]["nullable"] = True
    wrong["schema"][0]["quality"][-1]["mustbe"] = 0
    del wrong["version"]
    assert len([*standard.iter_errors(wrong)]) >= 3


@pytest.mark.parametrize(
    ("table", "columns"),
    [("results", results({})), ("lookups", LOOKUPS), ("errors", ERRORS), ("changes", CHANGES)],
)
def test_columns_are_those_that_are_written(table: str, columns: Any) -> None:
    of_files = tables(CONTRACTS["files"])[table]
    names = [column.name for column in columns]
    assert [*of_files] == ["run_date", *names, *(KEPT if table == "results" else ())]
    for column in columns:
        found = of_files[column.name]
        assert found["description"] == column.meaning
        assert found["required"] == column.required
    loaded = tables(CONTRACTS["loaded"])
    kept = ["in_kunden_nr", "in_opened"] if table == "results" else []
    assert [*loaded[table]] == ["run_date", *names, *kept]
    assert [*loaded["runs"]] == [column.name for column in RUN_COLUMNS]


def test_keys_and_who_may_see_what() -> None:
    for name, number, other in (("loaded", "e164", "number_id"), ("keyed", "number_id", "e164")):
        found = tables(CONTRACTS[name])
        for table in ("lookups", "changes"):
            key = {n: p["primaryKeyPosition"] for n, p in found[table].items() if "primaryKey" in p}
            assert key == {"run_id": 1, number: 2, "endpoint": 3}
            assert found[table][number]["required"]
            assert not found[table][other]["required"]
        restricted = {n for n, p in found["results"].items() if "classification" in p}
        assert restricted == {"e164", "number_id", "in_kunden_nr", "in_opened"}


def test_a_type_that_exports_know() -> None:
    types = {p["physicalType"] for t in tables(CONTRACTS["loaded"]).values() for p in t.values()}
    assert "timestamp_tz" in types
    assert not any("time zone" in each for each in types)


def test_freshness_is_of_runs() -> None:
    [fresh] = CONTRACTS["loaded"]["slaProperties"]
    assert (fresh["value"], fresh["unit"], fresh["element"]) == (26, "h", "runs.loaded_at")
    assert "slaProperties" not in CONTRACTS["files"]


def failing(made: dict[str, Any], db: duckdb.DuckDBPyConnection) -> set[str]:
    """The tables and columns whose rules find something."""
    found = set()
    for table in made["schema"]:
        for rule in table["quality"]:
            if rule["type"] == "sql":
                query = rule["query"]
            else:
                key = ", ".join(rule["arguments"]["properties"])
                query = f"SELECT count(*) - count(DISTINCT ({key})) FROM {table['name']}"
            if db.execute(query).fetchall() != [(rule["mustBe"],)]:
                found.add(rule["description"].split(":")[0])
        for column in table["properties"]:
            for rule in column.get("quality", ()):
                values = rule["arguments"]["validValues"]
                query = f'SELECT DISTINCT "{column["name"]}" FROM {table["name"]}'
                if {value for [value] in db.execute(query).fetchall()} - {None, *values}:
                    found.add(f"{table['name']}.{column['name']}")
            if column["required"]:
                query = f'SELECT count(*) FROM {table["name"]} WHERE "{column["name"]}" IS NULL'
                if db.execute(query).fetchall() != [(0,)]:
                    found.add(f"{table['name']}.{column['name']} is null")
    return found


@pytest.fixture(scope="module")
def loaded(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> DuckDBFile:
    database = DuckDBFile(tmp_path_factory.mktemp("contract") / "warehouse.duckdb")
    load(six_nights, database)
    return database


def test_what_load_fills_keeps_the_contract(six_nights: Path, loaded: DuckDBFile) -> None:
    made = batch_screen.contract(six_nights, loaded.to)
    with duckdb.connect(loaded.path) as db:
        db.execute("SET schema = 'batch_screen'")
        assert failing(made, db) == set()
        for table, columns in tables(made).items():
            there = db.execute(
                "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ", [table]
            ).fetchall()
            assert {name for [name] in there} == {*columns}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE lookups SET swapped = false WHERE outcome <> 'success'", "outcome is success"),
        (
            "UPDATE results SET sim_swap_check_swapped = coalesce(sim_swap_check_swapped, false)",
            "sim_swap_check_outcome is success",
        ),
        ("UPDATE runs SET rows_accepted = rows_accepted + 1", "A run has as many rows"),
        ("INSERT INTO lookups FROM lookups LIMIT 1", "The key."),
        ("UPDATE lookups SET outcome = 'maybe' WHERE outcome <> 'success'", "lookups.outcome"),
        ("DELETE FROM lookups", "Every number of results has its lookups."),
        ("UPDATE errors SET row_index = 0 WHERE kind = 'reject'", "A row of the list is accepted"),
    ],
)
def test_rules_find_what_they_are_for(
    six_nights: Path, loaded: DuckDBFile, damage: str, said: str
) -> None:
    made = batch_screen.contract(six_nights, loaded.to)
    with duckdb.connect(loaded.path) as db:
        db.execute("SET schema = 'batch_screen'")
        db.execute("BEGIN")
        db.execute(damage)
        assert any(each.startswith(said) for each in failing(made, db))
        db.execute("ROLLBACK")


def test_files_keep_the_contract(six_nights: Path) -> None:
    made = batch_screen.contract(six_nights)
    [server] = made["servers"]
    with duckdb.connect() as db:
        for table in DATA_FOLDERS:
            path = server["path"].format(model=table)
            db.execute(
                f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{path}', "
                "union_by_name = true, hive_partitioning = true)"
            )
        assert failing(made, db) == set()


def test_a_run_of_its_own_is_no_other(six_nights: Path) -> None:
    [again] = [run for run in batch_screen.list_runs(six_nights).runs if run.run_id.endswith("-2")]
    first = again.run_id.removesuffix("-2")
    made = batch_screen.contract(six_nights / "runs" / first)
    path = made["servers"][0]["path"].format(model="results")
    query = f"SELECT DISTINCT run_id FROM read_parquet('{path}')"
    assert duckdb.sql(query).fetchall() == [(first,)]


def test_servers(six_nights: Path) -> None:
    def server(to: str) -> Any:
        return batch_screen.contract(six_nights, to)["servers"]

    assert server("postgresql://night@db.example:5433/wh") == [
        {
            "server": "warehouse",
            "type": "postgres",
            "host": "db.example",
            "port": 5433,
            "database": "wh",
            "schema": "batch_screen",
        }
    ]
    assert server("duckdb:wh.duckdb")[0]["database"] == str(Path("wh.duckdb").absolute())
    with pytest.raises(ConfigurationError, match="contracts are for files"):
        server("delta:lake")
    with pytest.raises(ConfigurationError) as raised:
        server("postgresql://night:hunter2-secret@db.example/wh")
    assert "hunter2" not in str(raised.value)


def test_a_folder_without_a_complete_run(tmp_path: Path) -> None:
    (tmp_path / "runs" / "20260302-0123456789").mkdir(parents=True)
    with pytest.raises(InputError) as raised:
        batch_screen.contract(tmp_path)
    assert raised.value.exit_code == 66


def test_the_command_prints_yaml_and_json(six_nights: Path) -> None:
    made = batch_screen.contract(six_nights)
    printed = CliRunner().invoke(cli, ["contract", str(six_nights)], catch_exceptions=False)
    assert yaml.safe_load(printed.output) == made
    printed = CliRunner().invoke(cli, ["contract", str(six_nights), "--json"])
    assert json.loads(printed.output) == made
    assert "+44" not in printed.output


def test_without_a_folder_it_is_that_of_any(database: Database) -> None:
    made = batch_screen.contract(server=database.to)
    assert not [name for name in tables(made)["results"] if name.startswith("in_")]
