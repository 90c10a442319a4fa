"""Which runs are complete, in which order, and which of them is the current one of its date."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import batch_screen
from batch_screen.commands.runs import RunList, list_purged, list_runs
from batch_screen.errors import ConfigurationError, InputError
from batch_screen.runs.layout import Layout, layout_of_run
from batch_screen.schema import PURGED_RUNS, RUNS, dtypes
from batch_screen.tables.manifest import Manifest, marker_content, read_facts
from tests.nights import NIGHTS, Night, job, write_lists

Change = Callable[[dict[str, Any]], object]


def days(found: RunList, *, current: bool = False) -> list[str]:
    return [run.run_date for run in found.runs if run.current or not current]


def with_manifest(folder: Path, run_id: str, change: Change) -> None:
    """The run with another manifest, to which its marker fits."""
    layout = layout_of_run(folder, run_id)
    manifest = json.loads(layout.manifest.read_bytes())
    change(manifest)
    layout.manifest.write_text(json.dumps(manifest), "utf-8")
    digest = hashlib.sha256(layout.manifest.read_bytes()).hexdigest()
    layout.marker.write_bytes(marker_content(digest))


@pytest.fixture
def copied(six_nights: Path, tmp_path: Path) -> Path:
    shutil.copytree(six_nights, tmp_path / "out", ignore=shutil.ignore_patterns(".state"))
    return tmp_path / "out"


def test_runs_come_in_the_order_of_their_completion(six_nights: Path) -> None:
    found = list_runs(six_nights)
    assert days(found) == [night.day for night in NIGHTS]
    assert (found.unfinished, found.damaged) == ([], [])
    times = [run.completed_at for run in found.runs]
    assert times == sorted(times)
    for run, night in zip(found.runs, NIGHTS, strict=True):
        layout = layout_of_run(six_nights, run.run_id)
        assert run.manifest_sha256 == layout.marker.read_text("utf-8").strip()
        assert run.kept_columns == [f"in_{name}" for name in night.kept]
        assert run.started_at
        assert run.started_at < run.completed_at
        for table, rows in run.rows.items():
            assert rows == sum(pl.read_parquet(p).height for p in layout.parts(table))
    first, *later = found.runs
    assert (first.since_run_id, first.rows["changes"]) == (None, 0)
    assert all(run.since_run_id for run in later)


def test_the_current_run_of_a_date_is_its_last_one(six_nights: Path) -> None:
    found = list_runs(six_nights)
    [earlier, later] = [run for run in found.runs if run.run_date == "2026-11-26"]
    assert (earlier.current, later.current) == (False, True)
    assert days(found, current=True) == [night.day for n, night in enumerate(NIGHTS) if n != 2]


@pytest.mark.parametrize(
    ("change", "is_current"),
    [
        (lambda m: m.update(inputs=["another list"]), True),
        (lambda m: m.update(limit=10), True),
        (lambda m: m.update(api={"host": "api.example", "dialect": "v1.0.0"}), True),
        (lambda m: m.update(inputs=[]), True),
        (lambda m: m.update(kept_columns=[]), False),
    ],
    ids=["another list", "a trial", "another server", "inputs that nobody knows", "nothing"],
)
def test_only_the_same_list_at_the_same_server_takes_its_place(
    copied: Path, change: Change, is_current: bool
) -> None:
    earlier = list_runs(copied).runs[2].run_id
    with_manifest(copied, earlier, change)
    [run] = [run for run in list_runs(copied).runs if run.run_id == earlier]
    assert run.current == is_current


def test_a_superseded_run_is_not_current_though_its_successor_names_no_input(copied: Path) -> None:
    first, second, *_ = list_runs(copied).runs
    with_manifest(copied, second.run_id, lambda m: m.update(supersedes=[first.run_id]))
    assert [run.current for run in list_runs(copied).runs[:2]] == [False, True]


def test_since_leaves_out_what_was_seen_but_counts_it_for_what_is_current(six_nights: Path) -> None:
    everything = list_runs(six_nights).runs
    seen = everything[2]
    assert list_runs(six_nights, seen.completed_at).runs == everything[3:]
    before = seen.completed_at - timedelta(microseconds=1)
    assert list_runs(six_nights, before).runs == everything[2:]
    assert list_runs(six_nights, seen.completed_at.replace(tzinfo=None)).runs == everything[3:]
    assert list_runs(six_nights, everything[-1].completed_at).runs == []


def test_who_polls_misses_no_run_that_is_completed_during_a_look(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run of the list is completed after the look at it, and then the last one."""
    everything = list_runs(copied).runs
    late, last = (layout_of_run(copied, everything[at].run_id) for at in (1, -1))
    markers = {layout: layout.marker.read_bytes() for layout in (late, last)}
    for layout in markers:
        layout.marker.unlink()
    read = read_facts

    def complete_then_read(layout: Layout) -> Manifest | None:
        if layout.run_id == everything[-2].run_id:
            for each, content in markers.items():
                each.marker.write_bytes(content)
        return read(layout)

    monkeypatch.setattr("batch_screen.commands.runs.read_facts", complete_then_read)
    looked = list_runs(copied)
    seen = {run.run_id for run in looked.runs}
    more = {run.run_id for run in list_runs(copied, looked.runs[-1].completed_at).runs}
    assert late.run_id in seen
    assert seen | more == {run.run_id for run in everything}


