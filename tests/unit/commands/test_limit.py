"""A run of the first so many numbers: what it takes, leaves out, and is compared with."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from msgspec.structs import replace

import batch_screen
from batch_screen import Job, Settings
from batch_screen.commands.run import RunResult
from batch_screen.config.screening import Input
from batch_screen.config.sections import Guards, Output
from batch_screen.config.settings import Pacing, Planner
from batch_screen.errors import ConfigurationError
from batch_screen.model import Endpoint
from batch_screen.runs.events import RunEvents, Silent
from batch_screen.tables.summary import Rows
from tests.thoroughness import in_full

NUMBERS = [f"+44 20 7946 00{n:02d}" for n in range(20)]
# Number 2 stands in two rows, and a reject between 3 and 4.
ROWS = [*NUMBERS[:3], NUMBERS[2], NUMBERS[3], "n/a", *NUMBERS[4:]]


class Nights:
    """A list that is screened again and again into one folder."""

    def __init__(self, folder: Path, rows: list[str] = ROWS) -> None:
        self.list, self.out = folder / "list.csv", folder / "out"
        self.write(rows)
        self.planner = Planner()

    def write(self, rows: list[str]) -> None:
        self.list.write_text("\n".join(["phone", *rows]), "utf-8")

    def job(self, day: int, limit: int | None = None) -> Job:
        settings = Settings(
            input=Input(phone_column="phone"),
            planner=self.planner,
            pacing=Pacing(rate_per_second=1000),
            guards=Guards(fail_if=("rows_change < -20%",)),
            output=Output(folder=str(self.out)),
        )
        run_date = date(2026, 11, day)
        return Job((str(self.list),), settings, run_date=run_date, sandbox=True, limit=limit)

    def run(self, day: int, limit: int | None = None) -> RunResult:
        return batch_screen.run(self.job(day, limit))


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


BAD = {"not_a_number": 1}


@pytest.mark.parametrize(
    ("limit", "rows"),
    [
        pytest.param(1, Rows(1, 1, 0, {}, 0, 1, left_out=21), marks=in_full),
        pytest.param(3, Rows(3, 3, 0, {}, 0, 3, left_out=19), marks=in_full),
        (4, Rows(5, 5, 0, {}, 1, 4, left_out=17)),
        (5, Rows(7, 6, 1, BAD, 1, 5, left_out=15)),
        pytest.param(20, Rows(22, 21, 1, BAD, 1, 20), marks=in_full),
        (500, Rows(22, 21, 1, BAD, 1, 20)),
    ],
)
def test_every_row_is_accounted_for(nights: Nights, limit: int, rows: Rows) -> None:
    planned = batch_screen.plan(nights.job(23, limit))
    summary = nights.run(23, limit).summary
    numbers = min(limit, len(NUMBERS))
    assert summary.rows == planned.rows
    assert replace(summary.rows, by_phone_column={}) == rows
    assert summary.lookups == numbers == sum(planned.to_ask.values())
    assert summary.settings["limit"] == limit
    assert batch_screen.validate(nights.out).is_whole


def test_a_wrong_figure_is_noticed(nights: Nights) -> None:
    import msgspec.structs

    from batch_screen.tables.summary import write_summary

    done = nights.run(23, 3)
    rows = msgspec.structs.replace(done.summary.rows, left_out=3)
    settings = {**done.summary.settings, "limit": 4}
    write_summary(
        done.layout.summary, msgspec.structs.replace(done.summary, rows=rows, settings=settings)
    )
    found = {c.name: c.differences for c in batch_screen.validate(nights.out).checks}
    assert "numbers of the limit: 4 in summary.json, 3" in found["accounting"][0].what


def test_the_limit_belongs_to_the_run(nights: Nights) -> None:
    first, again = nights.run(23, 3), nights.run(23, 3)
    assert again.was_complete
    assert first.summary.run_id == again.summary.run_id
    others = {nights.run(23, limit).summary.run_id for limit in (4, None)}
    assert len(others | {first.summary.run_id}) == 3
    assert batch_screen.plan(nights.job(23, 3)).already_answered == {"sim-swap/check": 3}


def test_the_whole_list_has_the_identity_it_always_had(nights: Nights) -> None:
    assert "limit" not in nights.run(23).summary.settings


def test_a_trial_is_no_baseline_of_the_whole_list(nights: Nights) -> None:
    whole = nights.run(22)
    trial = nights.run(23, 3)
    assert trial.summary.changes is None  # else seventeen customers had gone
    assert not trial.summary.thresholds[0].crossed
    night = nights.run(24)
    assert night.summary.changes is not None
    assert night.summary.changes.since_run == whole.summary.run_id
    assert (night.summary.changes.numbers_new, night.summary.changes.numbers_gone) == (0, 0)
    assert not night.summary.thresholds[0].crossed
    second = nights.run(25, 3)
    assert second.summary.changes is not None
    assert second.summary.changes.since_run == trial.summary.run_id


def test_a_comparison_with_a_trial_says_so(nights: Nights) -> None:
    class Notes(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    whole, trial = (nights.run(22).layout.run, nights.run(23, 3).layout.run)
    found = batch_screen.diff(whole, trial, events=RunEvents(Notes()))
    assert found.changes.numbers_gone == len(NUMBERS) - 3
    [note] = said
    assert note.startswith(f"run {trial.name} was limited to the first 3 numbers, so numbers look")


def test_an_answer_of_a_trial_is_paid_for_once(nights: Nights) -> None:
    nights.planner = Planner(reuse_within_minutes={Endpoint.SIM_SWAP_CHECK: 10_000})
    nights.run(23, 3)
    assert sum(batch_screen.plan(nights.job(23)).to_ask.values()) == len(NUMBERS) - 3
    assert nights.run(23).summary.saved.reused == 3


def test_what_is_wrong_below_the_limit_is_refused_all_the_same(nights: Nights) -> None:
    nights.write([*ROWS, '"never closed'])
    with pytest.raises(batch_screen.BatchScreenError) as caught:
        nights.run(23, 1)
    assert caught.value.exit_code == 65


def test_doubtful_digits_are_read_as_the_whole_list_is_written(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    listed = [f"1520{n:07d},DE" for n in range(0, 9_000_000, 30_000)]
    nights.list.write_text("\n".join(["phone,country", *listed]), "utf-8")
    job = nights.job(23, 5)
    settings = job.settings.model_copy(
        update={"input": Input(phone_column="phone", region_column="country")}
    )
    planned = [
        batch_screen.plan(Job(job.inputs, settings, run_date=job.run_date, sandbox=True, limit=n))
        for n in (5, None)
    ]
    assert planned[0].facts["conventions"] == planned[1].facts["conventions"]


@pytest.mark.parametrize("limit", [0, -1, 1_000_001])
def test_limits_that_are_none(limit: int) -> None:
    with pytest.raises(ConfigurationError, match="from 1 to 1,000,000"):
        Job(("list.csv",), limit=limit)
