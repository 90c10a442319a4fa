"""Run identity and state folders.

A run is identified by its input's content, the settings that affect outcomes, and its logical
date. State of another identity is never used silently.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from hashlib import sha1
from os.path import lexists
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec

from batch_screen.config.screening import OPT_OUT_FILE
from batch_screen.errors import JournalError, OutputError
from batch_screen.masking import plain
from batch_screen.model import Instant, Lookup
from batch_screen.schema import READ_VERSIONS, SCHEMA_VERSION
from batch_screen.storage.atomic import make_folder, sweep, translated
from batch_screen.storage.reading import bounded_lines, decoded, open_regular, read_bytes
from batch_screen.storage.records import read_record, write_record

RETRY_OF, RETRY_OUTCOMES = "retry.of", "retry.outcomes"
"""In the identity's settings of a retry: the run, and which of its outcomes are asked again."""

FORMAT = "batch-screen run"
BASE_URL, SANDBOX = "api.base_url", "sandbox"
"""In the settings of an identity: the server's address, and what stands there for the sandbox."""
KEEP_COLUMNS = "input.keep_columns"
LIMIT = "limit"
"""In the settings of an identity: how many numbers a run takes that does not take all."""
ID_KEY = "privacy.id_key"
"""In the settings of an identity: the key whose ids stand for numbers, if they do."""
VERSION = 4


class Identity(msgspec.Struct, frozen=True):
    """The identity of a run: starts whose ``work`` is equal resume each other."""

    content: list[str]
    run_date: str
    settings: dict[str, Any]

    @property
    def work(self) -> Identity:
        """The identity without the columns kept from the input: they change nothing asked."""
        if not self.settings.get(KEEP_COLUMNS):
            return self
        return msgspec.structs.replace(self, settings={**self.settings, KEEP_COLUMNS: []})

    @property
    def keep_columns(self) -> list[str]:
        """The columns to keep, as the settings name them."""
        return list(self.settings.get(KEEP_COLUMNS, ()))

    def digest(self) -> str:
        """The first ten hex digits of the SHA-256 of its work."""
        canonical = json.dumps(msgspec.to_builtins(self.work), sort_keys=True).encode()
        return hashlib.sha256(canonical).hexdigest()[:10]


class StateVersion(msgspec.Struct, frozen=True):
    """Format and versions of a state folder, readable from any version's run.json."""

    format: str = FORMAT
    version: int = VERSION
    schema_version: int = SCHEMA_VERSION


class RunFile(msgspec.Struct, frozen=True):
    """run.json, written once, before anything else of the run.

    ``inputs`` are full paths, so that a changed file can be distinguished from another file.
    """

    made: StateVersion
    run_id: str
    identity: Identity
    inputs: list[str]
    created_at: Instant
    salt: UUID


class _Planned(msgspec.Struct):
    """What a plan was made with last, read from plan.json."""

    opt_out_list: str = ""
    keep_columns: list[str] | None = None


def plan_before(plan: Path) -> Path:
    """Where a plan lies while another one takes its place."""
    return plan.with_name(f"{plan.name}.before")


class Run:
    """One run's folder in the state folder."""

    def __init__(self, folder: Path, file: RunFile) -> None:
        self.folder = folder
        self.file = file
        self.journal = folder / "journal"
        self.sealed = folder / "sealed"
        self.sessions = folder / "sessions"
        self._salt = file.salt.bytes

    @property
    def run_id(self) -> str:
        return self.file.run_id

    @property
    def plan(self) -> Path:
        """The folder of the plan; the one before, where a start was killed while it changed it."""
        plan = self.folder / "plan"
        before = plan_before(plan)
        return before if before.exists() and not plan.exists() else plan

    @property
    def identity(self) -> Identity:
        """The run's identity, with opt-out list and kept columns as its plan was made last."""
        own, path = self.file.identity, self.plan / "plan.json"
        planned = read_record(path, _Planned) if path.exists() else _Planned()
        settings = {**own.settings}
        if planned.opt_out_list:
            settings[OPT_OUT_FILE] = planned.opt_out_list
        if planned.keep_columns is not None:
            settings[KEEP_COLUMNS] = planned.keep_columns
        return msgspec.structs.replace(own, settings=settings)

    @property
    def has_bought(self) -> bool:
        """Whether any answer was saved."""
        if any(self.sealed.glob("[0-9]*")):
            return True
        for segment in self.journal.glob("*.journal"):
            # Only a glance: the journal's own reader checks each line before its content is used.
            with translated("read", segment), open_regular(segment) as lines:
                every = bounded_lines(lines)
                if any(b'"t":"outcome"' in line or b'"t":"held"' in line for line in every):
                    return True
        return False

    @property
    def has_asked(self) -> bool:
        """Whether a request may have been sent: each is noted before it is sent."""
        return any(self.sealed.glob("[0-9]*")) or any(self.journal.glob("*.journal"))

    def sweep(self) -> None:
        """Removes unfinished files of a killed process, and plans that another has replaced."""
        for folder in (self.folder, self.sealed, self.sessions):
            sweep(folder)
        for leftover in self.folder.glob("plan.*"):
            if leftover != self.plan:  # it may hold people who have objected since
                shutil.rmtree(leftover, ignore_errors=True)

    def discard(self) -> None:
        """Removes a run that failed early, unless it holds paid answers."""
        if not self.has_bought:
            shutil.rmtree(self.folder, ignore_errors=True)

    def correlator(self, lookup: Lookup, attempt: int) -> str:
        """The ``x-correlator`` of an attempt; the same when the attempt is repeated."""
        name = f"{lookup.e164} {lookup.endpoint} {attempt}".encode()
        # Salted, because an unsalted digest of a phone number is undone in minutes. As uuid.uuid5,
        # without its detour over an integer: it is made for every request.
        digits = sha1(self._salt + name, usedforsecurity=False).hexdigest()
        variant = "89ab"[int(digits[16], 16) & 3]
        parts = (digits[:8], digits[8:12], f"5{digits[13:16]}", f"{variant}{digits[17:20]}")
        return f"{'-'.join(parts)}-{digits[20:32]}"


