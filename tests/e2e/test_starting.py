"""Starts that are warm and cold: whatever the tests look at, they cannot tell them apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.starting import WarmProcess, begin
from tests.thoroughness import in_full

from .conftest import COMMAND, NUMBERS, Desk, clean, new_sandbox, run_command, until, write_csv


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "-"],
        pytest.param(["run", "list.csv", "--out", "list.csv/out"], marks=in_full),
        pytest.param(["run", "list.csv", "--rate", "-7"], marks=in_full),
    ],
    ids=" ".join,
)
def test_both_say_and_end_the_same(tmp_path: Path, arguments: list[str]) -> None:
    write_csv(tmp_path / "list.csv", NUMBERS[:3])
    stdin = (tmp_path / "list.csv").read_bytes()
    warm, cold = (
        run_command(*arguments, cwd=tmp_path, stdin=stdin, is_cold=is_cold)
        for is_cold in (False, True)
    )
    # Lines of JSON hold the time.
    assert (warm.code, warm.out, warm.lines) == (cold.code, cold.out, cold.lines)
    assert warm.out or warm.err


def test_environment_and_umask_are_its_own(tmp_path: Path) -> None:
    with new_sandbox() as server:
        for umask in (0, 0o077):
            desk = Desk(tmp_path / str(umask), server.url, NUMBERS[:2])
            changes = {"BATCH_SCREEN_SCREENING__MAX_AGE_MINUTES": str(umask + 1)}
            assert desk.run(environment=changes, umask=umask).code == 0
            assert set(desk.latest.frame("lookups")["max_age_minutes"]) == {umask + 1}
    assert run_command("plan", desk.list, environment={"BATCH_SCREEN_X": "1"}).code == 2
    assert run_command("plan", desk.list).code == 0


@pytest.mark.parametrize("is_cold", [False, pytest.param(True, marks=in_full)])
def test_what_becomes_of_it_is_told(tmp_path: Path, is_cold: bool) -> None:
    desk = Desk(tmp_path, "http://127.0.0.1:9", NUMBERS[:2], is_cold=is_cold)
    with desk.started() as running:
        until(lambda: "reading" in running.said)
        assert running.process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(timeout=0.01)
        assert Path(f"/proc/{running.process.pid}/cwd").readlink() == Path.cwd()
        running.process.send_signal(signal.SIGKILL)
        assert running.process.wait(timeout=30) == running.process.returncode == -signal.SIGKILL
        running.process.kill()  # which is no error now


def test_it_holds_its_own_streams_only(tmp_path: Path) -> None:
    reading, writing = os.pipe()  # held by nobody but this process
    desk = Desk(tmp_path, "http://127.0.0.1:9", NUMBERS[:2])
    with desk.started() as running:
        until(lambda: "reading" in running.said)
        folder = Path(f"/proc/{running.process.pid}/fd")
        held = {str(each.readlink()) for each in folder.iterdir() if each.is_symlink()}
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert {os.devnull, str(tmp_path / "stdout"), str(tmp_path / "stderr")} <= held
    assert not [each for each in held if each.startswith("pipe:")]


def test_its_memory_is_told(tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as file:
        process = begin([str(COMMAND), "--version"], stdout=file, stderr=file, env=clean())
    with process:
        assert process.wait(timeout=30) == 0
    if isinstance(process, WarmProcess):
        assert 30 < process.peak_mib < 300


def test_a_server_that_ends_says_why() -> None:
    script = (
        "import os, signal\n"
        "from tests.e2e import starting\n"
        "starting._SERVER = '/nowhere.py'\n"
        "starting.complete(['batch-screen', '--version'], env={})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=clean(),  # without TESTS_IN_FULL, which has no server
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "warm_server.py has ended: " in done.stderr
    assert "/nowhere.py" in done.stderr
