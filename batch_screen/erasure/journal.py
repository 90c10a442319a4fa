"""The journal of an erasure under way, in the output folder: what was found, and no number.

Written before anything is changed and removed when all is done, so that a start after a kill goes
on. It cannot say whom: the same numbers are given again, and are held against its counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from batch_screen.errors import InputError
from batch_screen.masking import safe_text
from batch_screen.runs.events import RunEvents
from batch_screen.storage.atomic import sync_folder, translated
from batch_screen.storage.records import read_record, write_record

NAME = "erasing.json"


class PlannedRun(msgspec.Struct, frozen=True):
    """A run to write anew: the rows it loses by table, and how many people it holds.

    ``compared`` of them are in the run that its changes are counted from, too. ``manifest_sha256``
    and ``lookups_sha256`` are digests of its files before.
    """

    run_id: str
    rows: dict[str, int]
    numbers: int
    cells: int
    compared: int
    manifest_sha256: str
    lookups_sha256: str


class PlannedErasure(msgspec.Struct, frozen=True):
    """An erasure as it was planned: when, of how many numbers, from what."""

    at: datetime
    numbers: int
    runs: list[PlannedRun]
    states: list[str]


def journal_of(out: Path) -> Path:
    return out / NAME


def write_journal(out: Path, planned: PlannedErasure) -> None:
    write_record(journal_of(out), planned)


def read_journal(out: Path) -> PlannedErasure | None:
    """The erasure under way, if there is one. Raises ``JournalError`` where it is damaged."""
    return read_record(journal_of(out), PlannedErasure) if journal_of(out).exists() else None


def end_journal(out: Path) -> None:
    with translated("remove", journal_of(out)):
        journal_of(out).unlink(missing_ok=True)
        sync_folder(out)


def note_pending(out: Path, events: RunEvents) -> None:
    """Says so where an erasure has begun and not ended."""
    if line := pending(out):
        events.progress.note(line)


def pending(out: Path) -> str:
    """A line on an erasure that has begun there and not ended; empty if there is none."""
    if not journal_of(out).exists():
        return ""
    return (
        f"an erasure in {safe_text(str(out))} has not come to its end: some runs there, or a "
        "warehouse that it named, may still hold people who are to be forgotten; start the same "
        "batch-screen erase again, with the same numbers"
    )


def refuse_others(
    out: Path, planned: PlannedErasure, numbers: int, found: Sequence[PlannedRun], left: set[str]
) -> None:
    """Raises ``InputError`` unless the numbers can be those that the erasure was begun with.

    ``found`` is what they have in the runs, and ``left`` are those that were not written anew yet.
    """
    now = {run.run_id: (run.rows, run.numbers, run.cells) for run in found}
    is_same = numbers == planned.numbers and all(
        now.get(run.run_id) == (run.rows, run.numbers, run.cells)
        for run in planned.runs
        if run.run_id in left
    )
    if not is_same:
        raise InputError(
            f"an erasure that was begun in {out} at {planned.at:%Y-%m-%d %H:%M} UTC has not come "
            f"to its end, and these are not its {planned.numbers:,} numbers: start it again with "
            f"those first; where they are lost, delete {journal_of(out)}: each run there is whole, "
            "with those people or without them"
        )
