"""The record of purged runs: a line of JSON for each, in the output folder, and no number.

Written before a run's files go, so that who keeps a copy of it, as a warehouse does, can follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from batch_screen.errors import InputError
from batch_screen.runs.layout import layout_of_run
from batch_screen.storage.atomic import translated, write_atomically

PURGED = "purged.ndjson"


class PurgedRun(msgspec.Struct, frozen=True):
    """A run that purge has removed, with the rows that each table had of it.

    ``manifest_sha256`` is None, and there are no ``rows``, where its manifest could not be read.
    """

    run_id: str
    run_date: str
    purged_at: datetime
    manifest_sha256: str | None
    rows: Mapping[str, int]


def read_purged(out: Path) -> list[PurgedRun]:
    """The runs that purge has removed from an output folder, the first one first.

    Raises ``InputError`` where the record is damaged.
    """
    path = out / PURGED
    with translated("read", path):
        content = path.read_bytes() if path.exists() else b""
    try:
        return msgspec.json.Decoder(PurgedRun).decode_lines(content)
    except ValueError as error:  # which may quote the line
        raise InputError(
            f"{path} is damaged: every line must be a run that purge has removed; restore it from "
            "a backup, or move it away and name runs that went with unload --run"
        ) from error


def add_purged(out: Path, runs: Iterable[PurgedRun]) -> None:
    """Adds the runs to the record, but for those that a killed purge has added already."""
    before = read_purged(out)
    new = [run for run in runs if not _is_known(run, before)]
    if not new:
        return
    path = out / PURGED
    mode = max(layout_of_run(out, run.run_id).file_mode for run in new)
    if path.exists():
        mode |= path.stat().st_mode & 0o777
    # Written whole, for it is small: power loss may tear a line that is appended.
    write_atomically(path, msgspec.json.Encoder().encode_lines([*before, *new]), mode=mode)


def _is_known(run: PurgedRun, before: Sequence[PurgedRun]) -> bool:
    """A manifest that is missing went with a purge that was killed; another one is a new run's."""
    known = {each.manifest_sha256 for each in before if each.run_id == run.run_id}
    return run.manifest_sha256 in known if run.manifest_sha256 else bool(known)
