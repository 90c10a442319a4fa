"""Which run is the previous one, and what becomes of the changes when it no longer exists."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_screen.comparison.previous import (
    FIRST_RUN,
    Previous,
    UnusableRunError,
    opened,
    recorded,
    summary_before,
)
from batch_screen.config.screening import Cohorts
from batch_screen.config.settings import Settings
from batch_screen.errors import JournalError
from batch_screen.model import Session
from batch_screen.runs.events import RunEvents, Silent
from batch_screen.runs.layout import CHANGES, LOOKUPS, Layout
from batch_screen.schema import CHANGES as CHANGE_COLUMNS
from batch_screen.schema import dtypes
from batch_screen.storage.records import read_record
from batch_screen.tables.summary import LookupFigures, Rows, Summary, write_summary

from .two_nights import CHECK, DATE, FIRST, FORWARDING, Night, swapped

EARLIER = "2026-11-21"


def new_swaps(i: int, endpoint: object) -> dict[str, bool]:
    return swapped(i % 7 == 0)


def since(summary: Summary) -> str | None:
    return None if summary.changes is None else summary.changes.since_run


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def test_the_first_run_has_no_changes(tmp_path: Path) -> None:
    night = Night(tmp_path)
    assert night.report().changes is None
    assert night.frame(CHANGES).schema == dtypes(CHANGE_COLUMNS)
    assert night.frame(CHANGES).is_empty()
    record = read_record(night.run.folder / "previous.json", Previous)
    assert record.run_id == FIRST_RUN


def test_the_latest_date_is_taken_and_never_a_later_one(tmp_path: Path) -> None:
    days = [EARLIER, "2026-11-25", FIRST]
    ids = {day: Night(tmp_path, day=day).report().run_id for day in days}
    assert since(Night(tmp_path, new_swaps).report()) == ids[FIRST]


def test_of_one_date_the_one_that_ended_last(tmp_path: Path) -> None:
    first, second = Night(tmp_path, day=FIRST), Night(tmp_path, day=FIRST)
    assert second.run.run_id == f"{first.run.run_id}-2"
    second.report()  # ends two minutes later, by the session of the test
    assert since(first.report()) == second.run.run_id
    assert since(Night(tmp_path, new_swaps).report()) == second.run.run_id


def test_a_run_of_other_endpoints_or_of_another_server_is_passed_over(tmp_path: Path) -> None:
    fitting = Night(tmp_path, day=EARLIER, endpoints=[CHECK, DATE])
    fitting.report()
    Night(tmp_path, day=FIRST, endpoints=[FORWARDING]).report()
    elsewhere = Night(tmp_path, day=FIRST)
    elsewhere.report()
    content = json.loads(elsewhere.layout.summary.read_bytes())
    content["settings"]["api.base_url"] = "https://other.example"
    elsewhere.layout.summary.write_text(json.dumps(content))
    unfinished = Night(tmp_path, day=FIRST)
    unfinished.report()
    unfinished.layout.marker.unlink()
    notes = Notes()
    night = Night(tmp_path, new_swaps)
    assert since(night.report(RunEvents(notes))) == fitting.run.run_id
    [note] = notes.said
    assert "leave out what only one of the two runs asked: sim-swap/retrieve-date" in note


def test_it_is_decided_once(tmp_path: Path) -> None:
    Night(tmp_path, day=EARLIER).report()
    night = Night(tmp_path, new_swaps)
    first = night.report()
    content = night.frame(CHANGES)
    before = [path.read_bytes() for path in night.layout.parts(CHANGES)]
    Night(tmp_path, day=FIRST).report()
    assert night.report() == first
    assert [path.read_bytes() for path in night.layout.parts(CHANGES)] == before
    assert content.height == first.changes.endpoints[CHECK]["newly_positive"]  # type: ignore[union-attr]


@pytest.mark.parametrize("harm", ["gone", "other bytes", "no manifest"])
def test_an_earlier_run_that_is_damaged_is_a_note_and_no_failure(tmp_path: Path, harm: str) -> None:
    earlier = Night(tmp_path, day=FIRST)
    earlier.report()
    part = earlier.layout.parts(LOOKUPS)[0]
    whole = part.read_bytes()
    if harm == "gone":
        part.unlink()
    elif harm == "other bytes":
        part.write_bytes(whole[:-1] + b"x")
    else:
        earlier.layout.manifest.unlink()
    notes, night = Notes(), Night(tmp_path, new_swaps)
    summary = night.report(RunEvents(notes))
    assert (summary.changes, night.frame(CHANGES).height) == (None, 0)
    assert night.layout.marker.exists()
    [note] = notes.said
    assert f"the previous run {earlier.run.run_id} cannot be compared with, for" in note
    part.write_bytes(whole)  # what was decided stays so
    assert night.report(RunEvents(notes)).changes is None
    assert notes.said == [note, note]


def test_an_earlier_run_that_is_lost_later_is_told_when_the_report_is_written_again(
    tmp_path: Path,
) -> None:
    earlier, night = Night(tmp_path, day=FIRST), Night(tmp_path, new_swaps)
    earlier.report()
    assert night.report().changes is not None
    shutil.rmtree(earlier.layout.run)
    notes = Notes()
    assert night.report(RunEvents(notes)).changes is None
    assert night.frame(CHANGES).is_empty()
    assert "it is not complete" in notes.said[0]


def test_an_earlier_run_with_other_lookups_than_were_compared(tmp_path: Path) -> None:
    earlier, night = Night(tmp_path, day=FIRST), Night(tmp_path, new_swaps)
    earlier.report()
    night.report()
    other = Night(tmp_path / "other", new_swaps, day=FIRST)
    other.report()
    assert other.run.run_id == earlier.run.run_id
    for name in ("lookups", "results", "runs"):
        shutil.rmtree(tmp_path / name / f"run_date={FIRST}", ignore_errors=True)
        shutil.copytree(tmp_path / "other" / name, tmp_path / name, dirs_exist_ok=True)
    notes = Notes()
    assert night.report(RunEvents(notes)).changes is None
    assert "written anew since, with other lookups" in notes.said[0]


def test_a_damaged_record_is_refused_by_name(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.report()
    (night.run.folder / "previous.json").write_text("{}")
    with pytest.raises(JournalError, match=r"previous\.json"):
        night.report()


BEGAN = datetime(2026, 11, 24, tzinfo=UTC)
REAL = "https://api.example"


def left(
    folder: Path, run_id: str, *, hour: int = 0, is_complete: bool = True, address: str = REAL
) -> Summary:
    """A run's summary and, if it is complete, its marker."""
    date = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}"
    ended = BEGAN + timedelta(hours=hour)
    summary = Summary(
        run_id=run_id,
        run_date=date,
        version="1",
        status="complete",
        rows=Rows(1, 1, 0, {}, 0, 1),
        endpoints={"sim-swap/check": LookupFigures(1, {"success": 1}, 0, 1, 0, 0, {}, 0.0)},
        cost=0.0,
        currency="EUR",
        session=Session(ended, ended),
        settings={"api.base_url": address},
        facts={},
    )
    layout = Layout(folder, run_id, date)
    write_summary_in(layout, summary)
    if is_complete:
        layout.marker.write_text("")
    return summary


