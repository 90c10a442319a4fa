from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batch_screen.commands import purge as purging
from batch_screen.commands.purge import PurgeScope, entries, outputs, purge, run_ids, state_files
from batch_screen.errors import InputError, OutputError, RunLockedError
from batch_screen.privacy.vault import vault_path
from batch_screen.runs import purged
from batch_screen.runs.layout import TABLES, Layout, latest_run, layout_of_run
from batch_screen.runs.purged import PURGED, read_purged
from batch_screen.storage import atomic
from batch_screen.storage.atomic import make_folder, sha256_of
from batch_screen.storage.lock import locked
from batch_screen.tables.integrity import latest_check
from batch_screen.tables.manifest import ListedFile, Manifest, marker_content

RUN = "20250105-0123456789"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        make_folder((folder / name).parent)
        (folder / name).touch()


OURS = (
    "run.json",
    "previous.json",
    "plan/plan.json",
    "plan/rows-00000.parquet",
    "plan/history-00000.parquet",
    "plan/rejects.parquet",
    "plan.growing/rows-00001.whole",
    "plan.growing/forms-00001.spool",
    "plan.growing/cells-00001.spool",
    "plan.growing/history-00001.spool",
    "plan.restored/plan.json",
    "plan.restored/carried-00001.parquet",
    "journal/00000-00001.journal",
    "sealed/00000.parquet",
    "sealed/00000.seal",
    "sessions/0001.json",
    "sealed/.00000.seal.0123abcd.tmp",
    ".run.json.0123abcd.tmp",
)
NOT_OURS = ("notes.txt", "plan/rows-1.parquet", "sealed/00000.seal.bak", "other/run.json")


def test_the_files_of_a_state(tmp_path: Path) -> None:
    touch(tmp_path, *OURS)
    own, strangers = state_files(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in own} == {*OURS}
    assert strangers == []


@pytest.mark.parametrize("name", NOT_OURS)
def test_what_is_not_ours_in_a_state(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "run.json", name)
    own, strangers = state_files(tmp_path)
    assert own == [tmp_path / "run.json"]
    assert len(strangers) == 1


def test_links_are_not_followed_and_not_ours(tmp_path: Path) -> None:
    elsewhere = make_folder(tmp_path / "elsewhere")
    touch(elsewhere, "00000.seal", f"{RUN}-00000.parquet")
    state = make_folder(tmp_path / "state")
    (state / "sealed").symlink_to(elsewhere)
    (state / "run.json").symlink_to(elsewhere / "00000.seal")
    assert state_files(state) == ([], ["state/run.json", "state/sealed"])
    out = make_folder(tmp_path / "out")
    make_folder(out / "results")
    (out / "results" / "run_date=2025-01-05").symlink_to(elsewhere)
    (out / "runs").symlink_to(elsewhere)
    assert outputs(Layout(out, RUN, "2025-01-05")) == ([], [])
    assert run_ids(out, None) == []
    assert list(entries(out / "runs")) == []


def test_the_outputs_of_a_run(tmp_path: Path) -> None:
    layout = Layout(tmp_path, RUN, "2025-01-05")
    day = "results/run_date=2025-01-05"
    ours = (f"{day}/{RUN}-00000.parquet", f"runs/{RUN}/_SUCCESS", f"runs/{RUN}/summary.json")
    others = (f"{day}/{RUN}-2-00000.parquet", f"{day}/part.parquet", f"runs/{RUN}/notes.txt")
    touch(tmp_path, *ours, *others)
    own, strangers = outputs(layout)
    assert {str(path.relative_to(tmp_path)) for path in own} == {*ours}
    assert strangers == [f"runs/{RUN}/notes.txt"]
    touch(tmp_path / "state", "runs/20250106-0123456789/run.json", "runs/lost+found/x")
    assert run_ids(tmp_path, tmp_path / "state") == [RUN, f"{RUN}-2", "20250106-0123456789"]


OLD, OLDER, NEW = "20250105-0123456789", "20250104-0123456789", "20260301-0123456789"
BEFORE = date(2025, 6, 1)


