from __future__ import annotations

import asyncio
import io
import shutil
import signal
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from batch_screen.api.client import Client
from batch_screen.commands import write
from batch_screen.commands.plan import plan
from batch_screen.commands.run import RunResult
from batch_screen.commands.run import run as screen
from batch_screen.commands.validate import validate
from batch_screen.config.screening import Input, Numbers, Screening, Strictness
from batch_screen.config.sections import Guards, Output
from batch_screen.config.settings import Pacing, Prices, Settings
from batch_screen.errors import (
    ApiError,
    AuthenticationError,
    BatchScreenError,
    ConfigurationError,
    InputError,
    JournalError,
    OutputError,
    QuotaError,
    RunLockedError,
    Stopped,
)
from batch_screen.job import Job
from batch_screen.model import Answer, Endpoint, Lookup
from batch_screen.planning import shards
from batch_screen.runs.events import CancelToken, RunEvents, Silent
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS, TABLES
from batch_screen.storage.lock import locked
from batch_screen.tables.manifest import is_whole
from batch_screen.tables.summary import Ending, read_summary
from tests.thoroughness import in_full

DAY = date(2026, 11, 23)
# An age is that of the moment of the answer.
AGES = ["_age_hours", "_age_band", "_recent"]
TIMES = ["latency_ms", "responded_at", "correlator", "run_id", "window_start", "window_end", *AGES]
ENDPOINTS = (Endpoint.SIM_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE)


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """200 rows over 40 numbers, some of them no numbers at all."""
    return listed(tmp_path, 40)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """As many rows over 130 numbers, so that a run can be stopped on its way."""
    return listed(tmp_path, 130)


def listed(folder: Path, numbers: int) -> Path:
    path = folder / "customers.csv"
    rows = [f"c{i},{'' if i % 50 == 7 else f'07700 900{i * 7 % numbers:03d}'}" for i in range(200)]
    path.write_text("\n".join(["id,phone", *rows]) + "\n", encoding="utf-8")
    return path


def job(numbers: Path, out: str = "out", *, rate: float = 4000, **changes: Any) -> Job:
    output = {"folder": str(numbers.parent / out)} | changes.pop("output", {})
    settings = Settings(
        screening=changes.pop("screening", Screening(endpoints=ENDPOINTS)),
        input=Input(default_region="GB", keep_columns=("id",)),
        numbers=Numbers(strictness=Strictness.POSSIBLE),
        pacing=Pacing(rate_per_second=rate, ramp_up_seconds=0),
        guards=Guards(grace_seconds=5),
        output=Output(**output),
        prices=Prices(per_request={Endpoint.SIM_SWAP_CHECK: 0.01}),
    )
    return Job((str(numbers),), settings, **{"sandbox": True, "run_date": DAY, **changes})


def table(screened: RunResult, name: str) -> pl.DataFrame:
    """A table of a run without what no two runs share, in one order."""
    paths = screened.layout.parts(name)
    frame = pl.concat(pl.read_parquet(p, hive_partitioning=False) for p in paths)
    times = [c for c in frame.columns if c.endswith(tuple(TIMES))]
    order = {RESULTS: ["row_index"], LOOKUPS: ["e164", "endpoint"]}
    return frame.drop(times).sort(order.get(name, ["kind", "row_index", "e164", "endpoint"]))


def tables(screened: RunResult) -> dict[str, pl.DataFrame]:
    return {name: table(screened, name) for name in TABLES}


def assert_same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> None:
    for name in TABLES:
        assert one[name].equals(other[name]), name


