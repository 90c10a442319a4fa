from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from batch_screen import files
from batch_screen.errors import InputError, RunLockedError
from batch_screen.files import make_folder, sha256_of
from batch_screen.lock import locked
from batch_screen.output.manifest import marker_content
from batch_screen.output.parts import TABLES, Layout
from batch_screen.output.validate import latest_check, latest_run, layout_of_run
from batch_screen.purging import purge as purging
from batch_screen.purging.purge import Wanted, look, purge

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
    layout.manifest.write_text(json.dumps({"run_id": run_id}))
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


def wanted(out: Path, **changes: Any) -> Wanted:
    return Wanted(out, out / ".state", BEFORE, **changes)


def left(out: Path, run_id: str) -> list[Path]:
    return [path for path in out.rglob("*") if run_id in str(path)]


def test_looking_changes_nothing_and_says_everything(out: Path) -> None:
    before = sorted(out.rglob("*"))
    found = look(wanted(out))
    assert [(run.run_id, len(run.outputs), len(run.state)) for run in found.runs] == [(OLD, 6, 4)]
    assert found.unfinished == (OLDER,)
    assert found.latest == NEW
    assert found.files == 10
    assert found.bytes == sum(p.stat().st_size for p in (*found.runs[0].outputs,)) + 4 * 5
    assert sorted(out.rglob("*")) == before


def test_an_old_run_goes_and_nothing_else(out: Path) -> None:
    kept = sorted([*left(out, NEW), *left(out, OLDER)])
    found = purge(wanted(out), [out / ".state"])
    assert left(out, OLD) == []
    assert sorted([*left(out, NEW), *left(out, OLDER)]) == kept
    assert not (out / "results" / "run_date=2025-01-05").exists()
    assert not (out / ".state" / "purging").exists()
    assert found.latest == NEW
    assert latest_run(out) == NEW
    assert latest_check(layout_of_run(out, NEW)).is_ok
    assert look(wanted(out)).runs == ()


def test_unfinished_runs_go_only_when_they_are_named(out: Path) -> None:
    found = purge(wanted(out, unfinished=True), [out / ".state"])
    assert [run.run_id for run in found.runs] == [OLDER, OLD]
    assert left(out, OLDER) == []


def test_only_one_of_the_two(out: Path) -> None:
    purge(wanted(out, outputs=False), [out / ".state"])
    assert [p for p in left(out, OLD) if ".state" in p.parts] == []
    assert layout_of_run(out, OLD).marker.exists()
    assert latest_run(out) == OLD
    purge(wanted(out, states=False), [out / ".state"])
    assert left(out, OLD) == []


def test_the_last_run_takes_latest_json_with_it(tmp_path: Path) -> None:
    out = make_folder(tmp_path / "alone")
    written(out, OLD)
    assert purge(wanted(out), []).latest == ""
    assert not (out / "latest.json").exists()


def test_what_is_not_ours_stays(out: Path) -> None:
    mine = layout_of_run(out, OLD).run / "notes.txt"
    also = out / ".state" / "runs" / OLD / "sealed" / "copy.parquet"
    mine.touch()
    also.touch()
    found = purge(wanted(out), [out / ".state"])
    assert found.runs[0].strangers == (f"runs/{OLD}/notes.txt", f"{OLD}/sealed/copy.parquet")
    assert found.runs[0].state == ()
    assert mine.exists()
    assert (also.parent / "00000.seal").exists()  # a folder that is not ours as a whole stays


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", range(13))
def test_killed_at_any_step_no_half_run_looks_complete(
    out: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    steps = 0

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
        patched.setattr(purging, "write_whole", killing(files.write_whole))
        with pytest.raises(Killed):
            purge(wanted(out), [])
    layout = layout_of_run(out, OLD)
    if layout.marker.exists():  # then nothing of it is gone
        assert len(look(wanted(out, states=False)).runs[0].outputs) == 6
    state = out / ".state" / "runs" / OLD
    assert not state.exists() or len([p for p in state.rglob("*") if p.is_file()]) == 4
    assert not look(wanted(out)).is_empty
    purge(wanted(out), [])
    assert left(out, OLD) == []
    assert look(wanted(out)).is_empty
    assert latest_check(layout_of_run(out, NEW)).is_ok


def test_a_run_that_goes_on_is_not_touched(out: Path) -> None:
    before = sorted(left(out, OLD))
    with locked(out / ".state"), pytest.raises(RunLockedError):
        purge(wanted(out), [out / ".state"])
    assert sorted(left(out, OLD)) == before


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    for wrong in (wanted(tmp_path / "no"), Wanted(None, tmp_path / "no", BEFORE)):
        with pytest.raises(InputError, match="no such folder; check the path") as error:
            look(wrong)
        assert error.value.exit_code == 66


def test_without_an_output_folder_no_run_is_known_to_be_finished(out: Path) -> None:
    found = look(Wanted(None, out / ".state", BEFORE))
    assert (found.runs, found.unfinished) == ((), (OLDER, OLD))
    found = purge(Wanted(None, out / ".state", BEFORE, unfinished=True), [])
    assert [run.outputs for run in found.runs] == [(), ()]
    assert layout_of_run(out, OLD).marker.exists()