def written(out: Path, run_id: str, *, is_complete: bool = True) -> Layout:
    """A run's files, empty but for those that name each other."""
    layout = layout_of_run(out, run_id)
    make_folder(layout.run)
    for table in TABLES:
        part = layout.part(table, 0)
        make_folder(part.parent)
        part.write_bytes(b"part")
    layout.summary.write_bytes(b"{}")
    head = {"schema_version": 5, "run_id": run_id, "run_date": layout.run_date, "files": []}
    layout.manifest.write_text(json.dumps(head))
    state = out / ".state" / "runs" / run_id
    for name in ("run.json", "plan/plan.json", "sealed/00000.seal", "sealed/00000.parquet"):
        make_folder((state / name).parent)
        (state / name).write_bytes(b"state")
    if is_complete:
        digest = sha256_of(layout.manifest)
        layout.marker.write_bytes(marker_content(digest))
        layout.latest.write_bytes(purging.latest_content(layout, digest))
    return layout


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A new complete run, an old complete one that latest.json names, an older unfinished one."""
    out = make_folder(tmp_path / "out")
    written(out, OLDER, is_complete=False)
    written(out, NEW)
    written(out, OLD)
    return out


def wanted(out: Path, **changes: Any) -> PurgeScope:
    return PurgeScope(out, out / ".state", BEFORE, **changes)


def left(out: Path, run_id: str) -> list[Path]:
    return [path for path in out.rglob("*") if run_id in str(path)]


def test_looking_changes_nothing_and_says_everything(out: Path) -> None:
    before = sorted(out.rglob("*"))
    found = purge(wanted(out), dry_run=True)
    assert [(run.run_id, len(run.outputs), len(run.state)) for run in found.runs] == [(OLD, 6, 4)]
    assert found.unfinished == (OLDER,)
    assert found.latest == NEW
    assert found.files == 10
    assert found.bytes == sum(p.stat().st_size for p in (*found.runs[0].outputs,)) + 4 * 5
    assert sorted(out.rglob("*")) == before


def test_an_old_run_goes_and_nothing_else(out: Path) -> None:
    kept = sorted([*left(out, NEW), *left(out, OLDER)])
    found = purge(wanted(out))
    assert left(out, OLD) == []
    assert sorted([*left(out, NEW), *left(out, OLDER)]) == kept
    assert not (out / "results" / "run_date=2025-01-05").exists()
    assert not (out / ".state" / "purging").exists()
    assert found.latest == NEW
    assert latest_run(out) == NEW
    assert latest_check(layout_of_run(out, NEW)).is_ok
    assert purge(wanted(out), dry_run=True).runs == ()


def lead_elsewhere(path: Path, elsewhere: Path) -> list[Path]:
    """Moves what lies there, and leaves a link in its place; returns all that lies elsewhere."""
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    return sorted(elsewhere.rglob("*"))


@pytest.mark.parametrize("name", ["runs", "results", ".state", ".state/runs"])
def test_links_above_what_is_removed_are_refused(out: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    before = lead_elsewhere(out / name, elsewhere)
    for is_dry in (True, False):
        with pytest.raises(OutputError, match=r"is a link, .* nothing was changed") as error:
            purge(wanted(out, unfinished=True), dry_run=is_dry)
        assert str(out / name) in str(error.value)
    assert sorted(elsewhere.rglob("*")) == before


@pytest.mark.parametrize(
    "name",
    [f"runs/{OLD}", "results/run_date=2025-01-05", f".state/runs/{OLD}", f"runs/.{OLD}.anew"],
)
def test_a_run_behind_a_link_stays_and_the_others_go(out: Path, tmp_path: Path, name: str) -> None:
    elsewhere, behind = tmp_path / "elsewhere", layout_of_run(out, OLD)
    make_folder(out / name)
    before = lead_elsewhere(out / name, elsewhere)
    found = purge(wanted(out, unfinished=True))
    assert sorted(elsewhere.rglob("*")) == before
    assert behind.marker.exists()
    assert latest_run(out) == OLD
    [said] = [run.strangers for run in found.runs if run.run_id == OLD]
    assert len(said) == 1
    assert said[0].endswith("(a link)")
    assert left(out, OLDER) == []


def test_parts_that_are_links_stay_and_are_named(out: Path, tmp_path: Path) -> None:
    part = layout_of_run(out, OLD).part("results", 0)
    lead_elsewhere(part, tmp_path / "part")
    [found] = purge(wanted(out)).runs
    assert found.strangers == (f"results/run_date=2025-01-05/{part.name}",)
    assert part.read_bytes() == b"part"


def test_a_vaults_file_that_is_a_link_stays_and_is_named(out: Path, tmp_path: Path) -> None:
    vault = make_folder(tmp_path / "vault")
    (tmp_path / "elsewhere").touch()
    (vault / f"{OLD}.parquet").symlink_to(tmp_path / "elsewhere")
    [found] = purge(wanted(out, vault=vault)).runs
    assert found.strangers == (f"{OLD}.parquet of the vault (a link)",)
    assert (vault / f"{OLD}.parquet").is_symlink()


def test_unfinished_runs_go_only_when_they_are_named(out: Path) -> None:
    found = purge(wanted(out, unfinished=True))
    assert [run.run_id for run in found.runs] == [OLDER, OLD]
    assert left(out, OLDER) == []


def test_only_one_of_the_two(out: Path) -> None:
    purge(wanted(out, outputs=False))
    assert [p for p in left(out, OLD) if ".state" in p.parts] == []
    assert layout_of_run(out, OLD).marker.exists()
    assert latest_run(out) == OLD
    purge(wanted(out, states=False))
    assert left(out, OLD) == []


def test_the_last_run_takes_latest_json_with_it(tmp_path: Path) -> None:
    out = make_folder(tmp_path / "alone")
    written(out, OLD)
    assert purge(wanted(out)).latest == ""
    assert not (out / "latest.json").exists()


def test_what_is_not_ours_stays(out: Path) -> None:
    mine = layout_of_run(out, OLD).run / "notes.txt"
    also = out / ".state" / "runs" / OLD / "sealed" / "copy.parquet"
    mine.touch()
    also.touch()
    found = purge(wanted(out))
    assert found.runs[0].strangers == (f"runs/{OLD}/notes.txt", f"{OLD}/sealed/copy.parquet")
    assert found.runs[0].state == ()
    assert mine.exists()
    assert (also.parent / "00000.seal").exists()  # a folder that is not ours as a whole stays


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", range(14))
def test_killed_at_any_step_no_half_run_looks_complete(
    out: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    steps = 0
    digest = sha256_of(layout_of_run(out, OLD).manifest)

    def killing(call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > at:
                raise Killed
            return call(*arguments, **named)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killing(Path.unlink))
        patched.setattr(Path, "rename", killing(Path.rename))
        patched.setattr(purging, "write_atomically", killing(atomic.write_atomically))
        patched.setattr(purged, "write_atomically", killing(atomic.write_atomically))
        patched.setattr(purging, "locked", nullcontext)  # the system frees a killed one's lock
        with pytest.raises(Killed):
            purge(wanted(out))
    layout = layout_of_run(out, OLD)
    if layout.marker.exists():  # then nothing of it is gone
        assert len(purge(wanted(out, states=False), dry_run=True).runs[0].outputs) == 6
    state = out / ".state" / "runs" / OLD
    assert not state.exists() or len([p for p in state.rglob("*") if p.is_file()]) == 4
    assert not purge(wanted(out), dry_run=True).is_empty
    purge(wanted(out))
    assert left(out, OLD) == []
    assert purge(wanted(out), dry_run=True).is_empty
    assert latest_check(layout_of_run(out, NEW)).is_ok
    [told] = read_purged(out)  # once, and with what it was before anything was removed
    assert (told.run_id, told.manifest_sha256) == (OLD, digest)


def test_what_went_is_recorded(out: Path) -> None:
    layout = layout_of_run(out, OLD)
    part = ListedFile(layout.named(layout.part("results", 0)), 4, "", "results", 2)
    head = Manifest(schema_version=5, run_id=OLD, run_date="2025-01-05", files=[part, part])
    layout.manifest.write_bytes(msgspec.json.encode(head))
    digest = sha256_of(layout.manifest)
    purge(wanted(out), dry_run=True)
    purge(wanted(out, outputs=False))
    assert read_purged(out) == []  # its output is there
    before = datetime.now(UTC)
    purge(wanted(out, unfinished=True))
    older, old = read_purged(out)
    assert (older.run_id, {*older.rows.values()}) == (OLDER, {0})
    assert (old.run_id, old.run_date, old.manifest_sha256) == (OLD, "2025-01-05", digest)
    assert old.rows == {"results": 4, "lookups": 0, "errors": 0, "changes": 0}
    assert before <= old.purged_at <= datetime.now(UTC)
    purge(wanted(out))
    assert len(read_purged(out)) == 2


def test_files_that_are_left_of_a_purged_run_are_no_run(out: Path) -> None:
    vault = make_folder(out.parent / "vault")
    touch(vault, f"{OLD}.parquet")
    touch(out, f"runs/{OLD}/notes.txt")
    purge(wanted(out))
    [told] = read_purged(out)
    assert vault_path(vault, OLD).is_file()
    purge(wanted(out, vault=vault, unfinished=True))
    assert not vault_path(vault, OLD).is_file()
    assert [run.run_id for run in read_purged(out)] == [OLD, OLDER]
    assert told in read_purged(out)


def test_nothing_goes_where_the_record_is_damaged(out: Path) -> None:
    (out / PURGED).write_bytes(b"{")
    before = sorted(left(out, OLD))
    with pytest.raises(InputError, match="is damaged"):
        purge(wanted(out))
    assert sorted(left(out, OLD)) == before


def test_a_run_that_goes_on_is_not_touched(out: Path) -> None:
    before = sorted(left(out, OLD))
    with locked(out / ".state"), pytest.raises(RunLockedError):
        purge(wanted(out))
    assert sorted(left(out, OLD)) == before


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    for wrong in (wanted(tmp_path / "no"), PurgeScope(None, tmp_path / "no", BEFORE)):
        with pytest.raises(InputError, match="no such folder; check the path") as error:
            purge(wrong, dry_run=True)
        assert error.value.exit_code == 66


def test_without_an_output_folder_no_run_is_known_to_be_finished(out: Path) -> None:
    found = purge(PurgeScope(None, out / ".state", BEFORE), dry_run=True)
    assert (found.runs, found.unfinished) == ((), (OLDER, OLD))
    found = purge(PurgeScope(None, out / ".state", BEFORE, unfinished=True))
    assert [run.outputs for run in found.runs] == [(), ()]
    assert layout_of_run(out, OLD).marker.exists()


def test_what_a_killed_writing_anew_has_left_goes_too(tmp_path: Path) -> None:
    layout = layout_of_run(tmp_path, RUN)
    day = layout.named(layout.part("results", 0).parent)
    own, anew = f"runs/{RUN}", f"runs/.{RUN}.anew"
    names = [
        f"{day}/{RUN}-00000.parquet",
        f"{day}/{RUN}-00000.2.parquet",
        f"{own}/_SUCCESS",
        f"{own}/manifest.json",
        f"{anew}/results/{RUN}-00001.2.parquet",
        f"{anew}/results_in_order.parquet",
        f"{anew}/manifest.json",
    ]
    touch(tmp_path, *names)
    touch(tmp_path, f"{day}/{RUN}-2-00000.parquet")
    found, strangers = outputs(layout)
    assert ({layout.named(path) for path in found}, strangers) == ({*names}, [])
    gone = purge(PurgeScope(tmp_path, tmp_path / ".state", date(2026, 1, 1), states=False))
    assert gone.runs[0].files == len(names)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and ".state" not in path.parts]
    assert {path.name for path in left} <= {PURGED, f"{RUN}-2-00000.parquet"}
    assert not (tmp_path / anew).exists()
