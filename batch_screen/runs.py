"""A run's identity, its folder in the state folder, and the lock on that folder.

run = (content of the input, outcome-affecting settings, logical run date). State of another
identity is never used silently.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec
from filelock import FileLock, Timeout

from batch_screen.errors import ConfigurationError, JournalError, RunLockedError
from batch_screen.files import make_folder, translated, write_whole
from batch_screen.model import Lookup

FORMAT = "batch-screen run"
VERSION = 1


class Identity(msgspec.Struct, frozen=True):
    """What makes two starts the same run."""

    content: list[str]
    run_date: str
    settings: dict[str, Any]

    def digest(self) -> str:
        """Ten hex digits that differ between identities."""
        canonical = json.dumps(msgspec.to_builtins(self), sort_keys=True).encode()
        return hashlib.sha256(canonical).hexdigest()[:10]


class RunFile(msgspec.Struct, frozen=True):
    """run.json: written once, before anything else of the run."""

    format: str
    version: int
    run_id: str
    identity: Identity
    created_at: datetime
    salt: UUID


class Run:
    """One run's place in the state folder."""

    def __init__(self, folder: Path, file: RunFile) -> None:
        self.folder = folder
        self.file = file
        self.plan = folder / "plan"
        self.journal = folder / "journal"
        self.sealed = folder / "sealed"

    @property
    def run_id(self) -> str:
        return self.file.run_id

    @property
    def has_bought(self) -> bool:
        """Whether any outcome was saved."""
        if any(self.sealed.glob("*.parquet")):
            return True
        return any(_holds_outcome(path) for path in self.journal.glob("*.journal"))

    def discard(self) -> None:
        """Removes a run that could not be planned, so that nothing half-made stays behind."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def correlator(self, lookup: Lookup, attempt: int) -> str:
        """The ``x-correlator`` of an attempt: same run, same attempt, same text.

        Salted, because an unsalted digest of a phone number is undone in minutes.
        """
        return str(uuid5(self.file.salt, f"{lookup.e164} {lookup.endpoint} {attempt}"))


def _holds_outcome(segment: Path) -> bool:
    # Whether one is there is all that is asked; the journal's own reader checks each line.
    with translated("read", segment), segment.open("rb") as lines:
        return any(b'"t":"outcome"' in line for line in lines)


def new_run_id(identity: Identity, serial: int) -> str:
    """A name that sorts by date and is the same for the same identity.

    >>> new_run_id(Identity(["c0ffee"], "2026-11-23", {}), 1)
    '20261123-b115fba862'
    """
    name = f"{identity.run_date.replace('-', '')}-{identity.digest()}"
    return name if serial == 1 else f"{name}-{serial}"


def today() -> date:
    """The logical date of a run that names none: the UTC day."""
    return datetime.now(UTC).date()


@contextmanager
def locked(state_folder: Path) -> Iterator[None]:
    """Holds the state folder's kernel lock, which ends with the process that holds it.

    Raises ``RunLockedError`` with the holder and its start.
    """
    holder = state_folder / "holder.json"
    lock = FileLock(state_folder / "lock", timeout=0, mode=0o600, fallback_to_soft=False)
    with translated("lock", state_folder):
        try:
            lock.acquire()
        except Timeout:
            raise RunLockedError(
                f"another run holds {state_folder} ({_describe(holder)}); wait for it to end"
                " and start again"
            ) from None
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        write_whole(holder, json.dumps({"pid": os.getpid(), "since": since}).encode())
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _describe(holder: Path) -> str:
    try:
        held = json.loads(holder.read_bytes())
        return f"process {held['pid']}, since {held['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its process has just started"


def find_run(state_folder: Path, identity: Identity) -> Run | None:
    """The latest run of this identity.

    Raises ``ConfigurationError`` if instead an unfinished run of the same input and date was
    begun with other settings: what it bought must not be bought again by mistake.
    """
    same_work = [
        run
        for run in all_runs(state_folder)
        if (run.file.identity.content, run.file.identity.run_date)
        == (identity.content, identity.run_date)
    ]
    same = [run for run in same_work if run.file.identity == identity]
    if same:
        return max(same, key=lambda run: run.file.created_at)
    for other in same_work:
        if other.has_bought and not is_answered(other):
            raise ConfigurationError(_difference(other, identity))
    return None


def answered_runs(state_folder: Path, identity: Identity) -> list[tuple[Run, str]]:
    """Finished runs of the same input and date, each with the settings that differ.

    Their answers are not used: a run with other settings asks for itself.
    """
    return [
        (run, _differing(run, identity))
        for run in all_runs(state_folder)
        if run.file.identity.content == identity.content
        and run.file.identity.run_date == identity.run_date
        and is_answered(run)
    ]


def unfinished_runs(state_folder: Path, identity: Identity) -> list[Run]:
    """Runs of the same input and settings from other dates that have bought and not ended."""
    return [
        run
        for run in all_runs(state_folder)
        if run.file.identity.content == identity.content
        and run.file.identity.settings == identity.settings
        and run.file.identity.run_date != identity.run_date
        and run.has_bought
        and not is_answered(run)
    ]


def is_answered(run: Run) -> bool:
    """Whether every shard is sealed."""
    shards = len(list(run.plan.glob("rows-*.parquet")))
    sealed = len(list(run.sealed.glob("*.parquet"))) if run.sealed.exists() else 0
    return shards > 0 and sealed == shards


def create_run(state_folder: Path, identity: Identity, taken: Sequence[str]) -> Run:
    """A new run of this identity; ``taken`` are run ids that are used elsewhere."""
    used = {*taken, *(run.run_id for run in all_runs(state_folder))}
    serial = 1
    while (run_id := new_run_id(identity, serial)) in used:
        serial += 1
    file = RunFile(FORMAT, VERSION, run_id, identity, datetime.now(UTC), uuid4())
    run = Run(state_folder / "runs" / run_id, file)
    for folder in (run.folder, run.journal, run.sealed):
        make_folder(folder)
    write_whole(run.folder / "run.json", msgspec.json.format(msgspec.json.encode(file)))
    return run


def all_runs(state_folder: Path) -> list[Run]:
    """Every run in the state folder. Raises ``JournalError`` on one that cannot be read."""
    return [_read_run(path) for path in sorted(state_folder.glob("runs/*/run.json"))]


def _read_run(path: Path) -> Run:
    try:
        file = msgspec.json.decode(path.read_bytes(), type=RunFile)
    except (OSError, ValueError) as error:  # msgspec's, or bytes that are no UTF-8
        raise JournalError(
            f"{path} cannot be read as a run's state; nothing was changed: move it away or name "
            "another --state-dir"
        ) from error
    if (file.format, file.version) != (FORMAT, VERSION):
        raise JournalError(
            f"{path} is {file.format} version {file.version}; this program knows {FORMAT} version "
            f"{VERSION}: use the program that wrote it, or name another --state-dir"
        )
    return Run(path.parent, file)


def _differing(other: Run, identity: Identity) -> str:
    old, new = other.file.identity.settings, identity.settings
    differing = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return "; ".join(f"{n} was {_shown(old, n)}, now {_shown(new, n)}" for n in differing)


def _difference(other: Run, identity: Identity) -> str:
    return (
        f"run {other.run_id} of this input is unfinished and was begun with other settings "
        f"({_differing(other, identity)}); set them back to resume it, or use --new-run to start "
        "afresh and pay again"
    )


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return json.dumps(settings.get(name), ensure_ascii=False)
