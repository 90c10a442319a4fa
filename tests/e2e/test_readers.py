"""Four readers with one page each do what they came for, and open no other."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import duckdb
import polars as pl

import batch_screen
from batch_screen.errors import ExitCode
from tests.decoded import numbers_in
from tests.thoroughness import in_full

from .conftest import run_command
from .dbt import Project
from .pages import DOCS, blocks, follow
from .test_dbt import failing, make_models
from .test_recipes import ringing

OF_THE_DEMO = (
    "From the demo to a query",
    "The tables",
    "Null is unknown, not false",
    "Delta Lake and Iceberg",
)
"""Chapters of docs/loading.md that want ten thousand answers first."""


def sheet(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def verdicts(heading: str) -> dict[str, str]:
    """By the first column of a chapter's last table: whom it wakes."""
    chapter = (DOCS / "alarms.md").read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `?(\w+)`? \| ([^|]+) \|", chapter, re.MULTILINE)
    return {seen: who for seen, who in rows if who != "Who"}


def test_the_engineer_on_call_finds_every_code_and_metric(tmp_path: Path) -> None:
    follow("alarms", tmp_path)
    told = verdicts("By exit code")
    assert sorted(told) == sorted(str(int(code)) for code in ExitCode)
    for code in ExitCode:
        rings = {*ringing(code, hours_since_complete=2).values()}
        assert rings <= {"page", "ticket"}
        assert all(verdict in told[str(int(code))] for verdict in rings), code
        assert rings or told[str(int(code))] == "nobody", code
    rules = {name for code in ExitCode for name in ringing(code, hours_since_complete=50)}
    metrics = verdicts("By metric")
    assert {name for name in metrics if name.startswith("BatchScreen")} == rules
    written = re.findall(r"^# TYPE (\w+)", (tmp_path / "night.prom").read_text(), re.MULTILINE)
    assert {name for name in metrics if name.startswith("batch_screen")} == {*written}
    for name, verdict in metrics.items():
        assert verdict.split()[0] in ("page", "ticket", "nobody", "by"), name


def test_the_alarms_can_be_tried(tmp_path: Path) -> None:
    """All but the one without an API, which is tried for eight seconds."""
    page = (DOCS / "alarms.md").read_text("utf-8").split("| To see |")[1]
    rows = re.findall(r"^\| [^|]+ \| `batch-screen ([^`]*)`[^|]* \| (\d+) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    (tmp_path / "INPUT").write_text("phone\n+442079460022\n+442079460066\n")
    for command, code in rows:
        if code != "69":
            no_key = {"BATCH_SCREEN_API_KEY": None}
            done = run_command(*shlex.split(command), cwd=tmp_path, environment=no_key)
            assert done.code == int(code), (command, done.err)


def test_every_event_of_the_log_has_a_verdict() -> None:
    chapter = (DOCS / "alarms.md").read_text("utf-8").split("## By log line")[1].split("\n## ")[0]
    first = re.findall(r"^\| (`.*?`) \|", chapter, re.MULTILINE)
    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    fields = (DOCS / "reference" / "logs-and-metrics.md").read_text("utf-8")
    [events] = re.findall(r"^\| `event` \| (.*) \|$", fields, re.MULTILINE)
    assert named - {"event"} == {*re.findall(r"`(\w+)`", events)}


def test_the_analyst_gets_a_page_and_the_flagged_customers(tmp_path: Path) -> None:
    follow("audit", tmp_path)
    sheets = {name: sheet(tmp_path / f"{name}.csv") for name in ("flagged", "rejected")}
    why = {row["in_customer_id"]: row["why"] for row in sheets["flagged"]}
    assert sorted(why) == ["C-01", "C-02", "C-04", "C-06", "C-07"]
    assert [name for name in why if why[name].startswith("unknown")] == ["C-06", "C-07"]
    assert [row["in_customer_id"] for row in sheets["rejected"]] == ["C-08", "C-10", "C-11", "C-12"]
    lines = (tmp_path / "customers.csv").read_text("utf-8").splitlines()
    for row in [*sheets["flagged"], *sheets["rejected"]]:
        assert row["in_name"] in lines[int(row["line"]) - 1]
    assert why["C-02"] == "SIM changed"
    page = (tmp_path / "audit.html").read_text("utf-8")
    assert not [name for name in ("Ann Bell", "7946 0022", "79460022") if name in page]
    private = ("flagged.csv", "rejected.csv", "api.key", "audit")
    assert [name for name in private if (tmp_path / name).stat().st_mode & 0o077] == []


@in_full
def test_the_data_engineer_loads_nights_that_kept_different_columns(tmp_path: Path) -> None:
    follow("loading", tmp_path, without=OF_THE_DEMO)
    assert_somebody_is_deleted(tmp_path / "some.duckdb")


@in_full
def test_the_data_engineer_loads_the_demo_into_every_warehouse(tmp_path: Path) -> None:
    follow("loading", tmp_path)
    assert_somebody_is_deleted(tmp_path / "warehouse.duckdb")


def assert_somebody_is_deleted(warehouse: Path) -> None:
    """By the statements of the page."""
    page = blocks((DOCS / "loading.md").read_text("utf-8"))
    [deleting] = [b.text for b in page if b.language == "sql" and not b.name]
    with duckdb.connect(str(warehouse)) as db:
        someone = "SELECT min(e164) FROM batch_screen.lookups"
        [(number,)] = db.execute(someone).fetchall()
        db.execute(deleting.replace("+442079460022", number))
        assert db.execute(someone).fetchall() > [(number,)]


@in_full  # make dbt plays the page, too
def test_the_data_protection_officer_answers_and_erases(tmp_path: Path) -> None:
    follow("privacy", tmp_path)
    out = tmp_path / "screened"
    listed = re.findall(r"\+44\d{10}", (tmp_path / "customers.csv").read_text("utf-8"))
    assert len(listed) == 4
    assert numbers_in(out, listed) == []
    [person] = (tmp_path / "person.csv").read_text("utf-8").split("\n")[:1]
    ids = (tmp_path / "person.id").read_text("utf-8").split()
    assert numbers_in(tmp_path / "vault", [person]) == []
    assert numbers_in(tmp_path / "vault", listed) != []
    assert len(ids) == 1
    tables = [pl.read_parquet(file) for file in out.rglob("*.parquet")]
    assert [table for table in tables if ids[0] in str(table.rows())] == []
    # The project of dbt takes such nights as any others; with dbt itself: make dbt.
    warehouse = tmp_path / "nights.duckdb"
    batch_screen.load([out], f"duckdb:{warehouse}", sandbox=True)
    with duckdb.connect(warehouse) as db:
        make_models(db, Project(include_sandbox=True))
        assert failing(db) == set()
        shown = db.execute("SELECT count(*), count(e164) FROM screening.current_results").fetchall()
    assert shown == [(12, 0)]
