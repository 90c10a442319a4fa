from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec.structs
import polars as pl
import pytest

from batch_screen.commands import write
from batch_screen.commands.parts import layout_of
from batch_screen.commands.write import count_stopped, write_outputs, write_stopped
from batch_screen.config.screening import Numbers
from batch_screen.config.sections import Output
from batch_screen.config.settings import Prices, Settings
from batch_screen.errors import BatchScreenError, JournalError, OutputError, Stopped
from batch_screen.journal.seal import read_sealed, seal_path, sealed_path, write_sealed
from batch_screen.journal.segments import SegmentWriter
from batch_screen.model import Endpoint, Intent, Outcome, OutcomeKind, Pace, Plan, Session
from batch_screen.planning.shards import shard_rows_path
from batch_screen.runs.events import CancelToken, RunEvents, Silent
from batch_screen.runs.layout import CHANGES, DATA_FOLDERS, ERRORS, LOOKUPS, RESULTS, TABLES, Layout
from batch_screen.runs.sessions import keep_session
from batch_screen.runs.state import Run
from batch_screen.schema import LOOKUP, conform, dtypes
from batch_screen.tables.manifest import is_whole
from batch_screen.tables.summary import Ending, Summary, read_summary
from tests.making import made
from tests.thoroughness import in_full