def new_run_id(identity: Identity, serial: int) -> str:
    """The run's id: sorts by date, and is derived from the identity.

    >>> new_run_id(Identity(["c0ffee"], "2026-11-23", {}), 1)
    '20261123-b115fba862'
    """
    name = f"{identity.run_date.replace('-', '')}-{identity.digest()}"
    return name if serial == 1 else f"{name}-{serial}"


def limit_of(settings: Mapping[str, Any]) -> int:
    """How many numbers a run with these settings takes at most; 0: all."""
    limit = settings.get(LIMIT)
    return limit if isinstance(limit, int) else 0


def id_key_of(settings: Mapping[str, Any]) -> str | None:
    """The key, by its name, whose ids stand for numbers in a run with these settings; or None."""
    found = settings.get(ID_KEY)
    return found if isinstance(found, str) else None


def today() -> date:
    """The default logical date of a run: the UTC day."""
    return datetime.now(UTC).date()


def create_run(
    state_folder: Path, identity: Identity, inputs: Sequence[str], taken: Sequence[str]
) -> Run:
    """Creates a run of this identity; ``taken`` are run ids in use elsewhere."""
    # By their names: one that cannot be read keeps its own.
    kept = (path for path in state_folder.glob("runs/*") if lexists(path / "run.json"))
    used = {*taken, *(path.name for path in kept)}
    serial = 1
    while (run_id := new_run_id(identity, serial)) in used:
        serial += 1
    file = RunFile(StateVersion(), run_id, identity, list(inputs), datetime.now(UTC), uuid4())
    run = Run(state_folder / "runs" / run_id, file)
    for folder in (run.folder, run.journal, run.sealed, run.sessions):
        make_folder(folder)
    # Last: a folder without run.json is a start that was killed here, and holds nothing.
    write_record(run.folder / "run.json", file)
    return run


def all_runs(state_folder: Path) -> list[Run]:
    """Every run in the state folder. Raises ``JournalError`` on an unusable one."""
    return [run for run in map(read_run, run_folders(state_folder)) if run is not None]


def run_folders(state_folder: Path) -> list[Path]:
    """The folders in which runs may lie, by name."""
    return [path for path in sorted(state_folder.glob("runs/*")) if path.is_dir()]


def readable_runs(state_folder: Path, note: Callable[[str], None]) -> Iterator[Run]:
    """Every run in the state folder that can be read; of the others ``note`` gets a line."""
    for folder in run_folders(state_folder):
        with noting_damage(folder, note):
            if run := read_run(folder):
                yield run


@contextmanager
def noting_damage(folder: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Ends the block over damage of a run that may be passed over, with a note."""
    try:
        yield
    except (JournalError, OutputError) as error:
        note(f"run {folder.name} is passed over: {error}")


def read_run(folder: Path) -> Run | None:
    """The run in the folder, or None if it was killed before it wrote run.json."""
    path = folder / "run.json"
    with translated("read", folder):
        names = {entry.name for entry in folder.iterdir()}
    if path.name not in names:
        if any(folder.glob("journal/*")) or any(folder.glob("sealed/*")):
            raise _unknown(path)
        return None
    with translated("read", path):
        file = read_bytes(path)
    # The version first: another one may have other folders and other fields.
    try:
        made = msgspec.convert(decoded(file, dict)["content"]["made"], StateVersion)
    except (ValueError, LookupError, TypeError) as error:  # msgspec's errors are ValueErrors
        raise _unknown(path) from error
    # What a state holds did not change with the columns that came to the tables.
    if msgspec.structs.replace(made, schema_version=SCHEMA_VERSION) != StateVersion() or (
        made.schema_version not in READ_VERSIONS
    ):
        raise JournalError(
            f"{path} is {plain(made.format, 40)} version {made.version} with schema "
            f"{made.schema_version}; this program knows {FORMAT} version {VERSION} with schema "
            f"{SCHEMA_VERSION}: use the program that wrote it, name another --state-dir, or "
            "remove the folder if its run is complete"
        )
    if not {"journal", "sealed", "sessions"} <= names:
        raise _unknown(folder)
    try:
        run = Run(folder, read_record(path, RunFile))
    except JournalError as error:
        raise _unknown(path) from error
    if run.run_id != folder.name:
        raise _unknown(path)
    return run


def _unknown(path: Path) -> JournalError:
    return JournalError(
        f"{path} is missing, incomplete or not as it was written, so nobody can say whose answers "
        "lie there; nothing was changed: restore it from a backup, or move the run's folder away "
        "and what it holds is asked and paid for again"
    )
