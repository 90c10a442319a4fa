"""A server that means harm: no wrong value, little memory, and nothing of it in what is read."""

from __future__ import annotations

import csv
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from batch_screen.sandbox.run import SandboxThread

from .conftest import (
    CONCURRENCY,
    KEY,
    NUMBERS,
    WHOLE_NUMBER,
    Desk,
    Finished,
    assert_true,
    new_sandbox,
    peak_mib,
)

PEAK_MIB = 400
CELLS = NUMBERS[:160]
LOOKUPS = 5 * len(CELLS)
_TOML = """
max_attempts = 2
[api]
timeout_seconds = 2.5
[guards]
max_failure_share = 0.01
"""


@dataclass
class Hostile:
    done: Finished
    peak_mib: float
    desk: Desk
    server: SandboxThread


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    """How a run against a server that means harm ended."""
    folder = tmp_path_factory.mktemp("hostile")
    with new_sandbox(profiles=("hostile",)) as server:
        desk = Desk(folder, server.url, CELLS, _TOML, ("--endpoints", "all"))
        with desk.started() as running:
            peak = 0.0
            while running.process.poll() is None:
                peak = max(peak, peak_mib(running.process.pid))
                time.sleep(0.01)
            return Hostile(running.end(), peak, desk, server)


def test_the_run_ends_with_every_lookup_accounted_for(hostile: Hostile) -> None:
    lookups = hostile.desk.latest.frame("lookups")
    assert hostile.done.code == 3, hostile.done.err
    assert lookups.height == LOOKUPS
    kinds = lookups["outcome"].value_counts()
    counts = dict(kinds.iter_rows())
    assert counts["success"] > 0.6 * LOOKUPS
    assert {"bad_response", "not_applicable", "timeout"} <= set(counts)
    seen = hostile.server.statistics()["requests"]
    # A request on a connection that the server is just closing is sent and never seen.
    assert seen <= lookups["attempts"].sum() <= seen + CONCURRENCY


def test_no_value_is_wrong(hostile: Hostile) -> None:
    lookups = hostile.desk.latest.frame("lookups")
    assert_true(lookups, hostile.server.world)
    failed = lookups.filter(pl.col("outcome") != "success")
    values = failed.select("swapped", "active", "latest_change", "latest_change_at")
    assert all(column.null_count() == failed.height for column in values)


def test_memory_is_bounded(hostile: Hostile) -> None:
    assert hostile.peak_mib < PEAK_MIB


def test_nothing_is_followed_and_no_key_is_kept(hostile: Hostile) -> None:
    assert hostile.server.statistics()["redirects_followed"] == 0
    for path in hostile.desk.out.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_what_is_read_is_plain(hostile: Hostile) -> None:
    output = hostile.desk.latest
    texts = {
        "stdout": hostile.done.out,
        "stderr": hostile.done.err,
        **{p.name: p.read_text("utf-8-sig") for p in sorted(output.reports.glob("*.*"))},
        "lookups": "\n".join(
            output.frame("lookups").select(pl.col("code", "message").fill_null("")).to_series(0)
        ),
    }
    assert {"errors.csv", "summary.json"} <= set(texts)
    for name, text in texts.items():
        odd = {c for c in text if unicodedata.category(c)[0] == "C"} - {"\n", "\r"}
        assert not odd, (name, odd)
        assert not WHOLE_NUMBER.search(text), name


def test_foreign_texts_are_kept_harmless_in_the_lookups(hostile: Hostile) -> None:
    lookups = hostile.desk.latest.frame("lookups").drop_nulls("message")
    poisoned = lookups.filter(pl.col("message").str.contains("[key]", literal=True))
    assert poisoned.height > 5
    for text in [*poisoned["message"], *poisoned["code"].drop_nulls()]:
        assert text.isprintable()
        assert not WHOLE_NUMBER.search(text)


def test_no_cell_of_the_error_report_is_a_formula(hostile: Hostile) -> None:
    path: Path = hostile.desk.latest.reports / "errors.csv"
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.reader(lines))
    assert len(rows) == 1 + hostile.desk.latest.frame("errors").height
    cells = [cell for row in rows for cell in row]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n") and cell]
