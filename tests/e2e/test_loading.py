"""What the README says about reading the output works, over nights that kept different columns."""

from __future__ import annotations

import contextlib
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from .conftest import NUMBERS, run_command

README = Path(__file__).parents[2] / "README.md"
DAYS = ("2026-03-02", "2026-03-03", "2026-03-04")


def recipes() -> list[str]:
    """The indented blocks of the chapter that are Python, and that are SQL."""
    chapter = README.read_text("utf-8").split("## Loading the output")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", chapter, re.MULTILINE)
    return [
        textwrap.dedent(b).strip() for b in blocks if re.match(r"\s+(import|complete|SELECT)", b)
    ]


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """None of their own columns; a text; the same name as a whole number, and one more."""
    folder = tmp_path_factory.mktemp("nights")
    rows = {"phone": NUMBERS[:40], "customer_id": range(40), "branch": ["north"] * 40}
    frame = pl.DataFrame(rows)
    frame.write_csv(folder / "list.csv")
    frame.write_parquet(folder / "list.parquet")
    for day, listed, kept in zip(
        DAYS,
        ("list.csv", "list.csv", "list.parquet"),
        ((), ("--keep-columns", "customer_id"), ("--keep-columns", "branch,customer_id")),
        strict=True,
    ):
        how = ("--sandbox", "--rate", 1000, "--out", "screened", "--run-date", day)
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
    one, nights, _ = recipes()
    found: dict[str, Any] = {}
    with contextlib.chdir(three_nights):
        exec(one, found)
        exec(nights, found)
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
    *_, sql = recipes()
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
