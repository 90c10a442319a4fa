"""What is done with runs, and after runs, from which somebody was erased: nobody comes back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import batch_screen
from batch_screen import PurgeScope, RunEvents
from batch_screen.commands import erase as erasing
from batch_screen.commands.erase import EraseReport, erase_people
from batch_screen.erasure.people import People
from batch_screen.errors import BatchScreenError, OutputError
from batch_screen.model import OutcomeKind
from batch_screen.runs.events import Silent
from batch_screen.runs.layout import layout_of_run, runs_at
from batch_screen.tables.manifest import read_manifest
from batch_screen.tables.summary import read_summary
from tests.buckets import Bucket
from tests.decoded import numbers_in
from tests.nights import NIGHTS, job, listed, make_nights
from tests.thoroughness import in_full

from .test_earlier_version import unpacked

SOMEBODY = "+442079460007"
LATE = "+442079460300"  # only in the longer list
FIRST = NIGHTS[0]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night, one with a longer list, the first list again."""
    folder = tmp_path_factory.mktemp("three")
    return make_nights(folder, [FIRST, NIGHTS[1], FIRST._replace(day="2026-11-25")])


@pytest.fixture
def out(nights: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(nights.parent, tmp_path / "own")) / nights.name


def erased(out: Path, *numbers: str) -> EraseReport:
    people = People(pl.Series(sorted(numbers or (SOMEBODY,))))
    return erase_people(people, out, out / ".state")


def not_whole(out: Path, run_ids: Sequence[str] = ()) -> list[object]:
    checked = [batch_screen.validate(out, run_id) for run_id in run_ids or runs_at(out)]
    return [check for each in checked for check in each.checks if not check.is_ok]


def restored(out: Path) -> None:
    """Erases somebody, and puts the state back that was there before."""
    kept = shutil.copytree(out / ".state", out.parent / "backup")
    erased(out)
    shutil.rmtree(out / ".state")
    shutil.copytree(kept, out / ".state")


def test_other_columns_of_an_erased_run_are_refused_with_their_price(out: Path) -> None:
    erased(out)
    with pytest.raises(OutputError, match=r"people were erased from it.* asks 168 lookups") as said:
        batch_screen.run(job(out.parent, FIRST._replace(kept=("branch",))))
    assert "restore" not in str(said.value)  # which would write them back
    assert not_whole(out) == []


@in_full
def test_a_state_that_was_restored_does_not_bring_them_back(out: Path) -> None:
    restored(out)
    with pytest.raises(OutputError, match="may hold them"):
        batch_screen.run(job(out.parent, FIRST._replace(kept=("branch",))))
    marker = layout_of_run(out, runs_at(out)[0]).marker
    away = marker.rename(out.parent / "marker")
    with pytest.raises(OutputError, match="a copy made after the erasure"):
        batch_screen.run(job(out.parent, FIRST))
    away.rename(marker)
    assert not_whole(out) == []
    assert all(name.startswith(".state") for name in numbers_in(out, {SOMEBODY}))
    erased(out)
    assert numbers_in(out, {SOMEBODY}) == []


@in_full
def test_other_columns_of_a_run_that_did_not_hold_them_are_free(out: Path) -> None:
    erased(out, LATE)
    asked = read_summary(layout_of_run(out, runs_at(out)[0]).summary).session.attempts
    result = batch_screen.run(job(out.parent, FIRST._replace(kept=("branch",))))
    assert result.summary.session.attempts == asked
    assert not_whole(out) == []
    assert numbers_in(out, {LATE}) == []


def test_a_number_in_a_kept_cell_alone_is_in_the_state_too(tmp_path: Path) -> None:
    noted = pl.when(pl.int_range(20) == 3).then(pl.lit("call 020 7946 0999"))
    listed(20).with_columns(branch=noted).write_csv(tmp_path / "list.csv")
    batch_screen.run(job(tmp_path, FIRST._replace(kept=("branch",))))
    out = tmp_path / "screened"
    report = erased(out, "+442079460999")
    assert (report.runs[0].cells, len(report.states)) == (1, 1)
    assert numbers_in(out, {"2079460999"}) == []
    assert not_whole(out) == []


RETRIED = frozenset(OutcomeKind) - {OutcomeKind.SUCCESS}


@in_full
def test_a_retry_of_an_erased_run_is_whole(out: Path) -> None:
    of = layout_of_run(out, runs_at(out)[-1])
    erased(out)
    asked = job(out.parent, FIRST)
    output = asked.settings.output.model_copy(update={"in_order": True})
    asked = replace(asked, settings=asked.settings.model_copy(update={"output": output}))
    result = batch_screen.retry(asked, of.run_id, RETRIED)
    assert result is not None
    summary = result.summary
    before = read_summary(of.summary)
    assert (summary.rows, summary.erased) == (before.rows, before.erased)
    in_order, as_it_was = (
        pl.read_parquet(files, columns=["row_index"])
        for files in (result.layout.in_order, of.parts("results"))
    )
    assert in_order.equals(as_it_was.sort("row_index"))
    assert not_whole(out) == []
    assert numbers_in(out, {SOMEBODY}) == []


