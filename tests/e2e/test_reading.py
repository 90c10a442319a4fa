"""The README's lines that read results, over six nights that kept different columns."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_screen.commands.runs import list_runs
from tests.nights import MORE_ROWS, NIGHTS, ROWS

from .test_readme import README

OUT = "demo_out"
KEPT = ("in_customer_id", "in_branch", "in_segment", "in_credit_limit", "in_opened")
REJECTS = 2


@pytest.fixture
def here(six_nights: Path, tmp_path: Path) -> Iterator[Path]:
    """The README's folder, with six nights in the place of one, and the table of runs."""
    (tmp_path / OUT).symlink_to(six_nights)
    list_runs(six_nights, write=tmp_path / "runs.parquet")
    with contextlib.chdir(tmp_path):
        yield tmp_path


def line(name: str) -> Any:
    """What the README's line of Python says, of all files."""
    [code] = re.findall(rf"^ {{4}}({name}\.\w+\(.*)$", README, re.MULTILINE)
    [files] = re.findall(r"with `(files = .*)`", README)
    known = {"Path": Path, "pl": pl, "pa": pa, "pq": pq, "pd": pd}
    exec(f"{files}\nfound = {code}", known)
    return known["found"]


def query() -> str:
    [sql] = re.findall(r"^ {4}(SELECT (?:.*\n {4})*.*)$", README, re.MULTILINE)
    return str(sql)


def of_duckdb(condition: str = "true") -> pl.DataFrame:
    tables = query().partition("\n")[2].partition(" WHERE ")[0]
    return duckdb.sql(f"SELECT * {tables} WHERE {condition}").pl()


READERS: dict[str, Callable[[], pl.DataFrame]] = {
    "DuckDB": of_duckdb,
    "polars": lambda: line("pl").collect(),
    "pyarrow": lambda: pl.DataFrame(line("pa")),
    "pandas": lambda: pl.from_pandas(line("pd")),
}


@pytest.fixture
def expected(six_nights: Path) -> pl.DataFrame:
    """All rows, read file by file by another reader than all of these."""
    frames = [
        pl.DataFrame(pq.ParquetFile(path).read())
        for path in sorted(six_nights.glob("results/*/*.parquet"))
    ]
    return pl.concat(frames, how="diagonal").sort("run_id", "row_index")


@pytest.mark.parametrize("reader", READERS)
def test_no_row_column_or_value_is_lost(reader: str, here: Path, expected: pl.DataFrame) -> None:
    assert here.is_dir()
    found = READERS[reader]().sort("run_id", "row_index")
    assert {*expected.columns} <= {*found.columns}
    same = found.select(expected.columns).cast(dict(expected.schema))
    assert same.equals(expected)
    rows = [MORE_ROWS if night.listed.endswith(".parquet") else ROWS for night in NIGHTS]
    assert found.height == sum(rows) - REJECTS * len(NIGHTS)
    for name in KEPT:
        kept = [night.day for night in NIGHTS if name.removeprefix("in_") in night.kept]
        days = found.filter(pl.col(name).is_not_null())["run_id"].str.head(8).unique()
        assert sorted(days) == sorted({day.replace("-", "") for day in kept})


def test_the_query_finds_the_customers_of_the_current_runs(
    here: Path, expected: pl.DataFrame
) -> None:
    runs = pl.read_parquet(here / "runs.parquet").filter("current")
    recent = expected.join(runs, on="run_id").filter("risk_sim_recent")
    found = duckdb.sql(query()).pl()
    assert found.height == recent.height > 0
    assert found["run_date"].unique().sort().to_list() == runs["run_date"].unique().sort().to_list()
    assert sorted(found["in_customer_id"].drop_nulls()) == sorted(
        recent["in_customer_id"].drop_nulls()
    )


def test_unknown_is_no_value_in_any_of_them(here: Path, expected: pl.DataFrame) -> None:
    """The commonest way to count the unknown as safe fails, or leaves them out."""
    assert here.is_dir()
    unknown = expected["risk_sim_recent"].null_count()
    assert unknown
    flags = line("pd")["risk_sim_recent"]
    assert flags.isna().sum() == unknown
    with pytest.raises(ValueError, match="NaN"):
        flags.astype(bool)
    not_at_risk = int((~expected["risk_sim_recent"]).sum())
    assert of_duckdb("NOT risk_sim_recent").height == not_at_risk < expected.height - unknown
