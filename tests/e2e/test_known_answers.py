"""The sample customers against a world whose answers are known."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen.model import Endpoint
from batch_screen.sandbox.answers import World
from batch_screen.sandbox.magic import MAGIC_NUMBERS
from tests.thoroughness import in_full

from .conftest import Desk, Output, known, new_sandbox

SAMPLE = Path(__file__).parents[2] / "sample_data"
EVERY = tuple(Endpoint)


@dataclass
class RunResult:
    output: Output
    stdout: str
    world: World
    statistics: dict[str, Any]
    endpoints: tuple[Endpoint, ...]
    window: int
    rows: int | None
    """How many of the sample are screened, if not all."""

    @property
    def lookups(self) -> pl.DataFrame:
        return self.output.frame("lookups")

    @property
    def results(self) -> pl.DataFrame:
        return self.output.frame("results")

    @property
    def rejects(self) -> pl.DataFrame:
        return self.output.frame("errors").filter(pl.col("kind") == "reject")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("customers.csv", EVERY, 2400, None), id="csv-all", marks=in_full),
        pytest.param(("customers.csv", EVERY, 2400, 300), id="csv-some"),
        pytest.param(
            ("customers.parquet", (Endpoint.SIM_SWAP_CHECK,), 240, None),
            id="parquet-240",
            marks=in_full,
        ),
        pytest.param(
            ("customers.parquet", (Endpoint.DEVICE_SWAP_CHECK,), 1, None),
            id="parquet-1",
            marks=in_full,
        ),
    ],
)
def screened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunResult]:
    name, endpoints, window, rows = request.param
    with new_sandbox() as server:
        desk = Desk(
            tmp_path_factory.mktemp("known"),
            server.url,
            options=("--region-column", "country", "--keep-columns", "customer_id"),
        )
        asked = ",".join(endpoints)
        listed = SAMPLE / name
        if rows:
            listed = first_rows(listed, rows, desk.folder / name)
        done = desk.run(listed, "--endpoints", asked, "--max-age-minutes", window, "--rate", 5000)
        assert done.code == 0, done.err
        yield RunResult(
            desk.latest,
            done.out,
            server.world,
            server.statistics(detail=True),
            endpoints,
            window,
            rows,
        )


def first_rows(path: Path, count: int, to: Path) -> Path:
    """A CSV file's header and so many rows, byte by byte; a cell may have several lines."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    reader = csv.reader(lines)
    for _ in range(1 + count):
        next(reader)
    to.write_text("".join(lines[: reader.line_num]), "utf-8")
    return to


