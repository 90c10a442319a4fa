"""Who may read a run's files: their owner alone, or their group too, whatever the umask."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

import batch_screen
from batch_screen import Job, load_settings
from batch_screen.cli.validate import validate
from batch_screen.commands.validate import runs_in
from tests.thoroughness import in_full

from .conftest import NUMBERS, write_csv

DAYS = (date(2026, 3, 2), date(2026, 3, 3))


def screened(folder: Path, day: date, mode: str) -> batch_screen.RunResult:
    output = {"folder": str(folder / "out"), "in_order": True, "mode": mode}
    pacing = {"rate_per_second": 1000, "ramp_up_seconds": 0}
    settings = load_settings({"output": output, "pacing": pacing})
    listed = write_csv(folder / "list.csv", NUMBERS[:3])
    return batch_screen.run(Job((str(listed),), settings, sandbox=True, run_date=day))


@contextmanager
def umask(bits: int) -> Iterator[None]:
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> set[tuple[bool, int]]:
    paths = [folder, *folder.rglob("*")]
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}


def is_whole(out: Path, run_id: str | None = None, *, copied: bool = False) -> bool:
    return batch_screen.validate(out, run_id, copied=copied).is_whole


@pytest.mark.parametrize("bits", [0o000, pytest.param(0o022, marks=in_full), 0o077])
def test_the_group_reads_and_nobody_else_does(tmp_path: Path, bits: int) -> None:
    out = tmp_path / "out"
    with umask(bits):
        run = screened(tmp_path, DAYS[0], "group")
        sheet, page = tmp_path / "sheet.csv", tmp_path / "page.html"
        batch_screen.export(out, sheet, unknown=True)
        batch_screen.report(out, path=page)
        batch_screen.report(out)
    assert modes(out / ".state") == {(True, 0o700), (False, 0o600)}
    for name in ("runs", "results", "lookups", "errors"):
        assert modes(out / name) == {(True, 0o2750), (False, 0o640)}, name
    files = (out / "latest.json", sheet, page)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o640}
    assert stat.S_IMODE(out.stat().st_mode) == 0o2750
    assert is_whole(out)
    # Validate judges by the mode that the manifest says.
    for path, mode in ((run.layout.summary, 0o644), (run.layout.run, 0o2770), (sheet, 0o644)):
        was = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode)
        assert is_whole(out) == (path == sheet), path
        assert is_whole(out, copied=True)
        path.chmod(was)


def test_runs_of_both_modes_in_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = screened(tmp_path, DAYS[0], "private")
    assert modes(out) == {(True, 0o700), (False, 0o600)}
    second = screened(tmp_path, DAYS[1], "group")
    # The first one's files stay closed, in folders that the group may enter.
    for run in (first, second):
        assert is_whole(out, run.layout.run_id)
    closed, opened = ((True, 0o700), (False, 0o600)), ((True, 0o2750), (False, 0o640))
    for run, expected in ((first, closed), (second, opened)):
        assert modes(run.layout.run) == {*expected}
        assert modes(run.layout.part("results", 0).parent) == {*expected}
    (out / "results").chmod(0o750)
    assert is_whole(out, second.layout.run_id)
    assert not is_whole(out, first.layout.run_id)
    # A third one closes nothing to others.
    (out / "results").chmod(0o2750)
    screened(tmp_path, date(2026, 3, 4), "private")
    assert all(is_whole(out, name) for name in runs_in(out))


def test_a_copy_without_modes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    screened(tmp_path, DAYS[0], "private")
    copied = tmp_path / "copied"
    command = ["cp", "-r", "--no-preserve=mode", tmp_path / "out", copied]
    subprocess.run(command, check=True, umask=0o022)
    how = {"folders": (str(copied),), "run_id": None, "every": False, "as_json": False}
    assert validate(**how, copied=False) == 65
    capsys.readouterr()
    assert validate(**how, copied=True) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].endswith("· whole")
    assert "not checked  private               0  files and folders are closed to others" in said
    assert "  not checked: a copy's modes say nothing of the run;" in said
