from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_screen.errors import JournalError
from batch_screen.model import Pace, Session
from batch_screen.runs.sessions import keep_session, read_sessions
from batch_screen.storage.atomic import make_folder

NOW = datetime(2026, 11, 23, tzinfo=UTC)
RUN = "20261123-0123456789"


def session(attempts: int) -> Session:
    pace = Pace(2.0, [attempts, 0], [1, 0], [9.8, 4.9])
    return Session(NOW, NOW + timedelta(seconds=4), attempts, 3.2, pace)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three starts."""
    folder = make_folder(tmp_path / "sessions")
    for attempts in (10, 20, 30):
        keep_session(folder, RUN, session(attempts))
    return folder


def test_starts_come_back_in_their_order(folder: Path) -> None:
    assert read_sessions(folder, RUN) == [session(n) for n in (10, 20, 30)]
    assert sorted(p.name for p in folder.iterdir()) == ["0001.json", "0002.json", "0003.json"]
    assert (folder / "0001.json").stat().st_mode & 0o777 == 0o600


def test_no_start_yet(tmp_path: Path) -> None:
    assert read_sessions(make_folder(tmp_path / "sessions"), RUN) == []


def test_more_starts_than_the_name_has_digits_for(folder: Path) -> None:
    (folder / "10000.json").touch()
    keep_session(folder, RUN, session(1))
    assert (folder / "10001.json").exists()


@pytest.mark.parametrize("name", ["0001.json", "0003.json"])
def test_a_damaged_record_is_named_and_left(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes().replace(b"3.2", b"3.4")
    (folder / name).write_bytes(content)
    with pytest.raises(JournalError, match=rf"{name} is missing or not as it was written"):
        read_sessions(folder, RUN)
    assert (folder / name).read_bytes() == content


def test_a_missing_record_is_named(folder: Path) -> None:
    (folder / "0002.json").unlink()
    with pytest.raises(JournalError, match=r"0002\.json is missing"):
        read_sessions(folder, RUN)


def test_a_record_in_anothers_place_is_refused(folder: Path) -> None:
    shutil.copyfile(folder / "0003.json", folder / "0001.json")
    with pytest.raises(JournalError, match=r"0001\.json"):
        read_sessions(folder, RUN)


def test_another_runs_record_is_refused(folder: Path) -> None:
    with pytest.raises(JournalError, match=r"0001\.json"):
        read_sessions(folder, "20261123-9999999999")


def test_what_else_lies_there_is_left_alone(folder: Path) -> None:
    for name in ("notes.txt", "0004.json.bak", "4.json"):
        (folder / name).write_text(json.dumps({}))
    assert len(read_sessions(folder, RUN)) == 3
