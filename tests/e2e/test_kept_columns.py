"""Other kept columns are no other run: a complete one is written anew, and nothing is asked."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import batch_screen
from batch_screen import Job, load_settings
from batch_screen.commands import rewrite
from batch_screen.errors import (
    ConfigurationError,
    InputError,
    OutputError,
    RunLockedError,
    Stopped,
)
from batch_screen.model import OutcomeKind
from batch_screen.runs import layout as layout_module
from batch_screen.runs.events import CancelToken, RunEvents, Silent
from batch_screen.storage.lock import shared
from tests.thoroughness import in_full

from .conftest import NUMBERS

DAY = date(2026, 3, 2)
LIST = "id,branch,phone,segment\n" + "".join(
    f"C-{n},{('Bern', 'Genf')[n % 2]},{number},{n % 3}\n" for n, number in enumerate(NUMBERS[:60])
)


class Noted(Silent):
    """What a start says, and how much it advances."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


class Nights:
    """A folder with a list, and runs of it."""

    def __init__(self, folder: Path) -> None:
        self.list, self.out = folder / "list.csv", folder / "out"
        self.list.write_text(LIST)
        self.said: list[str] = []

    def job(self, *kept: str, day: date = DAY, **sections: dict[str, object]) -> Job:
        settings = {
            "output": {"folder": str(self.out), "shard_lookups": 1000, "in_order": True},
            "pacing": {"rate_per_second": 1000, "ramp_up_seconds": 0},
            "prices": {"per_request": {"sim-swap/check": 0.01}},
            "input": {"keep_columns": kept, "phone_column": "phone"},
        }
        for name, section in sections.items():
            settings[name] = {**settings.get(name, {}), **section}
        return Job((str(self.list),), load_settings(settings), sandbox=True, run_date=day)

    def run(self, *kept: str, day: date = DAY, **how: dict[str, object]) -> batch_screen.RunResult:
        return self.start(self.job(*kept, day=day, **how))

    def start(self, job: Job) -> batch_screen.RunResult:
        noted = Noted()
        try:
            return batch_screen.run(job, RunEvents(noted))
        finally:
            self.said = noted.notes

    def results(self, run: batch_screen.RunResult) -> pl.DataFrame:
        manifest = json.loads(run.layout.manifest.read_bytes())
        listed = [f["path"] for f in manifest["files"] if f.get("table") == "results"]
        frames = [pl.read_parquet(self.out / f, hive_partitioning=False) for f in listed]
        kept = [name for name in frames[0].columns if name.startswith("in_")]
        assert manifest["kept_columns"] == kept
        return pl.concat(frames).sort("row_index")

    def is_whole(self, run_id: str | None = None) -> bool:
        return batch_screen.validate(self.out, run_id).is_whole


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def parts(run: batch_screen.RunResult, table: str) -> list[str]:
    return [path.name for path in run.layout.parts(table)]


def test_a_complete_run_is_written_anew_and_nothing_is_asked(nights: Nights) -> None:
    first = nights.run("id")
    before = nights.results(first)
    digest = first.layout.marker.read_text()
    others = {p: p.stat() for t in ("lookups", "errors", "changes") for p in first.layout.parts(t)}
    planned = batch_screen.plan(nights.job("id", "branch"))
    assert (sum(planned.to_ask.values()), planned.resumes) == (0, first.layout.run_id)
    second = nights.run("id", "branch")
    assert any("nothing is asked" in note for note in nights.said)
    assert second.was_complete
    assert second.layout.run_id == first.layout.run_id
    rows = nights.results(second)
    assert rows.drop("in_branch").equals(before)
    assert rows["in_branch"].to_list() == [("Bern", "Genf")[n % 2] for n in rows["row_index"]]
    assert parts(first, "results") == [f"{first.layout.run_id}-00000.2.parquet"]
    assert second.layout.marker.read_text() != digest
    # All else stays as it was, also the summary but for the setting.
    assert others == {path: path.stat() for path in others}
    settings = {**first.summary.settings, "input.keep_columns": ["id", "branch"]}
    assert second.summary == type(first.summary)(
        **{
            **{name: getattr(first.summary, name) for name in first.summary.__struct_fields__},
            "settings": settings,
        }
    )
    ordered = pl.read_parquet(second.layout.in_order)
    assert ordered["in_branch"].equals(rows["in_branch"])
    assert nights.is_whole()
    assert batch_screen.report(nights.out).path == str(second.layout.html)
    assert [run.state for run in batch_screen.status(nights.out, nights.out / ".state").runs] == [
        "complete"
    ]
    # And again: the same is complete, none is none, and no name is used twice.
    assert nights.run("ID", "branch").was_complete
    assert parts(first, "results") == [f"{first.layout.run_id}-00000.2.parquet"]
    third = nights.run()
    assert nights.results(third).equals(before.drop("in_id"))
    assert parts(first, "results") == [f"{first.layout.run_id}-00000.3.parquet"]
    assert nights.is_whole()
    assert len([*nights.out.glob("runs/*")]) == 1