CELLS = [None if i % 10 == 0 else i * 7 % 300 for i in range(2000)]
SESSION = Session(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
FAILED = OutcomeKind.TIMEOUT.value


class ReportResult:
    """A run whose lookups are all answered: every third number failed."""

    def __init__(self, folder: Path, shard_rows: int) -> None:
        self.settings = Settings(output=Output(folder=str(folder / "out")))
        self.run, self.plan = made(folder / "state", CELLS, self.settings, shard_rows=shard_rows)
        self.seal(lambda i: FAILED if i % 3 == 0 else "success")

    def seal(self, kind: Callable[[int], str]) -> None:
        for shard in range(len(self.plan.shards)):
            numbers = pl.read_parquet(shard_rows_path(self.run.plan, shard))["e164"].unique()
            outcomes = pl.DataFrame(
                {
                    "e164": numbers,
                    "endpoint": [Endpoint.SIM_SWAP_CHECK.value] * len(numbers),
                    "outcome": [kind(int(n[-5:])) for n in numbers],
                    "attempts": [1] * len(numbers),
                    "refusals": [0] * len(numbers),
                    "unanswered": [0] * len(numbers),
                }
            )
            frame = conform(outcomes, LOOKUP).sort("e164")
            write_sealed(frame, self.run.sealed, self.run.run_id, shard, {})

    @property
    def layout(self) -> Layout:
        return layout_of(self.run, self.settings)

    def report(self, events: RunEvents | None = None) -> Summary:
        return write_outputs(self.run, self.plan, self.settings, SESSION, events or RunEvents())

    def table(self, name: str) -> pl.DataFrame:
        parts = [pl.read_parquet(p, hive_partitioning=False) for p in self.layout.parts(name)]
        return pl.concat(parts)


@pytest.fixture(params=[10_000, 500], ids=["one shard", "four shards"])
def reported(request: pytest.FixtureRequest, tmp_path: Path) -> ReportResult:
    return ReportResult(tmp_path, request.param)


def unique(cells: list[int | None]) -> set[int]:
    return {i for i in cells if i is not None}


def test_everything_is_written_and_adds_up(reported: ReportResult) -> None:
    summary = reported.report()
    accepted = sum(i is not None for i in CELLS)
    results = reported.table(RESULTS)
    assert results.height == accepted
    assert sorted(results["row_index"]) == [i for i, cell in enumerate(CELLS) if cell is not None]
    assert results["sim_swap_check_outcome"].null_count() == 0
    lookups = reported.table(LOOKUPS)
    assert lookups.height == len(unique(CELLS)) == summary.lookups
    errors = reported.table(ERRORS)
    failed = sum(i % 3 == 0 for i in unique(CELLS))
    assert errors["kind"].value_counts(sort=True).rows() == sorted(
        [("reject", 2000 - accepted), ("failure", failed)], key=lambda row: -row[1]
    )
    assert summary.rows.read == 2000 == summary.rows.accepted + summary.rows.rejected
    [figures] = summary.endpoints.values()
    assert figures.by_outcome == {"success": summary.lookups - failed, FAILED: failed}
    assert read_summary(reported.layout.summary) == summary
    with reported.layout.errors_csv.open(encoding="utf-8-sig") as file:
        assert sum(1 for _ in file) == 1 + errors.height


def test_the_manifest_names_every_file_and_the_marker_its_digest(reported: ReportResult) -> None:
    reported.report()
    layout = reported.layout
    manifest = json.loads(layout.manifest.read_bytes())
    named = {entry["path"] for entry in manifest["files"]}
    later = {layout.manifest, layout.marker, layout.latest}
    written = {p for p in layout.folder.rglob("*") if p.is_file()} - later
    assert named == {p.relative_to(layout.folder).as_posix() for p in written}
    for entry in manifest["files"]:
        content = (layout.folder / entry["path"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    rows = dict.fromkeys(DATA_FOLDERS, 0)
    for entry in manifest["files"]:
        if "table" in entry:
            rows[entry["table"]] += entry["rows"]
    assert rows == {CHANGES: 0, **{table: reported.table(table).height for table in TABLES}}
    assert (
        layout.marker.read_text().strip()
        == hashlib.sha256(layout.manifest.read_bytes()).hexdigest()
    )


def test_the_marker_comes_last(reported: ReportResult, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    replace = Path.replace

    def noting(path: Path, target: Path) -> Path:
        order.append(Path(target).name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", noting)
    reported.report()
    assert order[-7:] == [
        "summary.json",
        "pace.svg",
        "schema.json",
        "report.html",
        "manifest.json",
        "latest.json",
        "_SUCCESS",
    ]
    # While errors.csv is written the rest is counted: previous.json in the state, then changes.
    part, *others = sorted(order[-10:-7])
    assert others == ["errors.csv", "previous.json"]
    assert all(name.endswith(".parquet") for name in (part, *order[:-10]))


@pytest.mark.parametrize(
    "fails_at", [pytest.param(at, marks=() if at in (0, 6, 15) else in_full) for at in range(16)]
)
def test_a_crash_at_any_file_leaves_no_marker_and_the_next_start_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    reported = ReportResult(tmp_path, 500)
    count, replace = iter(range(1000)), Path.replace

    def crash(path: Path, target: Path) -> Path:
        if next(count) == fails_at:
            raise OSError(5, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(OutputError):
        reported.report()
    monkeypatch.undo()
    assert not reported.layout.marker.exists()
    assert not list(reported.layout.folder.rglob("*.tmp"))
    summary = reported.report()
    assert reported.layout.marker.exists()
    assert summary.lookups == len(unique(CELLS))


def test_reporting_twice_gives_equal_tables(reported: ReportResult) -> None:
    reported.report()
    first = {table: reported.table(table) for table in TABLES}
    reported.report()
    assert all(reported.table(table).equals(first[table]) for table in TABLES)


def test_parts_of_an_earlier_end_that_no_longer_hold_are_gone(reported: ReportResult) -> None:
    reported.report()
    assert reported.table(ERRORS).filter(pl.col("kind") == "failure").height
    reported.layout.marker.unlink()
    reported.seal(lambda _: "success")  # the state was lost and everything asked again
    reported.report()
    assert reported.table(ERRORS).filter(pl.col("kind") == "failure").height == 0
    assert FAILED not in reported.layout.errors_csv.read_text("utf-8-sig")


def test_a_wish_to_stop_ends_it_between_two_shards(tmp_path: Path) -> None:
    reported, stop = ReportResult(tmp_path, 100), CancelToken()

    class Stopping(Silent):
        def advance(self, count: int) -> None:
            stop.request(signal.SIGTERM)

    with pytest.raises(Stopped):
        reported.report(RunEvents(Stopping(), stop))
    assert 0 < len(reported.layout.parts(RESULTS)) < len(reported.plan.shards)
    assert not reported.layout.marker.exists()


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"PAR1 +447700900123 PAR1"])
@pytest.mark.parametrize("which", ["sealed", "rows"])
def test_damaged_state_is_named_and_nothing_is_marked(
    reported: ReportResult, which: str, content: bytes | None
) -> None:
    run = reported.run
    path = sealed_path(run.sealed, 0) if which == "sealed" else shard_rows_path(run.plan, 0)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        JournalError, match=rf"{path.name} is missing or not as it was written.*--new-run"
    ) as caught:
        reported.report()
    assert "900123" not in str(caught.value)
    assert not reported.layout.marker.exists()


@pytest.mark.parametrize("table", ["sealed", "rows"])
def test_a_readable_file_in_a_state_files_place_is_noticed(
    reported: ReportResult, table: str
) -> None:
    run: Run = reported.run
    path = sealed_path(run.sealed, 0) if table == "sealed" else shard_rows_path(run.plan, 0)
    frame = pl.read_parquet(path)
    frame.head(frame.height - 1).write_parquet(path)
    with pytest.raises(JournalError, match=path.name):
        reported.report()
    assert not reported.layout.marker.exists()


def test_a_stop_is_counted_from_sealed_and_begun_shards(tmp_path: Path) -> None:
    reported = ReportResult(tmp_path, 500)
    run, planned = reported.run, reported.plan.shards
    for shard in (2, 3):
        sealed_path(run.sealed, shard).unlink()
        seal_path(run.sealed, shard).unlink()
    writer = SegmentWriter(run.journal, run.run_id)
    begun = pl.read_parquet(shard_rows_path(run.plan, 2))["e164"].unique().sort().head(7)
    answered = [
        Outcome(n, Endpoint.SIM_SWAP_CHECK, kind=OutcomeKind.TIMEOUT, attempts=3) for n in begun
    ]
    writer.write(2, [Intent(begun[0], Endpoint.SIM_SWAP_CHECK), *answered])
    writer.close()
    settings = reported.settings.model_copy(
        update={"prices": Prices(per_request={Endpoint.SIM_SWAP_CHECK: 0.5})}
    )
    error = Stopped("a long wait: asked about +447700900123")
    summary = count_stopped(run, reported.plan, settings, SESSION, error)
    write_stopped(run, settings, summary)
    sealed = sum(planned[shard].unique_numbers for shard in (0, 1))
    [figures] = summary.endpoints.values()
    assert figures.total == sealed + 7 == sum(figures.by_outcome.values())
    assert figures.left == reported.plan.unique_numbers - sealed - 7
    assert figures.attempts == sealed + 21
    assert summary.cost == 0.5 * (sealed + 21)
    assert summary.stopped is not None
    assert (summary.stopped.exit_code, "900123" in summary.stopped.cause) == (4, False)
    layout = reported.layout
    assert read_summary(layout.summary) == summary
    assert [path for path in layout.folder.rglob("*") if path.is_file()] == [layout.summary]


def test_whoever_sent_a_signal_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = ReportResult(tmp_path, 100)
    counted = reported.run, reported.plan, reported.settings, SESSION
    monkeypatch.setattr(write, "_MOST_SECONDS", -1.0)
    with pytest.raises(TimeoutError, match="counting took longer than"):
        count_stopped(*counted, Stopped("by SIGTERM", exit_code=143))
    assert count_stopped(*counted, Stopped("a long wait")).left == 0


def test_a_complete_runs_summary_is_never_replaced_by_that_of_a_stop(tmp_path: Path) -> None:
    reported = ReportResult(tmp_path, 10_000)
    complete = reported.report()
    counted = reported.run, reported.plan, reported.settings, SESSION
    stopped = count_stopped(*counted, KeyError("+447700900123"))
    assert (stopped.exit_code, stopped.stopped) == (1, Ending("KeyError", 1))
    write_stopped(reported.run, reported.settings, stopped)
    assert read_summary(reported.layout.summary) == complete
    assert is_whole(reported.layout)


def test_many_starts_fill_no_summary(tmp_path: Path) -> None:
    reported = ReportResult(tmp_path, 10_000)
    pace = Pace(1.0, [9] * 600, [1] * 600, [9.8] * 600)
    long = msgspec.structs.replace(SESSION, attempts=5400, pace=pace)
    for _ in range(300):
        keep_session(reported.run.sessions, reported.run.run_id, long)
    starts = reported.report().starts
    assert len(starts) == 300
    assert {len(start.pace.attempts) for start in starts} == {10}
    assert {sum(start.pace.attempts) for start in starts} == {5400}
    assert reported.layout.summary.stat().st_size < 300_000


def test_a_plan_without_rejects_and_failures_has_empty_errors(tmp_path: Path) -> None:
    settings = Settings(
        output=Output(folder=str(tmp_path / "out")),
        numbers=Numbers(test_numbers=("+447700900123",)),
    )
    run, plan = made(tmp_path / "state", [1, 2], settings)
    empty: dict[str, Any] = dict.fromkeys(dtypes(LOOKUP).names(), None)
    rows = [
        empty
        | {
            "e164": f"+44770090000{i}",
            "endpoint": "sim-swap/check",
            "outcome": "success",
            "attempts": 1,
            "refusals": 0,
            "unanswered": 0,
        }
        for i in (1, 2)
    ]
    write_sealed(pl.DataFrame(rows, schema=dtypes(LOOKUP)), run.sealed, run.run_id, 0, {})
    summary = write_outputs(run, plan, settings, SESSION, RunEvents())
    layout = layout_of(run, settings)
    assert pl.read_parquet(layout.parts(ERRORS)[0]).height == 0
    assert summary.failure_share == 0
    assert "900123" not in layout.summary.read_text("utf-8")


def test_outcomes_that_are_missing_are_noticed_before_the_marker(reported: ReportResult) -> None:
    run = reported.run
    frame = read_sealed(run.sealed, run.run_id, 0)
    write_sealed(frame.head(frame.height - 1), run.sealed, run.run_id, 0, {})
    with pytest.raises(BatchScreenError, match="does not add up"):
        reported.report()
    assert not reported.layout.marker.exists()


def test_a_plan_that_does_not_add_up_is_noticed(tmp_path: Path) -> None:
    reported = ReportResult(tmp_path, 500)
    plan: Plan = reported.plan
    wrong = msgspec.structs.replace(plan, rows=plan.rows + 1)
    with pytest.raises(BatchScreenError, match="does not add up"):
        write_outputs(reported.run, wrong, reported.settings, SESSION, RunEvents())
    assert not reported.layout.marker.exists()
