"""What docs/loading.md says works, over nights that kept different columns."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from tests.postgres_server import postgres_server

from .conftest import NUMBERS, run_command
from .pages import DOCS, blocks
from .warehouse import KEYS, POSTGRES, RECIPES, SNOWFLAKE

PAGE = DOCS / "loading.md"
# Text that a loader might take for something else: the second would end a COPY and be a command.
NASTY = (
    "north",
    "a\n\\.\nDROP TABLE results;\n\\q\n",
    'comma, "quote", tab\tand \\ backslash',
    "\\N",
    "NULL",
    "",
    "'; DROP TABLE runs; --",
    "line\r\nbreak",
    "Zürich 東京",
)
DAYS = ("2026-03-02", "2026-03-03", "2026-03-04")


def recipes() -> tuple[str, str]:
    """What reads the files without a database: Python, and SQL."""
    chapter = PAGE.read_text("utf-8").split("## Without a database")[1].split("\n## ")[0]
    python, _, sql = (block.text for block in blocks(chapter))
    return python, sql


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """None of their own columns; a text; the same name as a whole number, and one more."""
    folder = tmp_path_factory.mktemp("nights")
    # One number twice, one that the sandbox does not know, and two rows without a number.
    phones = [*NUMBERS[:38], NUMBERS[5], NUMBERS[41], "unknown", "unknown"]
    rows = {"phone": phones, "customer_id": range(42), "branch": [*(NASTY * 5)[:42]]}
    frame = pl.DataFrame(rows)
    frame.write_csv(folder / "list.csv")
    frame.write_parquet(folder / "list.parquet")
    for day, listed, kept in zip(
        DAYS,
        ("list.csv", "list.csv", "list.parquet"),
        ((), ("--keep-columns", "customer_id"), ("--keep-columns", "branch,customer_id")),
        strict=True,
    ):
        asked = ("--endpoints", "sim-swap/check,sim-swap/retrieve-date", "--rate", 1000)
        how = ("--sandbox", "--out", "screened", "--run-date", day, *asked)
        done = run_command("run", listed, *how, *kept, cwd=folder)
        assert done.code == 0, done.err
    return folder


def swapped_by_day(folder: Path) -> dict[str, int]:
    counts = {}
    for summary in folder.glob("screened/runs/*/summary.json"):
        told = json.loads(summary.read_bytes())
        counts[told["run_date"]] = told["endpoints"]["sim-swap/check"]["positives"]
    assert sorted(counts) == [*DAYS]
    return counts


def test_one_run_and_all_nights_in_polars(three_nights: Path) -> None:
    python, _ = recipes()
    found: dict[str, Any] = {}
    with contextlib.chdir(three_nights):
        exec(python, found)
        together = found["nights"].collect()
    counts = swapped_by_day(three_nights)
    assert found["swapped"].height == counts[DAYS[-1]] > 0
    assert found["results"].height == 40
    assert found["results"]["in_customer_id"].to_list() == [*range(40)]
    by_date = found["by_date"].sort("run_date")
    assert [str(day) for day in by_date["run_date"]] == [*DAYS]
    assert by_date["sim_swap_check_swapped"].to_list() == [counts[day] for day in DAYS]
    assert together.height == 120
    assert together["in_branch"].null_count() == 80


def test_one_run_and_all_nights_in_duckdb(three_nights: Path) -> None:
    _, sql = recipes()
    counts = swapped_by_day(three_nights)
    run_id = json.loads((three_nights / "screened" / "latest.json").read_bytes())["run_id"]
    [shown] = re.findall(r"\d{8}-[0-9a-f]{10}", sql)
    every = sql.replace(f"WHERE run_id = '{shown}' ", "")
    assert every != sql
    with contextlib.chdir(three_nights):
        [(day, swapped)] = duckdb.sql(sql.replace(shown, run_id)).fetchall()
        nights = dict(duckdb.sql(every).fetchall())
    assert (str(day), swapped) == (DAYS[-1], counts[DAYS[-1]])
    assert {str(day): count for day, count in nights.items()} == counts


def test_to_read_the_folder_as_one_table_would_fail(three_nights: Path) -> None:
    """Why the recipes are longer than one line."""
    with contextlib.chdir(three_nights), pytest.raises(pl.exceptions.PolarsError):
        pl.scan_parquet("screened/results/", hive_partitioning=True).collect()


@pytest.mark.parametrize("dialect", [POSTGRES, SNOWFLAKE], ids=lambda each: each.file)
def test_the_tables_have_the_columns_that_are_written(dialect: Any) -> None:
    made = (RECIPES / dialect.file).read_text("utf-8")
    assert made == dialect.script(), "python -m tests.e2e.warehouse writes it anew"


def manifests(folder: Path) -> dict[str, dict[str, Any]]:
    read = (json.loads(file.read_bytes()) for file in folder.glob("screened/runs/*/manifest.json"))
    return {each["run_id"]: each for each in read}


def rows(folder: Path, table: str) -> int:
    """Of a table over all runs, by their manifests."""
    files = [file for each in manifests(folder).values() for file in each["files"]]
    return sum(file["rows"] for file in files if file.get("table") == table)


def loader(name: str, folder: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, RECIPES / name, "screened", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "+44207946" not in done.stdout + done.stderr, "a number of somebody"
    return done.stdout if done.returncode == 0 else f"{done.returncode}: {done.stderr}"


def test_keys_are_unique_over_all_nights(three_nights: Path) -> None:
    with contextlib.chdir(three_nights):
        for table, keys in KEYS.items():
            files = f"read_parquet('screened/{table}/*/*.parquet', union_by_name = true)"
            for key in keys:
                names = re.findall(r"\w+", key.split("(")[1])
                known = " AND ".join(f"{name} IS NOT NULL" for name in names)
                counts = f"count(*), count(DISTINCT ({', '.join(names)}))"
                found = duckdb.sql(f"SELECT {counts} FROM {files} WHERE {known}").fetchall()
                [(every, different)] = found
                assert every == different > 0, (table, key)
                if key.startswith("PRIMARY"):
                    assert every == rows(three_nights, table)


def test_duckdb_loads_each_run_once(three_nights: Path, tmp_path: Path) -> None:
    database = str(tmp_path / "warehouse.duckdb")
    left_out = loader("load_duckdb.py", three_nights, database)
    assert left_out.count("answers of the sandbox, left out") == len(DAYS)
    assert loader("load_duckdb.py", three_nights, database, "--sandbox").count("loaded") == 3
    assert loader("load_duckdb.py", three_nights, database, "--sandbox") == ""
    with duckdb.connect(database) as db:
        for table in KEYS:
            [(count,)] = db.execute(f"SELECT count(*) FROM {table}").fetchall()
            assert count == rows(three_nights, table)
        kept = db.execute(
            "SELECT run_date::text, count(in_customer_id), count(in_branch) FROM results "
            "GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        assert kept == [(DAYS[0], 0, 0), (DAYS[1], 40, 0), (DAYS[2], 40, 40)]
        db.execute("UPDATE runs SET manifest_sha256 = 'of an earlier writing'")
    assert loader("load_duckdb.py", three_nights, database, "--sandbox").count("loaded") == 3
    with duckdb.connect(database) as db:
        [(count,)] = db.execute("SELECT count(*) FROM results").fetchall()
        assert count == 120
        [(current,)] = db.execute("SELECT count(*) FROM current_runs").fetchall()
        assert current == 3


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    with postgres_server() as server:
        yield server


def asked(postgres: dict[str, str], query: str) -> list[list[str]]:
    done = subprocess.run(
        ["psql", "-X", "-At", "-c", query],
        env={"PATH": os.environ["PATH"], **postgres},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("|") for line in done.stdout.splitlines()]


def test_postgres_loads_each_run_once(three_nights: Path, postgres: dict[str, str]) -> None:
    assert loader("load_postgres.py", three_nights, **postgres).count("left out") == 3
    assert loader("load_postgres.py", three_nights, "--sandbox", **postgres).count("loaded") == 3
    assert loader("load_postgres.py", three_nights, "--sandbox", **postgres) == ""
    for table in KEYS:
        assert asked(postgres, f"SELECT count(*) FROM {table}") == [
            [str(rows(three_nights, table))]
        ]
    kept = asked(
        postgres,
        "SELECT run_date, count(in_customer_id), count(in_branch) FROM results "
        "GROUP BY run_date ORDER BY run_date",
    )
    assert kept == [[DAYS[0], "0", "0"], [DAYS[1], "40", "0"], [DAYS[2], "40", "40"]]
    branches = asked(
        postgres,
        "SELECT encode(convert_to(in_branch, 'UTF8'), 'hex') FROM results "
        "WHERE in_branch IS NOT NULL ORDER BY row_index",
    )
    loaded_branches = [bytes.fromhex(row[0] if row else "").decode() for row in branches]
    assert loaded_branches == [*(NASTY * 5)[:40]]
    values = "sim_swap_check_swapped, risk_sim_recent, sim_swap_check_max_age_minutes"
    with contextlib.chdir(three_nights):
        files = pl.concat(
            [
                pl.read_parquet(path).select(
                    "run_id",
                    "row_index",
                    pl.col(*values.split(", ")).cast(pl.String),
                    at=pl.col("sim_swap_check_responded_at").dt.epoch("us").cast(pl.String),
                )
                for path in Path("screened/results").rglob("*.parquet")
            ]
        ).sort("run_id", "row_index")
    rows_of_files = [["" if v is None else str(v) for v in row] for row in files.iter_rows()]
    loaded = asked(
        postgres,
        "SELECT run_id, row_index, sim_swap_check_swapped::text, risk_sim_recent::text, "
        "sim_swap_check_max_age_minutes, "
        "(extract(epoch FROM sim_swap_check_responded_at) * 1000000)::bigint "
        'FROM results ORDER BY run_id COLLATE "C", row_index',
    )
    assert loaded == rows_of_files


def test_a_load_into_postgres_that_fails_leaves_nothing(
    three_nights: Path, postgres: dict[str, str], tmp_path: Path
) -> None:
    shutil.copytree(three_nights / "screened", tmp_path / "screened")
    asked(postgres, "CREATE DATABASE another")
    elsewhere = {**postgres, "PGDATABASE": "another"}
    [day] = sorted((tmp_path / "screened" / "lookups").iterdir())[1:2]
    [part] = day.iterdir()
    pl.read_parquet(part, hive_partitioning=False).head(3).write_parquet(part)
    said = loader("load_postgres.py", tmp_path, "--sandbox", **elsewhere)
    assert "lookups: rows are missing" in said
    assert asked(elsewhere, "SELECT run_date FROM runs") == [[DAYS[0]]]
    assert asked(elsewhere, "SELECT DISTINCT run_date FROM results") == [[DAYS[0]]]
