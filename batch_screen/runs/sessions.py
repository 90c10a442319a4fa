"""Session records of a run: a small checksummed file for each session, for the report.

A session that is killed leaves none; its requests are in the journal, only its pace is lost.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from batch_screen.model import Session
from batch_screen.storage.atomic import translated
from batch_screen.storage.records import damaged, read_record, write_record

_NAME = re.compile(r"[0-9]{4,9}\.json")


class SessionRecord(msgspec.Struct, frozen=True):
    """A session with its run and its number, from 1 in each run."""

    run_id: str
    number: int
    session: Session


def keep_session(folder: Path, run_id: str, session: Session) -> None:
    """Writes the session under the next free number."""
    number = max(_numbers(folder), default=0) + 1
    write_record(_path(folder, number), SessionRecord(run_id, number, session))


def read_sessions(folder: Path, run_id: str) -> list[Session]:
    """All recorded sessions of the run, in order; a killed session has no record.

    Raises ``JournalError`` if one is damaged, missing or another run's.
    """
    sessions = []
    # By number and not by what is there: one that is missing in between is damage.
    for number in range(1, max(_numbers(folder), default=0) + 1):
        path = _path(folder, number)
        record = read_record(path, SessionRecord)
        if (record.run_id, record.number) != (run_id, number):
            raise damaged(path)
        sessions.append(record.session)
    return sessions


def _numbers(folder: Path) -> list[int]:
    with translated("read", folder):
        return [int(path.stem) for path in folder.iterdir() if _NAME.fullmatch(path.name)]


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.json"