def test_a_run_and_its_retry_are_erased_together(out: Path) -> None:
    of = runs_at(out)[-1]
    result = batch_screen.retry(job(out.parent, FIRST), of, RETRIED)
    assert result is not None
    report = erased(out)
    assert {of, result.summary.run_id} < {run.run_id for run in report.runs}
    assert not_whole(out) == []
    assert numbers_in(out, {SOMEBODY}) == []
    with pytest.raises(BatchScreenError, match="superseded"):
        batch_screen.retry(job(out.parent, FIRST), of, RETRIED)
    again = batch_screen.retry(job(out.parent, FIRST), result.summary.run_id, RETRIED)
    assert again is not None
    assert not_whole(out) == []
    assert numbers_in(out, {SOMEBODY}) == []


@in_full
def test_reuse_of_the_next_night_takes_no_answer_of_theirs(out: Path) -> None:
    erased(out)
    others = listed(60).filter(pl.col("phone") != SOMEBODY)
    others.write_csv(out.parent / "list.csv")
    result = batch_screen.run(job(out.parent, FIRST._replace(day="2026-11-28")))
    assert result.summary.changes is not None
    assert (result.summary.changes.numbers_gone, result.summary.changes.numbers_new) == (0, 0)
    assert not_whole(out) == []
    assert numbers_in(out, {SOMEBODY}) == []


def test_diff_report_export_and_purge_know_erased_runs(out: Path) -> None:
    whole = batch_screen.diff(runs_at(out)[0], runs_at(out)[1], out=out).changes
    erased(out, SOMEBODY, LATE)
    first, second, third = runs_at(out)
    changes = batch_screen.diff(first, second, out=out).changes
    assert changes.numbers_compared == whole.numbers_compared - 1
    assert changes.numbers_new == whole.numbers_new - 1
    for run_id in (first, second, third):
        batch_screen.report(out, run_id)
        batch_screen.export(out, out.parent / f"{run_id}.csv", run_id)
    sheets = [path.read_text("utf-8") for path in out.parent.glob("2026*.csv")]
    assert numbers_in(out, {SOMEBODY, LATE}, sheets) == []
    assert not_whole(out) == []
    batch_screen.purge(PurgeScope(out, out / ".state", date(2026, 11, 25)))
    assert runs_at(out) == [third]
    assert not_whole(out) == []
    assert erased(out, "+442079460008").erased
    assert not_whole(out) == []


def test_a_run_of_the_earlier_version_is_erased(tmp_path: Path) -> None:
    out = unpacked("night", tmp_path)
    [run_id] = runs_at(out)
    before = not_whole(out)
    layout = layout_of_run(out, run_id)
    number = pl.read_parquet(next(iter(layout.parts("results"))))["e164"][0]
    report = erased(out, number)
    assert [run.run_id for run in report.runs] == [run_id]
    assert not_whole(out) == before == []
    assert numbers_in(out, {number}) == []
    manifest = read_manifest(layout)
    assert manifest is not None
    assert manifest.schema_version == 4
    assert len(manifest.erased) == 1


@in_full
def test_a_run_uploaded_again_is_in_the_bucket_without_them(
    out: Path, bucket: Bucket, tmp_path: Path
) -> None:
    def in_bucket(folder: Path) -> list[str]:
        for key in bucket.keys:
            copy = folder / key
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(bucket.get(key))
        return numbers_in(folder, {SOMEBODY})

    address = f"{bucket.address}/screened"
    some = [runs_at(out)[0], runs_at(out)[-1]]
    for run_id in some:
        batch_screen.upload(out, address, run_id)
    assert in_bucket(tmp_path / "before")
    erased(out)
    for run_id in some:
        batch_screen.upload(out, address, run_id)
        assert batch_screen.validate(address, run_id).is_whole
    assert in_bucket(tmp_path / "after") == []


class Notes(Silent):
    """The lines that a user is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def pending_out(out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output folder in which an erasure has begun and was killed."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(erasing, "write_without", die)
        with pytest.raises(KeyboardInterrupt):
            erased(out)
    return out


def test_every_command_says_that_an_erasure_is_pending(
    pending_out: Path, bucket: Bucket, tmp_path: Path
) -> None:
    out, run_ids = pending_out, runs_at(pending_out)
    a_job, to = job(out.parent, FIRST), f"duckdb:{tmp_path / 'it.duckdb'}"
    calls: dict[str, Callable[[RunEvents], object]] = {
        "run": lambda events: batch_screen.run(a_job, events),
        "retry": lambda events: batch_screen.retry(a_job, run_ids[-1], RETRIED, events),
        "validate": lambda events: batch_screen.validate(out, run_ids[0], events),
        "load": lambda events: batch_screen.load([out], to, sandbox=True, events=events),
        "upload": lambda events: batch_screen.upload(out, bucket.address, run_ids[0], events),
        "export": lambda events: batch_screen.export(out, tmp_path / "x.csv", events=events),
        "diff": lambda events: batch_screen.diff(run_ids[0], run_ids[1], out=out, events=events),
        "report": lambda events: batch_screen.report(out, run_ids[0], events=events),
    }
    for name, call in calls.items():
        notes = Notes()
        call(RunEvents(notes))
        said = [note for note in notes.lines if "has not come to its end" in note]
        assert (name, len(said)) == (name, 1)
        assert SOMEBODY[3:] not in said[0]
    assert erased(out).erased
