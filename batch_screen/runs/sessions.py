"""What each start of a run did, one small checked file each, for a report on all of them.

A start that is killed leaves none: what it bought is known from the journal, its pace is not.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from batch_screen.model import Session
from batch_screen.storage.atomic import translated
from batch_screen.storage.records import damaged, read_record, write_record

_NAME = re.compile(r"\d{4,}\.json")


class SessionRecord(msgspec.Struct, frozen=True):
    """A session, and whose it was: numbered from 1 in each run."""

    run_id: str
    number: int
    session: Session


def keep_session(folder: Path, run_id: str, session: Session) -> None:
    """Writes the session beside those of the earlier starts."""
    number = max(_numbers(folder), default=0) + 1
    write_record(_path(folder, number), SessionRecord(run_id, number, session))


def read_sessions(folder: Path, run_id: str) -> list[Session]:
    """The sessions of all starts that came to an end, in their order.

    Raises ``JournalError`` if one is damaged, missing or another's.
    """
    numbers = _numbers(folder)
    return [_read(folder, run_id, number) for number in range(1, max(numbers, default=0) + 1)]


def _read(folder: Path, run_id: str, number: int) -> Session:
    path = _path(folder, number)
    start = read_record(path, SessionRecord)
    if (start.run_id, start.number) != (run_id, number):
        raise damaged(path)
    return start.session


def _numbers(folder: Path) -> list[int]:
    with translated("read", folder):
        return [int(path.stem) for path in folder.iterdir() if _NAME.fullmatch(path.name)]


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.json"
