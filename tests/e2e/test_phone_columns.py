"""Lists with several phone columns: each cell is a row, and nobody is asked about twice."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from batch_screen.sandbox.run import SandboxThread

from .conftest import NUMBERS, Desk, new_sandbox, run_command

MOBILES, HOMES = NUMBERS[:40], NUMBERS[60:70]
LINES = [
    (n, mobile, HOMES[n] if n < 10 else MOBILES[0] if n == 11 else "", "n/a" if n == 20 else "")
    for n, mobile in enumerate(MOBILES)
]
"""Lines whose second column is mostly empty, the third but for one cell; one number is repeated."""
COLUMNS = ["mobile", "home", "work"]


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxThread]:
    with new_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def desk(server: SandboxThread, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Two lists, of text and in Parquet, which have been screened together on two days."""
    folder = tmp_path_factory.mktemp("several columns")
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", *COLUMNS], *LINES[:25]])
    frame = pl.DataFrame(LINES[25:], schema=["id", *COLUMNS], orient="row")
    pq.write_table(frame.to_arrow(), folder / "more.parquet")
    desk = Desk(
        folder,
        server.url,
        toml="[output]\nin_order = true\n",
        options=(
            *(str(folder / name) for name in ("list.csv", "more.parquet")),
            *("--phone-column", "mobile", "--phone-column", "home,work"),
            *("--keep-columns", "id", "--fail-if", "reject_rate > 5%"),
        ),
    )
    done = desk.run()
    assert done.code == 0, done.err
    assert "120 = 51 accepted and 69 rejected" in done.out
    assert "home            11 accepted, 29 empty, 0 rejected for other reasons" in done.out
    assert "work             0 accepted, 39 empty, 1 rejected for other reasons" in done.out
    return desk


def test_every_cell_is_a_row_in_the_inputs_order(desk: Desk) -> None:
    latest = desk.latest
    results, errors = latest.frame("results"), latest.frame("errors").filter(kind="reject")
    key = ["row_index", "source_file", "source_row", "phone_column"]
    rows = pl.concat([results.select(key), errors.select(key)]).sort("row_index")
    assert rows["row_index"].to_list() == list(range(120))
    assert rows["phone_column"].to_list() == COLUMNS * 40
    places = [("list.csv", n) for n in range(1, 26)] + [("more.parquet", n) for n in range(1, 16)]
    assert rows.select("source_file", "source_row").rows()[::3] == places
    assert rows.unique(key[1:]).height == 120
    by_cell = {
        (row["in_id"], row["phone_column"]): row["e164"] for row in results.iter_rows(named=True)
    }
    for line, *cells in LINES:
        for name, cell in zip(COLUMNS, cells, strict=True):
            said = by_cell.get((line, name)) or by_cell.get((str(line), name))
            assert said == (cell if cell.startswith("+") else None)
    in_order = pl.read_parquet(latest.reports / "results_in_order.parquet")
    assert in_order["row_index"].is_sorted()
    assert in_order.height == 51


def test_a_number_in_two_columns_is_asked_about_once(desk: Desk) -> None:
    lookups = desk.latest.frame("lookups")
    assert lookups["e164"].n_unique() == lookups.height == 50
    rows = desk.latest.report("summary.json")["rows"]
    assert (rows["read"], rows["accepted"], rows["duplicates"]) == (120, 51, 1)
    assert rows["rejected_by_reason"] == {"empty": 68, "not_a_number": 1}
    assert rows["by_phone_column"] == {
        "mobile": {"read": 40, "accepted": 40, "rejected": 0, "empty": 0},
        "home": {"read": 40, "accepted": 11, "rejected": 29, "empty": 29},
        "work": {"read": 40, "accepted": 0, "rejected": 40, "empty": 39},
    }


def test_the_same_columns_however_named_are_the_same_run(desk: Desk) -> None:
    names = (["--phone-column", "mobile, home ,work"], ["--phone-column", "mobile,home,work"])
    for named in names:
        options = (*desk.options[:2], *named, "--keep-columns", "id")
        again = Desk(desk.folder, desk.url, toml="[output]\nin_order = true\n", options=options)
        assert "was complete already, nothing was asked" in again.run().out
    other = Desk(desk.folder, desk.url, options=(*desk.options[:2], "--phone-column", "home"))
    assert other.plan()["rows"]["read"] == 40


def test_the_run_validates_and_can_be_compared(desk: Desk) -> None:
    first = desk.latest.run_id
    later = [part if part != "2026-03-02" else "2026-03-03" for part in desk.arguments()]
    later[later.index("--run-date") + 1] = "2026-03-03"
    done = run_command(*later)
    assert done.code == 0, done.err
    for folder in (desk.out,):
        checked = run_command("validate", folder)
        assert checked.code == 0, checked.out
    found = run_command("diff", first, desk.latest.run_id, "--out", desk.out)
    assert found.code == 0, found.err
    page = (desk.latest.reports / "report.html").read_text("utf-8")
    assert "Each phone cell is a row: mobile 40 of 40 filled, home 11 of 40 filled" in page


def test_check_says_it_by_column(desk: Desk, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    inputs, named = desk.options[:2], desk.options[2:6]
    done = run_command("check", *inputs, *named, "--rejects", rejects)
    assert done.code == 0, done.err
    assert "work             0 accepted, 39 empty, 1 rejected for other reasons" in done.out
    assert "list.csv row 21 work" in done.out
    assert "Fill in the number" not in done.out
    lines = [*csv.DictReader(rejects.read_text("utf-8-sig").splitlines())]
    assert len(lines) == 69
    assert {line["column"] for line in lines} == {"home", "work"}
    report = json.loads(run_command("check", *inputs, *named, "--json").out)
    assert report["phone_column"] == "mobile, home, work"
    assert [each["empty"] for each in report["phone_columns"]] == [0, 29, 39]


def test_a_column_that_is_left_out_is_said(desk: Desk) -> None:
    checked = run_command("check", desk.options[0])
    said = " ".join(checked.out.split())
    assert "column mobile is read; home looks like phone numbers, too: name them with" in said
    planned = run_command("plan", desk.options[0])
    assert "column mobile is read; home looks like phone numbers, too" in planned.err
    assert "looks like" not in run_command("plan", desk.options[0], *desk.options[2:6]).err


def test_digits_with_their_country_code(tmp_path: Path, server: SandboxThread) -> None:
    cells = [number.removeprefix("+") for number in NUMBERS[:60]]
    desk = Desk(tmp_path, server.url, cells=cells)
    checked = run_command("check", desk.list)
    assert "Use --digits international: 60 of 60 sampled cells are valid" in checked.out
    done = desk.run("--digits", "international")
    assert done.code == 0, done.err
    results = desk.latest.frame("results")
    assert set(results["rule"]) == {"digits_forced_international"}
    assert desk.latest.report("summary.json")["settings"]["numbers.ambiguous"] == "international"
