"""Scripts parse in their dialects, and where there is a database for it they do what load does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlglot

import batch_screen
from batch_screen.commands.sql import SqlScript
from batch_screen.errors import BatchScreenError, ConfigurationError, InputError
from batch_screen.runs.layout import DATA_FOLDERS, RESULTS
from batch_screen.schema import dtypes
from batch_screen.tables.manifest import ListedFile
from batch_screen.tables.manifest import table_columns as contract_columns
from batch_screen.warehouse.columns import RUN_COLUMNS, table_columns
from batch_screen.warehouse.dialects import DIALECTS
from batch_screen.warehouse.runs import LoadableRun, TableToLoad
from batch_screen.warehouse.script import Place, declared, script
from tests.thoroughness import IS_FULL

from .conftest import Database, PostgresDatabase, mostly_postgres
from .test_targets import assert_equal, load

RECORDED = Path(__file__).parent / "scripts"
STAGES = {
    "snowflake": "@lake.raw.screened/nights",
    "bigquery": "gs://bucket/nights",
    "redshift": "s3://bucket/nights",
    "databricks": "s3://bucket/nights",
    "postgres": "/srv/screened",
    "duckdb": "/srv/screened",
}
ODD = {
    "in_customer_id": pl.String(),
    "in_Kunden Nr.": pl.Int64(),
    "in_'; DROP TABLE runs; --": pl.String(),
    'in_"`\\': pl.String(),
    "in_$$ ${x} &y {{z}}\nline": pl.Date(),
}
"""Names that a list may have, and that would end a name, a literal, a line or a block."""


def made_up(id_key: str | None = None, kept: dict[str, Any] = ODD) -> LoadableRun:
    """A run of fixed words, without files."""
    day, run_id = date(2026, 3, 2), "20260302-0123456789"
    tables = []
    for name, contract in contract_columns(kept, id_key=id_key).items():
        files = tuple(
            ListedFile(f"{name}/run_date={day}/{run_id}-{n:05}.parquet", 1, "0", name, 2)
            for n in range(2)
        )
        columns = table_columns(contract, dict(dtypes(contract)))
        tables.append(TableToLoad(name, columns, 4, Path(), files, day))
    at = datetime(2026, 3, 2, 2, 31, 7, 5, UTC)
    row = dict.fromkeys((column.name for column in RUN_COLUMNS), None) | {
        "run_id": run_id,
        "run_date": day,
        "started_at": at,
        "completed_at": at,
        "schema_version": 5,
        "version": "0.1.0",
        "sandbox": False,
        "supersedes": "",
        "api": "api.example v1",
        "manifest_sha256": "0" * 64,
        "inputs": "1" * 64,
    }
    return LoadableRun(run_id, day, "0" * 64, row, tuple(tables))


def of_dialect(name: str, run: LoadableRun) -> str:
    return script(Place(DIALECTS[name], "batch_screen", STAGES[name]), declared([run]), run)


@pytest.mark.parametrize("name", DIALECTS)
def test_scripts_as_recorded(name: str) -> None:
    path = RECORDED / f"{name}.sql"
    found = of_dialect(name, made_up())
    if os.environ.get("RECORD_SCRIPTS"):
        path.write_text(found, "utf-8")
    assert found == path.read_text("utf-8"), "RECORD_SCRIPTS=1 writes them anew"


# What sqlglot takes as it is, without a look inside.
OPAQUE = {
    "snowflake": {"EXECUTE": 1},
    "bigquery": {},
    "redshift": {"CALL": 9},
    "databricks": {"SET": 1},
    "postgres": {"CREATE": 4, "LOCK": 1, "SET": 1},  # its temporary tables end with ON COMMIT DROP
    "duckdb": {},
}


@pytest.mark.parametrize("id_key", [None, "kgpcfdka"])
@pytest.mark.parametrize("name", DIALECTS)
def test_every_statement_parses(name: str, id_key: str | None) -> None:
    text = of_dialect(name, made_up(id_key))
    statements = parsed(name, text)
    opaque = Counter(str(each.this) for each in statements if each.key == "command")
    assert opaque == OPAQUE[name]
    if name == "snowflake":
        block = text.partition("EXECUTE IMMEDIATE $$")[2]
        inner = [line for line in re.split(r"(?<=;)\n", block) if line.startswith(("DEL", "INS"))]
        assert Counter(each.key for each in parsed(name, "\n".join(inner))) == {
            "delete": 5,
            "insert": 5,
        }
    # Nothing in a name has become a statement.
    assert not [each for each in statements if each.key == "drop" and "new_" not in each.sql()]


def parsed(name: str, text: str) -> list[Any]:
    # Of psql's own commands there are two; what sqlglot 30 does not know of Databricks is one.
    lines = text.splitlines()
    assert all(re.match(r"\\(set ON_ERROR_STOP|copy) ", x) for x in lines if x.startswith("\\"))
    text = "\n".join(line for line in lines if not line.startswith("\\"))
    text = text.replace("INSERT WITH SCHEMA EVOLUTION", "INSERT")
    return [each for each in sqlglot.parse(text, dialect=name) if each is not None]


@pytest.mark.parametrize("name", DIALECTS)
def test_staging_tables_have_the_columns_of_the_files_in_their_order(name: str) -> None:
    run = made_up(kept={"in_customer_id": pl.String()})
    found = {}
    for each in parsed(name, of_dialect(name, run).replace(" ON COMMIT DROP", "")):
        if each.key in ("create", "loaddata") and each.find(sqlglot.exp.ColumnDef):
            table = each.find(sqlglot.exp.Table).name.lower()
            found[table] = [column.name.lower() for column in each.find_all(sqlglot.exp.ColumnDef)]
    end = "_20260302_0123456789" if name == "databricks" else ""
    for table in run.tables:
        names = [column.name for column in table.columns]
        assert found[table.name] == names
        assert found[f"new_{table.name}{end}"] == names[1:]


@pytest.mark.parametrize("name", DIALECTS)
def test_files_are_named_and_none_is_guessed(name: str) -> None:
    run = made_up(kept={})
    text = of_dialect(name, run)
    for table in run.tables:
        if name == "redshift":
            manifest = f"{STAGES[name]}/runs/{run.run_id}/{table.name}.redshift.manifest"
            assert text.count(manifest) == 1
        else:
            for file in table.files:
                assert text.count(file.path.rpartition("/")[2]) == len(DATA_FOLDERS)
    assert ".parquet*" not in text
    assert "*.parquet" not in text


def test_more_files_than_a_statement_takes() -> None:
    run = made_up(kept={})
    [results] = (table for table in run.tables if table.name == RESULTS)
    names = (f"results/run_date=2026-03-02/{n}.parquet" for n in range(2_001))
    many = tuple(ListedFile(name, 1, "0", RESULTS, 1) for name in names)
    run = run._replace(tables=(results._replace(files=many), *run.tables[1:]))
    for name in ("snowflake", "databricks"):
        assert of_dialect(name, run).count("COPY INTO") == 3 + 3


# Executed.


def scripts(folder: Path, name: str, **more: Any) -> list[SqlScript]:
    return batch_screen.sql(folder, name, sandbox=True, **more)


def execute(database: Database, text: str) -> subprocess.CompletedProcess[str] | None:
    """Starts a script as its first lines say."""
    if not isinstance(database, PostgresDatabase):
        database.do(text)
        return None
    found = [shutil.which("psql"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/psql"))]
    [psql, *_] = [each for each in found if each]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PGTZ": "America/New_York", "TZ": "Asia/Tokyo"}
    return subprocess.run(
        [psql, "-X", "-q", "-d", database.to],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def run_all(database: Database, made: list[SqlScript]) -> None:
    for each in made:
        done = execute(database, each.sql)
        assert done is None or (done.returncode, done.stderr) == (0, "")


RUNS_THERE = pl.Schema({c.name: c.dtype for c in RUN_COLUMNS if c.name != "loaded_at"})
CATALOGUE = {
    "postgres": """
        SELECT table_name, column_name, data_type, is_nullable, col_description(
            format('batch_screen.%I', table_name)::regclass, ordinal_position)
        FROM information_schema.columns WHERE table_schema = 'batch_screen'
        UNION ALL SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes
            WHERE schemaname = 'batch_screen'
        UNION ALL SELECT relname, '', '', '', obj_description(oid, 'pg_class') FROM pg_class
            WHERE relnamespace = 'batch_screen'::regnamespace AND relkind IN ('r', 'v')
        ORDER BY 1, 2""",
    "duckdb": """
        SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns()
            WHERE schema_name = 'batch_screen'
        UNION ALL SELECT table_name, '', '', NULL, comment FROM duckdb_tables()
            WHERE schema_name = 'batch_screen'
        UNION ALL SELECT table_name, constraint_type, constraint_text, NULL, ''
            FROM duckdb_constraints() WHERE schema_name = 'batch_screen'
        ORDER BY ALL""",
}


@pytest.fixture(scope="module")
def odd_place(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six nights in a folder whose name a shell, psql or DuckDB could take for something."""
    name = """it's "$HOME" `x` [a] * ü"""
    return shutil.copytree(six_nights, tmp_path_factory.mktemp("odd") / name)