def test_a_list_is_screened_and_the_second_time_it_is_done_already(numbers: Path) -> None:
    first = screen(job(numbers))
    assert not first.was_complete
    assert first.summary.status == "complete"
    assert first.layout.marker.exists()
    assert first.summary.rows.read == 200
    assert first.summary.rows.rejected_by_reason == {"empty": 4}
    assert table(first, RESULTS).height == first.summary.rows.accepted == 196
    attempts = first.summary.session.attempts
    assert attempts == first.summary.lookups == 2 * first.summary.rows.unique_numbers
    before = {p: p.stat().st_mtime_ns for p in first.layout.folder.rglob("*.parquet")}
    second = screen(job(numbers))
    assert second.was_complete
    assert second.summary == first.summary
    assert {p: p.stat().st_mtime_ns for p in first.layout.folder.rglob("*.parquet")} == before


def test_a_run_that_is_complete_asks_for_nothing(
    numbers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen(job(numbers))

    def never(*_: object, **__: object) -> None:
        pytest.fail("asked")

    monkeypatch.setattr("batch_screen.commands.run.run_engine", never)
    monkeypatch.setattr("batch_screen.commands.run.SandboxThread", never)
    assert screen(job(numbers)).was_complete


def test_the_forecast_is_what_is_then_asked(numbers: Path) -> None:
    told = plan(job(numbers))
    assert list(numbers.parent.iterdir()) == [numbers]
    screened = screen(job(numbers))
    asked = {e: figures.attempts for e, figures in screened.summary.endpoints.items()}
    assert told.to_ask == told.lookups == asked
    assert told.rows == screened.summary.rows
    assert told.cost == screened.summary.cost > 0
    assert told.resumes is None
    assert set(told.already_answered.values()) == {0}
    after = plan(job(numbers))
    assert (after.resumes, after.cost) == (screened.summary.run_id, 0.0)
    assert after.already_answered == told.lookups
    assert set(after.to_ask.values()) == {0}
    assert plan(job(numbers, new_run=True)).to_ask == told.to_ask


class StopAfter(Silent):
    """Wishes to stop after so many saved outcomes."""

    def __init__(self, outcomes: int) -> None:
        self.left = outcomes
        self.stop = CancelToken()
        self.asking = False

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        self.asking = name == "asking"

    def advance(self, count: int) -> None:
        self.left -= count if self.asking else 0
        if self.left <= 0 and not self.stop.is_requested:
            self.stop.request(signal.SIGINT)


def stopped(what: Job, outcomes: int) -> None:
    watcher = StopAfter(outcomes)
    with pytest.raises(Stopped) as caught:
        screen(what, RunEvents(watcher, watcher.stop))
    assert caught.value.exit_code == 130


@pytest.mark.parametrize(
    "cuts", [*(pytest.param(cuts, marks=in_full) for cuts in ([1], [100])), [20, 30, 20]]
)
def test_stopped_and_resumed_equals_uninterrupted(many: Path, cuts: list[int]) -> None:
    whole = screen(job(many, "whole"))
    for cut in cuts:
        stopped(job(many, "cut", rate=200), cut)
    told = plan(job(many, "cut"))
    resumed = screen(job(many, "cut"))
    assert_same(tables(resumed), tables(whole))
    assert told.resumes == resumed.summary.run_id == whole.summary.run_id
    assert resumed.summary.session.attempts == sum(told.to_ask.values()) < whole.summary.lookups
    assert resumed.summary.unanswered == 0
    lookups = table(resumed, LOOKUPS)
    assert lookups["attempts"].sum() == lookups.height, "nothing was bought twice"


def test_many_shards_give_the_rows_of_one(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    rows = [f"c{i},07700 900{i * 7 % 150:03d}" for i in range(2600)]
    path.write_text("\n".join(["id,phone", *rows]) + "\n", encoding="utf-8")
    one = screen(job(path, "one"))
    many = screen(job(path, "many", output={"shard_lookups": 2000}))
    assert len(one.layout.parts(RESULTS)) == 1
    assert len(many.layout.parts(RESULTS)) == 4
    assert_same(tables(many), tables(one))
    unsorted = pl.read_parquet(one.layout.parts(RESULTS)[0])["row_index"]
    assert unsorted.is_sorted(), "a small input keeps its order"
    assert one.summary.endpoints.keys() == many.summary.endpoints.keys()


@in_full
def test_many_shards_in_few_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "many.csv"
    rows = [f"c{i},{'x' if i % 9 == 0 else f'07700 900{i * 7 % 150:03d}'}" for i in range(5200)]
    path.write_text("\n".join(["id,phone", *rows]) + "\n", encoding="utf-8")
    one = screen(job(path, "one"))
    monkeypatch.setattr(shards, "MOST_FILES", 4)
    monkeypatch.setattr("batch_screen.commands.parts.MANY_SHARDS", 4)
    monkeypatch.setattr("batch_screen.commands.parts.SHARDS_OF_A_PART", 4)
    many = screen(job(path, "many", output={"shard_lookups": 1000}))
    assert [len(many.layout.parts(name)) for name in TABLES] == [4, 4, 4]
    assert_same(tables(many), tables(one))
    found = validate(tmp_path / "many")
    assert found.is_whole, found
    assert one.summary.endpoints.keys() == many.summary.endpoints.keys()


def test_state_that_was_removed_does_not_make_a_complete_run_new(numbers: Path) -> None:
    first = screen(job(numbers))
    shutil.rmtree(numbers.parent / "out" / ".state")
    second = screen(job(numbers))
    assert second.was_complete
    assert second.summary == first.summary


def test_removed_state_of_a_complete_run_is_not_begun_again(numbers: Path) -> None:
    screen(job(numbers))
    shutil.rmtree(numbers.parent / "out" / ".state")
    screen(job(numbers))
    assert not list((numbers.parent / "out" / ".state" / "runs").glob("*"))
    assert sum(plan(job(numbers)).to_ask.values()) == 0


def test_lost_output_is_written_again_without_asking(numbers: Path) -> None:
    first = screen(job(numbers))
    before = tables(first)
    shutil.rmtree(numbers.parent / "out" / RESULTS)
    again = screen(job(numbers))
    assert not again.was_complete
    assert again.summary.session.attempts == 0
    assert_same(tables(again), before)
    assert is_whole(again.layout)


def test_lost_output_and_state_are_not_bought_again_by_mistake(numbers: Path) -> None:
    first = screen(job(numbers))
    for folder in (RESULTS, ".state"):
        shutil.rmtree(numbers.parent / "out" / folder)
    with pytest.raises(OutputError, match=rf"{first.summary.run_id}.*--new-run"):
        screen(job(numbers))


def test_two_state_folders_do_not_share_an_output_folder(numbers: Path) -> None:
    elsewhere = {"state_folder": str(numbers.parent / "elsewhere")}
    (numbers.parent / "out" / ".state").mkdir(parents=True)
    with locked(numbers.parent / "out" / ".state"), pytest.raises(RunLockedError):
        screen(job(numbers, output=elsewhere))


def test_a_run_with_other_settings_says_that_it_pays_again(numbers: Path) -> None:
    first = screen(job(numbers))
    said: list[str] = []

    class Listening(Silent):
        def note(self, message: str) -> None:
            said.append(message)

    other = job(numbers, screening=Screening(endpoints=ENDPOINTS[:1]))
    screen(other, RunEvents(Listening()))
    assert any(
        first.summary.run_id in line and "screening.endpoints" in line and "pays" in line
        for line in said
    )


def test_leftovers_of_killed_processes_are_swept(numbers: Path) -> None:
    state = numbers.parent / "out" / ".state"
    state.mkdir(parents=True)
    (state / "stdin-abc.input").write_text("+491713920012\n")
    screen(job(numbers))
    assert not list(state.glob("stdin-*"))


def test_a_new_run_gets_its_own_files(numbers: Path) -> None:
    first = screen(job(numbers))
    again = screen(job(numbers, new_run=True))
    assert again.summary.run_id == f"{first.summary.run_id}-2"
    assert not again.was_complete
    assert_same(tables(again), tables(first))
    shutil.rmtree(numbers.parent / "out" / ".state")
    third = screen(job(numbers, new_run=True))
    assert third.summary.run_id == f"{first.summary.run_id}-3"


def test_another_date_is_another_run(numbers: Path) -> None:
    first = screen(job(numbers))
    other = screen(job(numbers, run_date=date(2026, 11, 24)))
    assert other.summary.run_date == "2026-11-24"
    assert other.summary.run_id != first.summary.run_id


def test_other_settings_do_not_use_what_was_bought(many: Path) -> None:
    stopped(job(many, rate=200), 50)
    other = Screening(endpoints=ENDPOINTS, max_age_minutes=60)
    with pytest.raises(ConfigurationError, match="max_age_minutes was 2400, now 60"):
        screen(job(many, screening=other))
    with pytest.raises(ConfigurationError, match="max_age_minutes"):
        plan(job(many, screening=other))
    resumed = screen(job(many, rate=3000))  # pace may change
    assert resumed.summary.session.attempts < resumed.summary.lookups


def test_an_unfinished_run_of_another_date_is_told(many: Path) -> None:
    stopped(job(many, rate=200), 20)
    notes: list[str] = []

    class Noting(Silent):
        def note(self, message: str) -> None:
            notes.append(message)

    screen(job(many, run_date=date(2026, 11, 24)), RunEvents(Noting()))
    assert any("--run-date 2026-11-23 resumes it" in note for note in notes)


@pytest.mark.parametrize("content", ["phone\n", "phone\nnonsense\n", "phone\n\n\n"])
def test_rubbish_leaves_nothing_behind(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rubbish.csv"
    path.write_text(content, encoding="utf-8")
    settings = Settings(
        input=Input(phone_column="phone", default_region="GB"),
        output=Output(folder=str(tmp_path / "out")),
    )
    with pytest.raises(InputError):
        screen(Job((str(path),), settings, sandbox=True))
    assert list((tmp_path / "out" / ".state" / "runs").glob("*")) == []
    assert {p.name for p in (tmp_path / "out").rglob("*") if p.is_file()} <= {"lock"}
    with pytest.raises(InputError):
        plan(Job((str(path),), settings, sandbox=True))


def test_an_input_that_is_not_there_creates_nothing(tmp_path: Path) -> None:
    settings = Settings(output=Output(folder=str(tmp_path / "out")))
    with pytest.raises(InputError) as caught:
        screen(Job((str(tmp_path / "nowhere.csv"),), settings, sandbox=True))
    assert caught.value.exit_code == 66
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_said_before_anything_is_read(numbers: Path) -> None:
    with pytest.raises(AuthenticationError):
        screen(job(numbers, sandbox=False))
    keyed = job(numbers, sandbox=False, key=SecretStr("k"), output={"folder": ""})
    with pytest.raises(ConfigurationError, match="--out"):
        screen(keyed)
    assert list(numbers.parent.iterdir()) == [numbers]


def test_one_run_at_a_time(numbers: Path) -> None:
    screen(job(numbers))
    with locked(numbers.parent / "out" / ".state"), pytest.raises(RunLockedError):
        screen(job(numbers))


def test_state_can_lie_elsewhere(numbers: Path) -> None:
    state = numbers.parent / "elsewhere"
    screened = screen(job(numbers, output={"state_folder": str(state)}))
    assert (state / "runs" / screened.summary.run_id / "run.json").exists()
    assert not (numbers.parent / "out" / ".state" / "runs").exists()  # only a lock


def test_standard_input_is_the_same_run_as_itself_and_leaves_no_copy(
    numbers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = Job(("-",), job(numbers).settings, run_date=DAY, sandbox=True)
    for was_complete in (False, True):
        content = io.TextIOWrapper(io.BytesIO(numbers.read_bytes()))
        monkeypatch.setattr(sys, "stdin", content)
        screened = screen(piped)
        assert screened.was_complete is was_complete
        left = [p.name for p in piped.state.iterdir()]
        assert set(left) <= {"runs", "lock"}
    assert table(screened, RESULTS).height == 196
    assert table(screened, ERRORS).height >= 4


@pytest.mark.parametrize("lost", ["plan", "sealed/00000.seal", "sealed/00000.parquet"])
def test_state_that_is_not_whole_is_never_removed(numbers: Path, lost: str) -> None:
    first = screen(job(numbers))
    run = numbers.parent / "out" / ".state" / "runs" / first.summary.run_id
    shutil.rmtree(run / lost, ignore_errors=True)
    (run / lost).unlink(missing_ok=True)
    first.layout.parts(RESULTS)[0].unlink()
    before = sorted(run.rglob("*"))
    with pytest.raises((OutputError, JournalError)):
        screen(job(numbers))
    assert sorted(run.rglob("*")) == before


def test_reports_without_state_are_not_paid_for_again(numbers: Path) -> None:
    first = screen(job(numbers))
    shutil.rmtree(numbers.parent / "out" / ".state")
    first.layout.marker.unlink()
    with pytest.raises(OutputError, match="restore them, or ask and pay again with --new-run"):
        screen(job(numbers))


# --- stopped on purpose -------------------------------------------------------------------

QUOTA = QuotaError("the account behind +491713920012 is empty")


def stopping(monkeypatch: pytest.MonkeyPatch, error: Exception, after: int) -> None:
    """The server answers so many requests; then the error ends the run."""
    left = iter(range(after))
    ask = Client.ask

    async def asking(client: Client, lookup: Lookup, correlator: str) -> Answer:
        if next(left, None) is None:
            raise error
        return await ask(client, lookup, correlator)

    monkeypatch.setattr(Client, "ask", asking)


class Hearing(Silent):
    """Hears what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def stopped_on_purpose(
    what: Job, error: BatchScreenError = QUOTA, events: RunEvents | None = None
) -> list[RunResult]:
    told: list[RunResult] = []
    with pytest.raises(type(error)) as caught:
        screen(what, events, told.append)
    assert caught.value is error
    return told


def test_a_run_stopped_on_purpose_says_how_far_it_came(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stopping(patch, QUOTA, after=100)
        [told] = stopped_on_purpose(job(many))
    summary = told.summary
    assert read_summary(told.layout.summary) == summary
    assert (summary.status, summary.is_stopped) == ("stopped", True)
    assert summary.stopped == Ending("the account behind +4917••••••12 is empty", 4)
    numbers_asked = summary.rows.unique_numbers
    assert summary.rows.read == 200
    assert set(summary.endpoints) == set(ENDPOINTS)
    assert all(e.total + e.left == numbers_asked for e in summary.endpoints.values())
    assert summary.lookups == sum(e.attempts for e in summary.endpoints.values()) == 100
    assert summary.cost == pytest.approx(0.01 * summary.endpoints[ENDPOINTS[0]].attempts)
    assert [start.attempts for start in summary.starts] == [summary.session.attempts]
    assert {p.name for p in told.layout.run.iterdir()} == {"summary.json"}
    assert not told.layout.latest.exists()
    assert sum(plan(job(many)).to_ask.values()) == summary.left
    resumed = screen(job(many))
    assert_same(tables(resumed), tables(screen(job(many, "whole"))))
    assert resumed.summary.left == 0
    assert resumed.summary.stopped is None
    first, second = resumed.summary.starts
    assert (first, second) == (summary.session, resumed.summary.session)
    assert validate(resumed.layout.folder).is_whole


def test_a_stopped_run_is_no_complete_run_to_validate(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping(monkeypatch, QUOTA, after=10)
    [told] = stopped_on_purpose(job(many))
    with pytest.raises(InputError, match="no run was completed"):
        validate(told.layout.folder)
    [marker] = validate(told.layout.folder, told.summary.run_id).checks
    assert (marker.name, marker.is_ok) == ("marker", False)


def test_a_stopped_run_whose_state_is_gone_is_not_bought_again_in_silence(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stopping(patch, QUOTA, after=10)
        stopped_on_purpose(job(many))
    shutil.rmtree(many.parent / "out" / ".state")
    with pytest.raises(OutputError, match="was stopped after it had asked"):
        screen(job(many))
    assert screen(job(many, new_run=True)).summary.status == "complete"


@pytest.mark.parametrize(
    "error",
    [
        Stopped("too long a Retry-After"),
        ApiError("nothing but failures"),
        AuthenticationError("refused"),
        ConfigurationError("the canary: all 404"),
    ],
)
def test_whatever_the_api_ends_is_told(
    many: Path, monkeypatch: pytest.MonkeyPatch, error: BatchScreenError
) -> None:
    stopping(monkeypatch, error, after=20)
    [told] = stopped_on_purpose(job(many), error)
    assert told.summary.stopped == Ending(str(error), error.exit_code)


@pytest.mark.parametrize(
    "error",
    [
        OutputError("no space"),
        JournalError("damaged"),
        RunLockedError("held"),
        Stopped("stopped by SIGTERM", exit_code=143),
        Stopped("stopped by SIGINT", exit_code=130),
    ],
)
def test_whatever_else_ends_the_asking_is_told_too(
    many: Path, monkeypatch: pytest.MonkeyPatch, error: BatchScreenError
) -> None:
    stopping(monkeypatch, error, after=20)
    [told] = stopped_on_purpose(job(many), error)
    assert read_summary(told.layout.summary) == told.summary
    assert told.summary.stopped == Ending(str(error), error.exit_code)
    assert told.summary.lookups + told.summary.left == 2 * told.summary.rows.unique_numbers
    [start] = (many.parent / "out").glob(".state/runs/*/sessions/*")
    assert start.name == "0001.json"


@pytest.mark.parametrize(
    ("broken", "told"), [("keep_session", 1), ("count_stopped", 0), ("write_stopped", 1)]
)
def test_what_stopped_the_run_is_told_whatever_fails_then(
    many: Path, monkeypatch: pytest.MonkeyPatch, broken: str, told: int
) -> None:
    def full(*_: object) -> None:
        raise OutputError("cannot write: No space left on device")

    monkeypatch.setattr(f"batch_screen.commands.run.{broken}", full)
    stopping(monkeypatch, QUOTA, after=20)
    heard = Hearing()
    found = stopped_on_purpose(job(many), events=RunEvents(heard))
    assert len(found) == told  # the figures go to whoever listens, also where no disk takes them
    lost = [note for note in heard.notes if "its summary.json could not be written" in note]
    assert len(lost) == (broken != "keep_session")


@pytest.mark.parametrize("error", [OutputError("no space"), KeyError("+447700900123")])
def test_what_fails_while_the_files_are_written_is_told_and_the_next_start_writes_them(
    numbers: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    told: list[RunResult] = []
    with monkeypatch.context() as patch:
        patch.setattr(write, "write_manifest", fail)
        with pytest.raises(type(error)):
            screen(job(numbers), on_stopped=told.append)
    [half] = told
    assert (half.summary.status, half.summary.left) == ("stopped", 0)
    assert read_summary(half.layout.summary) == half.summary
    assert "900123" not in half.layout.summary.read_text("utf-8")
    planned = plan(job(numbers, run_date=None))
    assert (planned.resumes, sum(planned.to_ask.values())) == (half.summary.run_id, 0)
    again = screen(job(numbers, run_date=None))  # of the night after
    assert again.summary.run_id == half.summary.run_id
    assert (again.summary.status, again.summary.session.attempts) == ("complete", 0)
    assert is_whole(again.layout)


def test_a_run_is_named_as_soon_as_it_is_known(numbers: Path) -> None:
    named: list[str] = []
    first = screen(job(numbers), RunEvents(on_run=named.append))
    screen(job(numbers), RunEvents(on_run=named.append))
    assert named == [first.summary.run_id] * 2


def test_thresholds_are_judged_against_the_complete_run_before(numbers: Path) -> None:
    strict = Guards(fail_if=("rows_change < -20%", "reject_rate > 1%", "cost > 100"))

    def screened(day: int, guards: Guards) -> RunResult:
        whole = job(numbers, run_date=date(2026, 11, day))
        settings = whole.settings.model_copy(update={"guards": guards})
        return screen(replace(whole, settings=settings))

    first = screened(23, Guards())
    assert (first.summary.exit_code, first.summary.thresholds) == (0, [])
    lines = numbers.read_text("utf-8").splitlines()
    numbers.write_text("\n".join(lines[:100]) + "\n", "utf-8")
    second = screened(24, strict).summary
    assert second.exit_code == 3
    rows, rejects, cost = second.thresholds
    assert (rows.seen, rows.crossed, rows.previous_run) == (-0.505, True, first.summary.run_id)
    assert (rejects.crossed, cost.crossed) == (True, False)
    assert validate(first.layout.folder).is_whole
    again = screened(24, Guards())  # complete already: the thresholds of now count
    assert (again.was_complete, again.summary.exit_code) == (True, 0)


def test_a_damaged_record_of_a_start_is_told_before_anything_is_asked(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(job(many, rate=200), 20)
    [start] = (many.parent / "out").glob(".state/runs/*/sessions/*")
    start.write_bytes(start.read_bytes()[:-9])
    monkeypatch.setattr("batch_screen.commands.run.run_engine", lambda *_: pytest.fail("asked"))
    with pytest.raises(JournalError, match=r"sessions/0001\.json is missing or not as it was"):
        screen(job(many))


def test_every_start_that_asked_is_in_the_summary(many: Path) -> None:
    for _ in range(2):
        stopped(job(many, rate=200), 50)
    resumed = screen(job(many))
    sessions = [start.attempts for start in resumed.summary.starts]
    assert len(sessions) == 3
    assert sum(sessions) == resumed.summary.lookups
    shutil.rmtree(many.parent / "out" / RESULTS)
    again = screen(job(many))
    assert again.summary.session.attempts == 0
    assert again.summary.starts == resumed.summary.starts


def test_inside_a_running_loop_it_says_what_to_do(numbers: Path) -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError, match=r"asyncio\.to_thread"):
            screen(job(numbers))
        await asyncio.to_thread(screen, job(numbers))

    asyncio.run(main())


def test_with_the_sandbox_each_night_takes_place_on_its_date(many: Path) -> None:
    since = Screening(endpoints=[Endpoint.SIM_SWAP_CHECK], max_age="since-last-run")
    found = []
    for day in (2, 3, 7):
        begun = job(many, screening=since, run_date=date(2026, 3, day))
        expected = plan(begun).windows["sim-swap/check"]
        screened = screen(begun)
        lookups = table_with_times(screened)
        checks = lookups.filter(endpoint="sim-swap/check")
        assert set(checks["responded_at"].dt.date()) == {date(2026, 3, day)}
        assert validate(screened.layout.folder).is_whole
        found.append((expected, checks, screened.summary.coverage["sim-swap/check"]))
    (first, _, seen), (second, checks, covered), (third, beyond, told) = found
    assert first.first == seen.first == seen.numbers
    assert second.reaching == third.beyond == covered.without_gap
    assert checks["max_age_minutes"].drop_nulls().is_between(1499, 1501).sum() > 100
    assert covered.with_gap == 0
    derived = beyond.filter(source="derived")
    assert derived.height == told.without_gap > 50
    assert derived["max_age_minutes"].is_between(4 * 1440 + 59, 4 * 1440 + 61).all()
    assert told.with_gap == beyond.filter(source="asked", outcome="success").height


def table_with_times(screened: RunResult) -> pl.DataFrame:
    paths = screened.layout.parts(LOOKUPS)
    return pl.concat(pl.read_parquet(path, hive_partitioning=False) for path in paths)