def test_it_is_as_if_it_had_had_them_from_the_beginning(nights: Nights) -> None:
    """Also after everything is written anew, which takes the columns of the last start."""
    run = nights.run("id")
    anew = nights.results(nights.run("segment", "branch"))
    run.layout.marker.unlink()
    whole = nights.run("segment", "branch")
    assert not whole.was_complete
    assert nights.results(whole).equals(anew)
    assert nights.is_whole()
    assert parts(run, "results") == [f"{run.layout.run_id}-00000.parquet"]


@in_full
def test_many_parts_with_several_shards(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("batch_screen.commands.write", "batch_screen.commands.rewrite"):
        monkeypatch.setattr(f"{module}.part_count", lambda shards: max(1, shards // 2))
    monkeypatch.setattr("batch_screen.planning.shards.MOST_FILES", 2)
    body = "".join(f"C-{n},x{n},{number},0\n" for n, number in enumerate(NUMBERS[:1000] * 4))
    nights.list.write_text(LIST.partition("\n")[0] + "\n" + body)
    first = nights.run("id")
    before = nights.results(first)
    rows = nights.results(nights.run("id", "branch"))
    assert len(parts(first, "results")) > 1
    assert rows.drop("in_branch").equals(before)
    assert rows["in_branch"].to_list() == [f"x{n}" for n in rows["row_index"]]
    assert nights.is_whole()


def test_an_unfinished_run_goes_on_with_the_new_columns(nights: Nights) -> None:
    stop = CancelToken()

    class Stopping(Silent):
        def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
            del total, done
            if name == "asking":
                stop.request(15)

    with pytest.raises(Stopped):
        batch_screen.run(nights.job("id"), RunEvents(Stopping(), stop))
    done = nights.run("branch")
    assert not done.was_complete
    assert [name for name in nights.results(done).columns if name.startswith("in_")] == [
        "in_branch"
    ]
    assert done.summary.settings["input.keep_columns"] == ["branch"]
    assert nights.is_whole()


def test_a_column_that_is_not_there_changes_nothing(nights: Nights) -> None:
    run = nights.run("id")
    digest = run.layout.marker.read_text()
    for act in (nights.start, batch_screen.plan):
        with pytest.raises(InputError, match="no kept column 'brunch'"):
            act(nights.job("brunch"))
    assert run.layout.marker.read_text() == digest
    assert nights.is_whole()


def test_without_its_state_the_price_is_said(nights: Nights) -> None:
    run = nights.run("id")
    state = nights.out / ".state" / "runs" / run.layout.run_id
    shutil.rmtree(state)
    with pytest.raises(OutputError) as caught:
        nights.run("id", "branch")
    said = str(caught.value)
    assert "with the kept columns id; with the kept columns id, branch it would be written" in said
    assert "--new-run asks 60 lookups again for 0.60 EUR before retries" in said
    assert not state.exists()
    # The estimate agrees, and the same columns are complete.
    assert sum(batch_screen.plan(nights.job("branch")).to_ask.values()) == 60
    assert sum(batch_screen.plan(nights.job("id")).to_ask.values()) == 0
    assert nights.run("id").was_complete
    again = nights.start(replace(nights.job("branch"), new_run=True))
    assert not again.was_complete
    assert again.layout.run_id == f"{run.layout.run_id}-2"


@in_full
def test_another_night_and_what_it_counts_its_changes_from(nights: Nights) -> None:
    first = nights.run("id")
    second = nights.run("id", day=date(2026, 3, 3))
    latest = first.layout.latest.read_bytes()
    nights.run("id", "branch")
    # An older run that is written anew is not the latest one, and what was built on it stays whole.
    assert first.layout.latest.read_bytes() == latest
    assert nights.is_whole(first.layout.run_id)
    assert nights.is_whole(second.layout.run_id)
    second.layout.marker.unlink()
    assert nights.run("id", day=date(2026, 3, 3)).summary.changes == second.summary.changes
    changed = batch_screen.diff(first.layout.run, second.layout.run)
    assert changed.changes.numbers_compared == 60


def test_a_limited_run_and_a_group_readable_one(nights: Nights) -> None:
    how = {"output": {"mode": "group"}}
    job = replace(nights.job("id", **how), limit=7)
    nights.start(job)
    limited = nights.start(replace(nights.job("segment"), limit=7))
    assert limited.was_complete
    assert nights.results(limited).height == 7
    assert nights.is_whole()
    assert json.loads(limited.layout.manifest.read_bytes())["mode"] == "group"
    assert {p.stat().st_mode & 0o777 for p in limited.layout.run.iterdir()} == {0o640}
    assert limited.layout.parts("results")[0].stat().st_mode & 0o777 == 0o640


@in_full
def test_retries_get_them_too(nights: Nights) -> None:
    run = nights.run("id")
    kinds = [kind for kind in OutcomeKind if kind is not OutcomeKind.SUCCESS]
    job = replace(nights.job("id"), inputs=())
    retried = batch_screen.retry(job, run.layout.run_id, kinds)
    assert retried is not None
    nights.run("branch")
    for each in (run, retried):
        kept = [name for name in nights.results(each).columns if name.startswith("in_")]
        assert kept == ["in_branch"]
        assert nights.is_whole(each.layout.run_id)
    # The same call finds the same retry.
    again = batch_screen.retry(job, run.layout.run_id, kinds)
    assert again is not None
    assert again.was_complete
    assert again.layout.run_id == retried.layout.run_id


def test_nothing_damaged_is_signed_again(nights: Nights) -> None:
    run = nights.run("id")
    for path in (run.layout.parts("lookups")[0], run.layout.errors_csv, run.layout.summary):
        content = path.read_bytes()
        path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
        with pytest.raises((InputError, OutputError)) as caught:
            nights.run("branch")
        assert "is not what was written" in str(caught.value) or path == run.layout.summary
        path.write_bytes(content)
        assert nights.is_whole()
    assert nights.run("branch").was_complete


@in_full
def test_a_run_of_an_earlier_schema_is_written_anew_as_a_whole(nights: Nights) -> None:
    run = nights.run("id")
    manifest = run.layout.manifest.read_bytes()
    earlier = manifest.replace(b'"schema_version": 5', b'"schema_version": 4')
    assert earlier != manifest
    run.layout.manifest.write_bytes(earlier)
    run.layout.marker.write_text(f"{hashlib.sha256(earlier).hexdigest()}\n")
    with pytest.raises(OutputError, match=r"with schema version 4; delete .*_SUCCESS and start"):
        nights.run("branch")
    run.layout.marker.unlink()
    assert nights.results(nights.run("branch")).columns[-1] == "in_branch"
    assert nights.is_whole()


def test_who_reads_the_run_is_waited_for(nights: Nights) -> None:
    run = nights.run("id")
    with shared(run.layout.manifest, "run"), pytest.raises(RunLockedError, match="by a load or"):
        nights.run("branch")
    assert nights.results(run).columns[-1] == "in_id"
    assert nights.is_whole()
    assert nights.run("branch").was_complete
    assert [path.name for path in (nights.out / "runs").iterdir()] == [run.layout.run_id]


class Killed(BaseException):
    """In place of a signal that nobody can catch."""


def killed_at(place: str) -> Callable[..., None]:
    def kill(*_: object, **__: object) -> None:
        raise Killed(place)

    return kill


@pytest.mark.parametrize(
    "place",
    [
        "keep_anew",
        pytest.param("results_of", marks=in_full),
        pytest.param("write_summary", marks=in_full),
        pytest.param("write_manifest", marks=in_full),
        "layout.exchange_folders",
        pytest.param("settle", marks=in_full),
        pytest.param("latest_content", marks=in_full),
        pytest.param("sync_folder", marks=in_full),
        pytest.param("shutil.rmtree", marks=in_full),
    ],
)
def test_killed_at_any_point_one_of_the_two_is_whole(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    run = nights.run("id")
    layout, before = run.layout, nights.results(run)
    module, _, name = place.rpartition(".")
    modules = {"": rewrite, "layout": layout_module, "shutil": shutil}
    with monkeypatch.context() as patched:
        patched.setattr(modules[module], name, killed_at(place))
        with pytest.raises(Killed):
            nights.run("branch")
    assert nights.is_whole(), place
    there = nights.results(run)
    assert there.select(pl.exclude("^in_.*$")).equals(before.drop("in_id"))
    assert batch_screen.report(nights.out).sha256
    assert nights.run("branch").was_complete
    assert nights.is_whole()
    assert [p.name for p in (nights.out / "runs").iterdir()] == [layout.run_id]
    assert len([*nights.out.glob("results/*/*")]) == 1
    assert nights.results(run).columns[-1] == "in_branch"


def test_other_settings_are_another_run_as_before(nights: Nights) -> None:
    run = nights.run("id")
    other = nights.run("id", screening={"max_age_minutes": 240})
    assert other.layout.run_id != run.layout.run_id
    with pytest.raises(ConfigurationError):
        nights.run("id", input={"keep_columns": ["id", "all"]})


def test_a_column_that_is_named_by_a_number_is_masked_beside_the_tables(tmp_path: Path) -> None:
    nights, number = Nights(tmp_path), NUMBERS[99]
    nights.list.write_text(LIST.replace("segment", number, 1))
    nights.run("branch")
    nights.run("branch", number)  # written anew with it
    [run] = (nights.out / "runs").iterdir()
    for name in ("manifest.json", "schema.json"):
        told = (run / name).read_text()
        assert f"in_{number[:4]}" in told
        assert number[1:] not in told
    assert batch_screen.validate(nights.out).is_whole
