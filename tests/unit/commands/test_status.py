from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import gethostname

import pytest

from batch_screen.commands.status import State, Status, status
from batch_screen.errors import InputError
from batch_screen.runs.events import Silent
from batch_screen.runs.heartbeat import HeartbeatWriter
from batch_screen.runs.state import Run
from batch_screen.storage.atomic import make_folder
from batch_screen.storage.lock import locked
from tests.making import made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "out")


@pytest.fixture
def run(out: Path) -> Run:
    """A run of five numbers that has asked nothing."""
    return made(make_folder(out / ".state"), [1, 2, None, 3, 3, 4, 5])[0]


def looked(out: Path, now: datetime | None = None) -> Status:
    return status(out, out / ".state", now)


def test_nothing_has_run(out: Path) -> None:
    assert looked(out) == Status(str(out / ".state"), [])


def test_a_run_that_can_be_resumed(out: Path, run: Run) -> None:
    before = sorted(out.rglob("*"))
    [found] = looked(out).runs
    assert (found.run_id, found.state, found.run_date) == (
        run.run_id,
        State.RESUMABLE,
        "2026-11-23",
    )
    assert (found.rows, found.lookups, found.done) == (7, 5, 0)
    assert found.inputs == ["/lists/list.csv"]
    assert sorted(out.rglob("*")) == before


def test_a_run_that_goes_on(out: Path, run: Run) -> None:
    state = out / ".state"
    with locked(state):
        telling = HeartbeatWriter(Silent(), state)
        telling.identify(run.run_id)
        telling.stage("asking", total=5)
        found = looked(out)
        assert found.is_running
        assert not found.is_stalled
        assert [each.state for each in found.runs] == [State.RUNNING]
        assert found.holder is not None
        assert found.holder.pid == os.getpid()
        late = looked(out, datetime.now(UTC) + timedelta(seconds=60))
        assert late.is_stalled
        telling.end()
    assert looked(out).holder is None


@pytest.mark.parametrize(("host", "state"), [("elsewhere", "running"), ("", "resumable")])
def test_a_process_that_cannot_be_seen(out: Path, run: Run, host: str, state: str) -> None:
    """What another machine has just written is at work; what a killed process left is not."""
    telling = HeartbeatWriter(Silent(), out / ".state")
    telling.identify(run.run_id)
    telling.stage("asking", total=5)
    content = (out / ".state" / "progress.json").read_bytes()
    telling.end()
    (out / ".state" / "progress.json").write_bytes(content)
    told = {"pid": 2**22 + 1, "since": "x", "host": host or gethostname()}
    (out / ".state" / "holder.json").write_text(json.dumps(told))
    assert [each.state.value for each in looked(out).runs] == [state]
    late = looked(out, datetime.now(UTC) + timedelta(seconds=60))
    assert [each.state for each in late.runs] == [State.RESUMABLE]


def test_a_marker_makes_a_run_complete(out: Path, run: Run) -> None:
    (make_folder(out / "runs" / run.run_id) / "_SUCCESS").touch()
    assert [each.state for each in looked(out).runs] == [State.COMPLETE]


def test_what_cannot_be_read_is_told_and_hides_nothing(out: Path, run: Run) -> None:
    damaged, other = out / ".state" / "runs" / "20260101-0123456789", run.folder / "run.json"
    for folder in ("journal", "sealed", "sessions"):
        make_folder(damaged / folder)
    (damaged / "run.json").write_text(other.read_text().replace('"version":4', '"version":99'))
    first, second = looked(out).runs
    assert (first.state, second.state) == (State.UNREADABLE, State.RESUMABLE)
    assert "version 99" in first.problem
    assert "use the program that wrote it" in first.problem


def test_a_start_that_was_killed_at_once_is_no_run(out: Path) -> None:
    make_folder(out / ".state" / "runs" / "20260101-0123456789")
    assert looked(out).runs == []


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    for out, state in ((tmp_path / "no", tmp_path / "no" / ".state"), (None, tmp_path / "no")):
        with pytest.raises(InputError, match="No such file or directory; check the path") as error:
            status(out, state)
        assert error.value.exit_code == 66