@mostly_postgres
def test_scripts_do_what_load_does(six_nights: Path, odd_place: Path, database: Database) -> None:
    made = scripts(odd_place, database.kind)
    made = made if IS_FULL and database.kind == "duckdb" else [made[1], made[5], made[4]]
    run_ids = {each.run_id for each in made}
    run_all(database, made)
    first = rows(database)
    run_all(database, made)
    assert rows(database) == first
    assert_equal(six_nights, database, run_ids)
    ours = database.table("runs ORDER BY run_id", RUNS_THERE), catalogue(database)
    views = [database.counts(["current_runs", "current_results", "signals"])]
    database.do("DROP SCHEMA batch_screen CASCADE")
    load(odd_place, database, run_ids=[each.run_id for each in made])
    theirs = database.table("runs ORDER BY run_id", RUNS_THERE), catalogue(database)
    assert ours[0].equals(theirs[0])
    assert ours[1] == theirs[1]
    assert views == [database.counts(["current_runs", "current_results", "signals"])]
    run_all(database, made[:1])  # over what load has made
    assert load(odd_place, database, run_ids=[made[0].run_id]).already == 1


def rows(database: Database) -> list[list[str]]:
    found = (database.ask(f"SELECT * FROM batch_screen.{name}") for name in DATA_FOLDERS)
    return [sorted(map(str, table)) for table in found]