def test_the_runs_as_a_table(six_nights: Path, tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    found = list_runs(six_nights, write=path)
    table = pl.read_parquet(path)
    assert table.schema == dtypes(RUNS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert table["run_id"].to_list() == [run.run_id for run in found.runs]
    assert table["changes"].to_list() == [run.rows["changes"] for run in found.runs]
    for column in (c.name for c in RUNS if c.required):
        assert table[column].null_count() == 0
    assert table["run_date"][0] == date(2026, 11, 23)
    empty = list_runs(six_nights, found.runs[-1].completed_at, tmp_path / "none.parquet")
    assert empty.runs == []
    assert pl.read_parquet(tmp_path / "none.parquet").schema == dtypes(RUNS)


def test_a_table_in_the_output_folder_is_refused(copied: Path) -> None:
    with pytest.raises(ConfigurationError, match="where only runs write"):
        list_runs(copied, write=copied / "results" / "runs.parquet")
    with pytest.raises(ConfigurationError, match="local path"):
        list_runs(copied, write="s3://bucket/runs.parquet")


def test_a_run_of_its_own_folder_and_no_state(copied: Path) -> None:
    earlier = list_runs(copied).runs[2]
    assert list_runs(copied / "runs" / earlier.run_id).runs == [earlier]


def test_what_is_unfinished_or_damaged_is_named_and_not_listed(copied: Path) -> None:
    ids = [run.run_id for run in list_runs(copied).runs]
    layout_of_run(copied, ids[0]).marker.unlink()
    layout_of_run(copied, ids[1]).manifest.write_bytes(b"{}")
    with_manifest(copied, ids[2], dict.clear)
    found = list_runs(copied)
    assert [run.run_id for run in found.runs] == ids[3:]
    assert (found.unfinished, found.damaged) == ([ids[0]], sorted(ids[1:3]))


def test_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run has written there"):
        list_runs(tmp_path)


def test_a_run_that_is_written_anew_is_new_to_a_loader(tmp_path: Path) -> None:
    write_lists(tmp_path)
    night = Night("2026-11-23", "list.csv", ("customer_id",))
    layout = batch_screen.run(job(tmp_path, night)).layout
    [before] = list_runs(layout.folder).runs
    layout.parts("results")[0].unlink()
    batch_screen.run(job(tmp_path, night))
    [after] = list_runs(layout.folder, before.completed_at).runs
    assert (after.run_id, after.started_at) == (before.run_id, before.started_at)
    assert after.manifest_sha256 != before.manifest_sha256


def test_runs_that_purge_has_removed(six_nights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(six_nights, out)
    assert list_purged(out) == []
    runs = list_runs(out).runs
    batch_screen.purge(batch_screen.PurgeScope(out, out / ".state", date(2100, 1, 1)))
    with pytest.raises(InputError, match="no run has written there"):
        list_runs(out)
    purged = list_purged(out, tmp_path / "gone.parquet")
    assert {run.run_id: (run.manifest_sha256, run.rows) for run in purged} == {
        run.run_id: (run.manifest_sha256, run.rows) for run in runs
    }
    table = pl.read_parquet(tmp_path / "gone.parquet")
    assert table.schema == dtypes(PURGED_RUNS)
    assert table["results"].to_list() == [run.rows["results"] for run in purged]
    with pytest.raises(ConfigurationError, match="lies in the output folder"):
        list_purged(out, out / "gone.parquet")


def test_a_folder_of_no_runs_is_not_one_from_which_nothing_went(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check the path, and whether it is mounted") as raised:
        list_purged(tmp_path)
    assert raised.value.exit_code == 66