def write_summary_in(layout: Layout, summary: Summary) -> None:
    layout.run.mkdir(parents=True)
    write_summary(layout.summary, summary)


def previous(folder: Path, of: Summary) -> str | None:
    found = summary_before(Layout(folder, of.run_id, of.run_date), of)
    return found.run_id if found else None


def test_the_latest_complete_run_before(tmp_path: Path) -> None:
    left(tmp_path, "20261122-aaaaaaaaaa", hour=1)
    left(tmp_path, "20261123-aaaaaaaaaa", hour=2)
    left(tmp_path, "20261123-bbbbbbbbbb", hour=3)
    left(tmp_path, "20261123-cccccccccc", hour=4, is_complete=False)
    left(tmp_path, "20261123-dddddddddd", hour=4, address="sandbox")
    ours = left(tmp_path, "20261124-aaaaaaaaaa", hour=5)
    left(tmp_path, "20261124-bbbbbbbbbb", hour=6)
    left(tmp_path, "20261125-aaaaaaaaaa", hour=4)
    assert previous(tmp_path, ours) == "20261123-bbbbbbbbbb"
    later = left(tmp_path, "20261124-eeeeeeeeee", hour=7)
    assert previous(tmp_path, later) == "20261124-bbbbbbbbbb"


def test_there_may_be_none(tmp_path: Path) -> None:
    ours = left(tmp_path, "20261124-aaaaaaaaaa")
    assert previous(tmp_path, ours) is None
    assert previous(tmp_path / "elsewhere", ours) is None


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    left(tmp_path, "20261122-aaaaaaaaaa")
    left(tmp_path, "20261123-aaaaaaaaaa")
    (tmp_path / "runs" / "20261123-aaaaaaaaaa" / "summary.json").write_bytes(b"{")
    ours = left(tmp_path, "20261124-aaaaaaaaaa", hour=1)
    assert previous(tmp_path, ours) == "20261122-aaaaaaaaaa"


def test_a_run_is_what_its_summary_tells(tmp_path: Path) -> None:
    settings = Settings(cohorts=Cohorts(min_numbers=7))
    night = Night(tmp_path, endpoints=[CHECK, DATE], settings=settings)
    night.report()
    found = recorded(night.layout)
    assert found.facts.endpoints == (CHECK.value, DATE.value)
    assert (found.facts.run_id, found.facts.unique_numbers) == (night.run.run_id, 120)
    assert found.bounds == settings.cohorts
    assert found.base_url == settings.api.base_url


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"run_id": 5}'])
def test_a_summary_that_cannot_be_read_is_of_no_use(tmp_path: Path, content: bytes) -> None:
    night = Night(tmp_path)
    night.report()
    night.layout.summary.write_bytes(content)
    with pytest.raises(UnusableRunError, match=r"summary\.json"):
        recorded(night.layout)


def test_a_run_is_opened_only_if_its_marker_and_digests_fit(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.report()
    run = recorded(night.layout)
    side, digest = opened(run, [LOOKUPS])
    assert (side.shards, len(digest)) == (len(night.plan.shards), 64)
    night.layout.marker.write_bytes(b"x")
    with pytest.raises(UnusableRunError, match="_SUCCESS"):
        opened(run, [LOOKUPS])
    night.layout.marker.unlink()
    with pytest.raises(UnusableRunError, match="not complete"):
        recorded(night.layout)