def catalogue(database: Database) -> list[tuple[Any, ...]]:
    found = database.ask(CATALOGUE[database.kind])
    return sorted(map(tuple, found), key=str)


def test_other_counts_leave_all_as_it_was(six_nights: Path, database: Database) -> None:
    made = scripts(six_nights, database.kind)[0]
    run_all(database, [made])
    counts = database.counts([*DATA_FOLDERS, "runs"])
    wrong = re.sub(rf"(count\(\*\) (?:=|<>)) {counts[1]}\b", rf"\1 {counts[1] + 1}", made.sql)
    assert wrong != made.sql
    message = "lookups: the rows are not as many as the manifest says"
    if database.kind == "postgres":
        done = execute(database, wrong)
        assert done is not None
        assert done.returncode == 3
        assert message in done.stderr
    else:
        with pytest.raises(Exception, match=message):
            execute(database, wrong)
    assert database.counts([*DATA_FOLDERS, "runs"]) == counts


def test_odd_names_of_kept_columns_make_tables(database: Database) -> None:
    run = made_up()
    place = Place(DIALECTS[database.kind], "batch_screen", "/srv")
    for _ in range(2):
        done = execute(database, script(place, declared([run])))
        assert done is None or (done.returncode, done.stderr) == (0, "")
    names = database.ask(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'results' "
        "AND column_name LIKE 'in%'"
    )
    [results] = (table for table in run.tables if table.name == RESULTS)
    assert {name for [name] in names} == {c.name for c in results.columns if c.is_kept}


# Refused.


@pytest.mark.parametrize(
    ("dialect", "more", "said"),
    [
        ("oracle", {}, "choose among snowflake"),
        ("snowflake", {}, "--stage for snowflake must begin with @"),
        ("snowflake", {"stage": "s3://b/p"}, "needs --access"),
        ("bigquery", {"stage": "s3://b/p"}, "must begin with gs://"),
        ("bigquery", {"stage": "gs://b/*"}, "pattern"),
        ("redshift", {"stage": "s3://key:hunter2-secret@b/p"}, "no secret"),
        ("databricks", {"stage": "s3://b/p?sig=hunter2-secret"}, "no secret"),
        ("databricks", {"stage": "s3://b", "access": "x"}, "--access is for"),
        ("redshift", {"stage": "s3://b/p", "schema": 'a"; DROP'}, "is none in redshift"),
        ("duckdb", {"stage": "s3://b/p"}, "reads a folder of this machine"),
        ("postgres", {"stage": "a\nb"}, "line break"),
    ],
)
def test_what_is_refused(six_nights: Path, dialect: str, more: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)) as raised:
        scripts(six_nights, dialect, **more)
    assert "hunter2" not in str(raised.value)


def test_runs_of_the_sandbox_and_damaged_ones_are_refused(six_nights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--sandbox"):
        batch_screen.sql(six_nights, "duckdb")
    copy = shutil.copytree(six_nights, tmp_path / "copy")
    part = next(copy.glob("results/*/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(InputError) as raised:
        scripts(copy, "duckdb")
    assert raised.value.exit_code == 65


def test_two_names_that_bigquery_takes_for_one() -> None:
    run = made_up(kept={"in_ä": pl.String(), "in_ö": pl.String()})
    with pytest.raises(BatchScreenError, match="reads the kept columns"):
        of_dialect("bigquery", run)


def test_tables_of_all_runs_and_scripts_without_them(six_nights: Path) -> None:
    [tables] = scripts(six_nights, "duckdb", ddl=True)
    for name in ("in_customer_id", "in_branch", "in_segment", "in_opened"):
        assert f'"{name}"' in tables.sql
    assert "INSERT" not in tables.sql
    for each in scripts(six_nights, "postgres", creates=False):
        assert "CREATE TABLE" not in each.sql
        assert "COPY" in each.sql
