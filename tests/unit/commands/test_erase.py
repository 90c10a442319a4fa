from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

import batch_screen
from batch_screen import Job, LoadOptions, RunEvents, Settings
from batch_screen.commands import erase as erasing
from batch_screen.commands.erase import EraseReport, erase, erase_people
from batch_screen.commands.rewrite import settle
from batch_screen.config.screening import Input
from batch_screen.config.sections import Output
from batch_screen.config.settings import Budget
from batch_screen.erasure.journal import journal_of, pending
from batch_screen.erasure.people import People
from batch_screen.errors import (
    BatchScreenError,
    InputError,
    OutputError,
    RunLockedError,
    Stopped,
    WarehouseError,
)
from batch_screen.runs.layout import DATA_FOLDERS, LOOKUPS, RESULTS, layout_of_run, runs_at
from batch_screen.storage.atomic import sha256_of
from batch_screen.storage.lock import locked, shared
from batch_screen.tables.manifest import marker_content, read_manifest
from batch_screen.tables.summary import read_summary
from tests.nights import NIGHTS, job, listed, make_nights
from tests.thoroughness import in_full

SOMEBODY = "+442079460007"
OTHERS = ("+442079460000", "+442079460300")  # the first stands twice, the other in two runs


def people(*numbers: str) -> People:
    return People(pl.Series(sorted(numbers or (SOMEBODY,))))


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night, one with a longer list in two parts, and the first list again."""
    chosen = [NIGHTS[0], NIGHTS[1], NIGHTS[0]._replace(day="2026-11-25")]
    return make_nights(tmp_path_factory.mktemp("three"), chosen)


@pytest.fixture
def out(nights: Path, tmp_path: Path) -> Path:
    for name in ("list.csv", "list.parquet"):
        shutil.copy(nights.parent / name, tmp_path)
    return Path(shutil.copytree(nights, tmp_path / "screened"))


def erased(out: Path, *numbers: str, dry_run: bool = False) -> EraseReport:
    return erase_people(people(*numbers), out, out / ".state", dry_run=dry_run)


def decoded(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file as text: Parquet cell by cell, the others as they are."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path, hive_partitioning=False)
            yield path, str(frame.to_dicts()) + str(pq.read_metadata(path).metadata)
        else:
            yield path, path.read_bytes().decode("utf-8", errors="replace")


def holding(folder: Path, number: str) -> list[Path]:
    national = number.removeprefix("+44")
    wanted = re.compile(rf"{national[:2]}\D{{0,3}}{national[2:6]}\D{{0,3}}{national[6:]}")
    return [path for path, text in decoded(folder) if wanted.search(text)]


def all_whole(out: Path) -> bool:
    return all(batch_screen.validate(out, run_id).is_whole for run_id in runs_at(out))


def test_a_look_changes_nothing(out: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    found = erased(out, dry_run=True)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert (found.erased, len(found.runs), len(found.states)) == (False, 3, 3)
    assert found.runs[0].rows == {"results": 1, "lookups": 3, "errors": 0, "changes": 1}
    files = {out / file for run in found.runs for file in run.files}
    own = {path for path in holding(out, SOMEBODY) if ".state" not in path.parts}
    assert files == own
    assert SOMEBODY[3:] not in repr(found)


def test_somebody_is_nowhere_and_every_run_is_whole(six_nights: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(six_nights, tmp_path / "screened"))
    names = {run: {file.path for file in manifest(out, run).files} for run in runs_at(out)}
    for number in (SOMEBODY, *OTHERS):
        assert holding(out, number)
    report = erased(out, SOMEBODY, *OTHERS)
    assert report.erased
    assert not journal_of(out).exists()
    for number in (SOMEBODY, *OTHERS):
        assert holding(out, number) == []
    assert all_whole(out)
    for run in report.runs:
        layout, now = layout_of_run(out, run.run_id), manifest(out, run.run_id)
        assert sha256_of(layout.manifest) == run.manifest_after != run.manifest_before
        assert [each.rows for each in now.erased] == [run.rows]
        parts = {file.path for file in now.files if file.table}
        assert not set(run.files) & parts  # under new names
        assert parts - names[run.run_id]
        summary = read_summary(layout.summary)
        assert (
            summary.rows.read == summary.rows.accepted + summary.rows.rejected + (run.rows[RESULTS])
        )
        assert "erased" in layout.html.read_text("utf-8")
    assert len(report.states) == len(report.runs) == 6
    assert list((out / ".state" / "runs").iterdir()) == []


def manifest(out: Path, run_id: str):  # noqa: ANN201
    found = read_manifest(layout_of_run(out, run_id))
    assert found is not None
    return found


def test_the_order_of_completion_stays(out: Path) -> None:
    before = [
        (run.run_id, run.current, run.completed_at) for run in batch_screen.list_runs(out).runs
    ]
    erased(out)
    after = [
        (run.run_id, run.current, run.completed_at) for run in batch_screen.list_runs(out).runs
    ]
    assert after == before


@pytest.mark.parametrize(
    "name",
    [
        "runs",
        "lookups",
        ".state/runs",
        "results/*",
        "runs/2*",
        ".state/runs/*",
        ".state/runs/*/plan",
    ],
)
def test_links_are_refused_before_anything_is_changed(out: Path, tmp_path: Path, name: str) -> None:
    [path, *_] = sorted(out.glob(name))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(OutputError, match=r"is a link, .* nothing was changed"):
        erased(out)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_part_that_is_a_link_is_refused(out: Path, tmp_path: Path) -> None:
    [part, *_] = sorted(out.glob("results/*/*.parquet"))
    part.rename(tmp_path / "part")
    part.symlink_to(tmp_path / "part")
    with pytest.raises(OutputError, match=r"parquet is a link, .* nothing was changed"):
        erased(out)
    assert len(holding(out, SOMEBODY)) > 1


def test_a_second_erasure_finds_nothing(out: Path) -> None:
    erased(out)
    digests = {path: sha256_of(path) for path in out.glob("runs/*/manifest.json")}
    again = erased(out)
    assert (again.erased, again.is_empty, again.not_found) == (False, True, ["+4420••••••07"])
    assert {path: sha256_of(path) for path in out.glob("runs/*/manifest.json")} == digests


@in_full
def test_erasures_add_up(out: Path) -> None:
    erased(out)
    erased(out, *OTHERS)
    assert all_whole(out)
    assert len(manifest(out, runs_at(out)[-1]).erased) == 2


def test_a_row_that_is_missing_for_another_reason_is_found(out: Path) -> None:
    erased(out)
    layout = layout_of_run(out, runs_at(out)[0])
    [part] = layout.parts(RESULTS)
    table = pq.ParquetFile(part).read()
    pq.write_table(table.slice(1), part)
    listed = json.loads(layout.manifest.read_bytes())
    for file in listed["files"]:
        if file["path"] == layout.named(part):
            file |= {"rows": table.num_rows - 1, "bytes": part.stat().st_size}
            file["sha256"] = sha256_of(part)
    layout.manifest.write_text(json.dumps(listed))
    layout.marker.write_bytes(marker_content(sha256_of(layout.manifest)))
    found = {c.name: c for c in batch_screen.validate(out, layout.run_id).checks}
    assert found["files"].is_ok
    assert "2 row indexes are missing, and 1 rows were erased" in found["rows"].differences[0].what
    assert not found["accounting"].is_ok
    assert "restore them from a copy made after" in found["rows"].remedy


def test_the_same_night_is_not_bought_again(out: Path) -> None:
    erased(out)
    result = batch_screen.run(job(out.parent, NIGHTS[0]))
    assert result.summary.session.attempts == read_summary(result.layout.summary).session.attempts
    assert holding(out, SOMEBODY) == []


@in_full
def test_tonight_is_compared_with_a_night_without_them(out: Path) -> None:
    erased(out)
    (out.parent / "opt-outs.csv").write_text(f"{SOMEBODY}\n")
    tonight = NIGHTS[0]._replace(day="2026-11-28")
    made = job(out.parent, tonight)
    numbers = made.settings.numbers.model_copy(
        update={"opt_out_file": str(out.parent / "opt-outs.csv")}
    )
    settings = made.settings.model_copy(update={"numbers": numbers})
    result = batch_screen.run(Job(made.inputs, settings, run_date=date(2026, 11, 28), sandbox=True))
    assert result.summary.changes is not None
    assert result.summary.changes.numbers_gone == 0
    assert all_whole(out)
    assert holding(out, SOMEBODY) == []


def test_an_unfinished_run_stands_in_the_way(out: Path) -> None:
    night = NIGHTS[0]._replace(day="2026-11-29")
    with pytest.raises(BatchScreenError):
        batch_screen.run(job(out.parent, night, budget=Budget(max_requests=40)))
    before = {path: sha256_of(path) for path in out.glob("runs/*/*.json")}
    with pytest.raises(Stopped, match="not complete and holds one of these people") as caught:
        erased(out)
    assert caught.value.exit_code == 4
    # Purge leaves a run that is dated today, whatever it is told.
    assert "--unfinished --older-than 0d, which takes runs dated before today" in str(caught.value)
    assert {path: sha256_of(path) for path in out.glob("runs/*/*.json")} == before
    assert not journal_of(out).exists()
    assert len(erased(out, dry_run=True).unfinished) == 1
    batch_screen.run(job(out.parent, night))
    assert erased(out).erased
    assert all_whole(out)


@pytest.mark.parametrize(
    "at", [8, *(pytest.param(at, marks=in_full) for at in (0, 1, 2, 3, 5, 21, 34))]
)
def test_killed_between_two_steps_it_goes_on(
    out: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step that is seen from outside ends here once; then the same command goes on."""
    steps = iter(range(1000))

    def dying(step: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            if next(steps) == at:
                raise KeyboardInterrupt
            return step(*given, **named)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(erasing, "settle", dying(settle))
        patch.setattr(erasing, "write_without", dying(erasing.write_without))
        if at > 3:
            patch.setattr("batch_screen.storage.atomic.os.fsync", dying(os.fsync))
        with pytest.raises(KeyboardInterrupt):
            erased(out)
    assert all_whole(out)
    if journal_of(out).exists():
        assert "has not come to its end" in pending(out)
        with pytest.raises(InputError, match="not its 1 numbers"):
            erased(out, *OTHERS)
        assert SOMEBODY[3:].encode() not in journal_of(out).read_bytes()
    assert erased(out).erased
    assert pending(out) == ""
    assert holding(out, SOMEBODY) == []
    assert all_whole(out)


def test_a_run_that_is_loaded_or_going_on_is_waited_for(out: Path) -> None:
    layout = layout_of_run(out, runs_at(out)[0])
    with shared(layout.manifest, "it"), pytest.raises(RunLockedError):
        erased(out)
    with locked(out / ".state"), pytest.raises(RunLockedError):
        erased(out)
    assert not journal_of(out).exists()


def test_other_rows_lose_the_number_in_their_kept_cells(tmp_path: Path) -> None:
    rows = listed(20).with_columns(
        branch=pl.when(pl.int_range(20) == 3).then(pl.lit("call 020 7946 0007")).otherwise("branch")
    )
    (tmp_path / "list.csv").write_text(rows.write_csv())
    batch_screen.run(job(tmp_path, NIGHTS[0]._replace(kept=("branch", "phone"))))
    report = erased(tmp_path / "screened")
    assert report.runs[0].cells == 1
    assert holding(tmp_path / "screened", SOMEBODY) == []
    assert all_whole(tmp_path / "screened")
    erased(tmp_path / "screened", *rows["phone"][:17].to_list())  # and everybody
    assert all_whole(tmp_path / "screened")


def test_the_list_comes_from_a_file(out: Path) -> None:
    (out.parent / "people.csv").write_text("phone\n020 7946 0007\n")
    settings = Settings(input=Input(default_region="GB"), output=Output(folder=str(out)))
    events = RunEvents()
    found = erase(str(out.parent / "people.csv"), settings, dry_run=True, events=events)
    assert (found.numbers, found.rows) == (["+4420••••••07"], 14)


def test_parts_of_every_table_keep_their_row_groups(out: Path) -> None:
    before = {t: groups(out, t) for t in DATA_FOLDERS}
    erased(out, SOMEBODY, *OTHERS)
    assert {t: groups(out, t) for t in DATA_FOLDERS} == before


def groups(out: Path, table: str) -> list[tuple[int, list[str], str]]:
    return [
        (
            metadata.num_row_groups,
            metadata.schema.names,
            metadata.row_group(0).column(0).compression if metadata.num_rows else "",
        )
        for path in sorted(out.glob(f"{table}/*/*.parquet"))
        if (metadata := pq.read_metadata(pq.ParquetFile(path).reader and path))
    ]


def test_lookups_of_later_states_know_the_new_parts(out: Path) -> None:
    """A run that did not hold them is written anew from its state with its changes, as before."""
    late = "+442079460300"  # only in the longer list
    erased(out, late)
    layout = layout_of_run(out, next(run for run in runs_at(out) if "20261125" in run))
    assert [path.name for path in (out / ".state" / "runs").iterdir()]
    previous = json.loads((out / ".state" / "runs" / layout.run_id / "previous.json").read_bytes())
    since = previous["content"]["run_id"]
    assert erasing._lookups_digest(out, since) == previous["content"]["lookups_sha256"]
    assert LOOKUPS


def test_a_state_whose_record_is_damaged_stands_in_nobodys_way(out: Path) -> None:
    layout = layout_of_run(out, next(run for run in runs_at(out) if "20261125" in run))
    (out / ".state" / "runs" / layout.run_id / "previous.json").write_text("{}")
    assert erased(out).erased
    assert holding(out, SOMEBODY) == []
    assert all_whole(out)


def test_a_run_whose_manifest_cannot_be_read_keeps_its_parts(out: Path) -> None:
    """Where it was being written anew, nobody can say which of the two writings is the run's."""
    layout = layout_of_run(out, runs_at(out)[0])
    parts = [*out.glob(f"*/*/{layout.run_id}-*.parquet")]
    shutil.copytree(layout.run, layout.growing)
    layout.manifest.write_text("{")
    with pytest.raises(OutputError, match=r"manifest\.json cannot be read"):
        erased(out)
    assert parts == [*out.glob(f"*/*/{layout.run_id}-*.parquet")] != []


@in_full
def test_a_warehouse_takes_the_new_runs_in_place_of_the_old(out: Path, tmp_path: Path) -> None:
    to = f"duckdb:{tmp_path / 'wh.duckdb'}"
    batch_screen.load([out], to, sandbox=True)
    report = erased(out)
    with pytest.raises(WarehouseError, match="--replace"):
        batch_screen.load([out], to, sandbox=True)
    batch_screen.load([out], to, sandbox=True, options=LoadOptions(replaces=True))
    with duckdb.connect(str(tmp_path / "wh.duckdb")) as db:
        for table in DATA_FOLDERS:
            theirs = f"SELECT count(*) FROM batch_screen.{table} WHERE e164 = '{SOMEBODY}'"
            assert db.execute(theirs).fetchall() == [(0,)]
        rows = dict(db.execute("SELECT run_id, erased_rows FROM batch_screen.runs").fetchall())
    assert rows == {run.run_id: sum(run.rows.values()) for run in report.runs}


def test_a_run_that_is_not_what_was_written_is_refused_before_anything_is_changed(
    out: Path,
) -> None:
    first = layout_of_run(out, runs_at(out)[0])
    first.errors_csv.write_text("other")
    before = {path: sha256_of(path) for path in out.glob("runs/*/manifest.json")}
    with pytest.raises(InputError, match="is not what was written"):
        erased(out)
    assert {path: sha256_of(path) for path in out.glob("runs/*/manifest.json")} == before
    assert not journal_of(out).exists()
