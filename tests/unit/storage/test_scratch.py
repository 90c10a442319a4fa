from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from batch_screen.commands.open_run import folders_held
from batch_screen.config.sections import Output
from batch_screen.config.settings import Settings
from batch_screen.errors import OutputError
from batch_screen.job import Job
from batch_screen.runs.events import RunEvents
from batch_screen.storage.atomic import atomic_write, check_file, sweep
from batch_screen.storage.scratch import scratch_files, scratch_folder, sweep_scratch


def test_they_are_gone_afterwards_whatever_happens(tmp_path: Path) -> None:
    with scratch_files(tmp_path, "held", 3) as paths:
        for path in paths[:2]:
            path.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(IsADirectoryError), scratch_files(tmp_path, "held", 1) as [path]:
        tmp_path.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_those_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    with scratch_files(tmp_path, "held", 1) as [path]:
        path.write_bytes(b"x")
        sweep(tmp_path)
        assert not path.exists()


def test_a_folder_is_private_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder() as first, scratch_folder() as second:
        assert first.stat().st_mode & 0o777 == 0o700
        assert first != second
        (first / "rows").write_bytes(b"x")
        with scratch_folder():  # sweeps, but what is held stays
            assert (first / "rows").exists()
    assert [*tmp_path.iterdir()] == []


KILLED = """
import sys, time
from pathlib import Path
from batch_screen.storage.atomic import atomic_write
from batch_screen.storage.scratch import scratch_folder
with scratch_folder() as folder, atomic_write(Path(sys.argv[1])) as file:
    file.write(b"numbers")
    (folder / "rows").write_bytes(b"numbers")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_no_numbers_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    (scratch / "batch-screen-scratch-link").symlink_to(out)
    (scratch / "other").mkdir()
    target = out / "a [1].csv"
    (out / ".a 1.csv.01234567.tmp").write_bytes(b"another file's")
    environment = {**os.environ, "TMPDIR": str(scratch)}
    command = [sys.executable, "-c", KILLED, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        check_file(target, "--to")
        with scratch_folder():
            assert (left / "rows").exists()
        assert len([*out.iterdir()]) == 2
        process.send_signal(signal.SIGKILL)
    assert len([*out.iterdir()]) == 2
    check_file(target, "--to")
    assert (left / "rows").exists()
    sweep_scratch()  # as run, retry and purge do, which need no such folder
    assert not left.exists()
    assert [path.name for path in out.iterdir()] == [".a 1.csv.01234567.tmp"]
    assert {path.name for path in scratch.iterdir()} == {"batch-screen-scratch-link", "other"}


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"there is no folder .*; make it first"):
        check_file(tmp_path / "none" / "a.csv", "--to")
    for path in (tmp_path, Path("/dev/full")):
        with pytest.raises(OutputError, match="it is not a regular file"):
            check_file(path, "--to")
    with atomic_write(tmp_path / "a.csv") as file:
        file.write(b"x")
    check_file(tmp_path / "a.csv", "--to")


def test_a_start_of_a_run_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "batch-screen-scratch-killed"
    bought = tmp_path / "batch-screen-results"  # of the user's, on a machine with one such folder
    for folder in (left, bought):
        folder.mkdir()
        (folder / "rows").write_bytes(b"numbers")
    job = Job((), Settings(output=Output(folder=str(tmp_path / "out"))), sandbox=True)
    with folders_held(job, RunEvents()):
        assert not left.exists()
        assert (bought / "rows").exists()


def test_a_start_needs_no_place_for_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full or closed temporary folder ends no run that puts nothing there."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", pytest.fail)
    for place in (tmp_path / "nowhere", tmp_path):
        monkeypatch.setenv("TMPDIR", str(place))
        sweep_scratch()
    assert list(tmp_path.iterdir()) == []