@pytest.fixture(scope="module")
def meant() -> list[str | None]:
    """For each row of the sample the number it means, as its author knows it."""
    spec = importlib.util.spec_from_file_location("e2e_make_sample", SAMPLE / "make_sample.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    del sys.modules[spec.name]
    return [row.e164 for row in script.sample()]


def test_every_lookup_has_the_true_answer(screened: RunResult) -> None:
    for row in screened.lookups.iter_rows(named=True):
        endpoint = Endpoint(row["endpoint"])
        assert row["max_age_minutes"] == (screened.window if endpoint.takes_max_age else None)
        if row["outcome"] == "success":
            expected = known(row["e164"], endpoint, row["max_age_minutes"], screened.world)
            assert {name: row[name] for name in expected} == expected
        else:
            assert row["e164"] in MAGIC_NUMBERS
    assert screened.lookups["outcome"].value_counts(sort=True)["outcome"][0] == "success"


def test_every_result_row_has_the_true_answer(screened: RunResult) -> None:
    for row in screened.results.iter_rows(named=True):
        for endpoint in Endpoint:
            prefix = f"{endpoint.column}_"
            group = {n.removeprefix(prefix): v for n, v in row.items() if n.startswith(prefix)}
            if endpoint not in screened.endpoints:
                assert set(group.values()) == {None}
            elif group["outcome"] == "success":
                expected = known(row["e164"], endpoint, screened.window, screened.world)
                slim = expected.keys() & group.keys()
                assert {n: group[n] for n in slim} == {n: expected[n] for n in slim}
            else:
                assert row["e164"] in MAGIC_NUMBERS


def test_every_input_row_appears_once(screened: RunResult, meant: list[str | None]) -> None:
    rows = [*screened.results["row_index"], *screened.rejects["row_index"]]
    assert sorted(rows) == list(range(screened.rows or len(meant)))
    assert screened.results["row_index"].is_sorted()


def test_rows_are_read_as_the_numbers_they_mean(
    screened: RunResult, meant: list[str | None]
) -> None:
    for index, number in screened.results.select("row_index", "e164").iter_rows():
        assert meant[index] == number
    turned_down = [meant[index] for index in screened.rejects["row_index"]]
    assert sum(number is not None for number in turned_down) <= 5  # 00 may be dialled elsewhere


def test_kept_column_belongs_to_its_row(screened: RunResult) -> None:
    customers = pl.read_csv(SAMPLE / "customers.csv", infer_schema=False)["customer_id"]
    for index, customer in screened.results.select("row_index", "in_customer_id").iter_rows():
        assert customers[index] == customer


def test_lookups_are_unique_numbers_times_endpoints(screened: RunResult) -> None:
    lookups = screened.lookups
    numbers = screened.results["e164"].n_unique()
    assert lookups.height == numbers * len(screened.endpoints)
    assert lookups.select("e164", "endpoint").n_unique() == lookups.height


def test_server_was_asked_nothing_twice(screened: RunResult) -> None:
    statistics = screened.statistics
    assert statistics["distinct_lookups"] == screened.lookups.height
    assert statistics["answered_twice"] == 0
    # Only what fails on purpose, and may pass, is asked again.
    assert {each["number"] for each in statistics["repeated"]} <= MAGIC_NUMBERS.keys()
    assert statistics["requests"] == screened.lookups["attempts"].sum()


def test_accounting_adds_up(screened: RunResult) -> None:
    summary = screened.output.report("summary.json")
    rows = summary["rows"]
    assert rows["read"] == rows["accepted"] + rows["rejected"]
    assert rows["accepted"] == screened.results.height
    assert rows["rejected"] == screened.rejects.height == sum(rows["rejected_by_reason"].values())
    assert rows["unique_numbers"] == screened.results["e164"].n_unique()
    assert rows["duplicates"] == rows["accepted"] - rows["unique_numbers"]
    assert summary["status"] == "complete"
    assert list(summary["endpoints"]) == [e.value for e in screened.endpoints]
    for name, figures in summary["endpoints"].items():
        lookups = screened.lookups.filter(pl.col("endpoint") == name)
        assert figures["total"] == lookups.height == sum(figures["by_outcome"].values())
        assert figures["by_outcome"] == dict(lookups["outcome"].value_counts().iter_rows())
        positive = pl.col("swapped") | pl.col("active") | (pl.col("latest_change") == "reported")
        assert figures["positives"] == lookups.filter(positive).height
        assert figures["attempts"] == lookups["attempts"].sum()


def test_closing_block_states_the_accounting(screened: RunResult) -> None:
    rows = screened.output.report("summary.json")["rows"]
    read, accepted, rejected = (f"{rows[n]:,}" for n in ("read", "accepted", "rejected"))
    assert f"{read} = {accepted} accepted and {rejected} rejected" in screened.stdout
    assert f"{screened.lookups.height:,} = " in screened.stdout


def test_no_number_of_the_sample_is_in_reports(screened: RunResult) -> None:
    reports = screened.output.reports
    texts = [screened.stdout, *(p.read_text("utf-8") for p in reports.glob("*.*"))]
    texts.append(json.dumps(screened.output.latest))
    for number in screened.results["e164"].unique():
        assert not any(number[1:] in text or number[3:] in text for text in texts)
