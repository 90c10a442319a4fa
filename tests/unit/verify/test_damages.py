"""Each damage, planted under digests that fit, is found by the same checks in the same words."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen.cli.validate import validate
from batch_screen.model import Endpoint
from batch_screen.runs.layout import ERRORS, FOOTER, LOOKUPS, RESULTS
from tests.thoroughness import in_full
from tests.unit.tables.frames import number
from tests.unit.tables.whole_run import DAY, ENDPOINTS, WholeRun, answer, new_whole_run

Plant = Callable[[WholeRun], None]
Found = dict[str, list[str]]

DEVICE = Endpoint.DEVICE_SWAP_CHECK
CHECK = pl.col("endpoint") == "sim-swap/check"
DATE = pl.col("endpoint") == "sim-swap/retrieve-date"
FORWARDING = pl.col("endpoint") == "call-forwarding/check"
SUCCESS = pl.col("outcome") == "success"
FAILURE = pl.col("kind") == "failure"
REJECT = pl.col("kind") == "reject"
ASKED, DERIVED, REUSED = (pl.col("source") == name for name in ("asked", "derived", "reused"))
SKIPPED = pl.col("outcome") == "skipped"
UNDATED = pl.col("latest_change") == "none_reported"
IS_13 = pl.col("e164") == number(13)
SWAPPED = pl.col("sim_swap_check_swapped")
EARLIER = "20261101-0123456789"
NOT_OURS = {"path": "latest.json", "bytes": 1, "sha256": "0"}


def mixed(i: int, endpoint: Endpoint) -> dict[str, Any]:
    """Answers of every source; number 1, 4, 7, … was derived, 2, 5, … reused and spared."""
    given = answer(i, endpoint)
    if endpoint is DEVICE:
        if i % 3 == 1 and i % 2:
            told = {"outcome": "skipped", "reason": "sim_unchanged", "source": None, "attempts": 0}
            return given | told | {"swapped": None, "max_age_minutes": None, "http_status": None}
        return given
    if endpoint is Endpoint.SIM_SWAP_CHECK and i % 3 == 1 and i % 2:
        within = timedelta(days=i) <= timedelta(minutes=2400)
        return given | {"source": "derived", "attempts": 0, "swapped": within}
    if endpoint is Endpoint.SIM_SWAP_CHECK and i % 3 == 2:
        seen = {"last_observed_at": DAY - timedelta(days=3)}
        return given | {"source": "reused", "source_run_id": EARLIER, "attempts": 0} | seen
    return given


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("whole"), mixed, (*ENDPOINTS, DEVICE))


@pytest.fixture
def run(original: WholeRun, tmp_path: Path) -> WholeRun:
    return original.copy(tmp_path / "out")


def validated(run: WholeRun) -> tuple[int, Any]:
    """The exit code, and the checks as ``validate --json`` has them."""
    folder = str(run.layout.run)
    with redirect_stdout(StringIO()) as printed:
        code = validate(folders=(folder,), run_id=None, every=False, copied=False, as_json=True)
    [found] = json.loads(printed.getvalue().replace(run.layout.run_id, "RUN"))
    return code, found["checks"]


def differences(checks: Any) -> Found:
    """Check → what it found, where it found anything."""
    return {
        check["name"]: [f"{d['where']}: {d['what']}" for d in check["differences"]]
        for check in checks
        if check["differences"]
    }


def first(table: str, claim: pl.Expr | None = None, **values: Any) -> Plant:
    """Other values in the first row of part 0 of which the claim is true."""
    row = pl.int_range(pl.len())
    is_first = row == (row.first() if claim is None else row.filter(claim).first())

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        changed = {
            name: pl.when(is_first)
            .then(value if isinstance(value, pl.Expr) else pl.lit(value))
            .otherwise(name)
            .cast(frame.schema[name])
            for name, value in values.items()
        }
        return frame.with_columns(**changed)

    return rows(table, change)


def rows(table: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Plant:
    """Other rows in part 0."""

    return lambda run: run.rewrite(table, change)


def report(name: str, change: Callable[[Any], object]) -> Plant:
    """Another content of a JSON file."""
    return lambda run: run.rewrite_json(getattr(run.layout, name), change)


def listed(change: Callable[[dict[str, Any]], object]) -> Plant:
    """Another manifest."""

    def plant(run: WholeRun) -> None:
        manifest = run.manifest()
        change(manifest)
        run.write_manifest(manifest)

    return plant


def csv_lines(change: Callable[[list[bytes]], list[bytes]]) -> Plant:
    def plant(run: WholeRun) -> None:
        path = run.layout.errors_csv
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
        run.relist()

    return plant


def raw(path: Callable[[WholeRun], Path], content: bytes, *, relist: bool = True) -> Plant:
    """A file with other bytes."""

    def plant(run: WholeRun) -> None:
        path(run).write_bytes(content)
        path(run).chmod(0o600)
        if relist:
            run.relist()

    return plant


def broken_pages(run: WholeRun) -> None:
    path = run.layout.part(LOOKUPS, 1)
    held = path.read_bytes()
    path.write_bytes(held[:4] + b"\xff" * 400 + held[404:])
    run.relist()


def of_another_run(run: WholeRun) -> None:
    path, marks = run.layout.part(LOOKUPS, 1), {**run.layout.footer, f"{FOOTER}run_id": EARLIER}
    pl.read_parquet(path, hive_partitioning=False).write_parquet(path, metadata=marks)
    run.relist()


def without_footer(run: WholeRun) -> None:
    path = run.layout.part(RESULTS, 0)
    pl.read_parquet(path, hive_partitioning=False).write_parquet(path)
    run.relist()


def moved_number(run: WholeRun) -> None:
    """Each part is sound by itself, and all sums are right: only the place is wrong."""
    moved = run.frame(RESULTS, 1)["e164"].unique().sort()[0]
    left = run.frame(RESULTS)["e164"].unique().sort()[0]
    for table in (RESULTS, LOOKUPS, ERRORS):
        run.rewrite(table, lambda f: f.with_columns(pl.col("e164").replace(left, moved)))


def no_number(run: WholeRun) -> None:
    moved = run.frame(RESULTS)["e164"][0]
    for table in (RESULTS, LOOKUPS, ERRORS):
        run.rewrite(table, lambda f: f.with_columns(pl.col("e164").replace(moved, "07700")))


def copied_part(run: WholeRun) -> None:
    shutil.copy(run.layout.part(RESULTS, 0), run.layout.part(RESULTS, 9))


def without_first(claim: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda f: f.filter(~(claim & (claim.cum_sum() == 1)).fill_null(value=False))


def twice_first(claim: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda f: pl.concat([f, f.filter(claim).head(1)])


def of_nobody(frame: pl.DataFrame) -> pl.DataFrame:
    one = frame.filter(SUCCESS & FORWARDING).head(1)
    return pl.concat([frame, one.with_columns(e164=pl.lit("+447700999999"))])


def first_index(frame: pl.DataFrame, index: int) -> pl.DataFrame:
    """Another index in the first row."""
    rest = frame["row_index"][1:]
    return frame.with_columns(row_index=pl.Series([index, *rest], dtype=pl.Int64))


def figure(*path: str) -> Plant:
    """A figure of summary.json that is one too many."""

    def change(content: Any) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] += 1

    return report("summary", change)


DAMAGES: dict[str, Plant] = {
    "no marker": lambda run: run.layout.marker.unlink(),
    "another marker": raw(lambda run: run.layout.marker, b"0" * 64, relist=False),
    "no latest": lambda run: run.layout.latest.unlink(),
    "a manifest of another date": listed(lambda m: m.update(run_date="2026-11-24")),
    "a manifest of another schema": listed(lambda m: m.update(schema_version=999)),
    "a manifest without shards": listed(lambda m: m.update(shards=0)),
    "a manifest without times": listed(lambda m: m.update(completed_at=None)),
    "a manifest of the sandbox": listed(lambda m: m.update(sandbox=True)),
    "a manifest of another server": listed(lambda m: m["api"].update(host="api.example")),
    "other counts in the manifest": listed(lambda m: m["counts"].update(rows_read=1)),
    "other kept columns in the manifest": listed(lambda m: m.update(kept_columns=["in_x"])),
    "complete before it began": listed(lambda m: m.update(completed_at="2026-11-01T00:00:00Z")),
    "the footer of another run": of_another_run,
    "a part without a footer": without_footer,
    "a file listed twice": listed(lambda m: m["files"].append(m["files"][-1])),
    "a file not listed": listed(lambda m: m["files"].pop()),
    "a file of nobody listed": listed(lambda m: m["files"].append(NOT_OURS)),
    "other rows listed": listed(lambda m: m["files"][0].update(rows=7)),
    "a file that is gone": lambda run: run.layout.schema.unlink(),
    "a file that was cut": raw(lambda run: run.layout.schema, b"{}", relist=False),
    "a part that is no Parquet": broken_pages,
    "a stranger": copied_part,
    "an open file": lambda run: run.layout.summary.chmod(0o644),
    "a column that is missing": rows(RESULTS, lambda f: f.drop("rule")),
    "a column too many": rows(RESULTS, lambda f: f.with_columns(more=pl.lit(1))),
    "a column of another type": rows(RESULTS, lambda f: f.cast({"row_index": pl.Int32})),
    "columns in another order": rows(RESULTS, lambda f: f.select(*reversed(f.columns))),
    "a kept column that is missing": rows(RESULTS, lambda f: f.drop("in_id")),
    "a column described otherwise": report(
        "schema", lambda s: s["tables"]["errors"][0].update(type="Binary")
    ),
    "schema.json of another version": report("schema", lambda s: s.update(schema_version=999)),
    "schema.json that is none": raw(lambda run: run.layout.schema, b"[]"),
    "no rule": first(RESULTS, rule=None),
    "no remedy": first(ERRORS, remedy=None),
    "another run": first(LOOKUPS, run_id="x"),
    "a number in another part": moved_number,
    "a lookup lost": rows(LOOKUPS, without_first(CHECK & ASKED & SUCCESS)),
    "a lookup twice": rows(LOOKUPS, twice_first(SUCCESS)),
    "a lookup of nobody": rows(LOOKUPS, of_nobody),
    "an unknown outcome": first(LOOKUPS, ~SUCCESS & ~SKIPPED, outcome="teapot"),
    "a number that is none": no_number,
    "a guess": first(LOOKUPS, ~SUCCESS, latest_change="none_reported"),
    "a success without a date": first(LOOKUPS, UNDATED, latest_change=None),
    "a success without a check": first(LOOKUPS, FORWARDING, active=None),
    "a window where none is taken": first(LOOKUPS, DATE, max_age_minutes=1),
    "a refusal too many": first(LOOKUPS, ASKED & SUCCESS, refusals=5),
    "an unknown source": first(LOOKUPS, ASKED & FORWARDING, source="guessed"),
    "no source": first(LOOKUPS, ASKED & FORWARDING, source=None),
    "requests of what was derived": first(LOOKUPS, DERIVED, attempts=1),
    "a failure that was reused": first(LOOKUPS, REUSED, outcome="timeout", swapped=None),
    "reused from nowhere": first(LOOKUPS, REUSED, source_run_id=None),
    "reused from this run": first(LOOKUPS, REUSED, source_run_id=pl.col("run_id")),
    "forwarding that was reused": first(
        LOOKUPS, FORWARDING, source="reused", source_run_id=EARLIER, attempts=0
    ),
    "a date that was derived": first(LOOKUPS, DATE & ASKED, source="derived", attempts=0),
    "not needed though it is no date": first(LOOKUPS, SKIPPED, reason="not_needed"),
    "unchanged though nothing says so": first(LOOKUPS, SKIPPED, reason="device_unchanged"),
    "a window too long": first(LOOKUPS, CHECK & ASKED & SUCCESS, max_age_minutes=2401),
    "derived otherwise": first(LOOKUPS, DERIVED, swapped=~pl.col("swapped")),
    "derived at another time": first(LOOKUPS, DERIVED, responded_at=DAY + timedelta(days=1)),
    "derived from nothing": first(
        LOOKUPS, DATE & IS_13, latest_change="none_reported", latest_change_at=None
    ),
    "no window": first(LOOKUPS, CHECK & SUCCESS, window_end=None),
    "a window that ends later": first(LOOKUPS, CHECK & SUCCESS, window_end=DAY + timedelta(days=1)),
    "a window that begins later": first(LOOKUPS, REUSED & SUCCESS, window_start=DAY),
    "another gap": first(LOOKUPS, REUSED, gap_minutes=0),
    "another contradiction": first(LOOKUPS, pl.col("contradiction").not_(), contradiction=True),
    "another answer in results": first(
        RESULTS, SWAPPED.is_not_null(), sim_swap_check_swapped=~SWAPPED
    ),
    "unknown made safe": first(RESULTS, SWAPPED.is_null(), sim_swap_check_swapped=False),
    "an endpoint not asked": first(RESULTS, device_swap_date_outcome="success"),
    "another risk": first(RESULTS, risk_forwarding_active=None),
    "a failure of another reason": first(ERRORS, FAILURE, reason="unreachable"),
    "a failure twice": rows(ERRORS, twice_first(FAILURE)),
    "neither reject nor failure": first(ERRORS, REJECT, row_index=None),
    "a reject of another reason": rows(
        ERRORS, lambda f: f.with_columns(pl.col("reason").replace("not_a_number", "empty"))
    ),
    "an index twice": rows(RESULTS, lambda f: first_index(f, int(f["row_index"][1]))),
    "an index outside": rows(RESULTS, lambda f: first_index(f, -1)),
    "a row lost": rows(ERRORS, without_first(REJECT)),
    "another latency": first(LOOKUPS, ASKED & SUCCESS & CHECK, latency_ms=9999.0),
    "another number of attempts": first(LOOKUPS, ASKED & SUCCESS, attempts=7),
    "rows read": figure("rows", "read"),
    "rows accepted": figure("rows", "accepted"),
    "rows rejected": figure("rows", "rejected"),
    "duplicates": figure("rows", "duplicates"),
    "unique numbers": figure("rows", "unique_numbers"),
    "lookups of an endpoint": figure("endpoints", "sim-swap/check", "total"),
    "positives of an endpoint": figure("endpoints", "sim-swap/check", "positives"),
    "attempts at an endpoint": figure("endpoints", "sim-swap/check", "attempts"),
    "refusals of an endpoint": figure("endpoints", "sim-swap/check", "refusals"),
    "the cost of an endpoint": figure("endpoints", "sim-swap/check", "cost"),
    "the cost": figure("cost"),
    "requests saved": figure("saved", "derived"),
    "contradictions": report("summary", lambda s: s["contradictions"].update(x=7)),
    "the summary of another run": report("summary", lambda s: s.update(run_id="x")),
    "the summary of another date": report("summary", lambda s: s.update(run_date="2026-11-24")),
    "the summary of a stopped run": report("summary", lambda s: s.update(status="stopped")),
    "changes since a run that is none": report("summary", lambda s: s.update(changes=7)),
    "a summary that is none": raw(lambda run: run.layout.summary, b"\xff"),
    "a line of errors.csv lost": csv_lines(lambda lines: lines[:-1]),
    "a line of errors.csv twice": csv_lines(lambda lines: [*lines, lines[-1]]),
    "errors.csv without its header": csv_lines(lambda lines: [lines[1], *lines[1:]]),
    "errors.csv that is none": csv_lines(lambda lines: [b"\xff"]),
}
RECORDED = json.loads(Path(__file__).with_name("damages.json").read_bytes())
FOUND: dict[str, Found] = RECORDED["found"]
"""Damage → check → what it finds."""


def test_claims_and_counts_of_a_whole_run(original: WholeRun) -> None:
    code, checks = validated(original)
    assert (code, differences(checks)) == (0, {})
    assert [[c["name"], c["examined"], c["claim"]] for c in checks] == RECORDED["whole"]


def test_every_check_has_its_damage(original: WholeRun) -> None:
    _, checks = validated(original)
    planted = {name for found in FOUND.values() for name in found}
    assert {check["name"] for check in checks} - planted == {"changes"}  # in test_changes
    assert [*FOUND] == [*DAMAGES]
    assert not re.search(r"\+\d{4}", json.dumps(FOUND)), "a number is named"


ONE_OF_A_KIND = {tuple(found): name for name, found in reversed(FOUND.items())}
"""The checks that find something → the first of the damages that these find."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ONE_OF_A_KIND.values() else in_full)
        for name in DAMAGES
    ],
)
def test_a_damage_is_found(run: WholeRun, name: str) -> None:
    DAMAGES[name](run)
    code, checks = validated(run)
    assert (code, differences(checks)) == (65, FOUND[name])
